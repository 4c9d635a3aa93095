#!/usr/bin/env bash
# tests/layers.sh against a small tree in which each rule is broken once: every one must be reported.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
mkdir -p "$copy"/{vfs,uploader/base,tools,tests}
cp "$top/uploader/engine_api.h" "$copy/uploader"

cd "$copy"
printf '// x\n#include "tools/x.h"\n#include "bytes.h"\n' >uploader/base/broken.h
printf '#include "uploader/state/restored.h"\n#include <sqlite3.h>\n#include "sqlite3.h"\n' >uploader/base/broken.cc
echo 'void f() { std::printf("x"); exit(1); signal(1, 0); open("/''tmp/x"); }' >uploader/base/host.cc
seq 401 | sed 's|^|// |' >tools/long.cc
echo '// /''work/x' >>tools/long.cc
echo '#include "vfs/broken.h"' >tools/broken.cc
printf '#pragma once\nstd::string x;\n' | tee vfs/alone.h >vfs/broken.h
printf '#include "uploader/base/status.h"\n#include <curl/curl.h>\n' >vfs/broken.cc
echo 'class X;' >>uploader/engine_api.h

report=$("$top/tests/layers.sh" "$copy" 2>&1) && {
  echo "layers.sh passed a tree that breaks every rule" >&2
  exit 1
}
rules=$(grep -oE "fail '[^']+'" "$top/tests/layers.sh" | sed -E "s/fail '(.*)'/\1/" | sort -u)
while read -r rule; do
  [[ $rule == 'the table of rooms is not ordered' ]] && continue  # a rule about layers.sh itself
  grep -qF "$rule: " <<<"$report" || {
    printf 'not reported: %s\n%s\n' "$rule" "$report" >&2
    exit 1
  }
done <<<"$rules"
echo "layers_test: $(wc -l <<<"$rules") rules seen to fail"
