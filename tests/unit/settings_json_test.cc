#include "tests/unit/settings_support.h"

namespace backstay {
namespace {

std::string WithReplica(const std::string& replica) {
  return R"({"dbs":[{"path":"/data/app.db","replicas":[)" + replica + "]}]}";
}

std::string WithDatabase(const std::string& keys) {
  return R"({"dbs":[{"path":"/data/app.db","replica":{"url":"file:///r"},)" + keys + "}]}";
}

}  // namespace

TEST_CASE("a file in Litestream's shape") {
  SettingsWorld world;
  world.File(R"({
    "access-key-id": "GLOBAL", "secret-access-key": "GLOBALSECRET", "region": "eu-global",
    "drain-timeout": "2s",
    "logging": {"level": "WARN", "type": "text", "stderr": true},
    "dbs": [
      {"path": "/data/app.db", "durability": "sync", "sync-timeout": "3s", "min-interval": "1s",
       "sync-wal": false, "outbox-limit": "1MiB", "page-cache": 0,
       "replicas": [
         {"type": "s3", "bucket": "b", "path": "/p/", "endpoint": "http://127.0.0.1:9000",
          "region": "eu-own", "access-key-id": "OWN", "secret-access-key": "OWNSECRET",
          "session-token": "T", "force-path-style": true, "skip-verify": true},
         {"url": "s3://b2/{name}?region=eu-url"},
         {"type": "file", "path": "/backup/app"}]},
      {"path": "/data/other.db", "replica": {"bucket": "b3"}}]})");
  DatabaseSettings app = world.For("/data/app.db").value();
  CHECK(app.path == "/data/app.db");
  CHECK(app.durability == Durability::kSync);
  CHECK(app.sync_timeout_ms == 3000);
  CHECK(app.min_interval_ms == 1000);
  CHECK_FALSE(app.sync_wal);
  CHECK(app.outbox_limit == 1 << 20);
  CHECK(app.page_cache == 0);
  REQUIRE(app.replicas.size() == 3);
  CHECK(app.replicas[0].Describe() == "s3://b/p");
  CHECK(app.replicas[0].region == "eu-own");
  CHECK(app.replicas[0].access_key_id == "OWN");
  CHECK(app.replicas[0].secret_access_key == "OWNSECRET");
  CHECK(app.replicas[0].session_token == "T");
  CHECK(app.replicas[0].skip_verify);
  CHECK(app.replicas[1].path == "app.db");
  CHECK(app.replicas[1].region == "eu-url");
  CHECK(app.replicas[1].access_key_id == "GLOBAL");
  CHECK(app.replicas[1].secret_access_key == "GLOBALSECRET");
  CHECK(app.replicas[2].type == "file");
  CHECK(app.replicas[2].path == "/backup/app");
  CHECK(app.replicas[2].access_key_id.empty());
  DatabaseSettings other = world.For("/data/other.db").value();
  CHECK(other.replicas[0].region == "eu-global");
  CHECK(other.durability == Durability::kAsync);
  Settings settings = world.Load().value();
  CHECK(settings.drain_timeout_ms == 2000);
  CHECK(settings.log.level == "warn");
  CHECK(settings.log.type == "text");
}

