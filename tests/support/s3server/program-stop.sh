#!/bin/bash
# Stops what program-start.sh started in FOLDER, and removes FOLDER (KEEP=1 keeps it, for its log).
#
#   program-stop.sh FOLDER
set -u
[ $# = 1 ] || { sed -n '2,4s/^# \{0,1\}//p' "$0" >&2; exit 2; }
. "$(dirname "$0")/processes.sh"
stop_process TERM "$(pid_in "$1/pids" server)"
rm -f "$1/pids"
[ -n "${KEEP:-}" ] || rm -rf "$1"
