#include "vfs/said.h"

#include <algorithm>

#include "vfs/shortage.h"

namespace backstay {
namespace {

constexpr size_t kLimit = 1000;
constexpr int64_t kFirstPauseMs = 5 * 60 * 1000;
constexpr int64_t kPauseMs = 60 * 60 * 1000;

}  // namespace

int64_t Said::Now() const { return options_.now_ms ? options_.now_ms() : MonotonicMs(); }

void Said::MakeRoom() {
  const auto oldest = std::min_element(
      entries_.begin(), entries_.end(),
      [](const auto& a, const auto& b) { return a.second.met_ms < b.second.met_ms; });
  entries_.erase(oldest);
}

bool Said::Due(const std::string& line, Repeat repeat) {
  const int64_t now = Now();
  const auto found = entries_.find(line);
  if (found == entries_.end()) {
    if (entries_.size() >= kLimit) MakeRoom();
    entries_[line].met_ms = now;
    return true;
  }
  Entry& entry = found->second;
  entry.met_ms = now;
  if (entry.times == 0) return true;
  if (repeat == Repeat::kNever) return false;
  return now - entry.told_ms >= (entry.times == 1 ? kFirstPauseMs : kPauseMs);
}

void Said::Told(const std::string& line) noexcept {
  const auto found = entries_.find(line);
  if (found == entries_.end()) return;
  found->second.told_ms = Now();
  found->second.times++;
}

}  // namespace backstay
