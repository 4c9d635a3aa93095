#include "tools/progress.h"

#include <algorithm>

#include "tools/command.h"
#include "uploader/base/log.h"

namespace backstay {
namespace {

constexpr int64_t kWhileMs = 10000;  // over which a rate is taken
constexpr size_t kWidth = 24;        // of the bar
constexpr const char* kClear = "\r\033[K";

uint64_t SecondsLeft(uint64_t left, uint64_t rate) { return (left + rate - 1) / rate; }

std::string Time(uint64_t seconds) {
  if (seconds < 120) return std::to_string(seconds) + " s";
  if (seconds < 7200) return std::to_string(seconds / 60) + " min";
  return std::to_string(seconds / 3600) + " h";
}

}  // namespace

Progress::Progress(Options options)
    : options_(std::move(options)),
      next_ms_(options_.clock->MonotonicMs() + std::max<int64_t>(interval_ms(), 1000)) {}

void Progress::Begin(const std::string& phase, const std::string& replica,
                     std::function<uint64_t()> received, uint64_t total) {
  std::lock_guard lock(mutex_);
  phase_ = phase;
  replica_ = replica;
  received_ = std::move(received);
  before_ = received_();
  total_ = total;
  found_ = 0;
  points_.clear();
}

void Progress::Found(uint64_t bytes) {
  std::lock_guard lock(mutex_);
  // No speed of the network.
  for (Point& point : points_) point.bytes += bytes - found_;
  found_ = bytes;
}

// What had to be asked for twice is not more than there is.
uint64_t Progress::Done() const {
  const uint64_t done = found_ + (received_() - before_);
  return total_ > 0 ? std::min(done, total_) : done;
}

uint64_t Progress::Rate(const Point& now) {
  points_.push_back(now);
  while (points_.size() > 2 && now.at_ms - points_[1].at_ms >= kWhileMs) points_.pop_front();
  const Point& first = points_.front();
  const int64_t ms = now.at_ms - first.at_ms;
  if (ms <= 0 || now.bytes < first.bytes) return 0;
  return (now.bytes - first.bytes) * 1000 / static_cast<uint64_t>(ms);
}

std::string Progress::Bar(uint64_t done, uint64_t rate) const {
  std::string text = phase_;
  if (total_ > 0) {
    const size_t filled = static_cast<size_t>(done * kWidth / total_);
    text += " [" + std::string(filled, '#') + std::string(kWidth - filled, '.') + "] " +
            std::to_string(done * 100 / total_) + " %";
  }
  text += ", " + FormatBytes(done) + (total_ > 0 ? " of " + FormatBytes(total_) : "");
  if (rate > 0) text += ", " + FormatBytes(rate) + "/s";
  if (rate > 0 && total_ > 0) text += ", " + Time(SecondsLeft(total_ - done, rate)) + " left";
  return kClear + text;
}

std::string Progress::Line(uint64_t done, uint64_t rate) const {
  std::string line;
  LogOptions log;
  log.clock = options_.clock;
  log.sink = [&](std::string_view text) { line = text; };
  Logger logger(log);
  const auto number = [](uint64_t n) { return static_cast<int64_t>(n); };
  const LogField db{"db", options_.database};
  const LogField replica{"replica", replica_};
  const LogField bytes{"bytes", number(done)};
  const LogField per_second{"bytes_per_second", number(rate)};
  const LogField total{"total_bytes", number(total_)};
  if (total_ == 0) {
    logger.Log(Level::kInfo, phase_, {db, replica, bytes, per_second});
  } else if (rate == 0) {
    logger.Log(Level::kInfo, phase_, {db, replica, bytes, total, per_second});
  } else {
    const LogField left{"seconds_left", number(SecondsLeft(total_ - done, rate))};
    logger.Log(Level::kInfo, phase_, {db, replica, bytes, total, per_second, left});
  }
  return line;
}

void Progress::Tick() {
  std::lock_guard lock(mutex_);
  if (!received_) return;
  const Point now{options_.clock->MonotonicMs(), Done()};
  const uint64_t rate = Rate(now);
  if (now.at_ms < next_ms_) return;
  next_ms_ = now.at_ms + interval_ms();
  options_.write(options_.terminal ? Bar(now.bytes, rate) : Line(now.bytes, rate));
  drawn_ = options_.terminal;
}

void Progress::End() {
  std::lock_guard lock(mutex_);
  received_ = nullptr;
  if (drawn_) options_.write(kClear);
  drawn_ = false;
}

}  // namespace backstay
