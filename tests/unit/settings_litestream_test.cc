// A litestream.yml that was converted to JSON, as Terraform's jsonencode() or yq writes it.

#include "tests/unit/settings_support.h"

namespace backstay {
namespace {

class LitestreamWorld : public SettingsWorld {
 public:
  // Of the database /data/app.db.
  DatabaseSettings Read(const std::string& text) {
    File(text);
    return For("/data/app.db").value();
  }
  // All warnings, which must not be problems.
  std::string Warnings(const std::string& text) {
    File(text);
    std::string all;
    const Settings settings = Load().value();
    for (const std::string& each : settings.warnings) all += each + "\n";
    return all;
  }
  std::vector<std::string> Problems(const std::string& text) {
    File(text);
    std::vector<std::string> problems;
    CHECK_FALSE(LoadSettings(sources, &problems).ok());
    return problems;
  }
};

std::string Database(const std::string& keys, const std::string& replica_keys = "") {
  return R"({"dbs":[{"path":"/data/app.db",)" + keys + R"("replicas":[{"type":"s3","bucket":"b")" +
         replica_keys + "}]}]}";
}

}  // namespace

TEST_CASE("what Litestream says of a replica is taken where Backstay has it") {
  LitestreamWorld world;
  CHECK(world.Read(Database("", R"(,"retention":"72h")")).retention_ms == 72 * 3'600'000LL);
  CHECK(world.Read(Database("", R"(,"sync-interval":"10s")")).min_interval_ms == 10'000);
  CHECK(world.Read(Database("", R"(,"name":"nas")")).replicas[0].name == "nas");
  CHECK(world.Read(Database(R"("snapshot":{"retention":"48h"},)")).retention_ms ==
        48 * 3'600'000LL);
  CHECK(world.Read(Database(R"("retention":"1h",)", R"(,"retention":"72h")")).retention_ms ==
        3'600'000);
  CHECK(world.Warnings(Database("", R"(,"retention":"72h","name":"x","sync-interval":"1s")"))
            .empty());
}

TEST_CASE("what the top level says is a default of every database, also of one from elsewhere") {
  LitestreamWorld world;
  const std::string top = R"({"snapshot":{"retention":"48h"},"sync-interval":"2s",
      "durability":"sync","shutdown-sync-timeout":"30s",)";
  DatabaseSettings database = world.Read(
      top + R"("dbs":[{"path":"/data/app.db","sync-timeout":"1s","replica":{"url":"s3://b"}}]})");
  CHECK(database.retention_ms == 48 * 3'600'000LL);
  CHECK(database.min_interval_ms == 2000);
  CHECK(database.durability == Durability::kSync);
  CHECK(database.sync_timeout_ms == 1000);
  CHECK(world.Load().value().drain_timeout_ms == 30'000);
  world.environment = {{"BACKSTAY_DB", "/data/app.db"}, {"BACKSTAY_REPLICA_URL", "s3://c"}};
  CHECK(world.Read(top + R"("dbs":null})").retention_ms == 48 * 3'600'000LL);
  world.environment["BACKSTAY_RETENTION"] = "1d";
  CHECK(world.Read(top + R"("dbs":[]})").retention_ms == 24 * 3'600'000LL);
}

TEST_CASE("of several replicas the one that is protected best counts, and the others are named") {
  LitestreamWorld world;
  const auto two = [](const std::string& first, const std::string& second) {
    return R"({"dbs":[{"path":"/data/app.db","replicas":[{"url":"s3://a")" + first +
           R"(},{"url":"s3://b")" + second + "}]}]}";
  };
  const std::string text = two(R"(,"retention":"24h","sync-interval":"10s")",
                               R"(,"retention":"72h","sync-interval":"1s")");
  CHECK(world.Read(text).retention_ms == 72 * 3'600'000LL);
  CHECK(world.Read(text).min_interval_ms == 1000);
  CHECK_CONTAINS(world.Warnings(text), "dbs[0].replicas[0].retention (another replica's");
  CHECK_CONTAINS(world.Warnings(text), "dbs[0].replicas[0].sync-interval (another replica's");
  // One says nothing: it ships as often as it does without the other.
  CHECK(world.Read(two(R"(,"sync-interval":"1h")", "")).min_interval_ms == 250);
  // What goes further than the general one does not void it for others.
  CHECK(world
            .Warnings(R"({"snapshot":{"retention":"24h"},)" +
                      two(R"(,"retention":"72h")", "").substr(1))
            .empty());
  CHECK_CONTAINS(world.FileError(two(R"(,"retention":"24h")", R"(,"retention":"3 days")")),
                 "dbs[0].replicas[1].retention: \"3 days\" is not a duration");
}

TEST_CASE("the interval of snapshots, of the whole file, of a database and of a replica") {
  LitestreamWorld world;
  const auto interval = [&](const std::string& top, const std::string& db, const std::string& first,
                            const std::string& second) {
    return world
        .Read("{" + top + R"("dbs":[{"path":"/data/app.db",)" + db +
              R"("replicas":[{"url":"s3://a")" + first + R"(},{"url":"s3://b")" + second + "}]}]}")
        .snapshot_interval_ms;
  };
  constexpr int64_t kHour = 3'600'000;
  CHECK(interval("", "", "", "") == 0);
  CHECK(interval(R"("snapshot":{"interval":"24h"},)", "", "", "") == 24 * kHour);
  CHECK(interval(R"("snapshot-interval":"2h",)", "", "", "") == 2 * kHour);
  CHECK(interval(R"("snapshot":{"interval":"24h"},)", R"("snapshot":{"interval":"6h"},)", "", "") ==
        6 * kHour);
  // One of the replicas says it, or both; 0 is none.
  CHECK(interval("", "", "", R"(,"snapshot-interval":"1h")") == kHour);
  CHECK(interval("", "", R"(,"snapshot-interval":"0s")", R"(,"snapshot-interval":"1h")") == kHour);
  CHECK(interval("", "", R"(,"snapshot-interval":"2h")", R"(,"snapshot-interval":"1h")") == kHour);
  CHECK(interval("", R"("snapshot-interval":"off",)", "", "") == 0);
}

TEST_CASE("retention.enabled false deletes nothing, and says what must not delete either") {
  LitestreamWorld world;
  const std::string dbs = R"("dbs":[{"path":"/data/app.db","replica":{"url":"s3://b"}}]})";
  const std::string off = R"({"retention":{"enabled":false},)" + dbs;
  CHECK(world.Read(off).retention_ms == 0);
  CHECK_CONTAINS(world.Warnings(off), "let no lifecycle rule");
  CHECK(world.Read(R"({"retention":{"enabled":true},)" + dbs).retention_ms ==
        DatabaseSettings().retention_ms);
  CHECK_CONTAINS(world.FileError(R"({"retention":{"enabeld":false},)" + dbs), "must be a string");
}

TEST_CASE("a folder of databases") {
  LitestreamWorld world;
  const auto folder = [](const std::string& keys, const std::string& replica) {
    return R"({"dbs":[{"dir":"/data/","pattern":"*.db",)" + keys + R"("replica":)" + replica +
           "}]}";
  };
  world.File(folder("", R"({"bucket":"b","path":"p"})"));
  CHECK(world.For("/data/a.db").value().replicas[0].path == "p/a.db");
  CHECK_FALSE(world.For("/data/x/a.db").ok());
  CHECK_FALSE(world.For("/data/a.txt").ok());
  world.File(folder(R"("recursive":true,"watch":true,)", R"({"bucket":"b"})"));
  CHECK(world.For("/data/a.db").value().replicas[0].path == "a.db");
  CHECK(world.For("/data/x/y/a.db").value().replicas[0].path == "x/y/a.db");
  CHECK_FALSE(world.For("/other/a.db").ok());
  world.File(folder(R"("recursive":true,)", R"({"type":"file","path":"/backup/{name}/v1"})"));
  CHECK(world.For("/data/x/a.db").value().replicas[0].path == "/backup/x/a.db/v1");
  // Its name is no pattern.
  world.File(R"({"dbs":[{"dir":"/d[1]","pattern":"?.db","replica":{"bucket":"b"}}]})");
  CHECK(world.For("/d[1]/a.db").value().replicas[0].path == "a.db");
  CHECK_FALSE(world.For("/d1/a.db").ok());
  const auto error = [&](const std::string& keys) {
    return world.FileError(R"({"dbs":[{)" + keys + R"(,"replica":{"bucket":"b"}}]})");
  };
  CHECK_CONTAINS(error(R"("dir":"/d")"), "dbs[0]: \"dir\" has no \"pattern\"");
  CHECK_CONTAINS(error(R"("path":"/a","pattern":"*")"), "\"pattern\" goes with \"dir\"");
  CHECK_CONTAINS(error(R"("path":"/a","recursive":true)"), "\"recursive\" goes with \"dir\"");
  CHECK_CONTAINS(error(R"("path":"/a","dir":"/d","pattern":"*")"), "exclude each other");
  CHECK_CONTAINS(error(R"("dir":"d","pattern":"*")"), "dir \"d\" is relative");
  CHECK_CONTAINS(error(R"("dir":"/d","pattern":"x/*")"), "holds a '/'");
}

TEST_CASE("keys that mean nothing here are ignored and named in one warning") {
  LitestreamWorld world;
  const std::string text =
      R"({"addr":":9090","levels":[{"interval":"5m"}],"l0-retention":"5m","validation":{"interval":"1h"},
      "logging":{"source":true,"level":"trace","type":"pretty"},
      "dbs":[{"path":"/data/app.db","meta-path":"/m","monitor-interval":"1s","busy-timeout":null,
              "replicas":[{"bucket":"b","sign-payload":true}]}]})";
  world.File(text);
  REQUIRE(world.Load().ok());
  REQUIRE(world.Load()->warnings.size() == 1);
  const std::string warning = world.Load()->warnings[0];
  for (const char* key :
       {"addr", "levels", "l0-retention", "validation", "logging.source", "dbs[0].meta-path",
        "dbs[0].monitor-interval", "dbs[0].replicas[0].sign-payload", "remedy: take them out"}) {
    CHECK_CONTAINS(warning, key);
  }
  CHECK_FALSE(Contains(warning, "busy-timeout"));
  CHECK(world.Load()->log.level == "debug");
  CHECK(world.Load()->log.type == "text");
}

TEST_CASE("the parameters of a URL are keys, however they are written") {
  LitestreamWorld world;
  const auto with = [](const std::string& query) {
    return R"({"dbs":[{"path":"/data/app.db","replica":{"url":"s3://b/p?)" + query + R"("}}]})";
  };
  const std::string text =
      with("endpoint=nas.example:9000&forcePathStyle=false&signPayload=true&part-size=5MB");
  const ReplicaSettings replica = world.Read(text).replicas[0];
  CHECK(replica.endpoint == "https://nas.example:9000");
  CHECK(replica.force_path_style_given);
  CHECK_FALSE(replica.force_path_style);
  CHECK_CONTAINS(world.Warnings(text), "dbs[0].replica.url.sign-payload, dbs[0].replica.url.part-");
  CHECK(world.Read(with("sse-kms-key-id=k&storage-class=STANDARD_IA")).replicas[0].objects.sse ==
        "aws:kms");
  CHECK_CONTAINS(world.FileError(with("regoin=x")), "did you mean \"region\"");
}

TEST_CASE("how objects are stored is taken as Litestream says it") {
  LitestreamWorld world;
  const std::string key = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTMyYnk=";
  const std::string customer =
      R"("sse-customer-algorithm":"AES256","sse-customer-key":")" + key + "\"";
  ReplicaSettings replica = world.Read(Database("", "," + customer)).replicas[0];
  CHECK(replica.objects.sse_c_key == key);
  CHECK(world.Warnings(Database("", "," + customer)).empty());
  replica = world.Read(Database("", R"(,"storage-class":"STANDARD_IA","sse-kms-key-id":"k")"))
                .replicas[0];
  CHECK(replica.objects.storage_class == "STANDARD_IA");
  CHECK(replica.objects.sse == "aws:kms");
  CHECK(replica.objects.sse_kms_key_id == "k");
  const std::string top =
      "{" + customer + R"(,"dbs":[{"path":"/data/app.db","replica":{"bucket":"b"}}]})";
  CHECK(world.Read(top).replicas[0].objects.sse_c_key == key);
}

TEST_CASE("keys that would leave data otherwise than they say are errors with the remedy") {
  LitestreamWorld world;
  const auto check = [&](const std::string& replica_keys, const std::string& message) {
    CHECK_CONTAINS(world.FileError(Database("", replica_keys)), message);
  };
  check(R"(,"age":{"recipients":["age1x"]})", "dbs[0].replicas[0].age: Backstay does not encrypt");
  check(R"(,"sse-customer-key":"hunter2")", "replicas[0]: sse-c-key must be 32 bytes");
  check(R"(,"sse-customer-key-path":"/k")", "sse-customer-key-path: no file of a key is read");
  check(R"(,"sse-customer-algorithm":"AES128")", "sse-customer-algorithm: is not AES256");
  CHECK_CONTAINS(world.FileError(Database(R"("restore-if-db-not-exists":true,)")),
                 "dbs[0].restore-if-db-not-exists: nothing is restored");
  for (const char* type : {"abs", "gs", "gcs", "sftp", "webdav", "nats", "oss"}) {
    CHECK_CONTAINS(world.FileError(R"({"dbs":[{"path":"/a","replica":{"type":")" +
                                   std::string(type) + R"(","bucket":"b"}}]})"),
                   "dbs[0].replica.type: ");
  }
  CHECK_FALSE(
      Contains(world.FileError(Database("", R"(,"sse-customer-key":"hunter2")")), "hunter"));
  // What says nothing changes nothing: Terraform writes optional keys, too.
  CHECK(world
            .Warnings(Database(R"("restore-if-db-not-exists":false,)",
                               R"(,"age":{"recipients":[],"identities":null},"sse-kms-key-id":"",
                        "sse-customer-algorithm":"","sse-customer-key":"","storage-class":"")"))
            .empty());
}

TEST_CASE("variables expand in every value") {
  LitestreamWorld world;
  world.environment = {{"DIR", "/data"}, {"KEY", "id"},    {"SECRET", "s"},   {"YES", "true"},
                       {"TIME", "48h"},  {"SIZE", "1MiB"}, {"LEVEL", "debug"}};
  DatabaseSettings database = world.Read(
      R"({"logging":{"level":"$LEVEL"},"access-key-id":"$KEY","secret-access-key":"${SECRET}",
          "dbs":[{"path":"$DIR/app.db","retention":"${TIME}","outbox-limit":"$SIZE",
                  "sync-wal":"$YES","replica":{"bucket":"b","skip-verify":"${YES}"}}]})");
  CHECK(database.retention_ms == 48 * 3'600'000LL);
  CHECK(database.outbox_limit == 1 << 20);
  CHECK(database.replicas[0].skip_verify);
  CHECK(database.replicas[0].access_key_id == "id");
  CHECK(database.replicas[0].secret_access_key == "s");
  CHECK(world.Load().value().log.level == "debug");
  world.environment["YES"] = "maybe";
  CHECK_CONTAINS(world.Error(), "sync-wal: \"maybe\" is neither true nor false");
}

TEST_CASE("all problems are told at once, each with its place") {
  LitestreamWorld world;
  world.environment = {{"BACKSTAY_RETENTON", "1d"}, {"BACKSTAY_SYNC_TIMEOUT", "x"}};
  const std::string text =
      R"({"dbz":[],"logging":{"level":"loud"},"dbs":[{"path":"a.db","durabilty":"sync","replica":{
          "type":"gs","bucket":"b"}},{"path":"/b","replicas":[{"buckett":"b"},{"url":"s3://$NO"}]}]})";
  const std::vector<std::string> problems = world.Problems(text);
  const std::vector<std::string> wanted = {
      "BACKSTAY_RETENTON",
      "dbz: unknown key",
      "logging.level: \"loud\"",
      "dbs[0].durabilty: unknown key; did you mean \"durability\"?",
      "dbs[0]: path \"a.db\" is relative",
      "dbs[0].replica.type: \"gs\"",
      "dbs[1].replicas[0].buckett: unknown key; did you mean \"bucket\"?",
      "dbs[1].replicas[1].url: environment variable \"NO\" is not set",
      "BACKSTAY_SYNC_TIMEOUT: \"x\" is not a duration"};
  REQUIRE(problems.size() == wanted.size());
  for (size_t i = 0; i < wanted.size(); ++i) CHECK_CONTAINS(problems[i], wanted[i]);
  CHECK_CONTAINS(world.Error(), "9 problems: (1) unknown environment variable");
  CHECK_CONTAINS(world.Error(), "(9) BACKSTAY_SYNC_TIMEOUT");
}

TEST_CASE("YAML is named as such, with the way to convert it") {
  LitestreamWorld world;
  CHECK_CONTAINS(world.FileError("dbs:\n  - path: /data/app.db\n"), "yq -o json");
  CHECK_CONTAINS(world.FileError("\"dbs\":\n- \"path\": \"/data/app.db\"\n"), "jsonencode()");
  CHECK_FALSE(Contains(world.FileError("{\"dbs\":"), "YAML"));
  const std::string utf16("\xff\xfe{\0\"\0d\0\"\0:\0}\0", 14);
  for (const std::string& text : {utf16, utf16.substr(2)}) {
    CHECK_CONTAINS(world.FileError(text), "iconv -f UTF-16");
  }
}

TEST_CASE("who said a value, and never a secret") {
  LitestreamWorld world;
  world.environment = {{"BACKSTAY_RETENTION", "2d"},
                       {"AWS_ACCESS_KEY_ID", "hunter1"},
                       {"AWS_SECRET_ACCESS_KEY", "hunter2"},
                       {"AWS_REGION", "eu-x"}};
  DatabaseSettings database = world.Read(R"({"endpoint":"minio","dbs":[{"path":"/data/app.db",
      "replica":{"bucket":"b","sync-interval":"3s"}}]})");
  const auto said = [](const std::vector<Said>& all, const std::string& key) -> std::string {
    for (const Said& each : all) {
      if (each.key == key) return each.value + " " + each.at;
    }
    return "";
  };
  CHECK(said(database.said, "retention") == "2d BACKSTAY_RETENTION");
  CHECK(said(database.said, "min-interval") == "3s dbs[0].replica.sync-interval");
  CHECK(said(database.replicas[0].said, "endpoint") == "minio endpoint");
  CHECK(said(database.replicas[0].said, "region") == "eu-x AWS_REGION");
  CHECK(said(database.replicas[0].said, "access-key-id") == "*** AWS_ACCESS_KEY_ID");
  for (const Said& each : database.replicas[0].said) CHECK_FALSE(Contains(each.value, "hunter"));
}

}  // namespace backstay
