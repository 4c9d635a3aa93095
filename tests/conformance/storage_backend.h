// The store that a run of the conformance suite is about: a folder, or the server of with-s3.sh.
//
// Each Backend is an empty replica of its own (a fresh folder or prefix), so that cases do not
// meet. BACKSTAY_TEST_STORAGE says which: "file" or "s3"; anything else ends the program with a
// message.

#ifndef BACKSTAY_TESTS_CONFORMANCE_STORAGE_BACKEND_H_
#define BACKSTAY_TESTS_CONFORMANCE_STORAGE_BACKEND_H_

#include <memory>
#include <string>

#include "tests/support/temp_folder.h"
#include "uploader/settings/settings.h"
#include "uploader/storage/replica_client.h"

namespace backstay {

// Value of an environment variable; without it the program ends and says how to run it.
std::string RequiredEnv(const char* name);

bool TestsS3();

class Backend {
 public:
  Backend();

  // A further client of the same replica.
  std::unique_ptr<ReplicaClient> Client() const;
  const ReplicaSettings& settings() const { return settings_; }

 private:
  TempFolder folder_;
  ReplicaSettings settings_;
};

}  // namespace backstay

#endif  // BACKSTAY_TESTS_CONFORMANCE_STORAGE_BACKEND_H_
