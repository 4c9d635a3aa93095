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
    # A file that did not change since it was found clean, in whatever build, is not looked at again; as with ccache.
    seen=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/backstay/$1
    version=$(clang-tidy-14 --version)
    mkdir -p "$seen"
    export build seen checks version
    tidy() {
      local stamp
      stamp=$seen/$({ echo "$version" && cat .clang-tidy && grep -F " $PWD/$1" "$build/compile_commands.json" |
        sed "s|$PWD||g; s|$build||g" && g++ -std=c++20 -I. -MM "$1" | tr -d '\\' | tr ' ' '\n' |
        grep '[.]' | grep -v ':$' | xargs cat; } | sha256sum | cut -c1-40)
      [[ -f $stamp ]] && touch "$stamp" && return
      clang-tidy-14 --quiet --checks="$checks" -p "$build" "$1" 2>/dev/null && : >"$stamp"
    }
    find "$seen" -type f -mtime +30 -delete
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
