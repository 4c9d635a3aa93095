#include "tests/support/catch.h"
#include "uploader/engine/outbox_room.h"

namespace backstay {
namespace {

constexpr uint64_t kLimit = 64 << 20;

TEST_CASE("an outage has the room that is set", "[engine]") {
  OutboxRoom room(kLimit);
  room.PassBegins(0);
  REQUIRE(room.Fits(kLimit, /*outage=*/true));
  REQUIRE_FALSE(room.Fits(kLimit + 1, /*outage=*/true));
}

TEST_CASE("one pass fits while the replica works, and what follows until it is shipped",
          "[engine]") {
  OutboxRoom room(kLimit);
  room.PassBegins(1000);
  REQUIRE(room.Fits(3 * kLimit, /*outage=*/false));
  room.PassBegins(3 * kLimit);
  REQUIRE(room.Fits(3 * kLimit + 1000, /*outage=*/false));
  REQUIRE_FALSE(room.Fits(3 * kLimit + 1000, /*outage=*/true));
  SECTION("not without end") { REQUIRE_FALSE(room.Fits(4 * kLimit, /*outage=*/false)); }
  SECTION("then the setting holds again") {
    room.PassBegins(kLimit);
    REQUIRE(room.Fits(kLimit + 1, /*outage=*/false));
    room.PassBegins(kLimit + 1);
    REQUIRE_FALSE(room.Fits(2 * kLimit, /*outage=*/false));
  }
}

}  // namespace
}  // namespace backstay
