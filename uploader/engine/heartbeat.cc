#include "uploader/engine/heartbeat.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "uploader/base/caught.h"
#include "uploader/storage/ping.h"

namespace backstay {
namespace {

constexpr int64_t kFirstMs = 5000;      // behind the start, and until it is good once
constexpr int64_t kPatienceMs = 30000;  // of a proof; at most a quarter of the interval
constexpr int64_t kStepMs = 200;
constexpr int64_t kMonitorMs = 10000;
constexpr size_t kMostBody = 8 << 10;  // bytes

int64_t PatienceOf(int64_t interval_ms) { return std::min(kPatienceMs, interval_ms / 4); }

std::string OneLine(std::string lines) {
  for (size_t at = 0; (at = lines.find('\n', at)) != std::string::npos;) lines.replace(at, 1, "; ");
  return lines;
}

}  // namespace

Heartbeat::Heartbeat(HeartbeatOptions options)
    : options_(std::move(options)),
      began_ms_(options_.clock->MonotonicMs()),
      monitor_(options_.logger, options_.clock, Level::kWarn),
      unproven_(options_.logger, options_.clock, Level::kWarn) {}

bool Heartbeat::Start() {
  return thread_.joinable() || thread_.Start("backstay-beat", [this] { Run(); });
}

void Heartbeat::Stop() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  options_.transport->Cancel();
  thread_.Join();
}

bool Heartbeat::Sleep(int64_t ms) {
  std::unique_lock<std::mutex> lock(mutex_);
  wake_.wait_for(lock, std::chrono::milliseconds(std::max<int64_t>(ms, 0)),
                 [this] { return stopping_; });
  return !stopping_;
}

// A beat with its proof takes its patience at most: so the monitor hears of something in every
// interval.
void Heartbeat::Run() {
  const int64_t pause = options_.interval_ms - PatienceOf(options_.interval_ms);
  while (Sleep(told_ ? pause : std::min(pause, kFirstMs))) {
    // Without memory: the next time.
    (void)Caught([this] { return Beat(), Status::Ok(); });
  }
}

void Heartbeat::Beat() {
  const int64_t now = options_.clock->MonotonicMs();
  const Proof proof = Await(now - options_.interval_ms + PatienceOf(options_.interval_ms));
  if (proof.kind == Proof::kGood) return Good();
  const bool patient = !told_ && now - began_ms_ < options_.interval_ms;
  if (proof.kind == Proof::kNone || patient) return;
  // From here on at the usual pace.
  told_ = true;
  Bad(proof.why);
}

Proof Heartbeat::Await(int64_t since_ms) {
  const int64_t until = options_.clock->MonotonicMs() + PatienceOf(options_.interval_ms);
  for (;;) {
    Proof proof = options_.prove(since_ms, options_.interval_ms);
    // Also beside one that is known to be bad: those that are sound are not to be named with it.
    if (!proof.Awaits() || options_.clock->MonotonicMs() >= until) return proof;
    if (!Sleep(std::min(kStepMs, PatienceOf(options_.interval_ms)))) return {};
  }
}

void Heartbeat::Good() {
  told_ = true;
  unproven_.Recovered("the heartbeat tells success again", {});
  if (Send("", "")) options_.tally->good_ms = options_.clock->WallMs();
}

void Heartbeat::Bad(const std::string& why) {
  unproven_.Failed("the heartbeat tells failure: " + OneLine(why), {});
  if (Send("/fail", why.substr(0, kMostBody))) ++options_.tally->failures;
}

bool Heartbeat::Send(const char* what, const std::string& body) {
  PingOptions ping;
  ping.transport = options_.transport.get();
  ping.clock = options_.clock;
  ping.patience_ms = std::min(kMonitorMs, options_.interval_ms);
  ping.sleep = [this](int64_t ms) { return Sleep(ms); };
  Status sent = Ping(options_.url, std::move(ping)).Send(what, "", body);
  if (sent.code() == Code::kCancelled) return false;
  if (sent.ok()) return monitor_.Recovered("the monitor takes the heartbeat again", {}), true;
  ++options_.tally->failures;
  monitor_.Failed("the heartbeat cannot be sent: " + sent.message(), {}, sent.code());
  return false;
}

}  // namespace backstay
