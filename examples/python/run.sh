#!/usr/bin/env bash
# Runs app.py, takes its disk away, restores, runs it again: twenty notes.
# usage: BUILD_DIR=build examples/python/run.sh
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=$(realpath "${BUILD_DIR:-$here/../../build}")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/disk" "$scratch/bucket"
export BACKSTAY_REPLICA_URL=file://$scratch/bucket BACKSTAY_LOG_FILE=$scratch/log

/usr/bin/python3 "$here/app.py" "$build" "$scratch/disk/app.db"
rm -rf "$scratch/disk" && mkdir "$scratch/disk"
"$build/backstay" restore -o "$scratch/disk/app.db" "$BACKSTAY_REPLICA_URL"
result=$(/usr/bin/python3 "$here/app.py" "$build" "$scratch/disk/app.db")
echo "$result"
[[ $result == '20 notes, in the bucket: yes' ]]
