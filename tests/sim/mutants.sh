#!/usr/bin/env bash
# Puts each fault of tests/sim/mutants/ into a copy of the sources, and says how long the simulation takes to find it.
# usage: tests/sim/mutants.sh SCRATCH [SECONDS] [NAME…]     SCRATCH: a folder for the copy and its build
set -uo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
scratch=${1:?usage: tests/sim/mutants.sh SCRATCH [SECONDS] [NAME…]}
seconds=${2:-120}
shift $(($# < 2 ? $# : 2))
rm -rf "$scratch/tree"
mkdir -p "$scratch/tree"
tar -C "$top" --exclude ./build --exclude ./.git -cf - . | tar -C "$scratch/tree" -xf - || exit 2
cd "$scratch/tree" || exit 2
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1 CCACHE_SLOPPINESS=pch_defines,time_macros  # as build.sh
launcher=()
! command -v ccache >/dev/null || launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo "${launcher[@]}" >/dev/null || exit 2
build() { nice cmake --build build --target sim_test -j 2 >../build.log 2>&1; }
# The code as it is: what it does not keep either is not the mutant's.
build || exit 2
cp build/tests/sim_test ../as_it_is && cp build/libbackstay_sim_shim.so .. || exit 2
as_it_is() { LD_LIBRARY_PATH=.. nice ../as_it_is --seed "$1" --lives 10 --worlds 1 >/dev/null; }

# look: true, and in $said what was found, when the mutant breaks a promise that the code as it is keeps.
look() {
  local seed=1 end=$((SECONDS + seconds)) out=../out
  while ((SECONDS < end)); do
    nice build/tests/sim_test --seed "$seed" --lives 10 --seconds $((end - SECONDS)) >"$out" && return 1
    seed=$(sed -n '1s/^seed \([0-9]*\),.*/\1/p' "$out")
    said="seed $seed, $(grep -m 1 '^violation' "$out" | cut -c 1-200)"
    as_it_is "$seed" && return 0
    seed=$((seed + 1))
  done
  return 1
}

missed=0
for patch in "$top"/tests/sim/mutants/*.patch; do
  name=$(basename "$patch" .patch)
  [[ $# == 0 || " $* " == *" $name "* ]] || continue
  if ! patch -s -p1 --dry-run <"$patch" >/dev/null; then
    echo "$name: does not apply"
    missed=$((missed + 1))
    continue
  fi
  patch -s -p1 <"$patch" || exit 2
  start=$SECONDS
  if ! build; then
    echo "$name: does not build"
    missed=$((missed + 1))
  elif start=$SECONDS && look; then
    echo "$name: found after $((SECONDS - start)) s: $said"
  else
    echo "$name: NOT FOUND in $((SECONDS - start)) s"
    missed=$((missed + 1))
  fi
  patch -s -R -p1 <"$patch" || exit 2
done
exit $((missed > 0))
