#!/usr/bin/env bash
# Cross-builds for arm64, then runs the unit tests and the quickstart on that build under qemu.
# usage: tests/arm64.sh [BUILD_DIR]      default build-arm64
#
# The arm64 libraries are Debian's, unpacked into BUILD_DIR/sysroot by an apt of its own: the packages of
# this machine stay as they are.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
build=$(realpath -m "${1:-$top/build-arm64}")
sysroot=$build/sysroot
packages=(libc6-dev libcurl4-openssl-dev libssl-dev libzstd-dev libsqlite3-dev libxxhash-dev
  libpugixml-dev nlohmann-json3-dev libexpected-dev libcli11-dev catch2 sqlite3)

arm64_apt() {
  apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User=root \
    -o Dir::State="$build/apt/state" -o Dir::State::status="$build/apt/status" \
    -o Dir::Cache="$build/apt/cache" -o Debug::NoLocking=1 -o Acquire::Languages=none \
    -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false \
    -o Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false "$@"
}

unpack_sysroot() {
  local wanted="${packages[*]}"
  [[ -f $sysroot/complete && $(<"$sysroot/complete") == "$wanted" ]] && return
  rm -rf "$sysroot" "$build/apt"
  mkdir -p "$build"/apt/{state/lists/partial,cache/archives/partial} "$sysroot"/usr/lib
  ln -s usr/lib "$sysroot/lib"
  : >"$build/apt/status"
  arm64_apt update || true
  arm64_apt install -y --no-install-recommends --download-only "${packages[@]}"
  local deb
  for deb in "$build"/apt/cache/archives/*.deb; do
    dpkg-deb --fsys-tarfile "$deb" | tar -C "$sysroot" -x --keep-directory-symlink \
      --exclude='./usr/share/doc' --exclude='./usr/share/man' --no-same-owner
  done
  rm -rf "$build/apt"
  echo "$wanted" >"$sysroot/complete"
}

unpack_sysroot
"$top/build.sh" "$build" tests_unit artefacts -DCMAKE_TOOLCHAIN_FILE="$top/tests/support/arm64.cmake" \
  -DBACKSTAY_SYSROOT="$sysroot"
# Emulated programs start others of theirs only through the emulator: unit tests start none.
ctest --test-dir "$build" -L unit --output-on-failure --no-tests=error -j $(($(nproc) * 2))
BUILD_DIR=$build EMULATOR="qemu-aarch64-static -L $sysroot" \
  SQLITE3="qemu-aarch64-static -L $sysroot $sysroot/usr/bin/sqlite3" "$top/examples/quickstart.sh"
echo "arm64: passed"
