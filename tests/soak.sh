#!/usr/bin/env bash
# Runs every fault test in turn, in its long mode, until the time is over; sums up what was broken and what was lost.
# usage: tests/soak.sh [MINUTES [PERCENT]]    default: 10 minutes, 10 percent of them for the fuzz targets
# BACKSTAY_BUILD, BACKSTAY_FUZZ_BUILD: the build folders (default: build, build-fuzz). Every round has a seed of its own,
# which a failure prints. With an S3 server installed (tests/support/s3server) some suites run on it too. The fuzz
# targets take part if they are built (tests/fuzz.sh builds them); an input that breaks one is kept in their build
# folder and named. Exit status: 0 only if nothing was lost, corrupt or failed.
set -uo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
minutes=${1:-10} percent=${2:-10}
[[ $minutes =~ ^[0-9]+$ && $percent =~ ^[0-9]+$ && $percent -le 100 ]] || {
  sed -n '2,7s/^# //p' "$0" >&2
  exit 2
}
export BACKSTAY_BUILD=${BACKSTAY_BUILD:-$top/build}
fuzz_build=$(realpath -m "${BACKSTAY_FUZZ_BUILD:-$top/build-fuzz}")
cd "$top/tests/fault" || exit 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
end=$((SECONDS + minutes * 60))
suites=()
for script in *_test.py; do suites+=("$script"); done
command -v radosgw >/dev/null && suites+=("s3 fencing_test.py")
# Every suite gets its turn several times, so that a short soak sees all of them.
slice=$((minutes * 60 / ${#suites[@]} / 3))
slice=$((slice < 20 ? 20 : slice > 300 ? 300 : slice))
failed=0

play() {
  local name=$1 seconds=$2 command=(/usr/bin/python3 "${1#s3 }" --seconds "$2" --seed "$((RANDOM * 32768 + RANDOM))")
  [[ $name == s3\ * ]] && command=(../support/s3server/with-s3.sh "${command[@]}")
  # A round that has begun may end: what hangs for ten minutes more is a failure.
  timeout -k 10 $((seconds + 600)) "${command[@]}" >"$work/out" 2>"$work/err" || {
    failed=$((failed + 1))
    printf '==== %s failed\n' "$name"
    tail -n 40 "$work/err"
  }
  tail -n 1 "$work/out" | sed -n "s/^{/{\"name\": \"$name\", /p" >>"$work/lines"
}

# Executions are the rounds of a fuzz target.
fuzz() {
  local name=$1 seconds=$2
  BACKSTAY_FUZZ_BUILD=$fuzz_build timeout -k 10 $((seconds + 600)) ../fuzz.sh "$seconds" "$name" >"$work/out" 2>&1 || {
    failed=$((failed + 1))
    printf '==== fuzz %s failed\n' "$name"
    tail -n 40 "$work/out"
  }
  sed -nE "s/^stat::number_of_executed_units: ([0-9]+)$/{\"name\": \"fuzz $name\", \"rounds\": \1}/p" "$work/out" >>"$work/lines"
}

targets=()
for target in "$fuzz_build"/tests/*_fuzz; do
  [[ -x $target ]] && targets+=("$(basename "$target" _fuzz)")
done
((percent > 0)) && for target in "${targets[@]}"; do
  share=$((minutes * 60 * percent / 100 / ${#targets[@]}))
  fuzz "$target" $((share < 1 ? 1 : share))
done
while ((SECONDS < end)); do
  for suite in "${suites[@]}"; do
    left=$((end - SECONDS))
    ((left > 0)) && play "$suite" $((left < slice ? left : slice))
  done
done
touch "$work/lines"
/usr/bin/python3 - "$work/lines" "$failed" <<'SUM'
import json, sys
columns = ("rounds", "skipped", "kills", "faults", "lost", "corrupt")
total = {}
for line in open(sys.argv[1], encoding="utf-8"):
    found = json.loads(line)
    row = total.setdefault(found["name"].replace("_test.py", ""), dict.fromkeys(columns, 0))
    for column in columns:
        row[column] += found.get(column, 0)
total["all"] = {c: sum(row[c] for name, row in total.items() if not name.startswith("fuzz ")) for c in columns}
print(f"{'suite':<24}" + "".join(f"{c:>10}" for c in columns))
for name, row in sorted(total.items(), key=lambda item: item[0].startswith("fuzz ")):
    print(f"{name:<24}" + "".join(f"{row[c]:>10}" for c in columns))
failed = int(sys.argv[2])
print(f"{failed} runs failed" if failed else "no run failed")
sys.exit(1 if failed or total["all"]["lost"] or total["all"]["corrupt"] else 0)
SUM
