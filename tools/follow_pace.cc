#include "tools/follow_pace.h"

#include <algorithm>
#include <utility>

#include "uploader/replica/catalogue.h"

namespace backstay {
namespace {

constexpr int64_t kFirstListMs = 20000;  // without anything new
constexpr int64_t kMaxListMs = 1800000;
constexpr int64_t kSlowest = 10;  // intervals from one request to the next
constexpr int64_t kMaxTroubleMs = 60000;
// What damage costs is a whole restore.
constexpr int64_t kMaxDamageMs = 600000;

}  // namespace

FollowPace::FollowPace(Options options)
    : options_(std::move(options)),
      news_ms_(options_.clock->MonotonicMs()),
      trouble_ms_(news_ms_),
      list_ms_(kFirstListMs) {}

void FollowPace::Note(const Result<bool>& news) {
  NoteTrouble(news.status());
  if (!news.ok() || !*news) return;
  news_ms_ = options_.clock->MonotonicMs();
  list_ms_ = kFirstListMs;
}

void FollowPace::NoteTrouble(const Status& status) {
  const bool begins = trouble_ == Code::kOk && !status.ok();
  trouble_ = status.code();
  if (begins) trouble_ms_ = options_.clock->MonotonicMs();
  // What the next look may mend.
  if (begins && ListingIsStale(status)) return;
  if (told_ == trouble_) return;
  if (!status.ok()) {
    options_.say(Level::kWarn, status.message() + "; tried again until it is over");
  } else {
    options_.recovered(options_.copy + ": follows its replica again");
    list_ms_ = 0;
  }
  told_ = trouble_;
}

bool FollowPace::ListIsDue() {
  const int64_t idle_ms = SinceMs(news_ms_);
  if (idle_ms < list_ms_) return false;
  list_ms_ = std::clamp(2 * list_ms_, kFirstListMs, idle_ms + kMaxListMs);
  return true;
}

int64_t FollowPace::WaitMs() const {
  const int64_t interval_ms = options_.interval_ms;
  if (trouble_ == Code::kOk) {
    // A tenth of the time that nothing has come.
    return std::clamp(SinceMs(news_ms_) / 10, interval_ms, kSlowest * interval_ms);
  }
  const int64_t most_ms = trouble_ == Code::kCorrupt ? kMaxDamageMs : kMaxTroubleMs;
  return std::clamp(SinceMs(trouble_ms_) / 4, interval_ms, std::max(most_ms, interval_ms));
}

}  // namespace backstay
