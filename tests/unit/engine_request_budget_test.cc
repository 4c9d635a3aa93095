// RequestBudget and UploadPace: bursts go out at once, a busy month keeps to its budget.

#include <algorithm>
#include <clocale>
#include <string>

#include "tests/unit/log_writer_bench.h"
#include "uploader/engine/request_budget.h"
#include "uploader/engine/upload_pace.h"

namespace backstay {
namespace {

constexpr int64_t kLeastMs = 250;
constexpr int64_t kDayMs = 24 * 3600 * 1000;
constexpr int64_t kMonthMs = 30 * kDayMs;
constexpr uint64_t kMonth = 500000;

struct Month {
  uint64_t uploads = 0;
  int64_t longest_ms = 0;
};

// Uploads as often as it may for `ms`, each of which costs `puts`.
Month Busy(RequestBudget* budget, int64_t from_ms, int64_t ms, double puts) {
  Month month;
  for (int64_t now = from_ms; now < from_ms + ms;) {
    budget->Spend(puts, now);
    ++month.uploads;
    const int64_t interval = budget->IntervalMs(kLeastMs);
    month.longest_ms = std::max(month.longest_ms, interval);
    now += interval;
  }
  return month;
}

// Whose requests are said to have been sent.
class PaidClient : public LyingClient {
 public:
  using LyingClient::LyingClient;
  ClientCounters Counters() const override {
    ClientCounters counters;
    counters.by_kind = by_kind;
    return counters;
  }
  std::vector<RequestCount> by_kind;
};

struct PaceWorld {
  PaceWorld() {
    CoreOptions options;
    options.replica = "s3://bucket";
    options.folder = folder.path();
    options.client = &client;
    options.clock = &clock;
    options.logger = &logger;
    options.settings.durability = durability;
    core = std::make_unique<Core>(std::move(options));
  }
  explicit PaceWorld(Durability durability) : PaceWorld() {
    CoreOptions options = core->options;
    options.settings.durability = durability;
    core = std::make_unique<Core>(std::move(options));
  }
  explicit PaceWorld(uint64_t max_requests) : PaceWorld() {
    CoreOptions options = core->options;
    options.settings.max_requests = max_requests;
    core = std::make_unique<Core>(std::move(options));
  }
  LogOptions Sink() {
    LogOptions options;
    options.sink = [this](std::string_view line) { logged += line; };
    return options;
  }
  void Send(uint64_t puts) { client.by_kind = {{RequestKind::kPut, 200, sent += puts}}; }

