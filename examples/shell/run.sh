#!/usr/bin/env bash
# SQLite's shell with Backstay inside: writes, restores elsewhere, compares.
# usage: BUILD_DIR=build examples/shell/run.sh
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=$(realpath "${BUILD_DIR:-$here/../../build}")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/bucket"
export BACKSTAY_REPLICA_URL=file://$scratch/bucket BACKSTAY_LOG_FILE=$scratch/log

cd "$scratch"
sqlite3 -batch <<SQL
.load $build/backstay
.open app.db
PRAGMA journal_mode = WAL;
CREATE TABLE note(id INTEGER PRIMARY KEY, body TEXT);
INSERT INTO note(body) VALUES ('one'), ('two'), ('three');
SELECT 'in the bucket: ' || iif(backstay_sync(20000), 'yes', 'no');
SQL
"$build/backstay" restore -o copy.db "$BACKSTAY_REPLICA_URL"
cmp <(sqlite3 app.db .dump) <(sqlite3 copy.db .dump)
echo "copy.db equals app.db"
