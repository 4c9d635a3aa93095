#!/usr/bin/env bash
# Builds and runs the tests in a root of another release: other compilers, other libraries.
# usage: tests/debian13.sh ROOT [SUITE] [CTEST ARGUMENTS…]    as root; ROOT is made if it is not there, and kept
#        SUITE: a suite of Debian, default trixie (13). ctest runs all but the checks of the tree, or what it is told.
# Takes its mirror, proxy and certificates from this system. Run now and then; run.sh leaves it out for its time.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
root=${1:?usage: tests/debian13.sh ROOT [SUITE] [CTEST ARGUMENTS…]}
suite=${2:-trixie}
shift $(($# < 2 ? $# : 2))
[[ $# -gt 0 ]] || set -- -LE '^check$'

for tool in debootstrap rsync; do
  command -v "$tool" >/dev/null || apt-get install -y -qq --no-install-recommends "$tool" >&2
done
mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
  sed -nE 's/^(URIs:|deb( \[[^]]*\])?) +(https?:[^ ]*\/debian)\/?( .*)?$/\3/p' | sed -n 1p || true)
[[ -n $mirror ]] || {
  echo "debian13.sh: no mirror of Debian in /etc/apt: add one" >&2
  exit 2
}
if [[ ! -f $root/etc/debian_version ]]; then
  mkdir -p "$root"
  debootstrap --variant=minbase "$suite" "$root" "$mirror" >"$root.log" 2>&1 || {
    tail -n 20 "$root.log" >&2
    exit 1
  }
  cp -rL /etc/apt/apt.conf.d "$root/etc/apt/" 2>/dev/null || true
fi
cp -L /etc/resolv.conf /etc/hosts "$root/etc/" 2>/dev/null || true

mounted=()
unmount() {
  local at
  for at in "${mounted[@]}"; do umount -l "$at"; done
}
trap unmount EXIT
for at in proc sys dev; do
  mount --rbind "/$at" "$root/$at"
  mount --make-rslave "$root/$at"
  mounted=("$root/$at" "${mounted[@]}")
done

mkdir -p "$root/src"
rsync -a --delete --exclude '/build*/' --exclude .git "$top/" "$root/src/"
inside() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 "$@"; }
inside bash -euc '
  cd /src
  tests/install_packages.sh build test s3
  ./build.sh build all
  ctest --test-dir build --output-on-failure --no-tests=error -j "$(nproc)" "$@"' - "$@"
