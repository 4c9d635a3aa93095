# Shell functions of the stop scripts; sourced, not run.

# pid_in FILE NAME: the process id on the line "NAME PID" of FILE, if any.
pid_in() { awk -v name="$2" '$1 == name { print $2 }' "$1" 2>/dev/null; }

# Is it running? A zombie is not: in a container the first process may reap late, or never.
is_running() {
  local state
  state=$(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null)
  [ -n "$state" ] && [ "${state:0:1}" != Z ]
}

# stop_process SIGNAL PID: sends it, waits up to 10 s, then kills.
stop_process() {
  [ -n "${2:-}" ] || return 0
  kill "-$1" "$2" 2>/dev/null
  for _ in $(seq 200); do
    is_running "$2" || return 0
    sleep 0.05
  done
  kill -KILL "$2" 2>/dev/null
}
