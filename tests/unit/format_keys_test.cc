#include "tests/support/catch.h"
#include "tests/unit/format_support.h"
#include "uploader/format/keys.h"

namespace backstay {

TEST_CASE("keys are written as specified and come back") {
  CHECK(LogKey(1) == "log/0000000000000001");
  CHECK(LogKey(0xfedcba9876543210) == "log/fedcba9876543210");
  CHECK(PackKey(1, 0x400) == "pack/0000000000000001-0000000000000400");
  CHECK(SnapshotFrameKey(0x1f, 0xabc, 7) == "snapshot/000000000000001f/0000000000000abc-00000007");
  CHECK(SnapshotManifestKey(0x1f) == "snapshot/000000000000001f/manifest");
  for (uint64_t number : {1ull, 255ull, 1ull << 40, ~0ull}) {
    CHECK(ParseLogKey(LogKey(number)) == number);
    CHECK(ParsePackKey(PackKey(number, ~0ull)) == std::pair(number, uint64_t{~0ull}));
    CHECK(ParseSnapshotManifestKey(SnapshotManifestKey(number)) == number);
  }
}

TEST_CASE("other keys are not taken for ours") {
  for (const char* key :
       {"", "log/", "log/1", "log/000000000000000A", "log/00000000000000010", "log/000000000000001",
        "log/000000000000000g", "log/0000000000000000", "Log/0000000000000001",
        "x/log/0000000000000001", "log/0000000000000001/", "log/-000000000000001",
        "log/0x00000000000001", " log/0000000000000001", "pack/0000000000000001"}) {
    INFO(key);
    CHECK(ParseLogKey(key) == std::nullopt);
    CHECK(ParsePackKey(key) == std::nullopt);
    CHECK(ParseSnapshotManifestKey(key) == std::nullopt);
  }
  CHECK(ParsePackKey(PackKey(5, 5)).has_value());
  CHECK_FALSE(ParsePackKey(PackKey(6, 5)).has_value());
  CHECK_FALSE(ParsePackKey(PackKey(0, 5)).has_value());
  CHECK_FALSE(ParsePackKey(PackKey(1, 5) + "0").has_value());
  CHECK_FALSE(ParsePackKey("pack/0000000000000001_0000000000000005").has_value());
  CHECK_FALSE(ParseSnapshotManifestKey(SnapshotManifestKey(1) + "s").has_value());
  CHECK_FALSE(ParseSnapshotManifestKey(SnapshotManifestKey(0)).has_value());
  CHECK_FALSE(ParseSnapshotManifestKey(SnapshotFrameKey(1, 2, 3)).has_value());
}

TEST_CASE("the identity comes back") {
  Identity want;
  for (uint8_t i = 0; i < 16; ++i) want.id[i] = static_cast<uint8_t>(250 - i * 15);
  for (want.page_size = 512; want.page_size <= 65536; want.page_size *= 2) {
    Result<Identity> got = ParseIdentity(EncodeIdentity(want));
    REQUIRE(got.status().ToString() == "OK");
    CHECK(got->id == want.id);
    CHECK(got->page_size == want.page_size);
  }
}

TEST_CASE("the family comes back, and one that is not known is left out") {
  Identity want;
  want.page_size = 4096;
  CHECK(EncodeIdentity(want).find("family") == std::string::npos);
  for (uint8_t i = 0; i < 16; ++i) want.family[i] = static_cast<uint8_t>(i * 17);
  Result<Identity> got = ParseIdentity(EncodeIdentity(want));
  REQUIRE(got.ok());
  CHECK(got->family == want.family);
  CHECK(got->id == want.id);
}

TEST_CASE("an identity may have members of a later time") {
  Result<Identity> got = ParseIdentity(
      R"({"x": [1], "page-size": 512, "id": "000102030405060708090a0b0c0d0eff", "format": 1})");
  REQUIRE(got.ok());
  CHECK(FormatDatabaseId(got->id) == "000102030405060708090a0b0c0d0eff");
  CHECK(got->family == DatabaseId{});
}

TEST_CASE("what is not an identity is refused") {
  const std::string id = R"("id": "000102030405060708090a0b0c0d0eff")";
  const std::string bad[] = {
      "",
      "null",
      "[]",
      "{}",
      "{",
      R"({"format": 1})",
      R"({"format": 1, )" + id + "}",
      R"({"format": 1, "page-size": 4096})",
      R"({"page-size": 4096, )" + id + "}",
      R"({"format": 0, "page-size": 4096, )" + id + "}",
      R"({"format": -1, "page-size": 4096, )" + id + "}",
      R"({"format": 1.5, "page-size": 4096, )" + id + "}",
      R"({"format": "1", "page-size": 4096, )" + id + "}",
      R"({"format": 1, "page-size": 4097, )" + id + "}",
      R"({"format": 1, "page-size": 256, )" + id + "}",
      R"({"format": 1, "page-size": 4294971392, )" + id + "}",
      R"({"format": 1, "page-size": -4096, )" + id + "}",
      R"({"format": 1, "page-size": "4096", )" + id + "}",
      R"({"format": 1, "page-size": 4096, "id": 5})",
      R"({"format": 1, "page-size": 4096, "id": "00"})",
      R"({"format": 1, "page-size": 4096, "id": "000102030405060708090a0b0c0d0eff00"})",
      R"({"format": 1, "page-size": 4096, "id": "000102030405060708090A0B0C0D0EFF"})",
      R"({"format": 1, "page-size": 4096, "family": "00", )" + id + "}",
      std::string(100000, '['),
      std::string(30000, '['),
  };
  for (const std::string& json : bad) {
    INFO(json.substr(0, 100));
    CHECK(ParseIdentity(json).status().code() == Code::kCorrupt);
  }
}

TEST_CASE("an identity of a newer format is refused with the remedy") {
  for (const char* json : {R"({"format": 3})", R"({"format": 300, "id": 1})"}) {
    Status status = ParseIdentity(json).status();
    CHECK(status.code() == Code::kNewer);
    CHECK(status.message().find("upgrade") != std::string::npos);
  }
}

TEST_CASE("a damaged identity never reads as anything but an error or an identity") {
  Identity identity;
  identity.page_size = 4096;
  const std::string json = EncodeIdentity(identity);
  for (size_t i = 0; i < json.size(); ++i) {
    for (int change = 1; change < 256; ++change) {
      Result<Identity> got = ParseIdentity(WithByte(json, i, static_cast<uint8_t>(change)));
      const Code code = got.status().code();
      CHECK((code == Code::kOk || code == Code::kCorrupt || code == Code::kNewer));
    }
    const bool only_the_newline_is_missing = i + 1 == json.size();
    CHECK(ParseIdentity(json.substr(0, i)).ok() == only_the_newline_is_missing);
  }
}

}  // namespace backstay
