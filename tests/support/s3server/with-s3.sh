#!/bin/bash
# Runs a command with a real S3 server (radosgw) beside it, and stops the server whatever happens.
#
#   with-s3.sh COMMAND [ARGUMENT…]
#
# The command finds in its environment: BACKSTAY_TEST_S3_ENDPOINT, BACKSTAY_TEST_S3_BUCKET (an empty
# bucket), AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION. The exit status is the command's.
# Ports are free ones that no other with-s3.sh holds, so several may run at once.
# BACKSTAY_TEST_S3_SERVER=swift takes OpenStack Swift in place of radosgw, ceph-rgw-https radosgw over TLS
# (its CA is in AWS_CA_BUNDLE and CURL_CA_BUNDLE then); minio, versitygw and others
# are program-start.sh's. Exit status 3: that server is not installed.
set -u
[ $# -ge 1 ] || { sed -n '2,11s/^# \{0,1\}//p' "$0" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
server=${BACKSTAY_TEST_S3_SERVER:-ceph-rgw}
scheme=http
if [ "$server" = ceph-rgw-https ]; then server=ceph-rgw scheme=https; export S3_TLS=1; fi
start=$server-start.sh
stop=$server-stop.sh
if [ ! -e "$here/$start" ]; then start="program-start.sh $server" stop=program-stop.sh; fi
work=$(mktemp -d "${TMPDIR:-/tmp}/backstay-s3-XXXXXX") || exit 1
# Ports are the machine's, whatever TMPDIR is.
locks=/tmp/backstay-s3-ports-$(id -u)
mkdir -p "$locks" || exit 1
command_pid=

stop() {
  trap - EXIT INT TERM HUP
  [ -z "$command_pid" ] || kill -TERM "$command_pid" 2>/dev/null
  if [ -e "$work/server/pids" ]; then "$here/$stop" "$work/server" 9>&-; fi
  rm -rf "$work"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

is_free() { ! (exec 3<> "/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Sets `port` to the first of a block of 100 that is ours alone until we exit (a lock on file 9).
take_ports() {
  local first=$(($$ % 80)) n
  for n in $(seq 0 79); do
    local block=$(((first + n) % 80))
    exec 9> "$locks/$block"
    port=$((20000 + block * 100))
    flock -n 9 && is_free "$port" && is_free $((port + 5)) && return 0
  done
  echo "with-s3.sh: no free block of ports from 20000 to 28000" >&2
  exit 1
}

take_ports
case $server in
  swift) AWS_ACCESS_KEY_ID=test:tester ;; # account:user
  s3rver) AWS_ACCESS_KEY_ID=S3RVER ;;
  *) AWS_ACCESS_KEY_ID=test$$ ;;
esac
AWS_SECRET_ACCESS_KEY=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
if [ "$server" = s3rver ]; then AWS_SECRET_ACCESS_KEY=S3RVER; fi
AWS_REGION=us-east-1
BACKSTAY_TEST_S3_ENDPOINT=$scheme://127.0.0.1:$port
BACKSTAY_TEST_S3_BUCKET=backstay-test
# shellcheck disable=SC2086 # a script and perhaps the server's name
if [ "$stop" = program-stop.sh ]; then second=; else second=$((port + 5)); fi
S3_ACCESS_KEY=$AWS_ACCESS_KEY_ID S3_SECRET_KEY=$AWS_SECRET_ACCESS_KEY \
  "$here/"$start "$work/server" "$port" $second 9>&- || exit

if [ $scheme = https ]; then export AWS_CA_BUNDLE="$work/server/ca.pem" CURL_CA_BUNDLE="$work/server/ca.pem"; fi

# The key is percent-encoded because curl splits user and password at the first colon.
status=$(curl -s -o "$work/answer" -w '%{http_code}' --noproxy '*' -X PUT \
  --aws-sigv4 aws:amz:$AWS_REGION:s3 \
  -H 'x-amz-content-sha256: UNSIGNED-PAYLOAD' \
  "$scheme://${AWS_ACCESS_KEY_ID/:/%3A}:$AWS_SECRET_ACCESS_KEY@127.0.0.1:$port/$BACKSTAY_TEST_S3_BUCKET")
if [ "$status" != 200 ] && ! [[ $server = rclone && $status = 409 ]]; then
  echo "with-s3.sh: the bucket could not be made (HTTP $status)" >&2
  cat "$work/answer" >&2
  exit 1
fi
export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_REGION
export BACKSTAY_TEST_S3_ENDPOINT BACKSTAY_TEST_S3_BUCKET
# For tests that administrate the server itself.
if [ -f "$work/server/ceph.conf" ]; then export BACKSTAY_TEST_CEPH_CONF="$work/server/ceph.conf"; fi
# In the background, so that a signal to this script is handled at once; standard input is kept.
"$@" 9>&- <&0 &
command_pid=$!
wait "$command_pid"
result=$?
command_pid=
exit "$result"
