#include "tests/conformance/storage_backend.h"

#include <cstdio>
#include <cstdlib>

#include "uploader/storage/client_factory.h"

namespace backstay {

std::string RequiredEnv(const char* name) {
  const char* value = std::getenv(name);
  if (value != nullptr) return value;
  fprintf(stderr, "%s is not set: run this through ctest, or tests/support/s3server/with-s3.sh\n",
          name);
  std::exit(2);
}

bool TestsS3() {
  std::string storage = RequiredEnv("BACKSTAY_TEST_STORAGE");
  if (storage == "s3" || storage == "file") return storage == "s3";
  fprintf(stderr, "BACKSTAY_TEST_STORAGE must be `file` or `s3`\n");
  std::exit(2);
}

Backend::Backend() {
  if (TestsS3()) {
    settings_.type = "s3";
    settings_.endpoint = RequiredEnv("BACKSTAY_TEST_S3_ENDPOINT");
    settings_.bucket = RequiredEnv("BACKSTAY_TEST_S3_BUCKET");
    settings_.region = RequiredEnv("AWS_REGION");
    settings_.access_key_id = RequiredEnv("AWS_ACCESS_KEY_ID");
    settings_.secret_access_key = RequiredEnv("AWS_SECRET_ACCESS_KEY");
    // Where the server speaks TLS.
    if (const char* ca = std::getenv("AWS_CA_BUNDLE")) settings_.ca_file = ca;
    // The folder's random name is a prefix that no other case has.
    settings_.path = "conformance" + folder_.path().substr(folder_.path().rfind('-'));
  } else {
    settings_.type = "file";
    settings_.path = folder_ / "deep/replica";
  }
}

std::unique_ptr<ReplicaClient> Backend::Client() const {
  Result<std::unique_ptr<ReplicaClient>> client = MakeReplicaClient(settings_);
  if (client.ok()) return std::move(*client);
  fprintf(stderr, "%s\n", client.status().ToString().c_str());
  std::exit(2);
}

}  // namespace backstay