TEST_CASE("an unknown key is named with its place and the nearest known one") {
  SettingsWorld world;
  auto check = [&](const std::string& text, const std::string& place, const std::string& nearest) {
    std::string error = world.FileError(text);
    CHECK_CONTAINS(error, world.sources.default_config_file + ": " + place + ": unknown key");
    CHECK_CONTAINS(error, "\"" + nearest + "\"");
  };
  check(WithReplica(R"({"type":"s3","buckett":"b"})"), "dbs[0].replicas[0].buckett", "bucket");
  check(WithDatabase(R"("durabilty":"sync")"), "dbs[0].durabilty", "durability");
  check(R"({"dbz":[]})", "dbz", "dbs");
  check(R"({"logging":{"levle":"info"}})", "logging.levle", "level");
  check(R"({"dbs":[{"path":"/a","replica":{"ulr":"file:///r"}}]})", "dbs[0].replica.ulr", "url");
  CHECK_CONTAINS(world.FileError(WithReplica(R"({"parallelism-of-uploads":"1"})")), "known here: ");
}

TEST_CASE("wrong types are errors at their place") {
  SettingsWorld world;
  auto check = [&](const std::string& text, const std::string& message) {
    CHECK_CONTAINS(world.FileError(text), message);
  };
  check(WithDatabase(R"("durability":1)"), "dbs[0].durability: must be a string, is number");
  check(WithDatabase(R"("sync-timeout":5)"),
        "dbs[0].sync-timeout: must be a string such as \"5s\", is number");
  check(WithDatabase(R"("sync-wal":"true")"), "dbs[0].sync-wal: must be true or false, is string");
  check(WithDatabase(R"("outbox-limit":-1)"), "dbs[0].outbox-limit: must be bytes");
  check(WithDatabase(R"("outbox-limit":1.5)"), "dbs[0].outbox-limit: must be bytes");
  check(WithDatabase(R"("max-requests":-1)"),
        "dbs[0].max-requests: must be a whole number that is not negative, or \"off\"");
  check(R"({"dbs":{}})", "dbs: must be an array, is object");
  check(R"({"dbs":[1]})", "dbs[0]: must be an object, is number");
  check(R"({"dbs":[{"path":"/a","replicas":{}}]})", "dbs[0].replicas: must be an array");
  check(WithReplica("null"), "dbs[0].replicas[0]: must be an object, is null");
  check(R"({"logging":"info"})", "logging: must be an object");
  check("[]", "must hold one JSON object");
}

TEST_CASE("values out of range are errors at their place") {
  SettingsWorld world;
  auto check = [&](const std::string& text, const std::string& message) {
    CHECK_CONTAINS(world.FileError(text), message);
  };
  check(WithDatabase(R"("durability":"synch")"), "did you mean \"sync\"?");
  check(WithDatabase(R"("sync-timeout":"0s")"), "dbs[0].sync-timeout: \"0s\" is out of range");
  check(WithDatabase(R"("min-interval":"2d")"), "dbs[0].min-interval: \"2d\" is out of range");
  check(WithDatabase(R"("retention":"0s")"), "dbs[0].retention: \"0s\" is out of range");
  check(WithDatabase(R"("outbox-limit":4095)"), "dbs[0].outbox-limit: \"4095\" is out of range");
  check(R"({"drain-timeout":"5"})", "drain-timeout: \"5\" is not a duration");
  check(R"({"logging":{"level":"verbose"}})", "logging.level: \"verbose\" is not a choice");
  check(R"({"logging":{"file":"x.log"}})", "logging.file: \"x.log\" is relative");
  check(R"({"logging":{"stderr":false}})", "stdout belongs to the application");
  check(R"({"logging":{"stderr":true,"file":"/x"}})", "contradicts");
}

TEST_CASE("a log file is a way to say stderr false") {
  SettingsWorld world;
  world.File(R"({"logging":{"stderr":false,"file":"/var/log/x"}})");
  CHECK(world.Load().value().log.file == "/var/log/x");
}

TEST_CASE("databases and replicas that cannot work are errors with the remedy") {
  SettingsWorld world;
  auto check = [&](const std::string& text, const std::string& message) {
    CHECK_CONTAINS(world.FileError(text), message);
  };
  check(R"({"dbs":[{"replica":{"url":"file:///r"}}]})", "dbs[0]: \"path\" is missing");
  check(R"({"dbs":[{"path":"","replica":{"url":"file:///r"}}]})", "dbs[0].path: is empty");
  check(R"({"dbs":[{"path":"a.db","replica":{"url":"file:///r"}}]})", "\"a.db\" is relative");
  check(R"({"dbs":[{"path":"?a.db","replica":{"url":"file:///r"}},
                  {"path":"/b.db","replica":{"url":"file:///s"}}]})",
        "\"?a.db\" is relative");
  check(R"({"dbs":[{"path":"/a"}]})", "dbs[0]: has no replica");
  check(R"({"dbs":[{"path":"/a","replicas":[]}]})", "dbs[0]: has no replica");
  check(R"({"dbs":[{"path":"/a","replicas":[],"replica":{}}]})", "exclude each other");
  check(WithReplica("{}"), "dbs[0].replicas[0]: type and bucket are missing");
  check(WithReplica(R"({"type":"s3","path":"p"})"), "dbs[0].replicas[0]: the bucket is missing");
  check(WithReplica(R"({"type":"gs","bucket":"p"})"), "dbs[0].replicas[0].type: \"gs\"");
  check(WithReplica(R"({"type":"file"})"), "folder is missing");
  check(WithReplica(R"({"type":"file","path":"r"})"), "\"r\" is relative");
  check(WithReplica(R"({"type":"file","path":"/r","bucket":"b"})"),
        "belong to a replica of type s3");
  check(WithReplica(R"({"url":"s3://b","bucket":"c"})"), "\"url\" and \"bucket\" exclude");
  check(WithReplica(R"({"bucket":"b","access-key-id":"A"})"), "without secret-access-key");
  check(WithReplica(R"({"bucket":"b","session-token":"A"})"), "without access-key-id");
  check(WithReplica(R"({"url":"s3://b/p"},{"bucket":"b","path":"p/"})"), "listed twice");
  check(R"({"access-key-id":"A"})", "access-key-id and secret-access-key go together");
}

TEST_CASE("two databases cannot share a replica") {
  SettingsWorld world;
  CHECK_CONTAINS(world.FileError(R"({"dbs":[{"path":"/a","replica":{"url":"s3://b/p"}},
                                            {"path":"/b","replica":{"url":"s3://b/p/"}}]})"),
                 "share the replica s3://b/p");
  CHECK_CONTAINS(world.FileError(R"({"dbs":[{"path":"/a/*.db","replica":{"url":"s3://b/p"}}]})"),
                 "put {name} into its path");
  world.File(R"({"dbs":[{"path":"/a/*.db","replica":{"url":"s3://b/{name}"}},
                        {"path":"/b","replica":{"url":"s3://b/{name}"}}]})");
  CHECK(world.Load().ok());
}

TEST_CASE("of entries for one database none is left without saying so") {
  SettingsWorld world;
  const auto two = [](const std::string& first, const std::string& second) {
    return R"({"dbs":[{"path":"/q"},{"path":")" + first +
           R"(","replica":{"url":"s3://b/1/{name}"}},{"path":")" + second +
           R"(","replica":{"url":"s3://b/2/{name}"}}],"retention":"1d"})";
  };
  for (const char* again : {"/d/a.db", "/d//x/../a.db"}) {
    const std::string error = world.FileError(two("/d/a.db", again));
    CHECK_CONTAINS(error, "dbs[2] and dbs[1] name the same database, ");
    CHECK_CONTAINS(error, "all its replicas in \"replicas\"");
  }
  CHECK_CONTAINS(world.FileError(two("/d/*.db", "/d/*.db")), "name the same database");
  world.File(R"({"dbs":[{"path":"/d/*.db","replica":{"url":"s3://b/1/{name}"}},
                        {"path":"/d/a.db","replica":{"url":"s3://b/2/{name}"}}]})");
  Result<Settings> behind_a_glob = world.Load();
  REQUIRE(behind_a_glob.ok());
  REQUIRE(behind_a_glob->warnings.size() == 1);
  CHECK_CONTAINS(behind_a_glob->warnings[0], "what dbs[1] says is not used; put it before dbs[0]");
  world.File(R"({"dbs":[{"path":"/d/a.db","replica":{"url":"s3://b/2/{name}"}},
                        {"path":"/d/*.db","replica":{"url":"s3://b/1/{name}"}}]})");
  Result<Settings> before_it = world.Load();
  REQUIRE(before_it.ok());
  CHECK(before_it->warnings.empty());
}

TEST_CASE("a syntax error has a line and a column, and does not repeat the text") {
  SettingsWorld world;
  CHECK_CONTAINS(world.FileError("{\n  \"dbs\": [,]\n}"), "line 2, column 11");
  CHECK_CONTAINS(world.FileError("{\"dbs\": x}"), "line 1, column 9");
  CHECK_CONTAINS(world.FileError(""), "not valid JSON at line 1");
  CHECK_CONTAINS(world.FileError("{"), "not valid JSON");
  CHECK_CONTAINS(world.FileError("{\"region\": \"\xff\"}"), "not valid JSON");
  CHECK_CONTAINS(world.FileError(std::string(200'000, '[')), "not valid JSON");
  CHECK_FALSE(Contains(world.FileError(R"({"secret-access-key": "hunter2)"), "hunter2"));
}

TEST_CASE("a repeated key is an error") {
  SettingsWorld world;
  CHECK_CONTAINS(world.FileError(R"({"region":"a","region":"b"})"), "\"region\" is given twice");
}

TEST_CASE("null is as good as a key that is left out") {
  SettingsWorld world;
  world.File(
      R"({"region":null,"logging":null,"dbs":[{"path":"/data/app.db","retention":null,"replica":null,)"
      R"("replicas":[{"url":null,"bucket":"b","endpoint":null,"skip-verify":null}]}]})");
  Result<DatabaseSettings> settings = world.For("/data/app.db");
  REQUIRE(settings.ok());
  CHECK(settings->retention_ms == DatabaseSettings().retention_ms);
  CHECK(settings->replicas[0].bucket == "b");
  CHECK(settings->replicas[0].region == "us-east-1");
  CHECK_CONTAINS(world.FileError(R"({"dbs":[{"path":null}]})"), "\"path\" is missing");
  CHECK_CONTAINS(world.FileError(R"({"regoin":null})"), "unknown key");
}

TEST_CASE("$VAR in credentials is a variable") {
  SettingsWorld world;
  world.environment = {{"KEY_1", "id"}, {"SECRET", "s$ecret"}};
  world.File(WithReplica(
      R"({"bucket":"b","access-key-id":"$KEY_1","secret-access-key":"x${SECRET}$SECRET/"})"));
  ReplicaSettings replica = world.For("/data/app.db").value().replicas[0];
  CHECK(replica.access_key_id == "id");
  CHECK(replica.secret_access_key == "xs$ecrets$ecret/");
  CHECK_CONTAINS(world.FileError(WithReplica(
                     R"({"bucket":"b","access-key-id":"$KEY_1","secret-access-key":"$NOPE"})")),
                 "secret-access-key: environment variable \"NOPE\" is not set");
}

TEST_CASE("${VAR} in a value is a variable") {
  SettingsWorld world;
  world.environment = {{"BUCKET", "b-1"}, {"EMPTY", ""}};
  world.File(WithReplica(R"({"bucket":"${BUCKET}-x${EMPTY}","path":"a$${b}$-$$c"})"));
  ReplicaSettings replica = world.For("/data/app.db").value().replicas[0];
  CHECK(replica.bucket == "b-1-x");
  CHECK(replica.path == "a${b}$-$c");
  CHECK_CONTAINS(world.FileError(WithReplica(R"({"bucket":"${NOPE}"})")),
                 "dbs[0].replicas[0].bucket: environment variable \"NOPE\" is not set");
  CHECK_CONTAINS(world.FileError(WithReplica(R"({"bucket":"${BUCKET"})")), "has no \"}\"");
}

TEST_CASE("the file that was asked for must be there, the default need not") {
  SettingsWorld world;
  CHECK(world.Load().value().rules.empty());
  world.environment["BACKSTAY_CONFIG"] = world.folder / "other.json";
  CHECK_CONTAINS(world.Error(), "BACKSTAY_CONFIG: the configuration cannot be read");
  std::ofstream(world.folder / "other.json") << R"({"drain-timeout":"1s"})";
  CHECK(world.Load().value().drain_timeout_ms == 1000);
  world.sources.config_file = world.folder / "third.json";
  CHECK_CONTAINS(world.Error(), "-config: the configuration cannot be read");
  CHECK_CONTAINS(world.Error(), "third.json");
}

}  // namespace backstay
