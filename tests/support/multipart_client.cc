// Puts a file with the S3 client in parts of 5 MiB, one try, or gets an object: what the engine's
// objects are too small for.
//
//   multipart_client ENDPOINT put|get KEY FILE
//
// Bucket and keys are those of with-s3.sh. Prints one line of JSON; exit status: 0 done, 1 failed.

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "uploader/base/file.h"
#include "uploader/storage/s3_client.h"

namespace backstay {
namespace {

std::string Env(const char* name) {
  const char* value = getenv(name);
  return value == nullptr ? "" : value;
}

Result<std::unique_ptr<ReplicaClient>> MakeClient(const std::string& endpoint) {
  ReplicaSettings settings;
  settings.type = "s3";
  settings.endpoint = endpoint;
  settings.bucket = Env("BACKSTAY_TEST_S3_BUCKET");
  settings.region = Env("AWS_REGION");
  settings.access_key_id = Env("AWS_ACCESS_KEY_ID");
  settings.secret_access_key = Env("AWS_SECRET_ACCESS_KEY");
  settings.force_path_style = true;
  return S3ReplicaClient::Make(
      {.replica = settings, .multipart_threshold = 5 << 20, .part_size = 5 << 20});
}

Status Do(ReplicaClient* client, const std::string& what, const std::string& key,
          const std::string& path) {
  if (what == "put") {
    Result<std::string> body = ReadFile(path, SIZE_MAX);
    return body.ok() ? client->Put(key, AsBytes(*body)) : body.status();
  }
  Result<std::string> got = client->Get(key, {});
  return got.ok() ? WriteFileAtomic(path, *got, /*durable=*/false) : got.status();
}

int Main(int argc, char** argv) {
  if (argc != 5) return 2;
  Result<std::unique_ptr<ReplicaClient>> client = MakeClient(argv[1]);
  if (!client.ok()) {
    std::cerr << client.status().message() << "\n";
    return 2;
  }
  Status done = Do(client->get(), argv[2], argv[3], argv[4]);
  nlohmann::json line = {{"retryable", done.retryable()},
                         {"message", done.message()},
                         {"requests", (*client)->Counters().requests}};
  std::cout << line.dump() << "\n";
  return done.ok() ? 0 : 1;
}

}  // namespace
}  // namespace backstay

int main(int argc, char** argv) { return backstay::Main(argc, argv); }
