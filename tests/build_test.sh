#!/usr/bin/env bash
# build.sh: whoever comes first, the build folder serves the next one; and what goes wrong is told.
# usage: tests/build_test.sh
# The tree itself is only configured. A project of three files stands in for it where something is compiled.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

fail() {
  echo "build_test: $1" >&2
  cat "$scratch/output" >&2
  exit 1
}
# expect STATUS TEXT COMMAND…: it ends so and says so.
expect() {
  local wanted=$1 text=$2 status=0
  shift 2
  "$@" >"$scratch/output" 2>&1 || status=$?
  [[ $status == "$wanted" ]] || fail "exit $status, not $wanted: $*"
  grep -qF -- "$text" "$scratch/output" || fail "does not say '$text': $*"
}

build=$scratch/build
# 1. What is installed is what `artefacts` builds, and a folder that was configured without tests gets them.
expect 0 "configuring $build" "$top/build.sh" "$build" help -DBACKSTAY_TESTS=OFF
expect 0 'Total Tests: 0' ctest --test-dir "$build" -N
expect 0 "configuring $build" "$top/build.sh" "$build" help
expect 0 'readme' ctest --test-dir "$build" -N
ninja -C "$build" -t commands artefacts >"$scratch/output"
installed=0
while read -r file; do
  installed=$((installed + 1))
  # Linked there, or renamed to it when it was complete.
  grep -qF -e " -o ${file#"$build"/} " -e " $file.new $file" "$scratch/output" || fail "installed, but not built by artefacts: $file"
done < <(find "$build" -name cmake_install.cmake -exec sed -nE 's|.*FILES "([^"]+)"\)$|\1|p' {} + | sort -u)
[[ $installed -ge 4 ]] || fail "only $installed files are installed"

# 2. A library that is missing is named as Debian's package, and so is a second one.
expect 1 'apt-get install libcurl4-openssl-dev catch2' "$top/build.sh" "$scratch/poor" \
  artefacts -DCMAKE_DISABLE_FIND_PACKAGE_CURL=ON -DCMAKE_DISABLE_FIND_PACKAGE_Catch2=ON

# 3. A compiler's error is shown; progress is, but not each step.
small=$scratch/small
mkdir -p "$small/tests"
cp "$top/build.sh" "$small/"
printf '#!/bin/sh\n' >"$small/tests/install_packages.sh"
chmod +x "$small/tests/install_packages.sh"
cat >"$small/CMakeLists.txt" <<'CMAKE'
cmake_minimum_required(VERSION 3.25)
project(small LANGUAGES CXX)
add_library(artefacts STATIC good.cc)
add_custom_target(steps)
foreach(n RANGE 1 50)
  add_custom_target(step${n} COMMAND true)
  add_dependencies(steps step${n})
endforeach()
CMAKE
echo 'int good;' >"$small/good.cc"
expect 0 'Building CXX object' "$small/build.sh"
expect 0 '[1/50]' "$small/build.sh" "$small/build" steps
[[ $(grep -c '^\[' "$scratch/output") -lt 50 ]] || fail 'progress has a line for each step'
echo '#error nothing but trouble' >"$small/good.cc"
expect 1 '#error nothing but trouble' "$small/build.sh"
# A folder keeps its generator.
cmake -G 'Unix Makefiles' -S "$small" -B "$small/made" >/dev/null
echo 'int good;' >"$small/good.cc"
expect 0 'Building CXX object' "$small/build.sh" "$small/made"
echo "build_test: passed"
