#!/bin/bash
# Starts OpenStack Swift with its S3 interface (s3api, tempauth) and memcached on 127.0.0.1.
#
#   swift-start.sh FOLDER S3_PORT [IGNORED]     stop with: swift-stop.sh FOLDER
#
# Takes the ports S3_PORT to S3_PORT+4. FOLDER must not exist or be empty, and its file system needs
# user attributes (ext4, xfs, tmpfs of a recent kernel). S3_ACCESS_KEY has the form account:user.
# Needs the Debian packages swift-proxy swift-account swift-container swift-object memcached, curl.
# A server without conditional PUT (501): for the path that such a server takes through our code.
set -u
[ $# -ge 2 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
folder=$1 port=$2
access_key=${S3_ACCESS_KEY:-test:tester}
secret_key=${S3_SECRET_KEY:-testsecretkey0123456789}
here=$(cd "$(dirname "$0")" && pwd)
user=$(id -un)

for program in swift-proxy-server swift-object-server memcached curl; do
  command -v "$program" >/dev/null || {
    echo "swift-start.sh: $program is not installed; run: apt-get install --no-install-recommends" \
      "swift-proxy swift-account swift-container swift-object memcached curl" >&2
    exit 1
  }
done
[ -z "$(ls -A "$folder" 2>/dev/null)" ] || { echo "swift-start.sh: $folder is not empty" >&2; exit 1; }
mkdir -p "$folder"/{etc,srv/d1,run,log,cache} || exit 1

fail() {
  echo "swift-start.sh: $*" >&2
  tail -n 15 "$folder"/log/*.log >&2
  "$here/swift-stop.sh" "$folder"
  exit 1
}

cat > "$folder/etc/swift.conf" <<CONF
[swift-hash]
swift_hash_path_suffix = $RANDOM$RANDOM
swift_hash_path_prefix = $RANDOM$RANDOM
[swift-constraints]
max_header_size = 16384
[storage-policy:0]
name = default
default = yes
CONF
offset=0
for kind in account container object; do
  offset=$((offset + 1))
  cat > "$folder/etc/$kind.conf" <<CONF
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = $((port + offset))
user = $user
swift_dir = $folder/etc
devices = $folder/srv
mount_check = false
disable_fallocate = true
fallocate_reserve = 0
workers = 0
log_facility = LOG_LOCAL0
[pipeline:main]
pipeline = $kind-server
[app:$kind-server]
use = egg:swift#$kind
set log_level = ERROR
log_requests = false
replication_server = false
[$kind-replicator]
recon_cache_path = $folder/cache
CONF
done
cat > "$folder/etc/proxy.conf" <<CONF
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = $port
user = $user
swift_dir = $folder/etc
workers = 0
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck cache s3api tempauth bulk slo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
node_timeout = 30
conn_timeout = 2
set log_level = WARNING
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:$((port + 4))
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
storage_domain = localhost
dns_compliant_bucket_names = true
auth_pipeline_check = true
[filter:tempauth]
use = egg:swift#tempauth
user_${access_key%%:*}_${access_key##*:} = $secret_key .admin
[filter:bulk]
use = egg:swift#bulk
[filter:slo]
use = egg:swift#slo
CONF

daemon() {
  local name=$1
  shift
  "$@" > "$folder/log/$name.log" 2>&1 < /dev/null &
  echo "$name $!" >> "$folder/pids"
}
# s3api with tempauth answers 500 without memcached.
daemon memcached memcached -u "$user" -l 127.0.0.1 -p $((port + 4)) -U 0 -m 64

/usr/bin/python3 - "$folder" "$port" > "$folder/log/rings.log" 2>&1 <<'PYTHON' || fail "no rings"
import sys
from swift.common.ring.builder import RingBuilder

folder, port = sys.argv[1], int(sys.argv[2])
for offset, kind in enumerate(("account", "container", "object"), start=1):
    ring = RingBuilder(1, 1, 0)
    ring.add_dev({"id": 0, "region": 1, "zone": 1, "weight": 1, "ip": "127.0.0.1",
                  "port": port + offset, "device": "d1", "meta": ""})
    ring.rebalance()
    ring.get_ring().save("%s/etc/%s.ring.gz" % (folder, kind))
PYTHON

# The path of swift.conf is a constant of the package; it is set before the server's module loads.
cat > "$folder/etc/run.py" <<'PYTHON'
import runpy
import sys
import swift.common.utils

swift.common.utils.SWIFT_CONF_FILE = sys.argv[1]
swift.common.utils.validate_hash_conf()
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
PYTHON
for kind in account container object proxy; do
  daemon "$kind" /usr/bin/python3 "$folder/etc/run.py" "$folder/etc/swift.conf" \
    "/usr/bin/swift-$kind-server" "$folder/etc/$kind.conf"
done

is_open() { (exec 3<> "/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
all_open() { for n in 0 1 2 3 4; do is_open $((port + n)) || return 1; done; }
for _ in $(seq 600); do
  all_open && break
  sleep 0.05
done
[ "$(curl -s -o /dev/null --noproxy '*' -w '%{http_code}' "http://127.0.0.1:$port/healthcheck")" = 200 ] ||
  fail "the proxy is not ready after half a minute"
cat > "$folder/env" <<ENV
S3_ENDPOINT=http://127.0.0.1:$port
S3_ACCESS_KEY=$access_key
S3_SECRET_KEY=$secret_key
S3_REGION=us-east-1
ENV
