#!/usr/bin/env bash
# Runs every suite, the scripts with their real applications too, against a build with a sanitizer.
# usage: tests/sanitize.sh asan|tsan [REGEX]    asan: addresses and undefined behaviour, tsan: threads;
#                                               REGEX: only tests whose name matches (ctest -R)
# Builds below build-asan/ or build-tsan/. Takes a long time, so run.sh leaves the scripts of e2e/ and fault/ out.
set -uo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top" || exit 2
case "${1:-}" in
  asan) flags=address,undefined ;;
  tsan) flags=thread ;;
  *)
    sed -n '2,5s/^# //p' "$0" >&2
    exit 2
    ;;
esac
build=build-$1
./build.sh "$build" all -DCMAKE_BUILD_TYPE=Debug '-DCMAKE_CXX_FLAGS_DEBUG=-O1 -g1' \
  -DBACKSTAY_PRECOMPILE=ON -DBACKSTAY_SANITIZE="$flags" || exit 1
ASAN_OPTIONS=detect_stack_use_after_return=1 UBSAN_OPTIONS=print_stacktrace=1 \
  TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1 \
  ctest --test-dir "$build" -R "${2:-.}" --output-on-failure --no-tests=error -j "$(nproc)"
