#!/usr/bin/env bash
# What the built libraries show to the process they are loaded into, and what they pull in.
# usage: BUILD_DIR=build tests/exports.sh
set -euo pipefail
export LC_ALL=C
build=${BUILD_DIR:-$(dirname "$0")/../build}
failures=0

complain() {
  echo "exports: $1" >&2
  failures=$((failures + 1))
}

exported() { nm -D --defined-only "$1" | awk '{ print $3 }' | sed 's/@.*//' | sort -u; }
needed() { readelf -d "$1" | sed -nE 's/.*\(NEEDED\).*\[(.*)\]/\1/p'; }

exports_only() {  # LIBRARY SYMBOL…
  local library=$build/$1 wanted
  shift
  wanted=$(printf '%s\n' "$@" | sort -u)
  [[ $(exported "$library") == "$wanted" ]] ||
    complain "$library exports: $(exported "$library" | tr '\n' ' ')- wanted: $*"
}

needs_libc_only() {  # LIBRARY
  local others
  others=$(needed "$build/$1" | grep -vE '^(libc\.so\.6|libm\.so\.6|ld-linux.*)$' || true)
  [[ -z $others ]] || complain "$1 needs more than libc: $others"
}

exports_only backstay.so sqlite3_backstay_init
# Nothing of these is seen by the host, which has loaded the engine for itself alone; they stand before libc's for
# what the engine brings.
exports_only libbackstay_engine.so backstay_engine malloc free calloc realloc reallocarray posix_memalign \
  aligned_alloc memalign valloc pvalloc malloc_usable_size
needs_libc_only backstay.so
# A thread's variables are there before memory can run out.
readelf -d "$build/libbackstay_engine.so" | grep -q 'FLAGS.*STATIC_TLS' ||
  complain 'the engine makes its thread-local variables at first use'
! needed "$build/libbackstay_engine.so" | grep -q sqlite || complain 'the engine links SQLite'
# Its interposers carry the names of what they stand in front of; nothing else goes out.
exports_only libbackstay_preload.so dlsym getenv
needs_libc_only libbackstay_preload.so
for library in backstay.so libbackstay_preload.so; do
  # SQLite is reached through the table it hands over, or through its objects; never by name.
  undefined=$(nm -D --undefined-only "$build/$library" | grep sqlite3 || true)
  [[ -z $undefined ]] || complain "$library calls SQLite by name: $undefined"
  readelf -d "$build/$library" | grep -q 'FLAGS_1.*NODELETE' || complain "$library can be unloaded"
done
# The tool exports nothing that a library could bind to by chance.
if [[ -e $build/backstay ]]; then
  others=$(exported "$build/backstay" | grep -E '^(sqlite3_|backstay_|curl_)' || true)
  [[ -z $others ]] || complain "backstay exports: $others"
fi
[[ $failures -eq 0 ]] || exit 1
echo "exports: as they should be"
