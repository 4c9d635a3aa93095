// The heartbeat with a monitor, proofs and a clock by hand.

#include <deque>

#include "tests/support/catch.h"
#include "tests/unit/s3_fake_transport.h"
#include "uploader/engine/heartbeat.h"

using namespace backstay;

namespace {

constexpr int64_t kInterval = 300'000;

// Each question takes ten seconds.
class SteppedClock : public Clock {
 public:
  int64_t WallMs() override { return now; }
  int64_t MonotonicMs() override { return now += 10000; }
  int64_t now = 1'000'000;
};

LogOptions Kept(std::string* log) {
  LogOptions options;
  options.sink = [log](std::string_view line) { *log += line; };
  return options;
}

struct World {
  World() : logger(Kept(&log)) {
    HeartbeatOptions options;
    options.url = "https://user:word@monitor.example/secret?a=b";
    options.interval_ms = kInterval;
    options.clock = &clock;
    options.logger = &logger;
    options.tally = &tally;
    auto fake = std::make_unique<FakeTransport>();
    transport = fake.get();
    options.transport = std::move(fake);
    options.prove = [this](int64_t since_ms, int64_t lag_ms) {
      since = since_ms;
      lag = lag_ms;
      Proof proof = proofs.front();
      if (proofs.size() > 1) proofs.pop_front();
      return proof;
    };
    heartbeat = std::make_unique<Heartbeat>(std::move(options));
  }

  // The URLs of the beat's requests.
  std::vector<std::string> Beat(std::deque<Proof> given) {
    proofs = std::move(given);
    transport->asked.clear();
    transport->script.push_back({Status::Ok(), {200, {}, "OK"}});
    heartbeat->Beat();
    transport->script.clear();
    std::vector<std::string> urls;
    for (const auto& asked : transport->asked) urls.push_back(asked.url);
    return urls;
  }

  SteppedClock clock;
  HeartbeatTally tally;
  std::string log;
  Logger logger;
  FakeTransport* transport = nullptr;
  std::deque<Proof> proofs;
  int64_t since = 0;
  int64_t lag = 0;
  std::unique_ptr<Heartbeat> heartbeat;
};

const std::vector<std::string> kGoodPing = {"https://user:word@monitor.example/secret?a=b"};
const std::vector<std::string> kBadPing = {"https://user:word@monitor.example/secret/fail?a=b"};

}  // namespace

TEST_CASE("a heartbeat rests on a proof that is not older than the interval") {
  World world;
  const int64_t before = world.clock.now;
  CHECK(world.Beat({{Proof::kAwaited, "x"}, {Proof::kGood, ""}}) == kGoodPing);
  CHECK(world.since >= before - kInterval);
  CHECK(world.lag == kInterval);
  CHECK(world.log.empty());
}

TEST_CASE("what cannot be proven is told as a failure, with the reason") {
  World world;
  CHECK(world.Beat({{Proof::kGood, ""}}) == kGoodPing);
  CHECK(world.Beat({{Proof::kBad, "a: gone\nb: silent"}}) == kBadPing);
  CHECK(world.transport->asked.at(0).body == "a: gone\nb: silent");
  CHECK(world.log.find("a: gone; b: silent") != std::string::npos);
  CHECK(world.Beat({{Proof::kAwaited, "b: silent"}}) == kBadPing);
  CHECK(world.Beat({{Proof::kGood, ""}}) == kGoodPing);
  CHECK(world.tally.failures == 2);
  CHECK(world.tally.good_ms == world.clock.WallMs());
  CHECK(world.log.find("success again") != std::string::npos);
  CHECK(world.log.find("secret") == std::string::npos);
}

TEST_CASE("a failure names those alone whose proof does not come") {
  World world;
  Proof both;
  both.Add({Proof::kBad, "a: gone"});
  both.Add({Proof::kAwaited, "b: does not answer"});
  CHECK(world.Beat({{Proof::kGood, ""}}) == kGoodPing);
  CHECK(world.Beat({both, both, {Proof::kBad, "a: gone"}}) == kBadPing);
  CHECK(world.transport->asked.at(0).body == "a: gone");
  CHECK(world.Beat({both}) == kBadPing);
  CHECK(world.transport->asked.at(0).body == "a: gone\nb: does not answer");
}

TEST_CASE("who ships nothing is silent") {
  World world;
  CHECK(world.Beat({{Proof::kNone, ""}}).empty());
  CHECK(world.Beat({{Proof::kGood, ""}}) == kGoodPing);
  CHECK(world.Beat({{Proof::kNone, ""}}).empty());
}

TEST_CASE("one that is starting is given an interval") {
  World world;
  CHECK(world.Beat({{Proof::kAwaited, "snapshot"}}).empty());
  CHECK(world.Beat({{Proof::kBad, "not there"}}).empty());
  world.clock.now += kInterval;
  CHECK(world.Beat({{Proof::kBad, "not there"}}) == kBadPing);
}

TEST_CASE("a monitor that refuses is told of once, by its server's name alone") {
  World world;
  world.transport->script.push_back({Status::Ok(), {404, {}, "no such check"}});
  CHECK(world.Beat({{Proof::kGood, ""}}) == kGoodPing);
  CHECK(world.tally.failures == 1);
  CHECK(world.tally.good_ms == 0);
  CHECK(world.log.find("https://monitor.example: HTTP status 404") != std::string::npos);
  CHECK(world.log.find("secret") == std::string::npos);
  CHECK(world.log.find("word") == std::string::npos);
  world.Beat({{Proof::kGood, ""}});
  CHECK(world.log.find("takes the heartbeat again") != std::string::npos);
}

TEST_CASE("proofs of several add up to the worst of them") {
  Proof all;
  CHECK(all.kind == Proof::kNone);
  all.Add({Proof::kGood, ""});
  all.Add({Proof::kNone, ""});
  CHECK(all.kind == Proof::kGood);
  all.Add({Proof::kBad, "one"});
  all.Add({Proof::kAwaited, "two"});
  CHECK(all.kind == Proof::kBad);
  CHECK(all.why == "one\ntwo");
}
