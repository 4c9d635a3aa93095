#!/usr/bin/env bash
# Backstay in one minute: an application writes, its disk is lost, the database comes back.
# usage: examples/quickstart.sh          the replica is a folder
#        examples/quickstart.sh --s3     the replica is a bucket of a real S3 server (Ceph), started here
# Builds with build.sh, which installs what is missing (root, or sudo without a password), and leaves nothing behind
# but the build. BUILD_DIR=… takes a build that is there. Exit status 0: not one byte was lost.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)

if [[ ${1:-} == --s3 && -z ${BACKSTAY_TEST_S3_ENDPOINT:-} ]]; then
  "$top/tests/install_packages.sh" build s3
  exec "$top/tests/support/s3server/with-s3.sh" "$0" "$@"
elif [[ -n ${1:-} && $1 != --s3 ]]; then
  sed -n '2,6s/^# //p' "$0" >&2
  exit 2
fi

if [[ -z ${BUILD_DIR:-} ]]; then
  BUILD_DIR=$top/build
  "$top/build.sh" "$BUILD_DIR"
fi
read -ra sqlite <<<"${SQLITE3:-sqlite3}"       # tests run both of them under an emulator
read -ra backstay <<<"${EMULATOR:-}"
backstay+=("$BUILD_DIR/backstay")

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
disk=$scratch/disk
if [[ ${1:-} == --s3 ]]; then
  url="s3://$BACKSTAY_TEST_S3_BUCKET/quickstart-$$?endpoint=$BACKSTAY_TEST_S3_ENDPOINT&force-path-style=true"
else
  url=file://$scratch/bucket
  mkdir "$scratch/bucket"
fi
export BACKSTAY_REPLICA_URL=$url BACKSTAY_LOG_FILE=$scratch/log

fail() {
  echo "quickstart: $1" >&2
  cat "$scratch/log" >&2 2>/dev/null || true
  exit 1
}

# run_until_killed SQL: an application (here SQLite's shell) that loads Backstay, writes, and dies with
# its disk as soon as the bucket has what it committed.
run_until_killed() {
  local line synced=
  coproc APP { exec "${sqlite[@]}" -batch :memory: 2>&1; }
  # SC2153: APP_PID is set by coproc.
  local pid=$APP_PID
  cat >&"${APP[1]}" <<SQL
.bail on
.load $BUILD_DIR/backstay
.open $disk/app.db
PRAGMA journal_mode = WAL;
$1
.output $scratch/expected.sql
.dump
.output stdout
SELECT 'in the bucket: ' || backstay_sync(20000);
SQL
  while read -r line <&"${APP[0]}"; do
    echo "  app> $line"
    [[ $line != 'in the bucket: 1' ]] || { synced=1 && break; }
    [[ $line != 'in the bucket: 0' ]] || break
  done
  kill -9 "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
  [[ -n $synced ]] || fail "the application could not bring its data into the bucket"
}

lose_disk_and_restore() {
  rm -rf "$disk" && mkdir "$disk"
  echo "kill -9, and the disk is gone: $disk"
  "${backstay[@]}" restore -o "$disk/app.db" "$url" || fail "restore failed"
  "${sqlite[@]}" -batch "$disk/app.db" .dump >"$scratch/restored.sql"
  cmp -s "$scratch/expected.sql" "$scratch/restored.sql" || fail "the restored database differs"
  echo "restored: $(grep -c '^INSERT' "$scratch/restored.sql") rows, equal to what was lost"
}

mkdir "$disk"
echo "1. An application writes to $disk/app.db; Backstay, inside it, ships to ${url%%\?*}"
run_until_killed "
CREATE TABLE note(id INTEGER PRIMARY KEY, body TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
  INSERT INTO note(body) SELECT 'note ' || i FROM n;
DELETE FROM note WHERE id % 10 = 0;"
lose_disk_and_restore
echo "2. The next application goes on with the restored database"
run_until_killed "
UPDATE note SET body = body || ', changed' WHERE id % 7 = 0;
INSERT INTO note(body) VALUES ('written after the first loss');"
lose_disk_and_restore
echo "quickstart: passed"
