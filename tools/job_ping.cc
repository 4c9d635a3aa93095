#include "tools/job_ping.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <random>
#include <thread>
#include <utility>

#include "tools/command.h"
#include "uploader/settings/settings.h"

namespace backstay {
namespace {

// The beginning keeps nobody waiting for long.
constexpr int64_t kBeginMs = 5000;
constexpr int64_t kEndMs = 20000;

// Version 4 (RFC 9562).
std::string NewUuid() {
  std::random_device random;
  std::array<uint32_t, 4> bits{random(), random(), random(), random()};
  bits[1] = (bits[1] & 0xffff0fff) | 0x4000;
  bits[2] = (bits[2] & 0x3fffffff) | 0x80000000;
  std::array<char, 37> text{};
  snprintf(text.data(), text.size(), "%08x-%04x-%04x-%04x-%04x%08x", bits[0], bits[1] >> 16,
           bits[1] & 0xffff, bits[2] >> 16, bits[2] & 0xffff, bits[3]);
  return text.data();
}

}  // namespace

JobPing::JobPing(std::function<bool()> stop)
    : stop_(std::move(stop)),
      run_(NewUuid()),
      transport_(Ping::Timeouts(Ping::CaFile(ProcessSources().getenv))) {}

Status JobPing::Open(const std::string& url) {
  if (url.empty()) return Status::Ok();
  BACKSTAY_TRY(Ping::CheckUrl(url));
  url_ = url;
  return Status::Ok();
}

void JobPing::Begin() { Send("/start", "", kBeginMs); }

void JobPing::End(int exit_code, const std::string& log) {
  Send("/" + std::to_string(exit_code), log, kEndMs);
}

void JobPing::Send(const std::string& what, const std::string& log, int64_t patience_ms) {
  if (url_.empty()) return;
  PingOptions options;
  options.transport = &transport_;
  options.patience_ms = patience_ms;
  options.sleep = [this](int64_t ms) {
    constexpr int64_t kStepMs = 50;
    for (; ms > 0 && !stop_(); ms -= kStepMs) {
      std::this_thread::sleep_for(std::chrono::milliseconds(std::min(ms, kStepMs)));
    }
    return !stop_();
  };
  Status sent = Ping(url_, options).Send(what, run_, log);
  if (!sent.ok()) PrintWarning("a ping was not taken: " + sent.message());
}

}  // namespace backstay
