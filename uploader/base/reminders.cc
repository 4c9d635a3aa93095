#include "uploader/base/reminders.h"

namespace backstay {
namespace {

constexpr int64_t kFirstPauseMs = 5 * 60 * 1000;
constexpr int64_t kPauseMs = 60 * 60 * 1000;

}  // namespace

std::optional<std::string> Reminders::Due(const std::string& what, const std::string& message) {
  const int64_t now = clock_->MonotonicMs();
  std::lock_guard<std::mutex> lock(mutex_);
  State& state = states_[what];
  if (state.times == 0 || state.message != message) {
    state = {message, clock_->WallMs(), now, 1};
    return message;
  }
  if (now - state.said_ms < (state.times == 1 ? kFirstPauseMs : kPauseMs)) return std::nullopt;
  std::string again = message + " (since " + FormatRfc3339(state.since_ms) + ")";
  state.said_ms = now;
  ++state.times;
  return again;
}

bool Reminders::Forget(const std::string& what) {
  std::lock_guard<std::mutex> lock(mutex_);
  return states_.erase(what) != 0;
}

}  // namespace backstay
