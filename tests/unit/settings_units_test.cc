#include "tests/unit/settings_support.h"
#include "uploader/settings/units.h"

namespace backstay {

TEST_CASE("durations take a unit, alone or in a row") {
  CHECK(ParseDurationMs("250ms").value() == 250);
  CHECK(ParseDurationMs("5s").value() == 5000);
  CHECK(ParseDurationMs("1m").value() == 60'000);
  CHECK(ParseDurationMs("1h").value() == 3'600'000);
  CHECK(ParseDurationMs("7d").value() == 7 * 86'400'000LL);
  CHECK(ParseDurationMs("1m30s").value() == 90'000);
  CHECK(ParseDurationMs("0s").value() == 0);
}

TEST_CASE("what is no duration is refused with an example") {
  for (const char* text :
       {"", "5", "0", "s", "-5s", "5 s", "1.5s", "5sec", "5S", "5s3", " 5s", "+5s",
        "9223372036854775807d", "99999999999999999999s", "9223372036854775807ms1ms"}) {
    INFO(text);
    Result<int64_t> parsed = ParseDurationMs(text);
    REQUIRE_FALSE(parsed.ok());
    CHECK(parsed.error().code() == Code::kInvalid);
    CHECK_CONTAINS(parsed.error().message(), "250ms");
  }
}

TEST_CASE("sizes are bytes or have a binary unit") {
  CHECK(ParseBytes("0").value() == 0);
  CHECK(ParseBytes("4096").value() == 4096);
  CHECK(ParseBytes("4096B").value() == 4096);
  CHECK(ParseBytes("4KiB").value() == 4096);
  CHECK(ParseBytes("64MiB").value() == 64u << 20);
  CHECK(ParseBytes("1GiB").value() == 1u << 30);
  CHECK(ParseBytes("2TiB").value() == 2ull << 40);
}

TEST_CASE("what is no size is refused with the units") {
  for (const char* text : {"", "MiB", "64MB", "64M", "-1", "1.5GiB", "64 MiB", "4KiB4KiB",
                           "18446744073709551616", "16777216TiB"}) {
    INFO(text);
    Result<uint64_t> parsed = ParseBytes(text);
    REQUIRE_FALSE(parsed.ok());
    CHECK_CONTAINS(parsed.error().message(), "MiB");
  }
}

TEST_CASE("booleans in words") {
  for (const char* text : {"true", "TRUE", "yes", "on", "1"}) CHECK(ParseBool(text).value());
  for (const char* text : {"false", "No", "off", "0"}) CHECK_FALSE(ParseBool(text).value());
  CHECK_FALSE(ParseBool("2").ok());
  CHECK_FALSE(ParseBool("").ok());
}

TEST_CASE("a quoted value is short and printable") {
  CHECK(Quote("a\nb\x7f") == "\"a?b?\"");
  CHECK(Quote(std::string(1000, 'x')).size() < 80);
}

TEST_CASE("the nearest name is near, or none") {
  const std::vector<std::string> names = {"bucket", "region", "endpoint"};
  CHECK(NearestName("buckett", names) == "bucket");
  CHECK(NearestName("end-point", names) == "endpoint");
  CHECK(NearestName("sync-interval", names).empty());
  CHECK(NearestName(std::string(100'000, 'b'), names).empty());
  CHECK_CONTAINS(Suggestion("sync-interval", names), "bucket, region, endpoint");
}

}  // namespace backstay
