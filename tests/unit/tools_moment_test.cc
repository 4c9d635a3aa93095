// Times as people write them, in a zone that puts its clocks forward on 29 March 2026 and back on
// 25 October.
#include <ctime>

#include "tests/support/catch.h"
#include "tools/moment.h"
#include "uploader/base/clock.h"

namespace backstay {
namespace {

// Central Europe by its rule, without a zone file.
Zone Europe() {
  setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
  tzset();
  return LocalZone();
}

constexpr int64_t kNow = 1795788000123;  // 2026-11-27T14:00:00.123Z, 15:00 there

std::string Understood(const std::string& text) {
  Result<int64_t> ms = ParseMoment(text, kNow, Europe());
  return ms.ok() ? FormatRfc3339(*ms) : ms.status().message();
}

TEST_CASE("RFC 3339 in all its spellings") {
  CHECK(Understood("2026-11-22T20:59:01Z") == "2026-11-22T20:59:01.000Z");
  CHECK(Understood("2026-11-22t20:59:01.5z") == "2026-11-22T20:59:01.500Z");
  CHECK(Understood("2026-11-22 20:59:01.123456789Z") == "2026-11-22T20:59:01.123Z");
  CHECK(Understood("2026-11-22T20:59:01+05:45") == "2026-11-22T15:14:01.000Z");
  CHECK(Understood("2026-11-22T20:59:01-00:00") == "2026-11-22T20:59:01.000Z");
  CHECK(Understood("2026-12-31T20:59:01.07-0330") == "2027-01-01T00:29:01.070Z");
  CHECK(Understood("2016-12-31T23:59:60Z") == "2017-01-01T00:00:00.000Z");
  CHECK(Understood("2026-11-22T20:59Z") == "2026-11-22T20:59:00.000Z");
  CHECK(Understood("2024-02-29T00:00:00Z") == "2024-02-29T00:00:00.000Z");
}

TEST_CASE("Local times have the offset of their day") {
  CHECK(Understood("2026-11-27 14:05") == "2026-11-27T13:05:00.000Z");
  CHECK(Understood("2026-07-01T14:05:06.7") == "2026-07-01T12:05:06.700Z");
  CHECK(Understood("yesterday 14:05") == "2026-11-26T13:05:00.000Z");
  CHECK(Understood("Today 9:00:01") == "2026-11-27T08:00:01.000Z");
  CHECK(Understood("today 09:00Z") == "2026-11-27T09:00:00.000Z");
}

TEST_CASE("A zone that is not there is not taken for UTC") {
  for (const char* known : {"", "UTC", "CET-1CEST,M3.5.0,M10.5.0/3", ":EST5EDT", "<+03>-3"}) {
    CHECK(UnknownZone(known).empty());
  }
  CHECK(UnknownZone(nullptr).empty());
  CHECK(UnknownZone("Europe/Nowhere") == "Europe/Nowhere");
  Zone zone = Europe();
  zone.unknown = "Europe/Nowhere";
  for (const char* text : {"2026-11-27 14:05", "yesterday 14:05", "today 09:00"}) {
    const Status refused = ParseMoment(text, kNow, zone).status();
    CHECK(refused.message().find("TZ=Europe/Nowhere is not known here") != std::string::npos);
  }
  CHECK(ParseMoment("2026-11-27T14:05Z", kNow, zone).ok());
  CHECK(ParseMoment("-90m", kNow, zone).ok());
}

TEST_CASE("Days are those of the zone, across the ends of months") {
  const int64_t night = 1777588200000;  // 2026-04-30T22:30Z is 1 May there
  REQUIRE(ParseMoment("yesterday 01:00", night, Europe()).ok());
  CHECK(FormatRfc3339(*ParseMoment("yesterday 01:00", night, Europe())) ==
        "2026-04-29T23:00:00.000Z");
}

TEST_CASE("So long ago") {
  CHECK(Understood("now") == "2026-11-27T14:00:00.123Z");
  CHECK(Understood("-90m") == "2026-11-27T12:30:00.123Z");
  CHECK(Understood("-2d") == "2026-11-25T14:00:00.123Z");
  CHECK(Understood("-1h30m") == "2026-11-27T12:30:00.123Z");
  CHECK(Understood("-99999d") == "\"-99999d\": that is before 1970");
}

TEST_CASE("A local time that is missing or there twice is no time") {
  CHECK(Understood("2026-03-29 02:30").find("put forward") != std::string::npos);
  CHECK(Understood("2026-10-25 02:30").find("came twice") != std::string::npos);
  CHECK(Understood("2026-10-25 03:00") == "2026-10-25T02:00:00.000Z");
  CHECK(Understood("2026-10-25T02:30+02:00") == "2026-10-25T00:30:00.000Z");
}

TEST_CASE("What is no time is quoted, with what can be written") {
  for (const char* text :
       {"", "monday", "2026-11-27", "14:05", "yesterday", "1h", "-1", "-h", "2026-11-27T14:05:00X",
        "2026-11-27T24:00:00Z", "2026-11-27T14:60:00Z", "2026-13-01T00:00:00Z", "26-11-27 14:05",
        "2026-11-27T14:05:00.Z", "2026-11-27T14:05:00+1", "1969-12-31T00:00:00Z", "now 14:05"}) {
    INFO(text);
    CHECK(Understood(text).find('"' + std::string(text) + "\" is not a time: write ") == 0);
  }
  CHECK(Understood("2026-02-29T00:00:00Z") == "\"2026-02-29T00:00:00Z\": there is no such day");
}

TEST_CASE("A moment is shown in the zone") {
  CHECK(FormatLocal(kNow, Europe()) == "2026-11-27 15:00:00.123 CET");
  CHECK(FormatLocal(1782900000000, Europe()) == "2026-07-01 12:00:00 CEST");
}

}  // namespace
}  // namespace backstay