  TempFolder folder;
  TestClock clock;
  std::string logged;
  Logger logger{Sink()};
  PaidClient client{folder / "replica"};
  Durability durability = Durability::kAsync;
  uint64_t sent = 0;
  std::unique_ptr<Core> core;
};

}  // namespace

TEST_CASE("a burst goes out at once, behind quiet hours again", "[engine]") {
  RequestBudget budget(kMonth, 0);
  int64_t now = 0;
  for (int hour = 0; hour < 240; ++hour) {
    for (int i = 0; i < 500; ++i) {
      REQUIRE(budget.IntervalMs(kLeastMs) == kLeastMs);
      budget.Spend(1, now += kLeastMs);
    }
    now += 3600 * 1000 - 500 * kLeastMs;
  }
}

TEST_CASE("a month without a pause keeps to its budget", "[engine]") {
  const double puts = GENERATE(1.0, 1.3);
  RequestBudget budget(kMonth, 0);
  const Month month = Busy(&budget, 0, kMonthMs, puts);
  CHECK(static_cast<double>(month.uploads) * puts < kMonth * 1.02);
  CHECK(static_cast<double>(month.uploads) * puts > kMonth * 0.95);
  CHECK(month.longest_ms < 8000);
  CHECK(!budget.Exceeded());
}

TEST_CASE("the interval grows smoothly", "[engine]") {
  RequestBudget budget(kMonth, 0);
  int64_t before = kLeastMs;
  for (int64_t now = 0; now < kDayMs; now += before) {
    budget.Spend(1, now);
    const int64_t interval = budget.IntervalMs(kLeastMs);
    REQUIRE(interval <= before + before / 20 + 2);
    before = interval;
  }
}

TEST_CASE("the lag is bounded, whatever the budget", "[engine]") {
  RequestBudget budget(1000, 0);
  const Month month = Busy(&budget, 0, kDayMs, 1);
  CHECK(month.longest_ms == RequestBudget::kMostMs);
  CHECK(budget.Exceeded());
  // What was spent too much is not held against it for ever.
  budget.Spend(0, 3 * kDayMs);
  CHECK(budget.IntervalMs(kLeastMs) == kLeastMs);
}

TEST_CASE("no limit slows nothing, and a clock that is set back gives nothing", "[engine]") {
  RequestBudget unlimited(0, 0);
  unlimited.Spend(1e9, 1);
  CHECK(unlimited.IntervalMs(kLeastMs) == kLeastMs);
  RequestBudget budget(kMonth, kDayMs);
  budget.Spend(10000, kDayMs);
  const double left = budget.left();
  budget.Spend(0, 0);
  CHECK(budget.left() == left);
}

TEST_CASE("processes that live for a moment share one budget", "[engine]") {
  PaceWorld world;
  for (int i = 0; i < 3; ++i) {
    UploadPace pace(world.core.get());
    world.client.by_kind.clear();
    pace.Begin();
    world.client.by_kind = {{RequestKind::kPut, 200, 3000},
                            {RequestKind::kList, 403, 500},
                            {RequestKind::kPut, 503, 9000},
                            {RequestKind::kDelete, 204, 9000}};
    pace.Settle(/*last=*/true);
  }
  UploadPace pace(world.core.get());
  world.client.by_kind.clear();
  pace.Begin();
  CHECK(pace.IntervalMs() > 2000);
  CHECK(world.core->upload_interval_ms > 2000);
  CHECK(world.core->budget.left_share() < 0.25);
  CHECK(world.logged.find("\"level\":\"INFO\"") != std::string::npos);
  CHECK(world.logged.find("max-requests (500000)") != std::string::npos);
  CHECK(world.logged.find("WARN") == std::string::npos);
  // A file that is damaged is none.
  REQUIRE(WriteFileAtomic(world.folder / "budget", "nonsense", false).ok());
  UploadPace anew(world.core.get());
  anew.Begin();
  CHECK(anew.IntervalMs() == 250);
}

TEST_CASE("processes that live for a moment tell once a day that the budget cannot be kept",
          "[engine]") {
  PaceWorld world(1000);
  const auto live = [&] {
    UploadPace pace(world.core.get());
    world.client.by_kind.clear();
    pace.Begin();
    world.Send(100);
    pace.Settle(/*last=*/false);
    (void)pace.IntervalMs();
    pace.Settle(/*last=*/true);
  };
  const auto warnings = [&] {
    size_t count = 0;
    for (size_t at = 0; (at = world.logged.find("cannot be kept", at)) != std::string::npos; ++at) {
      ++count;
    }
    return count;
  };
  for (int i = 0; i < 5; ++i) live();
  CHECK(warnings() == 1);
  const int64_t now = world.clock.WallMs();
  const std::string yesterday =
      "-33 " + std::to_string(now) + ' ' + std::to_string(now - kDayMs) + '\n';
  REQUIRE(WriteFileAtomic(world.folder / "budget", yesterday, false).ok());
  for (int i = 0; i < 5; ++i) live();
  CHECK(warnings() == 2);
}

TEST_CASE("the file says the same in every locale", "[engine]") {
  const char* comma = nullptr;
  for (const char* name : {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "de_DE"}) {
    if (comma == nullptr) comma = std::setlocale(LC_NUMERIC, name);
  }
  PaceWorld world;
  UploadPace pace(world.core.get());
  pace.Begin();
  world.Send(8212);
  pace.Settle(/*last=*/true);
  std::setlocale(LC_NUMERIC, "C");
  const Result<std::string> text = ReadFile(world.folder / "budget", 256);
  REQUIRE(text.ok());
  CHECK(text->find(',') == std::string::npos);
  CHECK(std::count(text->begin(), text->end(), '.') == 1);
  CHECK(std::count(text->begin(), text->end(), ' ') == 2);
}

TEST_CASE("whatever moment the file names gives no more than a day's share", "[engine]") {
  const auto* then = GENERATE("-9223372036854775808", "9223372036854775807", "0", "-1");
  const auto* left = GENERATE("0", "-16000", "1e300", "nan", "-inf");
  PaceWorld world;
  const std::string text = std::string(left) + ' ' + then + ' ' + then + '\n';
  REQUIRE(WriteFileAtomic(world.folder / "budget", text, false).ok());
  UploadPace pace(world.core.get());
  pace.Begin();
  const int64_t interval = pace.IntervalMs();
  CHECK(interval >= kLeastMs);
  CHECK(interval <= RequestBudget::kMostMs);
  world.Send(1000000);
  CHECK(pace.IntervalMs() > kLeastMs);
}

TEST_CASE("with durability=sync nothing is held back", "[engine]") {
  PaceWorld world(Durability::kSync);
  UploadPace pace(world.core.get());
  pace.Begin();
  world.Send(100000);
  CHECK(pace.IntervalMs() == 250);
  CHECK(world.logged.empty());
}

}  // namespace backstay
