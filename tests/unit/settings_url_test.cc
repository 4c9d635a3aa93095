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
  // They refuse the bucket in the path.
  CHECK_FALSE(path_style("endpoint=oss-cn-hangzhou.aliyuncs.com"));
  CHECK_FALSE(path_style("endpoint=https://cos.ap-beijing.myqcloud.com"));
  // Not Amazon's, whatever it is called.
  CHECK(path_style("endpoint=https://amazonaws.com.example.org"));
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
  CHECK_CONTAINS(UrlError("s3://arn:aws:s3:::bucket"), "accesspoint/name");
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

TEST_CASE("a provider's host in the URL says endpoint, bucket and region") {
  struct Case {
    const char* url;
    const char* bucket;
    const char* path;
    const char* endpoint;
    const char* region;
  };
  const std::vector<Case> cases = {
      {"s3://b.nyc3.digitaloceanspaces.com/a/b", "b", "a/b", "https://nyc3.digitaloceanspaces.com",
       "nyc3"},
      {"s3://nyc3.digitaloceanspaces.com/b/a", "b", "a", "https://nyc3.digitaloceanspaces.com",
       "nyc3"},
      {"s3://b.s3.us-west-002.backblazeb2.com/x", "b", "x",
       "https://s3.us-west-002.backblazeb2.com", "us-west-002"},
      {"s3://0123456789abcdef.r2.cloudflarestorage.com/b/x/y", "b", "x/y",
       "https://0123456789abcdef.r2.cloudflarestorage.com", "auto"},
      {"s3://0123456789abcdef.eu.r2.cloudflarestorage.com/b", "b", "",
       "https://0123456789abcdef.eu.r2.cloudflarestorage.com", "auto"},
      {"s3://b.0123456789abcdef.r2.cloudflarestorage.com/x", "b", "x",
       "https://0123456789abcdef.r2.cloudflarestorage.com", "auto"},
      {"s3://b.s3.eu-central-1.wasabisys.com", "b", "", "https://s3.eu-central-1.wasabisys.com",
       "eu-central-1"},
      {"s3://b.s3.wasabisys.com/x", "b", "x", "https://s3.wasabisys.com", "us-east-1"},
      {"s3://b.s3.fr-par.scw.cloud/x", "b", "x", "https://s3.fr-par.scw.cloud", "fr-par"},
      {"s3://b.eu-central-1.linodeobjects.com/x", "b", "x",
       "https://eu-central-1.linodeobjects.com", "eu-central-1"},
      {"s3://b.fsn1.your-objectstorage.com/x", "b", "x", "https://fsn1.your-objectstorage.com",
       "fsn1"},
      {"s3://b.s3.filebase.com/x", "b", "x", "https://s3.filebase.com", "us-east-1"},
      {"s3://b.storage.googleapis.com/x", "b", "x", "https://storage.googleapis.com", "auto"},
      {"s3://ref.supabase.co/storage/v1/s3/b/x", "b", "x", "https://ref.supabase.co/storage/v1/s3",
       "us-east-1"},
      {"s3://ref.storage.supabase.co/storage/v1/s3/b/x?region=eu-west-1", "b", "x",
       "https://ref.storage.supabase.co/storage/v1/s3", "eu-west-1"},
      {"s3://b.localhost:9000/x", "b", "x", "http://localhost:9000", "us-east-1"},
      {"s3://localhost/b/x", "b", "x", "http://localhost", "us-east-1"},
      {"s3://127.0.0.1:9000/b/x", "b", "x", "http://127.0.0.1:9000", "us-east-1"},
      {"s3://[::1]:9000/b/x", "b", "x", "http://[::1]:9000", "us-east-1"},
      {"s3://my.b.s3.eu-west-1.amazonaws.com/x", "my.b", "x", "https://s3.eu-west-1.amazonaws.com",
       "eu-west-1"},
      {"s3://b.s3-us-west-2.amazonaws.com/x", "b", "x", "https://s3-us-west-2.amazonaws.com",
       "us-west-2"},
      {"s3://b.s3.dualstack.eu-west-1.amazonaws.com/x", "b", "x",
       "https://s3.dualstack.eu-west-1.amazonaws.com", "eu-west-1"},
      {"s3://b.s3.cn-north-1.amazonaws.com.cn/x", "b", "x",
       "https://s3.cn-north-1.amazonaws.com.cn", "cn-north-1"},
  };
  for (const Case& each : cases) {
    INFO(each.url);
    const Result<ReplicaSettings> replica = ParseReplicaUrl(each.url, "");
    REQUIRE(replica.status().ToString() == "OK");
    CHECK(replica->bucket == each.bucket);
    CHECK(replica->path == each.path);
    CHECK(replica->endpoint == each.endpoint);
    CHECK(replica->region == each.region);
    const bool amazon = Contains(each.endpoint, "amazonaws.com");
    CHECK(replica->force_path_style == !amazon);
  }
}

