#!/bin/bash
# Starts a small Ceph (monitor, one OSD in memory, radosgw; no manager) as an S3 server on 127.0.0.1.
#
#   ceph-rgw-start.sh FOLDER S3_PORT MON_PORT     stop with: ceph-rgw-stop.sh FOLDER
#
# FOLDER must not exist or be empty; it gets the configuration, logs, process ids and `env`
# (S3_ENDPOINT and so on). OSD ports are taken from MON_PORT+10 to MON_PORT+90. Any user may run it,
# several times at once with other folders and ports. Keys: S3_ACCESS_KEY, S3_SECRET_KEY. With
# S3_TLS=1 it speaks TLS alone, with a certificate that nobody trusts but FOLDER/ca.pem.
# Needs the Debian packages ceph-mon, ceph-osd, radosgw (without recommends) and curl.
set -u
[ $# = 3 ] || { sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2; }
folder=$1 port=$2 mon_port=$3
scheme=http${S3_TLS:+s}
access_key=${S3_ACCESS_KEY:-testaccesskey}
secret_key=${S3_SECRET_KEY:-testsecretkey0123456789}
here=$(cd "$(dirname "$0")" && pwd)
export PATH="$PATH:/usr/sbin:/sbin"

for program in ceph-mon ceph-osd radosgw curl; do
  command -v "$program" >/dev/null || {
    echo "ceph-rgw-start.sh: $program is not installed; run:" \
      "apt-get install --no-install-recommends ceph-mon ceph-osd radosgw curl" >&2
    exit 1
  }
done
[ -z "$(ls -A "$folder" 2>/dev/null)" ] || { echo "ceph-rgw-start.sh: $folder is not empty" >&2; exit 1; }
mkdir -p "$folder"/{mon,osd,run,log} || exit 1
frontend="endpoint=127.0.0.1:$port"
if [ -n "${S3_TLS:-}" ]; then
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=127.0.0.1 \
    -addext subjectAltName=IP:127.0.0.1 -keyout "$folder/key.pem" -out "$folder/ca.pem" 2> /dev/null || exit 1
  frontend="ssl_endpoint=127.0.0.1:$port ssl_certificate=$folder/ca.pem ssl_private_key=$folder/key.pem"
  export CURL_CA_BUNDLE=$folder/ca.pem
fi

fail() {
  echo "ceph-rgw-start.sh: $*" >&2
  tail -n 15 "$folder"/log/*.log >&2
  "$here/ceph-rgw-stop.sh" "$folder"
  exit 1
}
cluster_id=$(cat /proc/sys/kernel/random/uuid)
osd_id=$(cat /proc/sys/kernel/random/uuid)
class_dir=$(printf '%s\n' /usr/lib/*/rados-classes | sed -n 1p)

# The settings that are not obvious:
# - radosgw insists on a "secure" mode to the monitor unless ms_mon_client_mode says otherwise, and
#   without keys it would hang;
# - paxos_propose_interval is what makes the start fast;
# - the length limit of OSD object names stays at its default, or long keys give 500;
# - Debian 13's packages look for the OSD's classes below the current folder, hence osd_class_dir;
# - one bucket index shard, few pools' placement groups: less to start.
cat > "$folder/ceph.conf" <<CONF
[global]
fsid = $cluster_id
mon_host = [v2:127.0.0.1:$mon_port/0]
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_ipv4 = true
ms_bind_ipv6 = false
ms_bind_msgr1 = false
ms_bind_port_min = $((mon_port + 10))
ms_bind_port_max = $((mon_port + 90))
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
keyring = /dev/null
run_dir = $folder/run
admin_socket = $folder/run/\$name.asok
pid_file = $folder/run/\$name.pid
log_file = $folder/log/\$name.log
crash_dir = $folder/log
mon_cluster_log_file = $folder/log/cluster.log
debug_ms = 0/0
debug_mon = 0/0
debug_osd = 0/0
debug_paxos = 0/0
debug_rocksdb = 0/0
debug_auth = 0/0
debug_rgw = 1/1
osd_pool_default_size = 1
osd_pool_default_min_size = 1
mon_allow_pool_size_one = true
osd_pool_default_pg_num = 1
osd_pool_default_pgp_num = 1
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_max_pg_per_osd = 1000
[mon]
mon_data = $folder/mon
paxos_propose_interval = 0.02
paxos_min_wait = 0.01
mon_data_avail_warn = 1
mon_data_avail_crit = 0
mon_rocksdb_options = write_buffer_size=4194304,compression=kNoCompression
[osd]
osd_data = $folder/osd
osd_objectstore = memstore
memstore_device_bytes = 8589934592
memstore_page_set = false
osd_memory_target = 939524096
osd_op_num_shards = 1
osd_op_num_threads_per_shard = 2
osd_class_load_list = *
osd_class_default_list = *
osd_class_dir = $class_dir
[client]
ms_mon_client_mode = crc
rgw_frontends = beast $frontend tcp_nodelay=1
rgw_enable_apis = s3, admin
rgw_dns_name = localhost
rgw_rados_pool_pg_num_min = 1
rgw_thread_pool_size = 32
rgw_override_bucket_index_max_shards = 1
rgw_dynamic_resharding = false
rgw_run_sync_thread = false
rgw_enable_quota_threads = false
rgw_enable_lc_threads = false
rgw_enable_usage_log = false
rgw_enable_ops_log = false
rgw_gc_max_objs = 1
rgw_gc_obj_min_wait = 10
rgw_gc_processor_period = 10
rgw_gc_processor_max_time = 10
rgw_lc_max_objs = 1
rgw_num_control_oids = 1
rgw_objexp_hints_num_shards = 1
rgw_data_log_num_shards = 1
rgw_md_log_max_shards = 1
rgw_data = $folder/run
CONF
export CEPH_CONF="$folder/ceph.conf" CEPH_ARGS=
ulimit -n 65536 2>/dev/null || ulimit -n "$(ulimit -Hn)"

# Starts a daemon that logs to log/NAME.out.log and is known to the stop script.
daemon() {
  local name=$1
  shift
  "$@" > "$folder/log/$name.out.log" 2>&1 < /dev/null &
  echo "$name $!" >> "$folder/pids"
}
step() { timeout 60 "$@" >> "$folder/log/setup.log" 2>&1 || fail "failed: $*"; }
status_of_root() { curl -s -o /dev/null --noproxy '*' -w '%{http_code}' "$scheme://127.0.0.1:$port/"; }

step monmaptool --create --clobber --fsid "$cluster_id" --addv a "[v2:127.0.0.1:$mon_port/0]" "$folder/monmap"
step ceph-mon --mkfs -i a --monmap "$folder/monmap"
daemon mon ceph-mon -f -i a
step ceph-osd --mkfs -i 0 --no-mon-config --osd-uuid "$osd_id"
step ceph osd new "$osd_id" 0
daemon osd ceph-osd -f -i 0
step radosgw-admin user create --uid=test --display-name=test \
  --access-key="$access_key" --secret-key="$secret_key"
daemon rgw radosgw -f -n client.rgw

rgw=$(awk '$1 == "rgw" { print $2 }' "$folder/pids")
for _ in $(seq 1200); do
  kill -0 "$rgw" 2>/dev/null || fail "radosgw has exited"
  [ "$(status_of_root)" = 200 ] && break
  sleep 0.05
done
[ "$(status_of_root)" = 200 ] || fail "radosgw is not ready after a minute"
cat > "$folder/env" <<ENV
S3_ENDPOINT=$scheme://127.0.0.1:$port
S3_ACCESS_KEY=$access_key
S3_SECRET_KEY=$secret_key
S3_REGION=us-east-1
ENV
