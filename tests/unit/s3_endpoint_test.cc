// From settings to host and path.

#include "uploader/storage/s3_endpoint.h"

#include <string>

#include "tests/support/catch.h"
#include "uploader/storage/client_factory.h"

namespace backstay {
namespace {

ReplicaSettings Bucket(const std::string& bucket, const std::string& endpoint,
                       const std::string& region = "us-east-1") {
  ReplicaSettings settings;
  settings.type = "s3";
  settings.bucket = bucket;
  settings.endpoint = endpoint;
  settings.region = region;
  settings.access_key_id = "id";
  settings.secret_access_key = "example-secret";
  return settings;
}

std::string Shown(const ReplicaSettings& settings) {
  Result<S3Endpoint> endpoint = ResolveS3Endpoint(settings);
  INFO(endpoint.status().ToString());
  REQUIRE(endpoint.ok());
  return endpoint->scheme + " " + endpoint->host + " " + endpoint->path;
}

std::string Refused(const ReplicaSettings& settings) {
  Result<std::unique_ptr<ReplicaClient>> client = MakeReplicaClient(settings);
  REQUIRE(client.status().code() == Code::kInvalid);
  CHECK_THAT(client.status().message(), !Catch::Contains("example-secret"));
  return client.status().message();
}

}  // namespace

TEST_CASE("AWS: the bucket is in the host's name") {
  CHECK(Shown(Bucket("bkt", "", "eu-west-1")) == "https bkt.s3.eu-west-1.amazonaws.com ");
  CHECK(Shown(Bucket("bkt", "", "cn-north-1")) == "https bkt.s3.cn-north-1.amazonaws.com.cn ");
  CHECK(Shown(Bucket("bkt", "https://s3.us-east-2.amazonaws.com/")) ==
        "https bkt.s3.us-east-2.amazonaws.com ");
  CHECK(Shown(Bucket("bkt", "oss-cn-hangzhou.aliyuncs.com")) ==
        "https bkt.oss-cn-hangzhou.aliyuncs.com ");
}

TEST_CASE("names that fit no host, and force-path-style: the bucket is in the path") {
  CHECK(Shown(Bucket("a.b", "")) == "https s3.us-east-1.amazonaws.com /a.b");
  CHECK(Shown(Bucket("a_B", "")) == "https s3.us-east-1.amazonaws.com /a_B");
  ReplicaSettings forced = Bucket("bkt", "");
  forced.force_path_style = true;
  CHECK(Shown(forced) == "https s3.us-east-1.amazonaws.com /bkt");
}

TEST_CASE("every other endpoint: the bucket is in the path") {
  CHECK(Shown(Bucket("bkt", "http://127.0.0.1:9000")) == "http 127.0.0.1:9000 /bkt");
  CHECK(Shown(Bucket("bkt", "http://[::1]:9000/")) == "http [::1]:9000 /bkt");
  CHECK(Shown(Bucket("bkt", "http://minio.default.svc:80")) == "http minio.default.svc /bkt");
  CHECK(Shown(Bucket("bkt", "minio.example.com:443")) == "https minio.example.com /bkt");
  CHECK(Shown(Bucket("bkt", "https://x.example.com/storage/v1/s3/")) ==
        "https x.example.com /storage/v1/s3/bkt");
}

TEST_CASE("the settings choose the style") {
  const auto of = [](const std::string& query) {
    return Shown(ParseReplicaUrl("s3://bkt/p?" + query, "").value());
  };
  CHECK(of("endpoint=https://nyc3.digitaloceanspaces.com") ==
        "https nyc3.digitaloceanspaces.com /bkt");
  CHECK(of("endpoint=https://nyc3.digitaloceanspaces.com&force-path-style=false") ==
        "https bkt.nyc3.digitaloceanspaces.com ");
  CHECK(of("endpoint=http://localhost:9000&force-path-style=false") == "http bkt.localhost:9000 ");
  CHECK(of("endpoint=https://h.example/s3&force-path-style=false") == "https bkt.h.example /s3");
  CHECK(of("endpoint=http://127.0.0.1:9000&force-path-style=false") == "http 127.0.0.1:9000 /bkt");
  CHECK(of("endpoint=http://[::1]:9000&force-path-style=false") == "http [::1]:9000 /bkt");
  CHECK(of("endpoint=https://oss-cn-hangzhou.aliyuncs.com") ==
        "https bkt.oss-cn-hangzhou.aliyuncs.com ");
  CHECK(of("region=eu-west-1") == "https bkt.s3.eu-west-1.amazonaws.com ");
  CHECK(of("region=eu-west-1&force-path-style=true") == "https s3.eu-west-1.amazonaws.com /bkt");
  CHECK(of("endpoint=https://x.supabase.co/storage/v1/s3/") ==
        "https x.supabase.co /storage/v1/s3/bkt");
}

TEST_CASE("bad settings are refused with their names") {
  CHECK_THAT(Refused(Bucket("", "")), Catch::Contains("bucket"));
  CHECK_THAT(Refused(Bucket("a/b", "")), Catch::Contains("a/b"));
  CHECK_THAT(Refused(Bucket("bkt", "ftp://host")), Catch::Contains("endpoint"));
  CHECK_THAT(Refused(Bucket("bkt", "http://")), Catch::Contains("endpoint"));
  CHECK_THAT(Refused(Bucket("bkt", "http://host/?x=1")), Catch::Contains("endpoint"));
  CHECK_THAT(Refused(Bucket("bkt", "http://user:example-secret@host")),
             Catch::Contains("user name or password"));
  CHECK_THAT(Refused(Bucket("bkt", "", "")), Catch::Contains("region"));
  CHECK_THAT(Refused(Bucket("bkt", "", "eu west")), Catch::Contains("region"));
  ReplicaSettings settings = Bucket("bkt", "");
  settings.secret_access_key = "";
  CHECK_THAT(Refused(settings), Catch::Contains("AWS_SECRET_ACCESS_KEY"));
  settings.access_key_id = "";
  CHECK_THAT(Refused(settings), Catch::Contains("AWS_ACCESS_KEY_ID"));
  settings.type = "gs";
  CHECK_THAT(Refused(settings), Catch::Contains("`gs`"));
  settings.type = "file";
  settings.path = "not/absolute";
  CHECK_THAT(Refused(settings), Catch::Contains("absolute"));
}

}  // namespace backstay