TEST_CASE("what is set goes before what the URL's host says") {
  const ReplicaSettings replica =
      ParseReplicaUrl(
          "s3://b.nyc3.digitaloceanspaces.com/x?endpoint=http://127.0.0.1:9000"
          "&region=us-east-1&force-path-style=false",
          "")
          .value();
  CHECK(replica.bucket == "b");
  CHECK(replica.endpoint == "http://127.0.0.1:9000");
  CHECK(replica.region == "us-east-1");
  CHECK_FALSE(replica.force_path_style);
}

TEST_CASE("a host without a bucket, and one of Amazon's that is not S3's, are named") {
  CHECK_CONTAINS(UrlError("s3://nyc3.digitaloceanspaces.com"), "bucket is missing");
  CHECK_CONTAINS(UrlError("s3://localhost:9000/"), "s3://localhost:9000/bucket/prefix");
  CHECK_CONTAINS(UrlError("s3://ref.supabase.co/b/x"), "ref.supabase.co/storage/v1/s3/bucket");
  CHECK_CONTAINS(UrlError("s3://b.ec2-1.compute.amazonaws.com/x"), "none of Amazon S3's");
  CHECK_CONTAINS(UrlError("s3://minio.example:9000/b"), "a server into ?endpoint=");
  CHECK_CONTAINS(UrlError("s3://user@b.localhost/x"), "no user");
  CHECK(ParseReplicaUrl("s3://my.bucket.name/x", "").value().endpoint.empty());
  CHECK(ParseReplicaUrl("s3://notlocalhost/x", "").value().bucket == "notlocalhost");
}

TEST_CASE("an endpoint without a scheme is https, on this machine http") {
  const std::vector<std::pair<const char*, const char*>> endpoints = {
      {"my.local.minio", "https://my.local.minio"},
      {"minio:9000", "https://minio:9000"},
      {"localhost.example.com", "https://localhost.example.com"},
      {"localhost:9000", "http://localhost:9000"},
      {"127.0.0.1:9000", "http://127.0.0.1:9000"},
      {"[::1]:9000", "http://[::1]:9000"},
      {"[2001:db8::1]:9000", "https://[2001:db8::1]:9000"},
      {"minio:9000/", "https://minio:9000"},
      {"http://nas:9000//", "http://nas:9000"},
      {"localhost:9000/s3/", "http://localhost:9000/s3"},
      {"https://x.supabase.co/storage/v1/s3", "https://x.supabase.co/storage/v1/s3"},
      {"http://minio:9000", "http://minio:9000"}};
  for (const auto& [given, meant] : endpoints) {
    ReplicaSettings replica;
    replica.bucket = "b";
    replica.endpoint = given;
    CHECK(FinishReplica(&replica).ok());
    CHECK(replica.endpoint == meant);
  }
}

TEST_CASE("an endpoint is scheme, host, port and path, nothing else") {
  for (const char* endpoint :
       {"ftp://h", "http://", "http://h?x", "http://h:port", "http://u:p@h", "http://h:99999",
        "http://h h", "http://h/a/../b", "http://h/./a", "http://h/..", "http://h/%2e",
        "http://h/#", "http://[::1", "http://::1:9000"}) {
    INFO(endpoint);
    ReplicaSettings replica;
    replica.bucket = "b";
    replica.endpoint = endpoint;
    Status status = FinishReplica(&replica);
    REQUIRE_FALSE(status.ok());
    CHECK_CONTAINS(status.message(), "http://host:port");
  }
}

TEST_CASE("an endpoint that ends with the bucket is a mistake") {
  CHECK_CONTAINS(UrlError("s3://b/x?endpoint=https://h.example/b"), "ends with the bucket, \"b\"");
  CHECK_CONTAINS(UrlError("s3://b/x?endpoint=https://h.example/s3/b/"), "write it without");
  CHECK(ParseReplicaUrl("s3://minio/x?endpoint=http://minio", "").ok());
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
