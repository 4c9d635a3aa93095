// A machine whose clock is wrong: the server says so, and its own time is used.

#include <string>
#include <vector>

#include "tests/support/catch.h"
#include "tests/unit/s3_fake_transport.h"

namespace backstay {
namespace {

// 2013-05-24T00:00:00Z by this machine (s3_fake_transport.h).
const char* const kHourLater = "Fri, 24 May 2013 01:00:00 GMT";
const char* const kHourBefore = "Thu, 23 May 2013 23:00:00 GMT";
const char* const kNow = "Fri, 24 May 2013 00:00:20 GMT";

struct World : Scripted {
  World() {
    words.begins = [this](const std::string& text) { told.push_back(text); };
    words.ends = [this](const std::string& text) { told.push_back(text); };
    Make(words);
  }
  void Refuse(const std::string& date) {
    const std::string body = "<Error><Code>RequestTimeTooSkewed</Code></Error>";
    date.empty() ? Answer(403, body) : Answer(403, body, {{"date", date}});
  }
  std::string Signed(size_t i) const { return transport->asked.at(i).Header("x-amz-date"); }

  SilenceWords words;
  std::vector<std::string> told;
};

}  // namespace

TEST_CASE("a request that is refused for its time is sent again with the server's") {
  World world;
  world.Refuse(kHourLater);
  world.Answer(200);
  world.Answer(200);
  REQUIRE(world.client->Put("k", AsBytes("v")).ok());
  REQUIRE(world.client->Put("l", AsBytes("v")).ok());
  REQUIRE(world.transport->asked.size() == 3);
  CHECK(world.Signed(0) == "20130524T000000Z");
  CHECK(world.Signed(1) == "20130524T010000Z");
  CHECK(world.transport->asked[1].body == "v");
  CHECK(world.transport->asked[1].Header("authorization") !=
        world.transport->asked[0].Header("authorization"));
  // From then on.
  CHECK(world.Signed(2) == "20130524T010000Z");
  CHECK(world.client->Counters().requests == 3);
  REQUIRE(world.told.size() == 1);
  CHECK_THAT(world.told[0], Catch::Contains("clock is 60 min behind the server's"));
}

TEST_CASE("a clock that is set right meanwhile, or further away, is put right again") {
  World world;
  world.Refuse(kHourBefore);
  world.Answer(200);
  REQUIRE(world.client->Put("k", {}).ok());
  CHECK(world.Signed(1) == "20130523T230000Z");
  CHECK_THAT(world.told.back(), Catch::Contains("clock is 60 min ahead of the server's"));
  world.Refuse(kNow);
  world.Answer(200);
  REQUIRE(world.client->Put("k", {}).ok());
  CHECK(world.Signed(2) == "20130523T230000Z");
  CHECK(world.Signed(3) == "20130524T000000Z");
  CHECK_THAT(world.told.back(), Catch::Contains("agrees with the server's again"));
}

TEST_CASE("a refusal that the server's time does not mend is an error that may pass") {
  World world;
  const size_t most = GENERATE(size_t{1}, size_t{2});
  if (most == 2) {
    world.Refuse(kHourLater);
    world.Refuse(kHourLater);
  } else {
    world.Refuse(GENERATE("", "yesterday", kNow));
  }
  const Status put = world.client->Put("k", {});
  CHECK(put.code() == Code::kDenied);
  CHECK(put.retryable());
  CHECK_THAT(put.message(), Catch::Contains("this machine's clock"));
  CHECK(world.transport->asked.size() == most);
}

TEST_CASE("no other answer's Date is believed") {
  World world;
  world.Answer(200, "", {{"date", kHourLater}});
  world.Answer(403, "<Error><Code>AccessDenied</Code></Error>", {{"date", kHourLater}});
  world.Answer(200);
  CHECK(world.client->Put("k", {}).ok());
  CHECK(world.client->Put("k", {}).code() == Code::kDenied);
  CHECK(world.client->Put("k", {}).ok());
  REQUIRE(world.transport->asked.size() == 3);
  CHECK(world.Signed(2) == "20130524T000000Z");
  CHECK(world.told.empty());
}

}  // namespace backstay
