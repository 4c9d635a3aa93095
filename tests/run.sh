#!/usr/bin/env bash
# Installs what the tests need, builds, and runs every test.
# usage: tests/run.sh            everything: main suite, sanitizers, fuzz targets, arm64
#        tests/run.sh --quick    the main suite only
# Plain Debian 12, as root or with sudo. Everything is built below build*/; the last line sums up, and the
# exit status is 0 only if nothing failed.
set -uo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top" || exit 2
quick=
case "${1:-}" in
  '') ;;
  --quick) quick=1 ;;
  *)
    sed -n '2,4s/^# //p' "$0" >&2
    exit 2
    ;;
esac

passed=0
failed=0
broken=()
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# stage NAME COMMAND…: runs one part; ctest's own summary is counted, else the part counts as one test.
stage() {
  local name=$1 start=$SECONDS status total bad
  shift
  printf '\n==== %s\n' "$name"
  "$@" 2>&1 | tee "$log"
  status=${PIPESTATUS[0]}
  total=0 bad=0
  while read -r b t; do
    bad=$((bad + b)) total=$((total + t))
  done < <(sed -nE 's/^[0-9]+% tests passed, ([0-9]+) tests? failed out of ([0-9]+)$/\1 \2/p' "$log")
  if [[ $status -ne 0 && $bad -eq 0 ]]; then
    bad=1 total=$((total + 1))
  elif [[ $total -eq 0 ]]; then
    total=1
  fi
  passed=$((passed + total - bad))
  failed=$((failed + bad))
  [[ $status -eq 0 ]] || broken+=("$name")
  printf '==== %s: %s in %d s\n' "$name" "$([[ $status -eq 0 ]] && echo passed || echo FAILED)" $((SECONDS - start))
  return "$status"
}

finish() {
  [[ ${#broken[@]} -eq 0 ]] || printf '\nfailed: %s\n' "${broken[@]}"
  printf '\n%d passed, %d failed\n' "$passed" "$failed"
  [[ $failed -eq 0 && ${#broken[@]} -eq 0 ]]
  exit
}

# Scratch folders lie in memory where there is room for them: on a disk the tests wait for its fsyncs most of the time. The
# soak is what runs on a disk. Programs must run there, and files take attributes (Linux 6.6), as they do on a disk.
scratch_in_memory() {
  local room probe
  [[ -z ${TMPDIR:-} && -w /dev/shm ]] || return 0
  room=$(df --output=avail --block-size=1M /dev/shm 2>/dev/null | tail -n 1)
  [[ $room -ge 4096 ]] || return 0
  awk '$1 == "MemAvailable:" { exit $2 < 6 * 1024 * 1024 }' /proc/meminfo || return 0
  probe=$(mktemp -d /dev/shm/backstay-probe-XXXXXX) || return 0
  if cp /bin/true "$probe/true" && "$probe/true" &&
    python3 -c 'import os, sys; os.setxattr(sys.argv[1], "user.backstay", b"1")' "$probe/true"; then
    export TMPDIR=/dev/shm
  fi 2>/dev/null
  rm -rf "$probe"
}

# Light optimisation is enough where every access is checked, and it compiles sooner.
checked=(-DCMAKE_BUILD_TYPE=Debug '-DCMAKE_CXX_FLAGS_DEBUG=-O1 -g1' -DBACKSTAY_PRECOMPILE=ON)

# Many of its tests wait more than they compute.
main_suite() {
  ./build.sh build all -DCMAKE_BUILD_TYPE=RelWithDebInfo &&
    ctest --test-dir build --output-on-failure --no-tests=error -j $(($(nproc) * 2))
}

# sanitizer NAME FLAGS ROOMS…: builds and runs only the rooms named.
sanitizer() {
  local build=build-$1 flags=$2 room targets=() labels
  shift 2
  for room in "$@"; do targets+=("tests_$room"); done
  labels=$(IFS='|' && echo "$*")
  ./build.sh "$build" "${targets[@]}" "${checked[@]}" -DBACKSTAY_SANITIZE="$flags" &&
    ASAN_OPTIONS=detect_stack_use_after_return=1 UBSAN_OPTIONS=print_stacktrace=1 \
      TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1 \
      ctest --test-dir "$build" -L "^($labels)\$" --output-on-failure --no-tests=error -j $(($(nproc) * 2))
}

fuzz() {
  ./build.sh build-fuzz tests_fuzz "${checked[@]}" -DCMAKE_CXX_COMPILER=clang++ -DBACKSTAY_FUZZ=ON \
    -DBACKSTAY_FUZZ_SECONDS=10 -DBACKSTAY_SANITIZE=address,undefined &&
    ctest --test-dir build-fuzz -L '^fuzz$' --output-on-failure --no-tests=error -j "$(nproc)"
}

groups=(build test s3 check)
[[ -n $quick ]] || groups+=(arm64)
stage packages tests/install_packages.sh "${groups[@]}" || finish
passed=0  # an installation is no test
scratch_in_memory

stage 'main suite' main_suite || [[ -z $quick ]] || finish
if [[ -z $quick ]]; then
  # Of what a test goes through exhaustively each fifth step: there it takes ten times as long.
  export BACKSTAY_TEST_EACH_NTH=5
  stage 'address and undefined behaviour' sanitizer asan address,undefined unit conformance
  stage 'threads' sanitizer tsan thread unit conformance
  stage 'fuzz' fuzz
  stage 'arm64' tests/arm64.sh build-arm64
fi
finish
