#include "uploader/storage/server_silence.h"

namespace backstay {
namespace {

constexpr int64_t kPauseMs = 30000;

std::string Seconds(int64_t ms) { return std::to_string((ms + 500) / 1000) + " s"; }

}  // namespace

void ServerSilence::Begins(const std::string& what, const HttpSilence& silence) {
  const int64_t now = clock_->MonotonicMs();
  std::string text;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    ++calls_;
    text_ = (silence.connected ? "the server has been silent for " : "no connection for ") +
            Seconds(silence.silent_ms) + ": " + what;
    if (said_ms_ && now - *said_ms_ < kPauseMs) return;
    said_ms_ = now;
    unsettled_ms_ = now - silence.silent_ms;
    text = text_;
  }
  if (!words_.begins) return;
  words_.begins(text + "; given up after " + Seconds(silence.limit_ms) +
                " without progress, and tried again; see whether the server is well");
}

void ServerSilence::Ends(bool answered) {
  std::optional<int64_t> since;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (--calls_ == 0) text_.clear();
    // One that fails is told as a failure, and so is its end.
    since.swap(unsettled_ms_);
  }
  if (!answered || !since || !words_.ends) return;
  words_.ends("the server answers again, after " + Seconds(clock_->MonotonicMs() - *since));
}

std::string ServerSilence::Text() {
  std::lock_guard<std::mutex> lock(mutex_);
  return text_;
}

}  // namespace backstay
