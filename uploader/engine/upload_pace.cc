#include "uploader/engine/upload_pace.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <system_error>
#include <utility>

#include "uploader/base/file.h"

namespace backstay {
namespace {

constexpr char kName[] = "/budget";
constexpr double kGet = 0.08;     // $0.0004 for 1000 requests against $0.005
constexpr double kSaveEvery = 8;  // PUTs
constexpr int64_t kSaveEveryMs = 10000;
constexpr int64_t kSlowMs = 1000;           // is said
constexpr int64_t kTellEveryMs = 86400000;  // that the budget cannot be kept

// A store that fails is not paid for the answer.
double PriceOf(const RequestCount& count) {
  if (count.code == 0 || count.code >= 500) return 0;
  switch (count.kind) {
    case RequestKind::kPut:
    case RequestKind::kList: return 1;
    case RequestKind::kGet: return kGet;
    case RequestKind::kDelete: return 0;
  }
  return 0;
}

// Takes the number at the front of `text`, and a space before it. Not sscanf, which reads what the
// application's locale says.
template <typename T>
bool TakeNumber(std::string_view* text, T* number) {
  if (text->starts_with(' ')) text->remove_prefix(1);
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), *number);
  if (error != std::errc()) return false;
  text->remove_prefix(static_cast<size_t>(end - text->data()));
  return true;
}

std::string Seconds(int64_t ms) {
  char text[32];
  (void)std::snprintf(text, sizeof text, "%.1f s", static_cast<double>(ms) / 1000);
  return text;
}

}  // namespace

UploadPace::UploadPace(Core* core)
    : core_(core),
      counts_(core->options.settings.max_requests != 0 && !core->options.client->LooksAreFree()),
      budget_(counts_ ? core->options.settings.max_requests : 0, core->options.clock->WallMs()) {}

void UploadPace::Begin() {
  if (!counts_) return;
  begun_ = true;
  Restore();
  Settle(/*last=*/false);
}

void UploadPace::Restore() {
  const Result<std::string> read = ReadFile(core_->options.folder + kName, 256);
  if (!read.ok()) return;
  std::string_view text = *read;
  double left = 0;
  int64_t then_ms = 0;
  if (!TakeNumber(&text, &left) || !TakeNumber(&text, &then_ms) || !std::isfinite(left)) return;
  const int64_t now = core_->options.clock->WallMs();
  budget_.Restore(left, then_ms, now);
  int64_t told_ms = 0;
  if (TakeNumber(&text, &told_ms)) told_ms_ = std::clamp<int64_t>(told_ms, 0, now);
}

double UploadPace::Sent() const {
  double sent = 0;
  for (const RequestCount& count : core_->options.client->Counters().by_kind) {
    sent += static_cast<double>(count.requests) * PriceOf(count);
  }
  return sent;
}

void UploadPace::Settle(bool last) {
  if (!begun_) return;
  const double sent = Sent();
  budget_.Spend(sent - sent_, core_->options.clock->WallMs());
  sent_ = sent;
  {
    std::lock_guard<std::mutex> lock(core_->mutex);
    core_->budget = budget_;
  }
  const int64_t now = core_->options.clock->MonotonicMs();
  const bool due = saved_ms_ == 0 || now - saved_ms_ >= kSaveEveryMs;
  if (sent_ == saved_sent_ || (!last && !due && sent_ - saved_sent_ < kSaveEvery)) return;
  saved_sent_ = sent_;
  saved_ms_ = now;
  Save();
}

void UploadPace::Save() {
  std::array<char, 32> left{};
  const std::to_chars_result end = std::to_chars(left.data(), left.data() + left.size(),
                                                 budget_.left(), std::chars_format::fixed, 2);
  if (end.ec != std::errc()) return;
  const std::string text = std::string(left.data(), end.ptr) + ' ' +
                           std::to_string(core_->options.clock->WallMs()) + ' ' +
                           std::to_string(told_ms_) + '\n';
  (void)WriteFileAtomic(core_->options.folder + kName, text, /*durable=*/false);
}

int64_t UploadPace::IntervalMs() {
  const DatabaseSettings& settings = core_->options.settings;
  Settle(/*last=*/false);
  int64_t interval = core_->min_interval_ms;
  if (settings.durability != Durability::kSync) {
    interval = budget_.IntervalMs(interval);
    Say(interval);
  }
  core_->upload_interval_ms = interval;
  return interval;
}

void UploadPace::Say(int64_t interval_ms) {
  const int64_t least = core_->min_interval_ms;
  if (!slowed_ && interval_ms > least && interval_ms >= kSlowMs) {
    slowed_ = true;
    core_->Log(Level::kInfo, "a busy day: uploads are made less often, by now every " +
                                 Seconds(interval_ms) + ", at most every " +
                                 Seconds(RequestBudget::kMostMs) +
                                 ", so that a month costs no more than max-requests (" +
                                 std::to_string(core_->options.settings.max_requests) +
                                 "); set it to off where requests are free");
  } else if (slowed_ && interval_ms == least) {
    slowed_ = false;
    const char* over = "uploads are no longer slowed to keep to max-requests";
    std::exchange(exceeded_, false) ? core_->Recovered(over) : core_->Log(Level::kInfo, over);
  }
  const int64_t now = core_->options.clock->WallMs();
  const bool told = told_ms_ != 0 && now >= told_ms_ && now - told_ms_ < kTellEveryMs;
  const bool exceeded = budget_.Exceeded();
  exceeded_ |= exceeded;
  if (told || !exceeded) return;
  told_ms_ = now;
  Save();
  core_->Log(Level::kWarn, "max-requests (" + std::to_string(core_->options.settings.max_requests) +
                               ") cannot be kept: what is committed is uploaded every " +
                               Seconds(RequestBudget::kMostMs) + " all the same; set it higher");
}

}  // namespace backstay
