#include <filesystem>

#include "tests/unit/settings_support.h"
#include "uploader/settings/table.h"

namespace backstay {
namespace {

constexpr char kFile[] = R"({"dbs":[{"path":"/data/app.db","durability":"sync",
  "min-interval":"1s","page-cache":"1MiB","replica":{"url":"file:///from-file"}}]})";

}  // namespace

TEST_CASE("default, then file, then environment, then URI parameter") {
  SettingsWorld world;
  world.File(kFile);
  DatabaseSettings database = world.For("/data/app.db").value();
  CHECK(database.sync_timeout_ms == 5000);
  CHECK(database.min_interval_ms == 1000);
  CHECK(database.page_cache == 1 << 20);
  CHECK(database.replicas[0].path == "/from-file");

  world.environment = {{"BACKSTAY_MIN_INTERVAL", "2s"},
                       {"BACKSTAY_PAGE_CACHE", "2MiB"},
                       {"BACKSTAY_RETENTION", "off"},
                       {"BACKSTAY_MAX_REQUESTS", "off"},
                       {"BACKSTAY_REPLICA_URL", "file:///from-environment"}};
  database = world.For("/data/app.db").value();
  CHECK(database.durability == Durability::kSync);
  CHECK(database.min_interval_ms == 2000);
  CHECK(database.page_cache == 2 << 20);
  CHECK(database.retention_ms == 0);
  CHECK(database.max_requests == 0);
  CHECK(database.replicas[0].path == "/from-environment");

  database = world
                 .For("/data/app.db", "file:///from-uri",
                      {{"mode", "rwc"},
                       {"backstay_page_cache", "3MiB"},
                       {"backstay_retention", "30d"},
                       {"backstay_max_requests", "1000"},
                       {"vfs", "backstay"}})
                 .value();
  CHECK(database.min_interval_ms == 2000);
  CHECK(database.page_cache == 3 << 20);
  CHECK(database.retention_ms == 30LL * 24 * 3600 * 1000);
  CHECK(database.max_requests == 1000);
  REQUIRE(database.replicas.size() == 1);
  CHECK(database.replicas[0].path == "/from-uri");
}

