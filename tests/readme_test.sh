#!/usr/bin/env bash
# Runs every ```sh block of README.md, in order, in one shell that stops at the first error.
# usage: BUILD_DIR=build tests/readme_test.sh
# The shell stands in an empty home folder in which the names of the tree (build, examples, …) exist.
# `tests/run.sh` and `build.sh` are left out: they are what brought this here.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
build=$(realpath "${BUILD_DIR:-$top/build}")
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
for name in examples tests CMakeLists.txt; do ln -s "$top/$name" "$home/$name"; done
ln -s "$build" "$home/build"

awk '/^```sh$/ { inside = 1; next } /^```$/ { inside = 0 } inside' "$top/README.md" |
  sed -E 's#^(tests/run|\./build)\.sh.*#: &#' >"$home/commands"
[[ $(grep -c . "$home/commands") -gt 10 ]] || {
  echo "readme_test: README.md has hardly any command" >&2
  exit 1
}
cd "$home"
env -i PATH="$PATH" HOME="$home" BUILD_DIR="$build" bash -euxo pipefail commands >output 2>&1 || {
  echo "readme_test: a command of README.md fails; the last lines:" >&2
  tail -n 30 output >&2
  exit 1
}
echo "readme_test: $(grep -c . commands) lines of README.md ran"
