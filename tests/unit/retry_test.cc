#include <optional>
#include <string>
#include <vector>

#include "tests/support/catch.h"
#include "tests/unit/s3_fake_transport.h"
#include "tests/unit/stepped_clock.h"
#include "uploader/storage/retry_bucket.h"
#include "uploader/storage/retry_policy.h"

namespace backstay {
namespace {

using Pauses = std::vector<std::optional<int64_t>>;

// The most that is left by any of the limits: one less than a multiple of each.
uint64_t Most() { return 512 * 3 * 625 * 7 - 1; }

Pauses Of(const RetryLimits& limits, const std::vector<RetryFailure>& failures,
          uint64_t (*random)()) {
  RetryPolicy policy(limits, random);
  Pauses out;
  for (const RetryFailure& failure : failures) out.push_back(policy.Next(failure));
  return out;
}

// How many may try again now.
int Tries(RetryBucket* bucket) {
  int tries = 0;
  while (tries < 1000 && bucket->Take() == 0) ++tries;
  return tries;
}

}  // namespace

TEST_CASE("the pause before a retry: what failed, and how, against what is waited", "[retry]") {
  struct Row {
    std::string what;
    RetryLimits limits;
    std::vector<RetryFailure> failures;
    uint64_t (*random)();
    Pauses pauses;
  };
  const auto none = [] { return uint64_t{0}; };
  const RetryFailure failed;
  const std::vector<Row> rows = {
      {"the luckiest", {}, {failed, failed, failed}, none, {20, 20, 20}},
      {"the limit doubles",
       {},
       {failed, failed, failed, failed, failed, failed, failed, failed, failed},
       Most,
       {219, 419, 819, 1619, 3219, 6419, 12819, 15019, 15019}},
      {"soon", {}, {5, {.soon = true}}, Most, {219, 419, 819, 1619, 3019}},
      {"the server's wish", {}, {{.asked_ms = 5000}, failed}, none, {5000, 20}},
      {"a wish below the pause", {}, {{.asked_ms = 100}}, Most, {219}},
      {"a wish for a day", {.most_asked_ms = 10000}, {{.asked_ms = 86400000}}, none, {10000}},
      {"so many attempts", {.attempts = 3}, {failed, failed, failed}, none, {20, 20, {}}},
      {"a single attempt", {.attempts = 1}, {failed}, none, {std::nullopt}},
      {"no patience left",
       {.patience_ms = 60000},
       {{.silent_ms = 59999}, {.silent_ms = 60000}},
       none,
       {20, {}}},
      {"a wish is no reason to go on",
       {.patience_ms = 10},
       {{.asked_ms = 5000, .silent_ms = 10}},
       none,
       {std::nullopt}},
      {"others than usual",
       {.least_ms = 200, .first_ms = 400, .most_ms = 700},
       {failed, failed, failed},
       Most,
       {599, 899, 899}},
  };
  for (const Row& row : rows) {
    INFO(row.what);
    CHECK((Of(row.limits, row.failures, row.random) == row.pauses));
  }
}

TEST_CASE("what works again begins with the first pause and all attempts", "[retry]") {
  RetryPolicy policy({.attempts = 3}, Most);
  CHECK(policy.Next() == 219);
  CHECK(policy.Next() == 419);
  policy.Reset();
  CHECK(policy.Next() == 219);
  CHECK(policy.Next() == 419);
  CHECK_FALSE(policy.Next().has_value());
}

TEST_CASE("a try waits for its pause, then for its turn, and no longer than a minute", "[retry]") {
  int asked = 0;
  int64_t turn = 0;
  const auto next = [&] {
    ++asked;
    return turn;
  };
  SECTION("at once") {
    RetryWait wait(300, next);
    CHECK(wait.Next() == 300);
    CHECK(asked == 0);  // the pause is over first
    CHECK(wait.Next() == 0);
    CHECK(asked == 1);
  }
  SECTION("the server answers again meanwhile") {
    turn = 200;
    RetryWait wait(300, next);
    CHECK(wait.Next() == 300);
    CHECK(wait.Next() == 200);
    turn = 0;
    CHECK(wait.Next() == 0);
  }
  SECTION("its turn never comes") {
    turn = 5000;
    RetryWait wait(300, next);
    int64_t waited = 0;
    while (const int64_t ms = wait.Next()) {
      CHECK(ms <= 1000);
      REQUIRE((waited += ms) < 100000);
    }
    CHECK(waited == 300 + 60000);
  }
}

TEST_CASE("a server that fails is tried 20 times in a row, then each 200 ms", "[retry]") {
  SteppedClock clock;
  RetryBucket bucket(&clock);
  CHECK(Tries(&bucket) == 20);
  CHECK(bucket.Take() == 200);
  clock.at_ms += 150;
  CHECK(bucket.Take() == 50);
  clock.at_ms += 50;
  CHECK(Tries(&bucket) == 1);
  clock.at_ms += 1000;
  CHECK(Tries(&bucket) == 5);
  clock.at_ms += 3600000;
  CHECK(Tries(&bucket) == 20);
  clock.at_ms -= 500;  // no clock does; it takes nothing away
  CHECK(bucket.Take() == 200);
}

TEST_CASE("answers fill a bucket up, and no further", "[retry]") {
  SteppedClock clock;
  RetryBucket bucket(&clock);
  CHECK(Tries(&bucket) == 20);
  bucket.Answered();
  CHECK(Tries(&bucket) == 5);
  for (int i = 0; i < 100; ++i) bucket.Answered();
  CHECK(Tries(&bucket) == 20);
}

TEST_CASE("clients of one server share a bucket, those of others do not", "[retry]") {
  SteppedClock clock;
  RetryBuckets buckets(&clock);
  const auto one = buckets.Of("http://127.0.0.1:1");
  CHECK(one == buckets.Of("http://127.0.0.1:1"));
  CHECK(one != buckets.Of("http://127.0.0.1:2"));
  CHECK(Tries(one.get()) == 20);
  CHECK(Tries(buckets.Of("http://127.0.0.1:2").get()) == 20);
}

TEST_CASE("a client takes its turns from its server's bucket, which what is answered fills",
          "[retry]") {
  SteppedClock clock;
  auto buckets = std::make_shared<RetryBuckets>(&clock);
  Scripted s(buckets);
  Scripted other(buckets);
  for (int i = 0; i < 10; ++i) {
    CHECK(s.client->RetryTurnMs() == 0);
    CHECK(other.client->RetryTurnMs() == 0);
  }
  CHECK(s.client->RetryTurnMs() == 200);
  CHECK(other.client->RetryTurnMs() == 200);
  const auto [status, well] = GENERATE(table<int, bool>({{200, true},
                                                         {404, true},
                                                         {412, true},
                                                         {403, true},
                                                         {429, false},
                                                         {500, false},
                                                         {501, true},
                                                         {503, false}}));
  INFO(status);
  s.Answer(status);
  (void)s.client->Put("k", {});
  CHECK((other.client->RetryTurnMs() == 0) == well);
}

TEST_CASE("no answer is none, and the beginning of one is one", "[retry]") {
  SteppedClock clock;
  Scripted s(std::make_shared<RetryBuckets>(&clock));
  for (int i = 0; i < 20; ++i) CHECK(s.client->RetryTurnMs() == 0);
  const Status broken(Code::kUnavailable, "the connection was closed", true);
  s.transport->script.push_back({broken, {}});
  CHECK_FALSE(s.client->Get("k").ok());
  CHECK(s.client->RetryTurnMs() == 200);
  s.transport->script.push_back({broken, {200, {}, "the beginning"}});
  CHECK_FALSE(s.client->Get("k").ok());
  CHECK(s.client->RetryTurnMs() == 0);
}

}  // namespace backstay
