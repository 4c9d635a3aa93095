#!/bin/bash
# Starts an S3 server that is one program, on 127.0.0.1, with an empty bucket `backstay-test` where it
# keeps buckets as folders.
#
#   program-start.sh SERVER FOLDER S3_PORT     stop with: program-stop.sh FOLDER
#
# SERVER: minio, moto, rclone, s3rver, seaweedfs or versitygw, found in BACKSTAY_INTEROP/bin (as
# `tests/interop.sh install` leaves them) or in PATH; exit status 3: it is not installed. FOLDER must
# not exist or be empty. Keys: S3_ACCESS_KEY, S3_SECRET_KEY.
set -u
[ $# = 3 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
server=$1 folder=$2 port=$3
here=$(cd "$(dirname "$0")" && pwd)
PATH="${BACKSTAY_INTEROP:-/nonexistent}/bin:$PATH"

program=$server
case $server in
  moto) program=moto_server ;;
  seaweedfs) program=weed ;;
  minio | rclone | s3rver | versitygw) ;;
  *) echo "program-start.sh: $server is not known" >&2; exit 2 ;;
esac
command -v "$program" >/dev/null || { echo "program-start.sh: $program is not installed" >&2; exit 3; }
[ -z "$(ls -A "$folder" 2>/dev/null)" ] || { echo "program-start.sh: $folder is not empty" >&2; exit 1; }
mkdir -p "$folder/data" || exit 1

listen=127.0.0.1:$port
# Nothing of it is to ask the outside for anything.
export HOME=$folder MINIO_UPDATE=off MINIO_BROWSER=off MINIO_ROOT_USER=$S3_ACCESS_KEY MINIO_ROOT_PASSWORD=$S3_SECRET_KEY
export ROOT_ACCESS_KEY=$S3_ACCESS_KEY ROOT_SECRET_KEY=$S3_SECRET_KEY
case $server in
  minio) command=(minio server --quiet --address "$listen" "$folder/data") ;;
  moto) command=(moto_server -H 127.0.0.1 -p "$port") ;;
  rclone)
    command=(rclone serve s3 --addr "$listen" --auth-key "$S3_ACCESS_KEY,$S3_SECRET_KEY" "$folder/data") ;;
  # It knows one pair of keys, and checks no signature.
  s3rver) command=(s3rver -a 127.0.0.1 -p "$port" -d "$folder/data") ;;
  seaweedfs)
    printf '{"identities":[{"name":"test","credentials":[{"accessKey":"%s","secretKey":"%s"}],"actions":["Admin"]}]}' \
      "$S3_ACCESS_KEY" "$S3_SECRET_KEY" > "$folder/s3.json"
    command=(weed server -dir="$folder/data" -ip=127.0.0.1 -ip.bind=127.0.0.1 -master.port=$((port + 11))
      -volume.port=$((port + 12)) -filer -filer.port=$((port + 13)) -s3 -s3.port="$port" -s3.config="$folder/s3.json"
      -volume.max=20 -master.volumeSizeLimitMB=64) ;;
  versitygw) command=(versitygw --quiet --port "$listen" posix "$folder/data") ;;
esac
if [ "$server" = rclone ]; then mkdir "$folder/data/backstay-test"; fi
"${command[@]}" > "$folder/log" 2>&1 < /dev/null &
echo "server $!" > "$folder/pids"

. "$here/processes.sh"
for _ in $(seq 300); do
  is_running "$(pid_in "$folder/pids" server)" || break
  # Any answer will do.
  status=$(curl -s -o /dev/null -w '%{http_code}' --noproxy '*' --max-time 2 "http://$listen/")
  [ "$status" -ge 200 ] 2>/dev/null && [ "$status" -lt 500 ] && exit 0
  sleep 0.1
done
echo "program-start.sh: $server does not answer" >&2
tail -n 15 "$folder/log" >&2
"$here/program-stop.sh" "$folder"
exit 1
