#!/bin/bash
# Stops what swift-start.sh started in FOLDER, and removes FOLDER (KEEP=1 keeps it, for its logs).
#
#   swift-stop.sh FOLDER
set -u
[ $# = 1 ] || { sed -n '2,4s/^# \{0,1\}//p' "$0" >&2; exit 2; }
. "$(dirname "$0")/processes.sh"
folder=$1

for name in proxy object container account memcached; do
  stop_process TERM "$(pid_in "$folder/pids" "$name")"
done
rm -f "$folder/pids"
[ -n "${KEEP:-}" ] || rm -rf "$folder"
