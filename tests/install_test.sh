#!/usr/bin/env bash
# cmake --install into a folder of its own; then the installed tree alone replicates and restores.
# usage: BUILD_DIR=build tests/install_test.sh
set -euo pipefail
build=$(realpath "${BUILD_DIR:-$(dirname "$0")/../build}")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
prefix=$scratch/prefix
cmake --install "$build" --prefix "$prefix" >"$scratch/install.log"

pages=(share/man/man1/backstay.1 share/man/man5/backstay.json.5 share/bash-completion/completions/backstay
  share/zsh/site-functions/_backstay share/fish/vendor_completions.d/backstay.fish)
for file in bin/backstay lib/backstay/{backstay,libbackstay_engine,libbackstay_preload}.so "${pages[@]}"; do
  [[ -s $prefix/$file ]] || {
    echo "not installed: $file" >&2
    exit 1
  }
done
odd=$(cd "$prefix" && find . -type f | grep -vE '^\./(bin/backstay|lib/backstay/(lib)?backstay[a-z_]*\.so)$' |
  grep -vxF "$(printf './%s\n' "${pages[@]}")" || true)
[[ -z $odd ]] || {
  echo "installed, but nobody asked for it: $odd" >&2
  exit 1
}
# Nothing in the installed tree may point back into the build.
! readelf -d "$prefix"/bin/backstay "$prefix"/lib/backstay/*.so | grep -E 'R(UN)?PATH' >&2

mkdir "$scratch/bucket"
cd "$scratch"
export BACKSTAY_REPLICA_URL=file://$scratch/bucket BACKSTAY_LOG_FILE=$scratch/log
synced=$(sqlite3 -batch <<SQL
.load $prefix/lib/backstay/backstay
.open app.db
PRAGMA journal_mode = WAL;
CREATE TABLE t(x);
INSERT INTO t VALUES (randomblob(20000));
SELECT 'synced ' || backstay_sync(20000);
SQL
)
grep -qx 'synced 1' <<<"$synced" || {
  echo "the installed extension did not replicate: $synced" >&2
  cat log >&2
  exit 1
}
"$prefix/bin/backstay" restore -o copy.db "$BACKSTAY_REPLICA_URL"
cmp <(sqlite3 app.db .dump) <(sqlite3 copy.db .dump)
echo "install_test: passed"