TEST_CASE("the environment alone sets everything") {
  SettingsWorld world;
  world.environment = {{"BACKSTAY_DB", "/data/app.db"},
                       {"BACKSTAY_REPLICA_URL", "s3://b/{name}"},
                       {"BACKSTAY_DURABILITY", "sync"},
                       {"BACKSTAY_SYNC_TIMEOUT", "1s"},
                       {"BACKSTAY_MIN_INTERVAL", "0s"},
                       {"BACKSTAY_SYNC_WAL", "false"},
                       {"BACKSTAY_OUTBOX_LIMIT", "1MiB"},
                       {"BACKSTAY_PAGE_CACHE", "8192"},
                       {"BACKSTAY_DRAIN_TIMEOUT", "1m"},
                       {"BACKSTAY_LOG_LEVEL", "debug"},
                       {"BACKSTAY_LOG_FORMAT", "text"},
                       {"BACKSTAY_LOG_FILE", "/var/log/x"},
                       {"BACKSTAY_ACCESS_KEY_ID", "A"},
                       {"BACKSTAY_SECRET_ACCESS_KEY", "S"},
                       {"BACKSTAY_SESSION_TOKEN", "T"},
                       {"AWS_REGION", "eu-1"},
                       {"AWS_ENDPOINT_URL", "http://127.0.0.1:1/"}};
  Settings settings = world.Load().value();
  CHECK(settings.drain_timeout_ms == 60'000);
  CHECK(settings.log.level == "debug");
  CHECK(settings.log.type == "text");
  CHECK(settings.log.file == "/var/log/x");
  DatabaseSettings database = world.For("/data/app.db").value();
  CHECK(database.durability == Durability::kSync);
  CHECK(database.sync_timeout_ms == 1000);
  CHECK(database.min_interval_ms == 0);
  CHECK_FALSE(database.sync_wal);
  CHECK(database.outbox_limit == 1 << 20);
  CHECK(database.page_cache == 8192);
  ReplicaSettings replica = database.replicas.at(0);
  CHECK(replica.Describe() == "s3://b/app.db");
  CHECK(replica.access_key_id == "A");
  CHECK(replica.secret_access_key == "S");
  CHECK(replica.session_token == "T");
  CHECK(replica.region == "eu-1");
  CHECK(replica.endpoint == "http://127.0.0.1:1");
  CHECK(replica.force_path_style);
  CHECK(world.For("/data/else.db").error().code() == Code::kNotFound);
}

TEST_CASE("an error in a variable or parameter names it") {
  SettingsWorld world;
  auto check = [&](const char* name, const char* value, const std::string& message) {
    world.environment = {{name, value}};
    CHECK_CONTAINS(world.Error(), message);
  };
  check("BACKSTAY_SYNC_TIMEOUT", "5", "BACKSTAY_SYNC_TIMEOUT: \"5\" is not a duration");
  check("BACKSTAY_REPLICA_URL", "gs://x", "BACKSTAY_REPLICA_URL: replica URL: scheme \"gs\"");
  check("BACKSTAY_REPLICA_ULR", "s3://x", "\"BACKSTAY_REPLICA_ULR\"; did you mean");
  check("BACKSTAY_LOG_LEVEL", "loud", "BACKSTAY_LOG_LEVEL: \"loud\"");
  check("BACKSTAY_LOG_FILE", "x.log", "BACKSTAY_LOG_FILE: \"x.log\" is relative");
  check("BACKSTAY_DB", "app.db", "BACKSTAY_DB: \"app.db\" is relative");
  check("BACKSTAY_DB", "/app.db", "set BACKSTAY_REPLICA_URL");
  check("BACKSTAY_ACCESS_KEY_ID", "A", "without BACKSTAY_SECRET_ACCESS_KEY");
  check("BACKSTAY_SECRET_ACCESS_KEY", "A", "without BACKSTAY_ACCESS_KEY_ID");
  world.environment.clear();
  Result<DatabaseSettings> database = world.For("/a", "s3://b", {{"backstay_durabilty", "sync"}});
  CHECK_CONTAINS(database.error().message(), "\"backstay_durabilty\"; did you mean");
  database = world.For("/a", "s3://b", {{"backstay_durability", "x"}});
  CHECK_CONTAINS(database.error().message(), "URI parameter backstay_durability: \"x\"");
  CHECK_CONTAINS(world.For("/a", "s3://").error().message(), "URI parameter replica: ");
  CHECK_CONTAINS(world.For("a.db", "s3://b").error().message(), "not absolute");
}

TEST_CASE("variables of tests and of Kubernetes are none of ours") {
  SettingsWorld world;
  world.environment = {{"BACKSTAY_TEST_X", "1"},
                       {"BACKSTAY_SERVICE_HOST", "10.0.0.1"},
                       {"BACKSTAY_SERVICE_PORT", "80"},
                       {"BACKSTAY_SERVICE_PORT_HTTP", "80"},
                       {"BACKSTAY_PORT", "tcp://10.0.0.1:80"},
                       {"BACKSTAY_UI_PORT_80_TCP", "tcp://10.0.0.1:80"},
                       {"BACKSTAY_PORT_80_TCP_ADDR", "10.0.0.1"},
                       {"BACKSTAY_DURABILITY", ""}};
  CHECK(world.Load().ok());
}

TEST_CASE("a glob selects by absolute path, not across folders") {
  SettingsWorld world;
  world.environment = {{"BACKSTAY_DB", "/data/*/app[0-9].db"},
                       {"BACKSTAY_REPLICA_URL", "s3://b/{name}"}};
  CHECK(world.For("/data/x/app1.db").ok());
  CHECK(world.For("/data/x/../y/app2.db").value().path == "/data/y/app2.db");
  CHECK_FALSE(world.For("/data/x/y/app1.db").ok());
  CHECK_FALSE(world.For("/data/x/app.db").ok());
  world.environment["BACKSTAY_REPLICA_URL"] = "s3://b/p";
  CHECK_CONTAINS(world.Error(), "put {name}");
}

TEST_CASE("a path that exists as it is written is no glob") {
  SettingsWorld world;
  const std::string literal = world.folder / "app[1].db";
  world.environment = {{"BACKSTAY_DB", literal}, {"BACKSTAY_REPLICA_URL", "file:///r/{name}"}};
  CHECK(world.For(literal).ok());
  CHECK(world.For(world.folder / "app1.db").ok());
  std::ofstream(literal) << "here";
  CHECK(world.For(literal).ok());
  CHECK_FALSE(world.For(world.folder / "app1.db").ok());
}

TEST_CASE("paths are compared after normalisation and through symbolic links") {
  SettingsWorld world;
  std::filesystem::create_directories(world.folder / "real");
  std::filesystem::create_directory_symlink(world.folder / "real", world.folder / "link");
  world.environment = {{"BACKSTAY_DB", world.folder.path() + "//./link/../link/a[b].db"},
                       {"BACKSTAY_REPLICA_URL", "file:///r/{name}"}};
  CHECK(world.For(world.folder / "link/a[b].db").ok());
  CHECK(world.For(world.folder / "real/ab.db").ok());
  world.environment["BACKSTAY_DB"] = world.folder / "link/app.db";
  CHECK(world.For(world.folder / "real/app.db").ok());
  CHECK_FALSE(world.For(world.folder / "real/other.db").ok());
}

TEST_CASE("BACKSTAY_DB narrows the file's databases, or adds one before them") {
  SettingsWorld world;
  world.File(R"({"dbs":[{"path":"/data/*.db","durability":"sync",
                         "replica":{"url":"s3://b/{name}"}}]})");
  world.environment["BACKSTAY_DB"] = "/data/a.db";
  CHECK(world.For("/data/a.db").ok());
  CHECK_FALSE(world.For("/data/b.db").ok());
  world.environment["BACKSTAY_REPLICA_URL"] = "s3://other/{name}";
  CHECK(world.For("/data/a.db").value().replicas[0].bucket == "other");
  CHECK(world.For("/data/a.db").value().durability == Durability::kSync);
  CHECK(world.For("/data/b.db").value().replicas[0].bucket == "b");
}

TEST_CASE("a replica URL alone selects every database, nothing selects none") {
  SettingsWorld world;
  CHECK(world.For("/any.db").error().code() == Code::kNotFound);
  CHECK(world.For("/any.db", "s3://b").ok());
  world.environment["BACKSTAY_REPLICA_URL"] = "s3://b/p";
  CHECK(world.For("/any.db").value().replicas[0].path == "p");
}

TEST_CASE("credentials come in pairs from one source, ours first") {
  SettingsWorld world;
  auto keys = [&] {
    ReplicaSettings replica = world.For("/a.db").value().replicas[0];
    return replica.access_key_id + "/" + replica.secret_access_key + "/" + replica.session_token;
  };
  world.environment = {{"BACKSTAY_REPLICA_URL", "s3://b"}};
  CHECK(keys() == "//");
  world.environment["AWS_ACCESS_KEY_ID"] = "A3";
  CHECK(keys() == "//");
  world.environment["AWS_SECRET_ACCESS_KEY"] = "S3";
  world.environment["AWS_SESSION_TOKEN"] = "T3";
  CHECK(keys() == "A3/S3/T3");
  world.environment["LITESTREAM_ACCESS_KEY_ID"] = "A2";
  CHECK(keys() == "A3/S3/T3");
  world.environment["LITESTREAM_SECRET_ACCESS_KEY"] = "S2";
  CHECK(keys() == "A2/S2/");
  world.environment["BACKSTAY_ACCESS_KEY_ID"] = "A1";
  world.environment["BACKSTAY_SECRET_ACCESS_KEY"] = "S1";
  CHECK(keys() == "A1/S1/");
}

TEST_CASE("which CA certificates are trusted, ours first") {
  SettingsWorld world;
  auto ca_file = [&](const std::string& url = "s3://b") {
    return world.For("/a.db", url).value().replicas[0].ca_file;
  };
  CHECK(ca_file() == "");
  for (const char* name : {"SSL_CERT_FILE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE"}) {
    world.environment[name] = name;
    CHECK(ca_file() == name);
  }
  world.File(R"({"ca-file":"/global"})");
  CHECK(ca_file() == "/global");
  CHECK(ca_file("s3://b?ca-file=/own") == "/own");
}

TEST_CASE("the environment may complete half a pair of the file, and never mixes pairs") {
  SettingsWorld world;
  world.File(R"({"dbs":[{"path":"/a.db","replica":{"bucket":"b","access-key-id":"A"}}]})");
  world.environment = {{"AWS_ACCESS_KEY_ID", "OTHER"}, {"AWS_SECRET_ACCESS_KEY", "OTHERSECRET"}};
  CHECK_CONTAINS(world.Error(), "access-key-id is set without secret-access-key");
  world.environment["BACKSTAY_SECRET_ACCESS_KEY"] = "S";
  CHECK(world.For("/a.db").value().replicas[0].secret_access_key == "S");
}

TEST_CASE("AWS's endpoint and region fill gaps, a URL's own words win") {
  SettingsWorld world;
  world.environment = {{"AWS_ENDPOINT_URL_S3", "http://one:1"},
                       {"AWS_ENDPOINT_URL", "http://two:2"},
                       {"AWS_DEFAULT_REGION", "eu-default"}};
  ReplicaSettings replica = world.For("/a", "s3://b").value().replicas[0];
  CHECK(replica.endpoint == "http://one:1");
  CHECK(replica.region == "eu-default");
  replica = world.For("/a", "s3://b?endpoint=http://own:3&region=us-east-1").value().replicas[0];
  CHECK(replica.endpoint == "http://own:3");
  CHECK(replica.region == "us-east-1");
}

TEST_CASE("no error and no description holds a secret") {
  const std::string secret = "SECRETwJalrXUtnFEMI";
  SettingsWorld world;
  world.File(R"({"access-key-id":"A","secret-access-key":")" + secret +
             R"(","dbs":[{"path":"/a.db","replica":{"bucket":"b","session-token":")" + secret +
             R"("}}]})");
  CHECK_FALSE(Contains(world.For("/a.db").value().replicas[0].Describe(), secret));
  for (const std::string& bad :
       {R"({"secret-access-key":[")" + secret + R"("]})",
        R"({"session-token":")" + secret + R"("})", R"({"secret-access-key":")" + secret + R"("})",
        R"({"secret-access-key":")" + secret + R"(" "})",
        R"({"dbs":[{"path":"/a","replica":{"bucket":"b","secret-access-key":")" + secret +
            R"("}}]})",
        R"({"dbs":[{"path":"/a","replica":{"url":"s3://k:)" + secret + R"(@b"}}]})"}) {
    world.File(bad);
    Result<Settings> settings = world.Load();
    if (!settings.ok()) CHECK_FALSE(Contains(settings.error().ToString(), secret));
  }
  world.File("{}");
  world.environment = {{"BACKSTAY_SECRET_ACCESS_KEY", secret}};
  CHECK_FALSE(Contains(world.Error(), secret));
}

TEST_CASE("the table's defaults are the structs'") {
  Settings settings, fresh;
  DatabaseSettings database, fresh_database;
  ReplicaSettings replica, fresh_replica;
  settings.drain_timeout_ms = settings.close_timeout_ms = database.sync_timeout_ms =
      database.min_interval_ms = -1;
  settings.drain_on_sigterm = true;
  settings.heartbeat_interval_ms = -1;
  settings.log = {"x", "x", "x"};
  database.durability = Durability::kSync;
  database.sync_wal = false;
  database.outbox_limit = database.page_cache = database.retention_ms = 1;
  database.max_requests = 1;
  replica.region = "x";
  replica.skip_verify = true;
  for (const Setting& setting : AllSettings()) {
    if (*setting.standard == '\0') continue;
    INFO(setting.key);
    CHECK(setting.set(setting.standard, {&settings, &database, &replica}).ok());
  }
  CHECK(settings.drain_timeout_ms == fresh.drain_timeout_ms);
  CHECK(settings.close_timeout_ms == fresh.close_timeout_ms);
  CHECK(settings.drain_on_sigterm == fresh.drain_on_sigterm);
  CHECK(settings.heartbeat_interval_ms == fresh.heartbeat_interval_ms);
  CHECK(settings.log.level == fresh.log.level);
  CHECK(settings.log.type == fresh.log.type);
  CHECK(settings.log.file == fresh.log.file);
  CHECK(database.durability == fresh_database.durability);
  CHECK(database.sync_timeout_ms == fresh_database.sync_timeout_ms);
  CHECK(database.min_interval_ms == fresh_database.min_interval_ms);
  CHECK(database.max_requests == fresh_database.max_requests);
  CHECK(database.sync_wal == fresh_database.sync_wal);
  CHECK(database.outbox_limit == fresh_database.outbox_limit);
  CHECK(database.page_cache == fresh_database.page_cache);
  CHECK(database.retention_ms == fresh_database.retention_ms);
  CHECK(replica.region == fresh_replica.region);
  CHECK(replica.skip_verify == fresh_replica.skip_verify);
}

TEST_CASE("the manual's table has a row for each setting and every name in it") {
  const std::string table = SettingsTable();
  for (const Setting& setting : AllSettings()) {
    CHECK(Contains(table, std::string(setting.key)));
    for (const char* name : setting.variables) CHECK(Contains(table, name));
    CHECK(Contains(table, setting.parameter));
    CHECK_FALSE(Contains(setting.help, "|"));
  }
}

}  // namespace backstay
