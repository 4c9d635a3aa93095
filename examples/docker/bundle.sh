#!/usr/bin/env bash
# Makes an installed Backstay independent of what lies around it: any folder, any image with a glibc that is new enough.
# usage: bundle.sh PREFIX TARGET      PREFIX: of `cmake --install`; TARGET: a folder, which is made
#
#   TARGET/bin/backstay                       the command
#   TARGET/lib/backstay/*.so                  what programs load
#   TARGET/lib/backstay/deps/backstay-*.so*   all that these need beside glibc, found by where the needing file lies
#   TARGET/etc/ca-certificates.crt            for `ca-file`, where the application's image has none of its own
#
# The libraries get names of their own: an application that has another libssl.so.3 loads that, and Backstay this one.
set -euo pipefail
prefix=$(realpath "${1:?usage: bundle.sh PREFIX TARGET}")
target=$(realpath -m "${2:?usage: bundle.sh PREFIX TARGET}")
certificates=/etc/ssl/certs/ca-certificates.crt
deps=$target/lib/backstay/deps
glibc='^(ld-linux.*|lib(c|m|dl|rt|pthread|resolv|util|anl|nsl)\.so\..*)$'

for tool in patchelf strip; do
  command -v "$tool" >/dev/null || {
    echo "bundle.sh: $tool is missing (Debian: apt-get install patchelf binutils)" >&2
    exit 1
  }
done
mkdir -p "$target/bin" "$deps" "$target/etc"
cp "$prefix/bin/backstay" "$target/bin/"
cp "$prefix"/lib/backstay/*.so "$target/lib/backstay/"
install -m 644 "$certificates" "$target/etc/"
programs=("$target/bin/backstay" "$target"/lib/backstay/*.so)
strip --strip-unneeded "${programs[@]}"

# needed FILE: the names in the file itself, glibc's left out.
needed() {
  local name
  while read -r name; do
    [[ $name =~ $glibc ]] || echo "$name"
  done < <(patchelf --print-needed "$1")
}

missing=$(ldd "${programs[@]}" | grep 'not found' || true)
[[ -z $missing ]] || {
  echo "bundle.sh: $missing" >&2
  exit 1
}
while read -r name _ path _; do
  [[ $path != /* || $name =~ $glibc ]] || install -m 644 "$(realpath "$path")" "$deps/backstay-$name"
done < <(ldd "${programs[@]}")

# own_names FILE WHERE: it looks for its libraries there, and for nobody else's. One kind of change a call: patchelf of
# Debian 12 mixes up the texts of several.
own_names() {
  local name changes=()
  for name in $(needed "$1"); do changes+=(--replace-needed "$name" "backstay-$name"); done
  [[ ${#changes[@]} -eq 0 ]] || patchelf "${changes[@]}" "$1"
  patchelf --set-rpath "$2" "$1"
}
# shellcheck disable=SC2016  # $ORIGIN is the loader's
for file in "$deps"/*; do
  patchelf --set-soname "$(basename "$file")" "$file"
  own_names "$file" '$ORIGIN'
done
# shellcheck disable=SC2016
own_names "$target/bin/backstay" '$ORIGIN/../lib/backstay/deps'
for file in "$target"/lib/backstay/*.so; do
  # shellcheck disable=SC2016
  own_names "$file" '$ORIGIN/deps'
done

# The proof: whichever file is loaded, nothing but glibc comes from outside.
outside=$(ldd "${programs[@]}" "$deps"/* 2>/dev/null | grep '=>' | grep -v "=> $target/" |
  awk -v glibc="$glibc" '$1 !~ glibc' || true)
[[ -z $outside ]] || {
  printf 'bundle.sh: not from the bundle:\n%s\n' "$outside" >&2
  exit 1
}
