#!/usr/bin/env bash
# A litestream.yml, converted to JSON and not changed otherwise, replicates and restores with Backstay.
# usage: BUILD_DIR=build examples/litestream/run.sh
# The conversion is `yq -o json litestream.yml >backstay.json`, or jsonencode() in place of Terraform's yamlencode();
# here it is done by Python, where that has a YAML reader, and backstay.json beside this is its result.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=$(realpath "${BUILD_DIR:-$here/../../build}")
backstay=$build/backstay
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

fail() {
  echo "litestream: $1" >&2
  cat log >&2 2>/dev/null || true
  exit 1
}

# 1. The file, as it is.
cp "$here/backstay.json" .
if /usr/bin/python3 -c 'import yaml' 2>/dev/null; then
  /usr/bin/python3 -c 'import json, sys, yaml; print(json.dumps(yaml.safe_load(sys.stdin), indent=2))' \
    <"$here/litestream.yml" | cmp - backstay.json || fail "backstay.json is not litestream.yml"
fi

# 2. What it means here. NAS_KEY and NAS_SECRET are those of a bucket; the folders of this example need none.
export DATA=$scratch/data BACKUP=$scratch/backup NAS_KEY=key NAS_SECRET=not-to-be-seen
export BACKSTAY_CONFIG=$scratch/backstay.json BACKSTAY_LOG_FILE=$scratch/log
mkdir -p "$DATA/tenants/acme" "$BACKUP"/{nas,offsite}
"$backstay" config -check backstay.json >understood 2>warned
cat understood warned
grep -q 'retention  *720h .*(file dbs\[0\].replicas\[1\].retention)' understood || fail "the retention was not taken"
grep -q 'min-interval  *1s .*(file dbs\[0\].replicas\[0\].sync-interval)' understood || fail "sync-interval was not taken"
grep -q 'drain-timeout  *20s .*(file shutdown-sync-timeout)' understood || fail "shutdown-sync-timeout was not taken"
grep -q 'snapshot-interval  *6h .*(file snapshot.interval)' understood || fail "snapshot.interval was not taken"
for key in addr 'dbs\[0\].monitor-interval'; do
  grep -q "ignored, .*$key" warned || fail "$key was not named"
done
! grep -q not-to-be-seen understood warned log 2>/dev/null || fail "a secret was shown"

# 3. Both databases are replicated; the file is the only thing that says so.
write() {
  "$backstay" run -- sqlite3 "$1" "PRAGMA journal_mode = WAL; CREATE TABLE note(body); INSERT INTO note VALUES ('$2');"
}
write "$DATA/app.db" 'of the application'
write "$DATA/tenants/acme/shop.db" 'of a tenant'
grep '"level":"WARN"' log | grep -q 'ignored, .*monitor-interval' || fail "the application's log does not name what is ignored"

# 4. The disk is lost. The database's path finds its replicas; each tenant lies under its own path.
mv "$DATA" lost
mkdir -p "$DATA/tenants/acme"
for db in app.db tenants/acme/shop.db; do
  "$backstay" restore -if-db-not-exists -if-replica-exists "$DATA/$db"
  cmp <(sqlite3 "lost/$db" .dump) <(sqlite3 "$DATA/$db" .dump) || fail "$db came back otherwise"
done
[[ -f $BACKUP/nas/tenants/acme/shop.db/backstay.json && -f $BACKUP/offsite/app/backstay.json ]] ||
  fail "a replica lies elsewhere"
echo "litestream: the converted file replicated and restored"
