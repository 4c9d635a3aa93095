#include "tests/unit/settings_support.h"
#include "uploader/settings/replica_url.h"

namespace backstay {
namespace {

std::string UrlError(const std::string& url) {
  Result<ReplicaSettings> replica = ParseReplicaUrl(url, "app.db");
  INFO(url);
  REQUIRE_FALSE(replica.ok());
  CHECK(replica.error().code() == Code::kInvalid);
  CHECK(replica.error().message().rfind("replica URL: ", 0) == 0);
  return replica.error().message();
}

}  // namespace

TEST_CASE("an s3 URL in full") {
  ReplicaSettings replica =
      ParseReplicaUrl(
          "s3://bucket/a/pre%20fix/?endpoint=http%3A%2F%2F127.0.0.1%3A9000/&region=eu-1"
          "&force-path-style=false&skip-verify=true",
          "")
          .value();
  CHECK(replica.type == "s3");
  CHECK(replica.bucket == "bucket");
  CHECK(replica.path == "a/pre fix");
  CHECK(replica.endpoint == "http://127.0.0.1:9000");
  CHECK(replica.region == "eu-1");
  CHECK_FALSE(replica.force_path_style);
  CHECK(replica.skip_verify);
  CHECK(replica.Describe() == "s3://bucket/a/pre fix");
}

TEST_CASE("an s3 URL with nothing but a bucket") {
  ReplicaSettings replica = ParseReplicaUrl("S3://my.bucket-1", "").value();
  CHECK(replica.bucket == "my.bucket-1");
  CHECK(replica.path.empty());
  CHECK(replica.region == "us-east-1");
  CHECK_FALSE(replica.region_given);
  CHECK_FALSE(replica.force_path_style);
  CHECK(replica.Describe() == "s3://my.bucket-1");
}

TEST_CASE("a custom endpoint means path style, Amazon's does not") {
  auto path_style = [](const std::string& query) {
    return ParseReplicaUrl("s3://b/p?" + query, "").value().force_path_style;
  };
  CHECK(path_style("endpoint=http://localhost:9000"));
  CHECK(path_style("endpoint=http://[::1]:9000"));
  CHECK_FALSE(path_style("endpoint=https://s3.eu-west-1.amazonaws.com"));
  CHECK_FALSE(path_style("endpoint=https://oss.example.com&force-path-style=false"));
  CHECK(path_style("force-path-style=true"));
}

TEST_CASE("a file URL") {
  CHECK(ParseReplicaUrl("file:///backup//a/../b%25/", "").value().path == "/backup/b%");
  CHECK(ParseReplicaUrl("file:///backup/b", "").value().Describe() == "file:///backup/b");
}

TEST_CASE("{name} is the database's file name, in bucket and path") {
  CHECK(ParseReplicaUrl("s3://b/{name}/x", "app.db").value().path == "app.db/x");
  CHECK(ParseReplicaUrl("s3://{name}/x", "app.db").value().bucket == "app.db");
  CHECK(ParseReplicaUrl("file:///r/{name}", "a%20b.db").value().path == "/r/a%20b.db");
  CHECK(ParseReplicaUrl("s3://b/{name}/x", "").value().path == "{name}/x");
  for (const std::string name : {"a%20b.db", "100%.db", "what?.db", "#1.db", "a b.db", "a\nb"}) {
    const std::string said = ParseReplicaUrl("file:///r/{name}", name).value().Describe();
    CHECK(ParseReplicaUrl(said, "").value().path == "/r/" + name);
  }
  CHECK(ParseReplicaUrl("file:///r/{name}", "100% a.db").value().Describe() ==
        "file:///r/100%25 a.db");
  CHECK_CONTAINS(UrlError("s3://b/../{name}"), "..");
  CHECK_FALSE(ParseReplicaUrl("s3://{name}/x", "my app.db").ok());
  CHECK_FALSE(ParseReplicaUrl("s3://b/{name}", "..").ok());
}

TEST_CASE("bad URLs name the fault and the remedy") {
  CHECK_CONTAINS(UrlError(""), "s3://bucket/prefix or file:///folder");
  CHECK_CONTAINS(UrlError("/backup"), "file:///folder");
  CHECK_CONTAINS(UrlError("bucket/prefix"), "no scheme");
  CHECK_CONTAINS(UrlError("gs://bucket/x"), "\"gs\" is not supported, only s3 and file are");
  CHECK_CONTAINS(UrlError("s3://"), "bucket is missing");
  CHECK_CONTAINS(UrlError("s3:///prefix"), "bucket is missing");
  CHECK_CONTAINS(UrlError("s3://buck et/x"), "bucket's name");
  CHECK_CONTAINS(UrlError("s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/app"), "its alias");
  CHECK_CONTAINS(UrlError("file://backup/x"), "\"backup/x\" is relative");
  CHECK_CONTAINS(UrlError("file://"), "folder is missing");
  CHECK_CONTAINS(UrlError("file:///"), "\"/\" cannot be a replica");
  CHECK_CONTAINS(UrlError("s3://b/p#x"), "%23");
  CHECK_CONTAINS(UrlError("s3://b/100%"), "%25");
  CHECK_CONTAINS(UrlError("s3://b/%zz"), "%25");
  CHECK_CONTAINS(UrlError("file:///a%00b"), "%25");
  CHECK_CONTAINS(UrlError("s3://b/a%0ab"), "control character");
  CHECK_CONTAINS(UrlError("s3://b/" + std::string(901, 'x')), "900");
}

TEST_CASE("bad query parameters are named") {
  CHECK_CONTAINS(UrlError("s3://b/p?endpont=x"), "\"endpont\"; did you mean \"endpoint\"?");
  CHECK_CONTAINS(UrlError("s3://b/p?bucket=x"), "unknown parameter \"bucket\"");
  CHECK_CONTAINS(UrlError("s3://b/p?region=a&region=b"), "region is given twice");
  CHECK_CONTAINS(UrlError("s3://b/p?region="), "region has no value");
  CHECK_CONTAINS(UrlError("s3://b/p?region"), "region has no value");
  CHECK_CONTAINS(UrlError("s3://b/p?force-path-style=maybe"), "force-path-style: \"maybe\"");
  CHECK_CONTAINS(UrlError("file:///p?region=x"), "takes no parameter");
}

TEST_CASE("a server in the bucket's place is named") {
  for (const char* url : {"s3://b.localhost/x", "s3://b.s3.us-west-004.backblazeb2.com/x",
                          "s3://b.nyc3.digitaloceanspaces.com", "s3://localhost/b/x"}) {
    INFO(url);
    CHECK_CONTAINS(UrlError(url), "stands in the bucket's place");
  }
  CHECK(ParseReplicaUrl("s3://my.bucket.name/x", "").ok());
}

TEST_CASE("an endpoint without a scheme is https, on this machine http") {
  const std::vector<std::pair<const char*, const char*>> endpoints = {
      {"my.local.minio", "https://my.local.minio"},
      {"minio:9000", "https://minio:9000"},
      {"localhost.example.com", "https://localhost.example.com"},
      {"localhost:9000", "http://localhost:9000"},
      {"127.0.0.1:9000", "http://127.0.0.1:9000"},
      {"[::1]:9000", "http://[::1]:9000"},
      {"http://minio:9000", "http://minio:9000"}};
  for (const auto& [given, meant] : endpoints) {
    ReplicaSettings replica;
    replica.bucket = "b";
    replica.endpoint = given;
    CHECK(FinishReplica(&replica).ok());
    CHECK(replica.endpoint == meant);
  }
}

TEST_CASE("an endpoint is scheme, host and port, nothing else") {
  for (const char* endpoint : {"ftp://h", "http://", "http://h/path", "http://h?x", "http://h:port",
                               "http://u:p@h", "http://h:99999", "http://h h"}) {
    INFO(endpoint);
    ReplicaSettings replica;
    replica.bucket = "b";
    replica.endpoint = endpoint;
    Status status = FinishReplica(&replica);
    REQUIRE_FALSE(status.ok());
    CHECK_CONTAINS(status.message(), "http://host:port");
  }
}

TEST_CASE("no error about a URL repeats what stands where credentials are put by mistake") {
  const std::string secret = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY";
  for (const std::string& url :
       {"s3://AKID:" + secret + "@bucket/x", "s3://" + secret + "@bucket/x",
        "s3://AKID:x/" + secret + "@bucket/x", "s3://b/x?secret-access-key=" + secret,
        "s3://b/x?access-key-id=a&secret-access-key=" + secret, "s3://b/x?secret=" + secret,
        "s3://b/x?endpoint=http://AKID:" + secret + "@h", "gs://AKID:" + secret + "@bucket/x",
        "AKID:" + secret, secret}) {
    CHECK_FALSE(Contains(UrlError(url), secret));
  }
  CHECK_CONTAINS(UrlError("s3://b/x?secret-access-key=" + secret), "BACKSTAY_SECRET_ACCESS_KEY");
  CHECK_CONTAINS(UrlError("s3://AKID:" + secret + "@b/x"), "no user, password or port");
}

}  // namespace backstay
