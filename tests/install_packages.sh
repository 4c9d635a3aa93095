#!/usr/bin/env bash
# Installs Debian packages that are missing, and asks nothing.
# usage: tests/install_packages.sh GROUP…     groups: build test s3 check arm64
# Works as root, or as a user whose sudo wants no password. Quick, and silent, when all is there.
set -euo pipefail

declare -A groups=(
  [build]="g++ cmake ninja-build pkg-config libsqlite3-dev libcurl4-openssl-dev libssl-dev
    libzstd-dev libxxhash-dev libpugixml-dev nlohmann-json3-dev libexpected-dev libcli11-dev catch2
    sqlite3 python3 ca-certificates"
  [test]="ccache curl openssl procps file binutils e2fsprogs man-db
    patchelf busybox-static python3-yaml tzdata
    fish php-cli php-fpm php-sqlite3 libjemalloc-dev libmimalloc-dev libgoogle-perftools-dev"
  [s3]="ceph-mon ceph-osd radosgw curl"
  [check]="clang libclang-rt-dev clang-format clang-tidy"
  [arm64]="g++-aarch64-linux-gnu qemu-user-static"
)

command -v dpkg-query >/dev/null || {
  echo "install_packages.sh: no Debian, so nothing is installed; the packages' names there are: ${groups[*]}" >&2
  exit 0
}
missing=()
for group in "$@"; do
  if [[ -z ${groups[$group]:-} ]]; then
    echo "install_packages.sh: no group '$group'; there are: ${!groups[*]}" >&2
    exit 2
  fi
  for package in ${groups[$group]}; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [[ $status == installed ]] || missing+=("$package")
  done
done
[[ ${#missing[@]} -eq 0 ]] && exit 0

as_root=()
if [[ $(id -u) -ne 0 ]]; then
  as_root=(sudo -n)
  if ! sudo -n true 2>/dev/null; then
    echo "install_packages.sh: as root, please: apt-get install ${missing[*]}" >&2
    exit 1
  fi
fi
echo "installing: ${missing[*]}" >&2
# A third-party source that does not answer must not stop us: the install says what is missing.
"${as_root[@]}" apt-get update -qq >&2 || true
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get install -y -qq --no-install-recommends --no-remove "${missing[@]}" >&2
