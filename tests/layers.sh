#!/usr/bin/env bash
# Checks how the sources depend on each other, and a few rules that no compiler knows.
# usage: tests/layers.sh [ROOT]     ROOT: the tree to check; default: this one. Exit 1 if a rule is broken.
set -uo pipefail
shopt -s lastpipe  # fail counts in this shell
export LC_ALL=C
cd "${1:-$(dirname "$0")/..}" || exit 2
failures=0

# fail RULE: each line of standard input breaks it.
fail() {
  local lines
  lines=$(cat)
  [[ -z $lines ]] && return
  printf '%s\n' "$lines" | sed "s|^|$1: |" >&2
  failures=$((failures + 1))
}

sources() { find "$@" -type f \( -name '*.cc' -o -name '*.h' \) 2>/dev/null | sort; }

# Includes of ours in the files of a folder: "file<TAB>included path".
includes() {
  sources "$1" | xargs -r grep -HoE '^ *# *include +"[^"]+"' |
    sed -E 's|:? *# *include +"([^"]+)"|\t\1|; s|:\t|\t|'
}
# System headers included: "file<TAB>header".
system_includes() {
  sources "$1" | xargs -r grep -HoE '^ *# *include +<[^>]+>' |
    sed -E 's|:? *# *include +<([^>]+)>|\t\1|; s|:\t|\t|'
}
# The text without comments, as "file:line", made once for all rules.
text=$(for file in $(sources vfs uploader tools); do
  g++ -fpreprocessed -dD -E -P -x c++ "$file" 2>/dev/null | sed "s|^|$file: |"
done)
code() { printf '%s\n' "$text" | grep -E "^($(tr ' ' '|' <<<"$*"))/"; }

# The same with empty string literals.
statements() { code "$@" | sed -E 's/"([^"\\]|\\.)*"/""/g'; }

# Between the top folders.
includes vfs | awk -F'\t' '$2 ~ /^(uploader|tools|tests)\// &&
  $2 != "uploader/engine_api.h" && $2 != "uploader/log_file.h"' |
  fail 'vfs/ may include engine_api.h and log_file.h of uploader/ only'
includes uploader | awk -F'\t' '$2 ~ /^(vfs|tools|tests)\//' |
  fail 'uploader/ includes nothing of vfs/, tools/ or tests/'
includes tools | awk -F'\t' '$2 ~ /^(vfs|tests)\//' | fail 'tools/ includes nothing of vfs/ or tests/'
system_includes uploader | awk -F'\t' '$2 ~ /sqlite/' | fail 'uploader/ includes no SQLite header'
includes uploader | awk -F'\t' '$2 ~ /sqlite/' | fail 'uploader/ includes no SQLite header'
system_includes vfs | awk -F'\t' '$2 ~ /^(curl|openssl)\/|^(zstd|pugixml|xxhash)/' |
  fail 'vfs/ includes nothing of curl, OpenSSL and zstd'
{ includes vfs; includes uploader; includes tools; } | awk -F'\t' '$2 !~ /\// && $2 !~ /^sqlite/' |
  fail 'include paths start at the top folder'

# Between the rooms of uploader/: each may include itself and those named here. The table has no cycle
# because a room names only rooms above it.
rooms='
base
settings base
format base
storage base settings
state base settings format
capture base settings format state
replica base settings format storage state
engine base settings format storage state capture replica
'
allowed=$(awk 'NF { own = $1; print own, own; for (i = 2; i <= NF; i++) {
  if (!($i in seen)) print "cycle", own; print own, $i }; seen[own] = 1 }' <<<"$rooms")
grep '^cycle' <<<"$allowed" | fail 'the table of rooms is not ordered'
includes uploader | awk -F'\t' -v allowed="$allowed" '
  BEGIN { n = split(allowed, line, "\n"); for (i = 1; i <= n; i++) ok[line[i]] = 1 }
  { split($1, from, "/"); split($2, to, "/") }
  to[1] != "uploader" { next }
  $2 == "uploader/log_file.h" { next }
  $2 == "uploader/engine_api.h" { if (from[2] != "engine") print; next }
  !((from[2] " " to[2]) in ok)' |
  fail 'a room of uploader/ includes only rooms below it'

# Each folder, but for data.
for folder in vfs uploader tools tests examples; do
  [[ -d $folder ]] && find "$folder" -type f -regex '.*\.\(cc\|h\|py\|sh\)' -printf '%h\n'
done | sort -u | while read -r folder; do
  [[ -f $folder/README.md ]] || echo "$folder"
done | fail 'a folder says in a README.md what lives there'

# Each file.
sources vfs uploader tools tests examples | xargs -r wc -l | awk '$2 != "total" && $1 > 400' |
  fail 'files have at most 400 lines'
sources vfs uploader tools tests | grep '\.h$' | while read -r header; do
  head -n 1 "$header" | grep -qE '^(//|/\*)' || echo "$header"
done | fail 'a header opens with what it owns, who calls it, on which thread, how it fails'
grep -rInE '(^|[^A-Za-z0-9_.-])[/]work/' --exclude-dir=.git --exclude=.git --exclude-dir='build*' . |
  fail 'no path of the machine it was written on'
code vfs uploader tools | grep -E '"[/]tmp/' | fail 'no fixed path under the temporary folder'
statements vfs uploader |
  grep -E '\b(printf|vprintf|puts|putchar|putchar_unlocked) *\(|\bstd::(cout|wcout|print|println)\b|\bstdout\b|\bSTDOUT_FILENO\b' |
  fail 'nothing is written to the standard output of the application'
statements vfs uploader | grep -E '\b(std::)?(exit|abort|terminate|quick_exit) *\(|\bassert *\(' |
  fail 'nothing ends the process of the application'
# But for the one setting that asks for it.
statements uploader vfs | grep -v '^uploader/engine/term_signal.cc:' | grep -E '\b(signal|sigaction) *\(' |
  fail 'the signal handlers belong to the application'

# Headers compile alone: x.cc includes x.h before anything else, so compiling x.cc shows it; the others are tried.
sources vfs uploader tools tests | grep '\.cc$' | while read -r source; do
  header=${source%.cc}.h
  [[ -f $header ]] || continue
  grep -m 1 '^ *# *include' "$source" | grep -qF "\"$header\"" || echo "$source"
done | fail 'a source includes its own header first'
compile_alone() {
  g++ -std=c++20 -Wall -Wextra -Werror -Wno-pragma-once-outside-header -fsyntax-only -I. -x c++ "$1" 2>/dev/null ||
    echo "$1"
}
export -f compile_alone
sources vfs uploader tools tests | grep '\.h$' | while read -r header; do
  [[ -f ${header%.h}.cc ]] || echo "$header"
done | xargs -r -P "$(nproc)" -n 1 bash -c 'compile_alone "$0"' | sort | fail 'a header compiles alone'
if [[ -f uploader/engine_api.h ]]; then
  gcc -std=c11 -Wall -Werror -fsyntax-only -I. -x c uploader/engine_api.h 2>/dev/null ||
    echo uploader/engine_api.h | fail 'engine_api.h is C as well'
fi

if [[ $failures -gt 0 ]]; then
  echo "layers: $failures rules are broken" >&2
  exit 1
fi
echo "layers: all rules hold"
