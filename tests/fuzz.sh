#!/usr/bin/env bash
# Runs every libFuzzer target, one after the other, with address and undefined behaviour sanitizers.
# usage: tests/fuzz.sh SECONDS [NAME…]    SECONDS per target, at least 1; all targets if none is named
# Builds below build-fuzz/ with clang; BACKSTAY_FUZZ_BUILD names a folder that is built already. What was found stays
# in tests/fuzz/found/ of the build; an input that breaks a target is named in the last lines, and the exit
# status is then 1.
set -uo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top" || exit 2
seconds=${1:-}
if [[ ! $seconds =~ ^[1-9][0-9]*$ ]]; then
  sed -n '2,6s/^# //p' "$0" >&2
  exit 2
fi
shift
build=${BACKSTAY_FUZZ_BUILD:-}
if [[ -z $build ]]; then
  build=build-fuzz
  ./build.sh $build tests_fuzz -DCMAKE_CXX_COMPILER=clang++ -DBACKSTAY_FUZZ=ON \
    -DBACKSTAY_SANITIZE=address,undefined || exit 1
fi

names=("$@")
if [[ ${#names[@]} -eq 0 ]]; then
  for source in tests/fuzz/*_fuzz.cc; do names+=("$(basename "$source" _fuzz.cc)"); done
fi
broken=()
for name in "${names[@]}"; do
  found=$build/tests/fuzz/found/$name
  mkdir -p "$found"
  echo "fuzz: $name, $seconds s"
  "$build/tests/${name}_fuzz" -max_total_time="$seconds" -max_len=4096 -print_final_stats=1 \
    -artifact_prefix="$found-" "$found" "tests/fuzz/corpus/$name" 2>"$found.log" ||
    broken+=("$name: $(grep -o 'Test unit written to .*' "$found.log" || echo "see $found.log")")
  grep -E 'number_of_executed_units|ERROR|SUMMARY' "$found.log"
done
[[ ${#broken[@]} -eq 0 ]] && echo "fuzz: ${#names[@]} targets passed" && exit
printf 'fuzz: %s\n' "${broken[@]}" >&2
exit 1
