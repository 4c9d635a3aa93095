#!/usr/bin/env bash
# clang-format over every source, clang-tidy over vfs/, uploader/ and tools/.
# usage: tests/style.sh format               nothing but the layout
#        tests/style.sh tidy BUILD_DIR       needs the compile database of a configured build
#        tests/style.sh analyze BUILD_DIR    the static analyzer too, which takes twice as long
# Version 14, Debian 12's: other versions lay out and warn otherwise.
set -uo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top" || exit 2
case "${1:-}" in
  format)
    find vfs uploader tools tests examples -type f \( -name '*.cc' -o -name '*.h' \) -print0 |
      xargs -0 clang-format-14 --dry-run -Werror || {
      echo "style: lay these files out with clang-format-14 -i" >&2
      exit 1
    }
    ;;
  tidy | analyze)
    build=$(realpath "${2:?usage: tests/style.sh $1 BUILD_DIR}")
    checks=
    [[ $1 == analyze ]] && checks='clang-analyzer-*,-clang-analyzer-optin.*'
    # A file that did not change since it was found clean is not looked at again.
    seen=$build/$1
    mkdir -p "$seen"
    export build seen checks
    tidy() {
      local stamp
      stamp=$seen/$({ cat .clang-tidy && g++ -std=c++20 -I. -MM "$1" | tr -d '\\' | tr ' ' '\n' |
        grep '[.]' | grep -v ':$' | xargs cat; } | sha256sum | cut -c1-40)
      [[ -f $stamp ]] && return
      clang-tidy-14 --quiet --checks="$checks" -p "$build" "$1" 2>/dev/null && : >"$stamp"
    }
    export -f tidy
    find vfs uploader tools -type f -name '*.cc' | sort |
      xargs -P "$(nproc)" -n 1 bash -c 'tidy "$0" || exit 1' || exit 1
    ;;
  *)
    sed -n '2,6s/^# //p' "$0" >&2
    exit 2
    ;;
esac
echo "style: $1 passed"
