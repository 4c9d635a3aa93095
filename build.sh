#!/usr/bin/env bash
# Installs what a build needs (root, or sudo without a password), configures and builds.
# usage: ./build.sh [FOLDER [TARGET…] [-DNAME=VALUE…]]
#        FOLDER: default build. TARGET: default artefacts, which is all that is installed; `all` has the tests, too.
# Every script that builds comes through here: whichever comes first, the next one goes on with the same folder.
set -euo pipefail
top=$(cd "$(dirname "$0")" && pwd)
build=$top/build
targets=()
options=()
if [[ ${1:-} == -h || ${1:-} == --help ]]; then
  sed -n '2,5s/^# //p' "$0"
  exit 0
fi
if [[ $# -gt 0 ]]; then
  build=$(realpath -m "$1")
  shift
fi
for argument in "$@"; do
  if [[ $argument == -* ]]; then options+=("$argument"); else targets+=("$argument"); fi
done
[[ ${#targets[@]} -gt 0 ]] || targets=(artefacts)

# Clones in other folders share what ccache knows.
export CCACHE_BASEDIR=$top CCACHE_NOHASHDIR=1 CCACHE_SLOPPINESS=pch_defines,time_macros

# A folder keeps the generator and the launcher that it began with: another one would build everything anew.
configure() {
  local log fresh=()
  if [[ ! -f $build/CMakeCache.txt ]]; then
    fresh=(-G Ninja)
    ! command -v ccache >/dev/null || fresh+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
  fi
  echo "configuring $build"
  log=$(mktemp)
  if ! cmake -S "$top" -B "$build" "${fresh[@]}" -DBACKSTAY_TESTS=ON "${options[@]}" >"$log" 2>&1; then
    cat "$log" >&2
    rm -f "$log"
    return 1
  fi
  rm -f "$log"
}

# progress: of the lines that count steps one in some seconds; all others, such as a compiler's, as they come.
progress() {
  local line due=0
  while IFS= read -r line || [[ -n $line ]]; do
    if [[ $line =~ ^\[\ *[0-9]+(/[0-9]+|%)\] ]]; then
      ((SECONDS >= due)) || continue
      due=$((SECONDS + 5))
    fi
    printf '%s\n' "$line"
  done
}

compile() {
  local command=(cmake --build "$build" --parallel "${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}" --target "${targets[@]}")
  echo "building ${targets[*]}"
  if [[ -t 1 ]]; then
    "${command[@]}"
  else
    "${command[@]}" 2>&1 | progress
  fi
}

"$top/tests/install_packages.sh" build
configure || {
  echo "build.sh: $build cannot be configured; the reason stands above" >&2
  exit 1
}
compile || {
  echo "build.sh: the build failed; the first error stands above" >&2
  exit 1
}
