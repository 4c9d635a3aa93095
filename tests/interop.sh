#!/usr/bin/env bash
# The storage conformance suite against every S3 server that is installed here: one table, server by
# check.
#
#   tests/interop.sh install FOLDER [SERVER…]   from the package registries, with the tools that are there
#   BACKSTAY_INTEROP=FOLDER tests/interop.sh BUILD_DIR [SERVER…]
#
# Servers: ceph-rgw, over http and https, and swift (distribution packages, not installed here), minio, versitygw, rclone,
# seaweedfs (go), moto (python3), s3rver (npm). Each is optional: one that is not there has no column.
# Each runs on loopback, alone. The exit status is 1 if a server of $strict, on which all is to pass,
# fails a check; what others fail is in the table, which also says whether a PUT with If-None-Match
# that meets an object is refused (412), ignored (200) or not implemented (501).
set -u
here=$(cd "$(dirname "$0")" && pwd)
all=(ceph-rgw ceph-rgw-https swift minio versitygw rclone seaweedfs moto s3rver)
strict=" ceph-rgw ceph-rgw-https swift minio versitygw "
usage() { sed -n '2,13s/^# \{0,1\}//p' "$0" >&2; exit 2; }
[ $# -ge 1 ] || usage

go_module() {
  case $1 in
    minio) echo github.com/minio/minio@latest ;;
    rclone) echo github.com/rclone/rclone@latest ;;
    seaweedfs) echo github.com/seaweedfs/seaweedfs/weed@latest ;;
    versitygw) echo github.com/versity/versitygw/cmd/versitygw@latest ;;
  esac
}

install_server() { # FOLDER SERVER
  case $2 in
    ceph-rgw* | swift) ;;
    moto)
      python3 -m venv "$1/moto" && "$1/moto/bin/pip" -q install 'moto[server]' &&
        ln -sf "$1/moto/bin/moto_server" "$1/bin/moto_server" ;;
    s3rver)
      mkdir -p "$1/s3rver" && (cd "$1/s3rver" && npm init -y > /dev/null && npm --silent install s3rver) &&
        ln -sf "$1/s3rver/node_modules/.bin/s3rver" "$1/bin/s3rver" ;;
    *) GOBIN=$1/bin go install "$(go_module "$2")" ;;
  esac
}

if [ "$1" = install ]; then
  [ $# -ge 2 ] || usage
  mkdir -p "$2/bin" && folder=$(cd "$2" && pwd) || exit 1
  shift 2
  for server in "${@:-${all[@]}}"; do install_server "$folder" "$server" || echo "interop.sh: no $server" >&2; done
  exit 0
fi

suite=$(cd "$1" && pwd)/tests/storage_conformance_test
shift
[ $# -gt 0 ] || set -- "${all[@]}"
work=$(mktemp -d "${TMPDIR:-/tmp}/backstay-interop-XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
"$suite" --list-test-names-only > "$work/checks"

# The answer to the second of two.
# shellcheck disable=SC2016 # for the inner shell
twice='for _ in 1 2; do
  curl -s -o /dev/null -w "%{http_code}\n" --noproxy "*" --max-time 20 -T "$3/checks" -H "If-None-Match: *" \
    --aws-sigv4 "aws:amz:$AWS_REGION:s3" -H "x-amz-content-sha256: UNSIGNED-PAYLOAD" \
    --user "${AWS_ACCESS_KEY_ID/:/%3A}:$AWS_SECRET_ACCESS_KEY" \
    "$BACKSTAY_TEST_S3_ENDPOINT/$BACKSTAY_TEST_S3_BUCKET/twice"
done | tail -n 1 > "$3/$2.twice"
'
# Under with-s3.sh: one line for each check, a process each, so that one that dies costs no other.
# shellcheck disable=SC2016 # for the inner shell
each='while IFS= read -r check; do
  name=$(printf %s "$check" | sed "s/,/\\\\,/g")
  timeout 60 "$1" "$name" > "$3/last" 2>&1 < /dev/null && echo ok >> "$3/$2" || {
    echo FAIL >> "$3/$2"; echo "== $2: $check"; grep -A4 "FAILED" "$3/last" | head -20; } >&2
done < "$3/checks"'
columns=()
failed=0
for server in "$@"; do
  BACKSTAY_TEST_STORAGE=s3 BACKSTAY_TEST_S3_SERVER=$server "$here/support/s3server/with-s3.sh" \
    bash -c "$twice$each" interop "$suite" "$server" "$work"
  if [ ! -e "$work/$server" ]; then echo "interop.sh: $server could not be started; no column" >&2; continue; fi
  columns+=("$server")
  if [[ $strict = *" $server "* ]] && grep -q FAIL "$work/$server"; then failed=1; fi
done
[ ${#columns[@]} -gt 0 ] || { echo "interop.sh: no server" >&2; exit 1; }

row() { local IFS='|'; echo "|$*|"; }
row check "${columns[@]}"
row "---" "${columns[@]/*/---}"
while IFS= read -r -u 3 check; do
  n=$((${n:-0} + 1))
  cells=()
  for server in "${columns[@]}"; do cells+=("$(sed -n "${n}p" "$work/$server")"); done
  row "$check" "${cells[@]}"
done 3< "$work/checks"
cells=()
for server in "${columns[@]}"; do cells+=("$(cat "$work/$server.twice")"); done
row "a second PUT with If-None-Match: \*" "${cells[@]}"
totals=()
for server in "${columns[@]}"; do totals+=("$(grep -c ok "$work/$server") of $(wc -l < "$work/checks")"); done
row passed "${totals[@]}"
exit "$failed"
