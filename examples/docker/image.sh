#!/usr/bin/env bash
# Makes the root of the `backstay` image: the bundle, glibc, certificates, time zones, and `cp` to take it out again; no shell.
# usage: image.sh PREFIX ROOT      PREFIX: of `cmake --install`; needs patchelf, binutils, busybox-static, ca-certificates,
#        tzdata
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
prefix=${1:?usage: image.sh PREFIX ROOT}
root=$(realpath -m "${2:?usage: image.sh PREFIX ROOT}")

"$here/bundle.sh" "$prefix" "$root/opt/backstay"

mkdir -p "$root"/{bin,data,etc/ssl/certs,lib,tmp,usr/share}
chmod 1777 "$root/tmp"
chmod 1777 "$root/data" # an empty volume takes these permissions: any user may write
ln -sf ../../../opt/backstay/etc/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
# For the local times that TZ says; glibc takes a name that is not there for UTC.
cp -r /usr/share/zoneinfo "$root/usr/share/"
rm -rf "$root"/usr/share/zoneinfo/{right,posix,localtime}
echo 'backstay:x:10001:10001::/data:/bin/false' >"$root/etc/passwd"
echo 'backstay:x:10001:' >"$root/etc/group"
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"

# What is left of ldd's list are glibc's own: each at the path by which the loader asks for it.
while read -r path; do
  install -D -m 755 "$(realpath "$path")" "$root$path"
done < <(ldd "$root/opt/backstay/bin/backstay" | grep -oE '/[^ ]+' | grep -v "^$root" | sort -u)

# One program, which does what it is called as: busybox takes its applet from the name.
install -m 755 "$(command -v busybox)" "$root/bin/cp"
! ldd "$root/bin/cp" >/dev/null 2>&1 || {
  echo "image.sh: busybox is not static (Debian: apt-get install busybox-static)" >&2
  exit 1
}
