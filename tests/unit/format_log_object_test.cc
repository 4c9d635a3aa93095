#include "tests/support/catch.h"
#include "tests/unit/format_support.h"
#include "uploader/base/hash.h"

namespace backstay {
namespace {

Takeover SomeTakeover() {
  Takeover takeover;
  for (uint8_t i = 0; i < 16; ++i) takeover.database_id[i] = static_cast<uint8_t>(i * 17);
  takeover.writer_id = 0xfeedfacecafebeef;
  takeover.time_ms = 1700000000123;
  takeover.segment_number = 1234567;
  takeover.segment_hash = 0x0102030405060708;
  takeover.txid = 987654321;
  return takeover;
}

// A header with these values and a right hash.
std::string RawHeader(const std::string& magic, uint8_t version, uint8_t kind, uint64_t number,
                      uint64_t segments = 1) {
  ByteWriter out;
  out.Raw(magic);
  out.U8(version);
  out.U8(kind);
  out.Varint(3);
  out.Varint(number);
  out.Varint(segments);
  out.U32(static_cast<uint32_t>(Hash(out.bytes())));
  return out.Take();
}

Code CodeOf(const std::string& bytes, uint64_t number) {
  return ParseLogObject(AsBytes(bytes), number).status().code();
}

}  // namespace

TEST_CASE("a log object gives back its segments") {
  uint64_t hash = 77;
  const std::string bytes = SmallLogObject(3, 300, 50, 4, &hash);
  Result<LogObject> object = ParseLogObject(AsBytes(bytes), 300);
  REQUIRE(object.status().ToString() == "OK");
  CHECK(object->header.kind == LogKind::kSegments);
  CHECK(object->header.epoch == 3);
  CHECK(object->header.number == 300);
  REQUIRE(object->segments.size() == 4);
  CHECK(object->segments[0].header().previous_hash == 77);
  CHECK(object->segments[3].header().number == 53);
  CHECK(object->segments[3].hash() == hash);
}

TEST_CASE("a takeover record comes back") {
  const Takeover want = SomeTakeover();
  const std::string bytes = EncodeTakeover(9, 17, want);
  Result<LogObject> object = ParseLogObject(AsBytes(bytes), 17);
  REQUIRE(object.status().ToString() == "OK");
  CHECK(object->header.kind == LogKind::kTakeover);
  CHECK(object->header.epoch == 9);
  CHECK(object->segments.empty());
  CHECK(object->takeover.database_id == want.database_id);
  CHECK(object->takeover.writer_id == want.writer_id);
  CHECK(object->takeover.time_ms == want.time_ms);
  CHECK(object->takeover.segment_number == want.segment_number);
  CHECK(object->takeover.segment_hash == want.segment_hash);
  CHECK(object->takeover.txid == want.txid);
}

TEST_CASE("a takeover that states a page size says so, in a version of its own") {
  Takeover want = SomeTakeover();
  for (uint32_t page_size : {512u, 65536u}) {
    want.page_size = page_size;
    const std::string bytes = EncodeTakeover(9, 17, want);
    Result<LogObject> object = ParseLogObject(AsBytes(bytes), 17);
    REQUIRE(object.status().ToString() == "OK");
    CHECK(object->header.kind == LogKind::kNewBase);
    CHECK(object->takeover.page_size == page_size);
    CHECK(object->takeover.txid == want.txid);
    CHECK(bytes[4] == 2);
    CHECK(CodeOf(WithByte(bytes, 5, 1), 17) == Code::kCorrupt);
  }
}

TEST_CASE("a log object under another number is refused, naming both") {
  const std::string bytes = EncodeTakeover(9, 17, SomeTakeover());
  Status status = ParseLogObject(AsBytes(bytes), 18).status();
  CHECK(status.code() == Code::kCorrupt);
  CHECK(status.message().find("17") != std::string::npos);
  CHECK(status.message().find("18") != std::string::npos);
}

TEST_CASE("a log object with any byte changed, or cut anywhere, is refused") {
  uint64_t hash = 0;
  const std::string objects[] = {SmallLogObject(1, 200, 1, 2, &hash),
                                 EncodeTakeover(1, 200, SomeTakeover()),
                                 EncodeTakeover(1, 200, {.page_size = 4096})};
  for (const std::string& bytes : objects) {
    for (size_t i = 0; i < bytes.size(); ++i) {
      for (uint8_t change : {0x01, 0x80, 0xff}) {
        // The version byte may also become a newer one.
        const Code code = CodeOf(WithByte(bytes, i, change), 200);
        CHECK((code == Code::kCorrupt || (i == 4 && code == Code::kNewer)));
      }
    }
    CHECK(CodeOf(bytes + "more", 200) == Code::kCorrupt);
    for (size_t size = 0; size < bytes.size(); ++size) {
      CHECK(CodeOf(bytes.substr(0, size), 200) == Code::kCorrupt);
    }
  }
}

TEST_CASE("the header of a log object is judged first") {
  size_t consumed = 0;
  auto parse = [&](const std::string& bytes) {
    return ParseLogHeader(AsBytes(bytes), &consumed).status().code();
  };
  CHECK(parse(RawHeader("BKST", 1, 1, 5)) == Code::kOk);
  CHECK(consumed == 13);
  CHECK(parse(RawHeader("BKSX", 1, 1, 5)) == Code::kCorrupt);
  CHECK(parse(RawHeader("BKST", 0, 1, 5)) == Code::kCorrupt);
  CHECK(parse(RawHeader("BKST", 1, 0, 5)) == Code::kCorrupt);
  CHECK(parse(RawHeader("BKST", 1, 3, 5)) == Code::kCorrupt);
  CHECK(parse(RawHeader("BKST", 1, 1, 0)) == Code::kCorrupt);
  CHECK(parse(RawHeader("BKST", 1, 1, 5, 0)) == Code::kCorrupt);
  CHECK(parse(RawHeader("BKST", 1, 2, 5, 1)) == Code::kCorrupt);
  // An object carries the lowest version that can say what it says.
  CHECK(parse(RawHeader("BKST", 2, 1, 5)) == Code::kCorrupt);
  CHECK(parse(RawHeader("BKST", 2, 3, 5, 0)) == Code::kOk);
  CHECK(parse(RawHeader("BKST", 2, 4, 5, 0)) == Code::kCorrupt);
  CHECK(parse(RawHeader("BKST", 3, 1, 5)) == Code::kNewer);
  // Of a newer version nothing is known but the magic and the version.
  CHECK(parse("BKST\xff whatever follows") == Code::kNewer);
}

TEST_CASE("a newer version is refused with both versions and the remedy") {
  Status status = ParseLogObject(AsBytes(RawHeader("BKST", 7, 1, 5)), 5).status();
  CHECK(status.code() == Code::kNewer);
  CHECK(status.message().find("version 7") != std::string::npos);
  CHECK(status.message().find("version 2") != std::string::npos);
  CHECK(status.message().find("upgrade") != std::string::npos);
}

TEST_CASE("segments of one object must follow each other") {
  const std::string header = EncodeLogHeader({LogKind::kSegments, 1, 5, 2});
  const std::string first = SmallSegment(10, 100, 0);
  const uint64_t hash = Parsed(first).hash();
  CHECK(CodeOf(header + first + SmallSegment(11, 101, hash), 5) == Code::kOk);
  CHECK(CodeOf(header, 5) == Code::kCorrupt);
  CHECK(CodeOf(header + first, 5) == Code::kCorrupt);
  CHECK(CodeOf(header + first + first, 5) == Code::kCorrupt);
  CHECK(CodeOf(header + first + SmallSegment(12, 101, hash), 5) == Code::kCorrupt);
  CHECK(CodeOf(header + first + SmallSegment(11, 102, hash), 5) == Code::kCorrupt);
  CHECK(CodeOf(header + first + SmallSegment(11, 101, hash + 1), 5) == Code::kCorrupt);
  CHECK(CodeOf(header + first + SmallSegment(11, 101, hash, 1024), 5) == Code::kCorrupt);
}

}  // namespace backstay
