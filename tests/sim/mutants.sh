#!/usr/bin/env bash
# Puts each fault of tests/sim/mutants/ into a copy of the sources, and says how long the simulation takes to find it.
# usage: tests/sim/mutants.sh SCRATCH [SECONDS] [NAME…]     SCRATCH: a folder for the copy and its build, kept for the next time
set -uo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
scratch=${1:?usage: tests/sim/mutants.sh SCRATCH [SECONDS] [NAME…]}
seconds=${2:-120}
shift $(($# < 2 ? $# : 2))
rm -rf "$scratch/tree"
mkdir -p "$scratch/tree"
tar -C "$top" --exclude ./build --exclude ./.git -cf - . | tar -C "$scratch/tree" -xf - || exit 2
cd "$scratch/tree" || exit 2
cmake -S . -B ../build -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo >/dev/null || exit 2
missed=0
for patch in "$top"/tests/sim/mutants/*.patch; do
  name=$(basename "$patch" .patch)
  [[ $# == 0 || " $* " == *" $name "* ]] || continue
  patch -s -p1 <"$patch" || exit 2
  if nice cmake --build ../build --target sim_test -j 2 >../build.log 2>&1; then
    start=$SECONDS
    said=$(nice ../build/tests/sim_test --seed 1 --lives 10 --seconds "$seconds" | tail -n 2 | cut -c 1-200)
    if [[ $said == violation* ]]; then
      echo "$name: found after $((SECONDS - start)) s: $said"
    else
      echo "$name: NOT FOUND in $((SECONDS - start)) s: $said"
      missed=$((missed + 1))
    fi
  else
    echo "$name: does not build"
    missed=$((missed + 1))
  fi
  patch -s -R -p1 <"$patch" || exit 2
done
exit $((missed > 0))
