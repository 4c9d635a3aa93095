#include "uploader/engine/metrics_writer.h"

#include <chrono>
#include <utility>

#include "uploader/base/caught.h"

namespace backstay {
namespace {

constexpr int64_t kHangsMs = 10 * 1000;  // is said
constexpr char kRemedy[] = "; remedy: a folder that exists and that this program may write to";

}  // namespace

MetricsWriter::MetricsWriter(MetricsWriterOptions options)
    : options_(std::move(options)), problem_(options_.logger, options_.clock, Level::kWarn) {}

MetricsWriter::~MetricsWriter() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    over_ = true;
  }
  changed_.notify_all();
  thread_.Join();
}

int64_t MetricsWriter::HangsLocked() const {
  return since_ms_ ? options_.clock->MonotonicMs() - *since_ms_ : 0;
}

void MetricsWriter::Put(const std::string& database, DatabaseStatus status) {
  int64_t hangs = 0;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (over_ || !wanted()) return;
    if (!thread_.joinable() && !thread_.Start("backstay-prom", [this] { Run(); })) return;
    hangs = HangsLocked();
    waiting_[database] = std::move(status);
  }
  changed_.notify_all();
  if (hangs < kHangsMs) return;
  problem_.Failed("no metrics are written: metrics-dir (" + options_.folder +
                      ") has not answered for " + std::to_string(hangs / 1000) +
                      " s; remedy: a folder in memory, or on a disk of this machine",
                  {{"db", database}});
}

bool MetricsWriter::Await(int64_t ms) {
  std::unique_lock<std::mutex> lock(mutex_);
  return changed_.wait_for(lock, std::chrono::milliseconds(ms), [this] { return IdleLocked(); });
}

void MetricsWriter::Finish(int64_t ms) {
  bool idle = false;
  {
    std::unique_lock<std::mutex> lock(mutex_);
    if (HangsLocked() > ms) ms = 0;
    idle = changed_.wait_for(lock, std::chrono::milliseconds(ms), [this] { return IdleLocked(); });
    // With the mutex held since: a write that began in between could hang, and the join with it.
    over_ = true;
  }
  changed_.notify_all();
  if (idle) thread_.Join();
}

void MetricsWriter::Run() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return over_ || !waiting_.empty(); });
    if (over_) return;
    const auto next = waiting_.extract(waiting_.begin());
    since_ms_ = options_.clock->MonotonicMs();
    lock.unlock();
    // Without memory: the next time.
    (void)Caught([&] { return Write(next.key(), next.mapped()), Status::Ok(); });
    lock.lock();
    since_ms_.reset();
    changed_.notify_all();
  }
}

void MetricsWriter::Write(const std::string& database, const DatabaseStatus& status) {
  const Status written =
      options_.write(options_.folder, MetricsFileName("backstay", database), MetricsText({status}));
  if (written.ok()) return problem_.Recovered("metrics are written again", {{"db", database}});
  problem_.Failed("no metrics are written to metrics-dir: " + written.message() + kRemedy,
                  {{"db", database}});
}

}  // namespace backstay
