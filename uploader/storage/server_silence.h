// ServerSilence: the calls of one client that a server leaves without an answer: told, at most
// every 30 s, and told again when it answers.
//
// Owned by S3ReplicaClient; any thread. Without memory for a text nothing is said.

#ifndef BACKSTAY_UPLOADER_STORAGE_SERVER_SILENCE_H_
#define BACKSTAY_UPLOADER_STORAGE_SERVER_SILENCE_H_

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>

#include "uploader/base/clock.h"
#include "uploader/storage/http.h"
#include "uploader/storage/replica_client.h"

namespace backstay {

class ServerSilence {
 public:
  ServerSilence(Clock* clock, SilenceWords words) : clock_(clock), words_(std::move(words)) {}

  // A call, `what`, began to be silent; it moves again or has ended (`answered`: by an answer).
  void Begins(const std::string& what, const HttpSilence& silence);
  void Ends(bool answered);
  // Of the calls that are silent now; empty: there are none.
  std::string Text();

 private:
  Clock* const clock_;
  const SilenceWords words_;
  std::mutex mutex_;
  int calls_ = 0;                   // this and below: guarded by mutex_
  std::string text_;                // of the last one
  std::optional<int64_t> said_ms_;  // monotonic, the last line
  std::optional<int64_t>
      unsettled_ms_;  // monotonic: since when it has been silent, where that was said
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STORAGE_SERVER_SILENCE_H_
