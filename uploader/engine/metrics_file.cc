#include "uploader/engine/metrics_file.h"

#include <utility>

namespace backstay {
namespace {

constexpr int64_t kChangedMs = 5 * 1000;
constexpr int64_t kAliveMs = 15 * 1000;

}  // namespace

MetricsFile::MetricsFile(MetricsWriter* writer, std::string database, Clock* clock)
    : writer_(writer), database_(std::move(database)), clock_(clock) {}

bool MetricsFile::Due(bool changed, bool last) {
  if (writer_ == nullptr || !writer_->wanted()) return false;
  changed_ |= changed;
  if (last || !written_ms_) return true;
  return clock_->MonotonicMs() - *written_ms_ >= (changed_ ? kChangedMs : kAliveMs);
}

void MetricsFile::Write(const std::string& status, bool up) {
  written_ms_ = clock_->MonotonicMs();
  changed_ = false;
  writer_->Put(database_, {status, up});
}

}  // namespace backstay
