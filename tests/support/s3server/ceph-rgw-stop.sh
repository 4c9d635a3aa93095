#!/bin/bash
# Stops what ceph-rgw-start.sh started in FOLDER, and removes FOLDER (KEEP=1 keeps it, for its logs).
#
#   ceph-rgw-stop.sh FOLDER
set -u
[ $# = 1 ] || { sed -n '2,4s/^# \{0,1\}//p' "$0" >&2; exit 2; }
. "$(dirname "$0")/processes.sh"
folder=$1

stop_process TERM "$(pid_in "$folder/pids" rgw)"
# The data are in memory and thrown away: no need for the seconds of an orderly stop.
stop_process KILL "$(pid_in "$folder/pids" osd)"
stop_process KILL "$(pid_in "$folder/pids" mon)"
rm -f "$folder/pids"
[ -n "${KEEP:-}" ] || rm -rf "$folder"
