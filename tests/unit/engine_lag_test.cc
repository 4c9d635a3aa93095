#include "tests/support/catch.h"
#include "uploader/engine/lag.h"

using backstay::Lag;

TEST_CASE("lag counts from the first thing that waits until all is shipped", "[lag]") {
  Lag lag;
  REQUIRE(lag.since_ms() == 0);
  lag.Waits(20);
  lag.Waits(10);
  lag.Waits(30);
  REQUIRE(lag.since_ms() == 10);
  lag.Settle(1, 25);
  REQUIRE(lag.since_ms() == 25);
  lag.Settle(2, 0);
  REQUIRE(lag.since_ms() == 0);
}

TEST_CASE("the segments of a comparison are as late as what they hold", "[lag]") {
  Lag lag;
  lag.Waits(10);
  lag.WaitsFor(7);
  lag.Settle(5, 100);
  lag.Settle(6, 101);
  REQUIRE(lag.since_ms() == 10);
  lag.Settle(7, 102);
  REQUIRE(lag.since_ms() == 102);
  lag.WaitsFor(9);
  lag.Settle(8, 0);
  REQUIRE(lag.since_ms() == 0);
}
