// A bucket that is elsewhere: the server says where, and is believed within its own provider.

#include <string>
#include <vector>

#include "tests/support/catch.h"
#include "tests/unit/s3_fake_transport.h"

namespace backstay {
namespace {

struct World : Scripted {
  explicit World(const std::string& endpoint = "", const std::string& bucket = "bkt") {
    ReplicaSettings replica = Usual();
    replica.endpoint = endpoint;
    replica.bucket = bucket;
    // As settings choose it.
    replica.force_path_style =
        endpoint.find("amazonaws.com") == std::string::npos && !endpoint.empty();
    SilenceWords words;
    words.begins = words.ends = [this](const std::string& text) { warned.push_back(text); };
    words.notes = [this](const std::string& text) { noted.push_back(text); };
    Make(words, replica);
  }
  // "https://host/path", and the region that was signed for.
  std::string Asked(size_t i) const { return transport->asked.at(i).url; }
  std::string SignedFor(size_t i) const {
    const std::string text = transport->asked.at(i).Header("authorization");
    const size_t at = text.find("/20130524/") + 10;
    return text.substr(at, text.find('/', at) - at);
  }
  void Redirect(int status, const std::string& location) {
    Answer(status, "", {{"location", location}});
  }

  std::vector<std::string> noted;
  std::vector<std::string> warned;
};

}  // namespace

TEST_CASE("a region that the server names is signed for from then on, and noted once") {
  World world;
  const int way = GENERATE(0, 1, 2);
  if (way == 0) {
    world.Error(400, "AuthorizationHeaderMalformed", "<Region>eu-west-3</Region>");
  } else if (way == 1) {
    world.Answer(301, "", {{"x-amz-bucket-region", "eu-west-3"}});
  } else {
    world.Answer(400, "<Error><Code>IllegalLocationConstraintException</Code></Error>",
                 {{"x-amz-bucket-region", "eu-west-3"}});
  }
  world.Answer(200);
  world.Answer(200);
  REQUIRE(world.client->Put("k", AsBytes("v")).ok());
  REQUIRE(world.client->Put("l", AsBytes("v")).ok());
  REQUIRE(world.transport->asked.size() == 3);
  CHECK(world.SignedFor(0) == "us-east-1");
  CHECK(world.Asked(0) == "https://bkt.s3.us-east-1.amazonaws.com/app/k");
  CHECK(world.SignedFor(1) == "eu-west-3");
  CHECK(world.Asked(1) == "https://bkt.s3.eu-west-3.amazonaws.com/app/k");
  CHECK(world.transport->asked[1].Header("host") == "bkt.s3.eu-west-3.amazonaws.com");
  CHECK(world.transport->asked[1].body == "v");
  CHECK(world.Asked(2) == "https://bkt.s3.eu-west-3.amazonaws.com/app/l");
  CHECK(world.client->Place() == "s3://bkt/app at https://s3.eu-west-3.amazonaws.com");
  REQUIRE(world.noted.size() == 1);
  CHECK_THAT(world.noted[0], Catch::Contains("bucket bkt is in region eu-west-3, not us-east-1"));
  CHECK(world.warned.empty());
}

TEST_CASE("a server of one's own keeps its host in every region") {
  World world("http://127.0.0.1:9000");
  world.Error(400, "AuthorizationHeaderMalformed", "<Region>garage</Region>");
  world.Answer(200);
  REQUIRE(world.client->Put("k", {}).ok());
  CHECK(world.SignedFor(1) == "garage");
  CHECK(world.Asked(1) == "http://127.0.0.1:9000/bkt/app/k");
}

TEST_CASE("a provider's endpoint of the wrong region becomes that of the right one") {
  World world("https://s3.us-west-002.backblazeb2.com");
  world.Error(400, "AuthorizationHeaderMalformed", "<Region>eu-central-003</Region>");
  world.Answer(200);
  REQUIRE(world.client->Put("k", {}).ok());
  CHECK(world.Asked(1) == "https://s3.eu-central-003.backblazeb2.com/bkt/app/k");
}

TEST_CASE("a region that leads nowhere is an error, after a bounded number of requests") {
  World world;
  const auto say = [&](const std::string& region) {
    world.Answer(301, "", {{"x-amz-bucket-region", region}});
  };
  SECTION("the same one again") {
    say("eu-west-3");
    say("eu-west-3");
    const Status put = world.client->Put("k", {});
    CHECK(put.code() == Code::kInvalid);
    CHECK_THAT(put.message(), Catch::Contains("correct `endpoint` or `region`"));
    CHECK(world.transport->asked.size() == 2);
  }
  SECTION("to and fro") {
    for (int i = 0; i < 10; ++i) say(i % 2 == 0 ? "eu-west-3" : "eu-west-1");
    CHECK(world.client->Put("k", {}).code() == Code::kInvalid);
    CHECK(world.transport->asked.size() == 4);
    CHECK(world.noted.size() == 1);
  }
  SECTION("none that could be one") {
    const std::vector<std::string> none = {"", "x.evil.example/", "EU WEST", "a@b",
                                           std::string(64, 'a')};
    for (const std::string& region : none) {
      say(region);
      CHECK(world.client->Put("k", {}).code() == Code::kInvalid);
    }
    CHECK(world.transport->asked.size() == 5);
    CHECK(world.noted.empty());
  }
}

TEST_CASE("a temporary redirect holds for its request, a lasting one from then on") {
  World world;
  const bool lasts = GENERATE(false, true);
  world.Redirect(lasts ? 301 : 307, "https://bkt.s3-us-west-2.amazonaws.com/app/a%20b");
  world.Answer(200);
  world.Answer(200);
  REQUIRE(world.client->PutIfAbsent("a b", AsBytes("v")).ok());
  REQUIRE(world.client->Put("l", {}).ok());
  CHECK(world.Asked(1) == "https://bkt.s3-us-west-2.amazonaws.com/app/a%20b");
  CHECK(world.SignedFor(1) == "us-west-2");
  CHECK(world.transport->asked[1].Header("if-none-match") == "*");
  CHECK(world.Asked(2) == (lasts ? "https://bkt.s3-us-west-2.amazonaws.com/app/l"
                                 : "https://bkt.s3.us-east-1.amazonaws.com/app/l"));
  CHECK(world.noted.size() == (lasts ? 1 : 0));
}

TEST_CASE("a redirect in S3's words alone names the bucket's host") {
  World world;
  const std::string body = "<Error><Code>PermanentRedirect</Code><Endpoint>";
  const bool in_host = GENERATE(true, false);
  const std::string host = "s3-eu-west-1.amazonaws.com";
  world.Answer(301, body + (in_host ? "bkt." : "") + host + "</Endpoint></Error>");
  world.Answer(200);
  REQUIRE(world.client->Put("k", {}).ok());
  CHECK(world.Asked(1) ==
        (in_host ? "https://bkt." + host + "/app/k" : "https://" + host + "/bkt/app/k"));
  CHECK(world.SignedFor(1) == "eu-west-1");
}

TEST_CASE("redirects within one server") {
  World world("http://s3.example.com");
  const std::string to =
      GENERATE("https://s3.example.com/bkt/app/k", "https://bkt.s3.example.com/app/k");
  world.Redirect(308, to);
  world.Answer(200);
  REQUIRE(world.client->Put("k", {}).ok());
  CHECK(world.Asked(1) == to);
}

TEST_CASE("a list is redirected as well") {
  World world;
  world.Redirect(307, "https://bkt.s3-us-west-2.amazonaws.com/?list-type=2&prefix=app%2F");
  world.Answer(200, "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>");
  REQUIRE(world.client->List({}).ok());
  CHECK_THAT(world.Asked(1), Catch::StartsWith("https://bkt.s3-us-west-2.amazonaws.com/?encoding"));
}

TEST_CASE("nothing that is signed goes to another's host") {
  struct Case {
    const char* endpoint;
    const char* location;
    const char* says;
  };
  const Case each = GENERATE(values<Case>({
      {"", "https://bkt.s3.us-east-1.amazonaws.com.evil.example/app/k",
       "redirects to https://bkt.s3.us-east-1.amazonaws.com.evil.example,"},
      {"", "https://ec2-1-2-3-4.compute-1.amazonaws.com/app/k", "redirects to https://ec2-1"},
      {"", "https://s3-x.us-east-1.elb.amazonaws.com/bkt/app/k", "redirects to https://s3-x"},
      {"", "http://bkt.s3.us-west-2.amazonaws.com/app/k", "redirects to http://bkt"},
      {"", "https://bkt.s3.us-west-2.amazonaws.com:8443/app/k", ":8443"},
      {"", "https://b.nyc3.digitaloceanspaces.com/app/k", "digitaloceanspaces"},
      {"http://127.0.0.1:9000", "http://127.0.0.1:9001/bkt/app/k", "127.0.0.1:9001"},
      {"https://s3.example.com", "https://example.com/bkt/app/k", "https://example.com"},
      {"https://s3.example.com", "http://s3.example.com/bkt/app/k", "http://s3.example.com"},
      {"http://hotel.example", "http://login.example/?from=bkt", "http://login.example"},
      {"https://s3.example.com", "https://s3.example.com/login", "not to the same object"},
      {"https://s3.example.com", "https://s3.example.com/other/app/k", "not to the same object"},
  }));
  INFO(each.location);
  const int status = GENERATE(301, 302, 307, 308);
  World world(each.endpoint);
  world.Redirect(status, each.location);
  const Status put = world.client->Put("k", {});
  CHECK(put.code() == Code::kInvalid);
  CHECK_THAT(put.message(), Catch::Contains(each.says));
  CHECK(world.transport->asked.size() == 1);
  CHECK(world.noted.empty());
}

TEST_CASE("a redirect to itself, or to nowhere, is an error") {
  World world;
  const std::string to =
      GENERATE("https://bkt.s3.us-east-1.amazonaws.com/app/k", "/app/k", "https://", "");
  world.Redirect(301, to);
  CHECK(world.client->Put("k", {}).code() == Code::kInvalid);
  CHECK(world.transport->asked.size() == 1);
}

}  // namespace backstay
