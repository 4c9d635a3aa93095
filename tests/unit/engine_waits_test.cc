// How long the end of a process and the closes of its databases may take.

#include <cstdint>
#include <vector>

#include "tests/support/catch.h"
#include "uploader/engine/close_budget.h"
#include "uploader/engine/last_wait.h"

namespace backstay {
namespace {

class SteppedClock : public Clock {
 public:
  int64_t WallMs() override { return ms; }
  int64_t MonotonicMs() override { return ms; }

  int64_t ms = 1000;
};

TEST_CASE("closes have their time, and a fiftieth of what passes", "[waits]") {
  SteppedClock clock;
  CloseBudget budget(&clock, 2000);
  REQUIRE(budget.Left() == 2000);
  budget.Spent(1500);
  REQUIRE(budget.Left() == 500);
  budget.Spent(500);
  REQUIRE(budget.Left() == 0);
  clock.ms += 2499;
  REQUIRE(budget.Left() == 0);  // not worth a request
  clock.ms += 1;
  REQUIRE(budget.Left() == 50);
  budget.Spent(60);
  REQUIRE(budget.Left() == 0);
  clock.ms += 1'000'000'000;
  REQUIRE(budget.Left() == 2000);
  REQUIRE(CloseBudget(&clock, 0).Left() == 0);
  REQUIRE(CloseBudget(&clock, 20).Left() == 20);
}

TEST_CASE("a process that ends waits in slices until its time is over", "[waits]") {
  SteppedClock clock;
  LastWait wait(&clock, 1250, [] { return std::vector<uint64_t>(); });
  int64_t waited = 0;
  while (const int64_t ms = wait.Next()) {
    REQUIRE(wait.patient() == (waited < 1000));
    waited += ms;
    clock.ms += ms;
  }
  REQUIRE(waited == 1250);
}

TEST_CASE("a write transaction that stays open ends the wait", "[waits]") {
  SteppedClock clock;
  std::vector<uint64_t> open = {7};
  LastWait wait(&clock, 5000, [&open] { return open; });
  REQUIRE(wait.Next() > 0);
  REQUIRE(wait.Next() > 0);  // no time has passed
  clock.ms += 100;
  open = {8, 9};  // threads that go on
  REQUIRE(wait.Next() > 0);
  clock.ms += 100;
  open = {9};
  REQUIRE(wait.Next() == 0);
  open = {};
  REQUIRE(wait.Next() == 0);
}

}  // namespace
}  // namespace backstay
