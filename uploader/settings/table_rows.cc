#include <algorithm>
#include <utility>

#include "uploader/base/url_text.h"
#include "uploader/settings/table.h"
#include "uploader/settings/units.h"

namespace backstay {
namespace {

using T = const SettingTarget&;
using V = const std::string&;

constexpr int64_t kHour = 3'600'000;
constexpr int64_t kDay = 24 * kHour;

Status Invalid(std::string message) { return {Code::kInvalid, std::move(message)}; }

Status SetBool(V value, bool* out) {
  Result<bool> parsed = ParseBool(value);
  if (!parsed.ok()) return parsed.error();
  *out = *parsed;
  return {};
}

Status SetDuration(V value, int64_t least, int64_t most, int64_t* out) {
  Result<int64_t> parsed = ParseDurationMs(value);
  if (!parsed.ok()) return parsed.error();
  if (*parsed < least || *parsed > most) {
    return Invalid(Quote(value) + " is out of range; it may be " + std::to_string(least) +
                   "ms to " + std::to_string(most) + "ms");
  }
  *out = *parsed;
  return {};
}

Status SetChoice(V value, const std::vector<std::string>& choices, std::string* out) {
  const std::string word = LowerCase(value);
  if (std::find(choices.begin(), choices.end(), word) == choices.end()) {
    return Invalid(Quote(value) + " is not a choice" + Suggestion(word, choices));
  }
  *out = word;
  return {};
}

template <int64_t DatabaseSettings::*member, int64_t least, int64_t most>
Status DatabaseDuration(V value, T t) {
  return SetDuration(value, least, most, &(t.database->*member));
}

template <uint64_t DatabaseSettings::*member, uint64_t least, uint64_t most>
Status DatabaseBytes(V value, T t) {
  Result<uint64_t> parsed = ParseBytes(value);
  if (!parsed.ok()) return parsed.error();
  if (*parsed < least || *parsed > most) {
    return Invalid(Quote(value) + " is out of range; it may be " + std::to_string(least) + " to " +
                   std::to_string(most) + " bytes");
  }
  t.database->*member = *parsed;
  return {};
}

template <std::string ReplicaSettings::*member>
Status ReplicaText(V value, T t) {
  t.replica->*member = value;
  return {};
}

template <std::string ObjectSettings::*member>
Status ObjectText(V value, T t) {
  t.replica->objects.*member = value;
  return {};
}

Status DatabasePath(V value, T t) {
  t.database->path = value;
  return {};
}

Status DatabaseFolder(V value, T t) {
  t.database->folder = value;
  return {};
}

Status DatabaseFolderPattern(V value, T t) {
  t.database->folder_pattern = value;
  return {};
}

Status DatabaseRecursive(V value, T t) { return SetBool(value, &t.database->recursive); }

Status DatabaseDurability(V value, T t) {
  std::string word;
  BACKSTAY_TRY(SetChoice(value, {"async", "sync"}, &word));
  t.database->durability = word == "sync" ? Durability::kSync : Durability::kAsync;
  return {};
}

// Or `off`.
Status SetLongDuration(V value, int64_t* out) {
  *out = 0;
  constexpr int64_t kCentury = 100 * 366 * kDay;
  return LowerCase(value) == "off" ? Status() : SetDuration(value, 1000, kCentury, out);
}

Status DatabaseRetention(V value, T t) { return SetLongDuration(value, &t.database->retention_ms); }

// Zero is how a file of Litestream's says off.
Status DatabaseSnapshotInterval(V value, T t) {
  const Result<int64_t> parsed = ParseDurationMs(value);
  const bool zero = parsed.ok() && *parsed == 0;
  return SetLongDuration(zero ? "off" : value, &t.database->snapshot_interval_ms);
}

Status DatabaseMaxRequests(V value, T t) {
  if (LowerCase(value) == "off") {
    t.database->max_requests = 0;
    return {};
  }
  constexpr uint64_t kMost = 1'000'000'000'000;
  Result<uint64_t> parsed = ParseBytes(value);
  const bool digits =
      std::all_of(value.begin(), value.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!parsed.ok() || !digits || *parsed == 0 || *parsed > kMost) {
    return Invalid(Quote(value) + " is no number of requests; write how many a month, or off");
  }
  t.database->max_requests = *parsed;
  return {};
}

Status DatabaseSyncWal(V value, T t) { return SetBool(value, &t.database->sync_wal); }

Status ReplicaUrl(V value, T t) {
  Result<ReplicaSettings> replica = ParseReplicaUrl(value, "");
  if (!replica.ok()) return replica.error();
  *t.replica = std::move(*replica);
  return {};
}

Status ReplicaType(V value, T t) { return SetChoice(value, {"s3", "file"}, &t.replica->type); }

Status ReplicaRegion(V value, T t) {
  t.replica->region = value;
  t.replica->region_given = true;
  return {};
}

Status ReplicaPathStyle(V value, T t) {
  t.replica->force_path_style_given = true;
  return SetBool(value, &t.replica->force_path_style);
}

Status ReplicaSkipVerify(V value, T t) { return SetBool(value, &t.replica->skip_verify); }

Status DrainTimeout(V value, T t) {
  return SetDuration(value, 0, kHour, &t.settings->drain_timeout_ms);
}

Status CloseTimeout(V value, T t) {
  return SetDuration(value, 0, kHour, &t.settings->close_timeout_ms);
}

Status DrainOnSigterm(V value, T t) { return SetBool(value, &t.settings->drain_on_sigterm); }

Status MetricsFolder(V value, T t) {
  if (value[0] != '/') return Invalid(Quote(value) + " is relative; write an absolute path");
  t.settings->metrics_folder = value;
  return {};
}

Status HeartbeatUrl(V value, T t) {
  if (HttpServerEnd(value) == std::string_view::npos) {
    return Invalid("is no URL of a monitor; write it like https://hc-ping.com/<uuid>");
  }
  t.settings->heartbeat_url = value;
  return {};
}

Status HeartbeatInterval(V value, T t) {
  return SetDuration(value, 1000, kDay, &t.settings->heartbeat_interval_ms);
}

Status LogLevel(V value, T t) {
  return SetChoice(value, {"debug", "info", "warn", "error"}, &t.settings->log.level);
}

Status LogType(V value, T t) { return SetChoice(value, {"json", "text"}, &t.settings->log.type); }

Status LogFile(V value, T t) {
  if (value != "stderr" && value[0] != '/') {
    return Invalid(Quote(value) + " is relative; write an absolute path, or stderr");
  }
  t.settings->log.file = value == "stderr" ? "" : value;
  return {};
}

Status LogStderr(V value, T t) {
  bool use = true;
  BACKSTAY_TRY(SetBool(value, &use));
  if (use == t.settings->log.file.empty()) return {};
  return Invalid(use ? "true contradicts \"file\"; leave one of them out"
                     : "false needs a \"file\": stdout belongs to the application");
}

// BACKSTAY_CONFIG is read before any table.
Status Nothing(V, T) { return {}; }

}  // namespace

// clang-format off
namespace {

// Where the databases and their replicas are.
std::vector<Setting> PlaceRows() {
  constexpr Scope db = Scope::kDatabase, rep = Scope::kReplica;
  constexpr Kind text = Kind::kText, yes_no = Kind::kBool;
  constexpr unsigned in_url = kInUrl, global = kTopLevelToo, secret = kSecret,
                     single = kOneDatabase;
  using R = ReplicaSettings;
  using O = ObjectSettings;
  return {
    {Scope::kEnvironmentOnly, "", text, {"BACKSTAY_CONFIG"}, "", "/etc/backstay.json",
     "the JSON file; the default is used if it exists", Nothing, 0},
    {db, "path", text, {"BACKSTAY_DB"}, "", "",
     "absolute path of the database, or a glob, in which one `/**/` is any number of folders", DatabasePath, single},
    {db, "dir", text, {}, "", "",
     "in place of a path: absolute folder of databases; `{name}` is then a database's path below it, and is added to a replica that does not have it", DatabaseFolder, single},
    {db, "pattern", text, {}, "", "",
     "goes with `dir`: which files there, as `*.db`", DatabaseFolderPattern, single},
    {db, "recursive", yes_no, {}, "", "false",
     "goes with `dir`: in the folders below it, too", DatabaseRecursive, single},
    {rep, "url", text, {"BACKSTAY_REPLICA_URL"}, "replica", "",
     "`s3://bucket/prefix?endpoint=…&region=…&force-path-style=true` or `file:///folder`; `{name}` is the database's file name",
     ReplicaUrl, 0},
    {rep, "type", text, {}, "", "",
     "`s3` or `file`, in place of a url", ReplicaType, 0},
    {rep, "name", text, {}, "", "",
     "for people", ReplicaText<&R::name>, 0},
    {rep, "bucket", text, {}, "", "",
     "bucket, in place of a url", ReplicaText<&R::bucket>, global},
    {rep, "path", text, {}, "", "",
     "prefix in the bucket, or absolute folder, in place of a url", ReplicaText<&R::path>, 0},
    {rep, "endpoint", text, {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"}, "", "",
     "S3 server other than Amazon's, as http://host:port; without a scheme it is https, of this machine http", ReplicaText<&R::endpoint>, in_url | global},
    {rep, "region", text, {"AWS_REGION", "AWS_DEFAULT_REGION"}, "", "us-east-1",
     "region that requests are signed for; if the server names another one (or another host of the same provider) that is used, and an INFO says so", ReplicaRegion, in_url | global},
    {rep, "force-path-style", yes_no, {}, "", "",
     "bucket in the path, not in the host name; default: `true` with an endpoint that is not Amazon's", ReplicaPathStyle, in_url | global},
    {rep, "skip-verify", yes_no, {}, "", "false",
     "accept any TLS certificate; one WARN says so", ReplicaSkipVerify, in_url | global},
    {rep, "ca-file", text, {"AWS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"}, "", "",
     "file with the CA certificates (PEM) to trust in place of the system's", ReplicaText<&R::ca_file>, in_url | global},
    {rep, "access-key-id", text, {"BACKSTAY_ACCESS_KEY_ID", "LITESTREAM_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID"}, "", "",
     "access key of the bucket; without one it is looked for where AWS's own programs look", ReplicaText<&R::access_key_id>, secret | global},
    {rep, "secret-access-key", text, {"BACKSTAY_SECRET_ACCESS_KEY", "LITESTREAM_SECRET_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY"}, "", "",
     "goes with access-key-id", ReplicaText<&R::secret_access_key>, secret | global},
    {rep, "session-token", text, {"BACKSTAY_SESSION_TOKEN", "AWS_SESSION_TOKEN"}, "", "",
     "for temporary credentials", ReplicaText<&R::session_token>, secret | global},
    {rep, "profile", text, {}, "", "",
     "profile of AWS's shared files that has the keys, in place of them; `AWS_PROFILE` names one where there are no others", ReplicaText<&R::profile>, in_url | global},
    {rep, "storage-class", text, {"BACKSTAY_STORAGE_CLASS"}, "", "",
     "storage class of what is written, as `STANDARD_IA`; default: the bucket's", ObjectText<&O::storage_class>, in_url | global},
    {rep, "sse", text, {"BACKSTAY_SSE"}, "", "",
     "the server encrypts what is written: `AES256`, or `aws:kms`; default: as the bucket says", ObjectText<&O::sse>, in_url | global},
    {rep, "sse-kms-key-id", text, {"BACKSTAY_SSE_KMS_KEY_ID"}, "", "",
     "key of `sse` `aws:kms`, which it implies; default: the account's own", ObjectText<&O::sse_kms_key_id>, in_url | global},
    {rep, "sse-c-key", text, {"BACKSTAY_SSE_C_KEY"}, "", "",
     "the server encrypts with this key, 32 bytes in Base64 (`openssl rand -base64 32`), and does not keep it: without it nothing can be restored; `https` alone", ObjectText<&O::sse_c_key>, secret | global},
    {rep, "tags", text, {"BACKSTAY_TAGS"}, "", "",
     "tags of what is written, as `team=data&stage=prod`", ObjectText<&O::tags>, in_url | global},
    {rep, "request-payer", text, {"BACKSTAY_REQUEST_PAYER"}, "", "",
     "`requester`: of a bucket whose requests are paid by who makes them", ObjectText<&O::request_payer>, in_url | global},
  };
}

// How they are replicated, and what is said of it.
std::vector<Setting> WorkRows() {
  constexpr Scope top = Scope::kTop, log = Scope::kLogging, db = Scope::kDatabase;
  constexpr Kind text = Kind::kText, time = Kind::kDuration, bytes = Kind::kBytes, count = Kind::kCount, yes_no = Kind::kBool;
  using D = DatabaseSettings;
  return {
    {db, "durability", text, {"BACKSTAY_DURABILITY"}, "backstay_durability", "async",
     "`async`, or `sync`: a commit returns once every replica has it", DatabaseDurability, 0},
    {db, "sync-timeout", time, {"BACKSTAY_SYNC_TIMEOUT"}, "backstay_sync_timeout", "5s",
     "longest wait of a commit with durability `sync`", DatabaseDuration<&D::sync_timeout_ms, 1, kHour>, 0},
    {db, "min-interval", time, {"BACKSTAY_MIN_INTERVAL"}, "backstay_min_interval", "250ms",
     "least time between the starts of two uploads, unless 4 MiB wait, or a quarter of `outbox-limit`", DatabaseDuration<&D::min_interval_ms, 0, kDay>, 0},
    {db, "max-requests", count, {"BACKSTAY_MAX_REQUESTS"}, "backstay_max_requests", "500000",
     "requests a month and replica, as many as so many PUTs cost (at Amazon's prices 500000 are $2.50): on busy days there is more time between two uploads, up to 30 s; or `off`", DatabaseMaxRequests, 0},
    {db, "sync-wal", yes_no, {"BACKSTAY_SYNC_WAL"}, "backstay_sync_wal", "true",
     "flush the WAL to disk before its content is uploaded", DatabaseSyncWal, 0},
    {db, "outbox-limit", bytes, {"BACKSTAY_OUTBOX_LIMIT"}, "backstay_outbox_limit", "64MiB",
     "most disk that an outage of the replica may use", DatabaseBytes<&D::outbox_limit, 4096, 1ull << 40>, 0},
    {db, "page-cache", bytes, {"BACKSTAY_PAGE_CACHE"}, "backstay_page_cache", "8MiB",
     "memory for old page images, which make uploads smaller", DatabaseBytes<&D::page_cache, 0, 1ull << 36>, 0},
    {db, "retention", time, {"BACKSTAY_RETENTION"}, "backstay_retention", "7d",
     "how far back states can be restored; older ones are deleted from the replica, unless `off`", DatabaseRetention, 0},
    {db, "snapshot-interval", time, {"BACKSTAY_SNAPSHOT_INTERVAL"}, "backstay_snapshot_interval", "off",
     "a new snapshot at least this often while the database changes, as `24h`: less log to restore; `off`: when the log has grown as large as the last one", DatabaseSnapshotInterval, 0},
    {top, "drain-timeout", time, {"BACKSTAY_DRAIN_TIMEOUT"}, "", "5s",
     "longest wait at process exit for what is not yet uploaded", DrainTimeout, 0},
    {top, "close-timeout", time, {"BACKSTAY_CLOSE_TIMEOUT"}, "", "2s",
     "longest wait of a database's last close in a process for what is not yet uploaded", CloseTimeout, 0},
    {top, "drain-on-sigterm", yes_no, {"BACKSTAY_DRAIN_ON_SIGTERM"}, "", "false",
     "ship before SIGTERM ends the process, if the program leaves the signal alone", DrainOnSigterm, 0},
    {top, "metrics-dir", text, {"BACKSTAY_METRICS_DIR"}, "", "",
     "folder for a file of metrics per database, as node_exporter's textfile collector reads it", MetricsFolder, 0},
    {top, "heartbeat-url", text, {"BACKSTAY_HEARTBEAT_URL"}, "", "",
     "URL of a monitor, as healthchecks.io's, that is told in each interval that all is replicated, or at its `/fail` why not", HeartbeatUrl, kSecret},
    {top, "heartbeat-interval", time, {"BACKSTAY_HEARTBEAT_INTERVAL"}, "", "5m",
     "the longest time without a heartbeat", HeartbeatInterval, 0},
    {log, "level", text, {"BACKSTAY_LOG_LEVEL"}, "", "info",
     "`debug`, `info`, `warn` or `error`", LogLevel, 0},
    {log, "type", text, {"BACKSTAY_LOG_FORMAT"}, "", "json",
     "`json` or `text`", LogType, 0},
    {log, "file", text, {"BACKSTAY_LOG_FILE"}, "", "stderr",
     "absolute path of the log file", LogFile, 0},
    // Behind "file": it is checked against it.
    {log, "stderr", yes_no, {}, "", "", "`true` unless there is a `file`", LogStderr, 0},
  };
}

}  // namespace
// clang-format on

std::vector<Setting> SettingRows() {
  std::vector<Setting> rows = PlaceRows();
  for (Setting& row : WorkRows()) rows.push_back(std::move(row));
  return rows;
}

}  // namespace backstay
