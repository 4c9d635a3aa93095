#!/usr/bin/env bash
# Runs a test script against a sanitizer build, and fails when a sanitizer has reported anything.
# usage: under_sanitizer.sh RUNTIME COMMAND…    RUNTIME: libasan.so or libtsan.so
# The applications of the scripts are not sanitized themselves: the scripts preload BACKSTAY_TEST_PRELOAD into them, and into
# nothing else. Reports are files, because some tests kill an application or read its stderr; they are printed.
set -uo pipefail
[[ $# -ge 2 ]] || {
  sed -n '2,5s/^# //p' "$0" >&2
  exit 2
}
reports=$(mktemp -d)
trap 'rm -rf "$reports"' EXIT
chmod 1777 "$reports"  # some applications run as another user
BACKSTAY_TEST_PRELOAD=$(g++ -print-file-name="$1")
export BACKSTAY_TEST_PRELOAD
shift
# Programs that are not ours leak, and fork with threads.
export ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=1:log_path=$reports/report
export UBSAN_OPTIONS=print_stacktrace=1:log_path=$reports/report
export TSAN_OPTIONS=die_after_fork=0:second_deadlock_stack=1:log_path=$reports/report
export BACKSTAY_TEST_PATIENCE=${BACKSTAY_TEST_PATIENCE:-240}
"$@"
status=$?
for report in "$reports"/*; do
  [[ -e $report ]] || continue
  printf '==== %s\n' "${report##*/}"
  head -n 200 "$report"
  status=1
done
exit "$status"
