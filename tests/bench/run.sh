#!/bin/bash
# Every figure of the benchmarks, with the command that made it. Nothing is asserted.
# usage: tests/bench/run.sh [build folder]      BENCH_BASE: where scratch folders go (default: TMPDIR or /tmp)
set -u
build=$(realpath "${1:-build}")
bench=$build/tests/backstay_bench
here=$(realpath "$(dirname "$0")")
base=${BENCH_BASE:-${TMPDIR:-/tmp}}
[ -x "$bench" ] || { echo "$bench is not there: build first (tests/run.sh --quick)" >&2; exit 2; }

# run ENVIRONMENT… -- ARGUMENTS…: one benchmark in a folder of its own.
run() {
  local folder environment=()
  while [ "$1" != -- ]; do environment+=("$1"); shift; done
  shift
  folder=$(mktemp -d "$base/backstay-bench.XXXXXX")
  env BENCH_FOLDER="$folder" BENCH_EXTENSION="$build/backstay.so" BACKSTAY_LOG_LEVEL=error \
    BACKSTAY_REPLICA_URL="file://$folder/replica" "${environment[@]}" "$bench" "$@"
  local status=$?
  rm -rf "$folder"
  return $status
}
say() { echo "\$ backstay_bench $*"; }

# 500 transactions: a longer log of single ones would be packed, which is not what is measured.
for batch in 10 1; do
  say bytes $batch 500; run BACKSTAY_MIN_INTERVAL=1h -- bytes $batch 500
  say engine $batch 500; run BACKSTAY_MIN_INTERVAL=1h -- engine $batch 500
done

# As fast as it goes, and at the rates of a busy and of a home server.
for arguments in 'plain 5000 200' 'threads 5000 200' 'plain 500 60 500' 'plain 50 60 50'; do
  say "commit $arguments"
  # shellcheck disable=SC2086
  run -- commit $arguments
done

say lag 300 "(radosgw on loopback)"
"$here/../support/s3server/with-s3.sh" bash -c "
  $(declare -f run); build='$build' bench='$bench' base='$base'
  run BACKSTAY_MIN_INTERVAL=0ms BACKSTAY_REPLICA_URL=\"s3://\$BACKSTAY_TEST_S3_BUCKET/x?endpoint=\$BACKSTAY_TEST_S3_ENDPOINT&force-path-style=true\" -- lag 300"

say "sync 1|4|16 20 (radosgw on loopback, 50 ms added to every request)"
"$here/../support/s3server/with-s3.sh" /usr/bin/python3 "$here/../support/fault_proxy.py" 0.05 bash -c "
  $(declare -f run); build='$build' bench='$bench' base='$base'
  for writers in 1 4 16; do
    run BACKSTAY_DURABILITY=sync BACKSTAY_REPLICA_URL=\"s3://\$BACKSTAY_TEST_S3_BUCKET/\$writers?endpoint=\$BACKSTAY_TEST_S3_ENDPOINT&force-path-style=true\" -- sync \$writers 20
  done"

say "outage 180000, an hour at 50 a second (radosgw on loopback)"
for limit in 64MiB 1MiB; do
  echo "outbox limit $limit:"
  "$here/../support/s3server/with-s3.sh" /usr/bin/python3 "$here/../support/fault_proxy.py" 0 bash -c "
    $(declare -f run); build='$build' bench='$bench' base='$base'
    run BACKSTAY_OUTBOX_LIMIT=$limit BACKSTAY_LOG_FILE=/dev/null BACKSTAY_REPLICA_URL=\"s3://\$BACKSTAY_TEST_S3_BUCKET/x?endpoint=\$BACKSTAY_TEST_S3_ENDPOINT&force-path-style=true\" -- outage 180000"
done

say "fill 100; the folder is lost; backstay restore; backstay_bench resume"
folder=$(mktemp -d "$base/backstay-bench.XXXXXX")
mkdir "$folder/disk"
run BENCH_FOLDER="$folder/disk" BACKSTAY_REPLICA_URL="file://$folder/replica" -- fill 100
rm -rf "$folder/disk" && mkdir "$folder/disk"
"$build/backstay" restore -o "$folder/disk/app.db" "file://$folder/replica"
run BENCH_FOLDER="$folder/disk" BACKSTAY_REPLICA_URL="file://$folder/replica" -- resume
rm -rf "$folder"

say idle 60; run -- idle 60
echo "## a month of a home server: BACKSTAY_TEST_DAYS=30 build/tests/engine_month_test"
BACKSTAY_TEST_DAYS=30 "$build/tests/engine_month_test"
echo "## bursts, and ten transactions a second: BACKSTAY_TEST_DAYS=30 BACKSTAY_TEST_HOURS=24 build/tests/engine_month_test '[.pace]'"
BACKSTAY_TEST_DAYS=30 BACKSTAY_TEST_HOURS=24 "$build/tests/engine_month_test" '[.pace]'
say memory 1024; run -- memory 1024
say "disk 60 10, with / without"
with=$(run -- disk 60 10)
without=$(run BENCH_EXTENSION= -- disk 60 10)
awk -v a="$with" -v b="$without" 'BEGIN {printf "bytes written: with %d, without %d, by Backstay / by SQLite: %.3f\n", a, b, (a - b) / b}'

say "restore.py: restore ÷ curl | zstd -d, and a long log (radosgw on loopback)"
"$here/../support/s3server/with-s3.sh" /usr/bin/python3 "$here/restore.py" "$build"
