#include <functional>

#include "tests/support/catch.h"
#include "tests/unit/format_support.h"
#include "uploader/base/hash.h"
#include "uploader/format/pack.h"

namespace backstay {
namespace {

constexpr size_t kTrailer = 21;
const DatabaseId kId = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

struct Packed {
  std::string bytes;
  std::vector<std::string> objects;
};

// Objects 20 to 23; the third is a takeover.
Packed SomePack() {
  Packed pack;
  PackWriter writer(kId);
  uint64_t hash = 5;
  uint64_t segment = 100;
  for (uint64_t number = 20; number < 24; ++number) {
    const size_t count = number - 19;
    Takeover takeover;
    takeover.segment_number = segment - 1;
    std::string object = number == 22 ? EncodeTakeover(8, number, takeover)
                                      : SmallLogObject(7, number, segment, count, &hash);
    if (number != 22) segment += count;
    REQUIRE(writer.Add(AsBytes(object), number).ToString() == "OK");
    pack.objects.push_back(object);
  }
  CHECK(writer.objects() == 4);
  pack.bytes = writer.Finish();
  return pack;
}

Result<std::vector<PackedObject>> ParseWhole(const std::string& pack) {
  Bytes tail = AsBytes(pack);
  if (tail.size() > kPackTailBytes) tail = tail.last(kPackTailBytes);
  Result<uint64_t> offset = PackIndexOffset(tail, pack.size());
  if (!offset.ok()) return offset.status();
  return ParsePackIndex(AsBytes(pack).subspan(*offset), pack.size());
}

// An index field by field, under a valid hash, behind 5 + 100 bytes; as it stands it is one
// takeover object, number 20.
struct Forged {
  uint64_t count = 1;
  uint64_t number = 20;
  uint64_t length = 100;
  uint8_t kind = 2;
  std::string segments = Varints({0});
  std::string more;
  uint64_t offset = 105;
  uint8_t version = 1;

  static std::string Varints(std::initializer_list<uint64_t> values) {
    ByteWriter out;
    for (uint64_t value : values) out.Varint(value);
    return out.Take();
  }

  std::string End() const {
    ByteWriter out;
    out.Raw(Bytes(kId));
    out.Varint(count);
    out.Varint(number);
    out.Varint(length);
    out.Varint(6);
    out.U8(kind);
    out.Raw(segments);
    out.Raw(more);
    out.U64(offset);
    out.U8(version);
    out.U64(Hash(out.bytes()));
    out.Raw("BKPK");
    return out.Take();
  }
};

Code CodeOf(const Forged& forged) {
  const std::string end = forged.End();
  return ParsePackIndex(AsBytes(end), 105 + end.size()).status().code();
}

}  // namespace

TEST_CASE("a pack gives back its objects, and plans without them") {
  const Packed pack = SomePack();
  Result<uint64_t> offset = PackIndexOffset(AsBytes(pack.bytes), pack.bytes.size());
  REQUIRE(offset.ok());
  DatabaseId id{};
  auto index = ParsePackIndex(AsBytes(pack.bytes).subspan(*offset), pack.bytes.size(), &id);
  REQUIRE(index.status().ToString() == "OK");
  CHECK(id == kId);
  REQUIRE(index->size() == pack.objects.size());
  for (size_t i = 0; i < index->size(); ++i) {
    const PackedObject& packed = (*index)[i];
    const std::string bytes = pack.bytes.substr(packed.offset, packed.length);
    CHECK(bytes == pack.objects[i]);
    CHECK(packed.header.number == 20 + i);
    Result<LogObject> object = ParseLogObject(AsBytes(bytes), packed.header.number);
    REQUIRE(object.ok());
    CHECK(packed.header.epoch == object->header.epoch);
    CHECK(packed.header.kind == object->header.kind);
    REQUIRE(packed.segments.size() == object->segments.size());
    for (size_t s = 0; s < packed.segments.size(); ++s) {
      const SegmentInfo want = InfoOf(object->segments[s]);
      const SegmentInfo& got = packed.segments[s];
      CHECK(got.number == want.number);
      CHECK(got.first_txid == want.first_txid);
      CHECK(got.transactions == want.transactions);
      CHECK(got.last_txid() == object->segments[s].last_txid());
      CHECK(got.flags == want.flags);
      CHECK(got.first_time_ms == want.first_time_ms);
      CHECK(got.last_time_ms == want.last_time_ms);
    }
  }
}

TEST_CASE("a segment's summary has its times and flags") {
  SegmentWriter writer;
  writer.Begin(512);
  for (uint64_t transactions : {3, 2, 0}) {
    writer.BeginStep(transactions, 9000 - static_cast<int64_t>(transactions) * 1000);
    writer.EndStep(1);
  }
  SegmentHeader header;
  header.flags = kSegmentMore | kSegmentRepair;
  header.page_size = 512;
  header.number = 4;
  header.first_txid = 70;
  const std::string bytes = writer.Finish(header).value();
  const SegmentInfo info = InfoOf(Parsed(bytes));
  CHECK(info.number == 4);
  CHECK(info.first_txid == 70);
  CHECK(info.transactions == 5);
  CHECK(info.last_txid() == 74);
  CHECK(info.more());
  CHECK(info.flags == header.flags);
  CHECK(info.first_time_ms == 6000);
  CHECK(info.last_time_ms == 9000);
}

TEST_CASE("the pack writer refuses gaps, damage and objects under another number") {
  uint64_t hash = 0;
  const std::string first = SmallLogObject(1, 5, 1, 1, &hash);
  const std::string second = SmallLogObject(1, 6, 2, 1, &hash);
  const std::string third = SmallLogObject(1, 7, 3, 1, &hash);
  PackWriter writer(kId);
  CHECK(writer.Add(AsBytes(first), 4).code() == Code::kCorrupt);
  CHECK(writer.Add(AsBytes(WithByte(first, 40, 1)), 5).code() == Code::kCorrupt);
  CHECK(writer.Add(AsBytes(WithByte(first, 4, 2)), 5).code() == Code::kNewer);
  CHECK(writer.objects() == 0);
  REQUIRE(writer.Add(AsBytes(first), 5).ok());
  CHECK(writer.Add(AsBytes(third), 7).code() == Code::kInvalid);
  CHECK(writer.Add(AsBytes(first), 5).code() == Code::kInvalid);
  REQUIRE(writer.Add(AsBytes(second), 6).ok());
  CHECK(writer.bytes() == 5 + first.size() + second.size());
  const std::string pack = writer.Finish();
  CHECK(ParseWhole(pack)->size() == 2);
  CHECK(PackWriter(kId).Finish().empty());
}

TEST_CASE("a pack whose end has any byte changed, or that is cut, is refused") {
  const Packed pack = SomePack();
  const size_t index_offset = PackIndexOffset(AsBytes(pack.bytes), pack.bytes.size()).value();
  const size_t version_at = pack.bytes.size() - kTrailer + 8;
  for (size_t i = index_offset; i < pack.bytes.size(); ++i) {
    for (uint8_t change : {0x01, 0x80, 0xff}) {
      const Code code = ParseWhole(WithByte(pack.bytes, i, change)).status().code();
      CHECK((code == Code::kCorrupt || (i == version_at && code == Code::kNewer)));
    }
  }
  for (size_t size = 0; size < pack.bytes.size(); ++size) {
    CHECK(ParseWhole(pack.bytes.substr(0, size)).status().code() == Code::kCorrupt);
  }
  CHECK(ParseWhole("front" + pack.bytes).status().code() == Code::kCorrupt);
}

TEST_CASE("an index that breaks a rule under a valid hash is refused") {
  REQUIRE(CodeOf(Forged()) == Code::kOk);
  const std::string one = Forged::Varints({1, 50, 9, 3, 0, 1000, 0});
  const std::pair<const char*, std::function<void(Forged*)>> lies[] = {
      {"no objects", [](Forged* f) { f->count = 0; }},
      {"objects that are not there", [](Forged* f) { f->count = 2; }},
      {"objects without end", [](Forged* f) { f->count = ~0ull; }},
      {"number 0", [](Forged* f) { f->number = 0; }},
      {"a gap at the end", [](Forged* f) { f->length = 99; }},
      {"an object over the index", [](Forged* f) { f->length = 101; }},
      {"an object of 2^64 bytes", [](Forged* f) { f->length = ~0ull; }},
      {"unknown kind", [](Forged* f) { f->kind = 3; }},
      {"segments object without segments", [](Forged* f) { f->kind = 1; }},
      {"takeover with segments", [&](Forged* f) { f->segments = one; }},
      {"segments without end",
       [](Forged* f) { f->kind = 1, f->segments = Forged::Varints({~0ull}); }},
      {"segment number 0",
       [](Forged* f) {
         f->kind = 1, f->segments = Forged::Varints({1, 0, 9, 3, 0, 1000, 0});
       }},
      {"transaction 0",
       [](Forged* f) {
         f->kind = 1, f->segments = Forged::Varints({1, 50, 0, 3, 0, 1000, 0});
       }},
      {"unknown flag",
       [](Forged* f) {
         f->kind = 1, f->segments = Forged::Varints({1, 50, 9, 3, 8, 1000, 0});
       }},
      {"transactions that wrap",
       [](Forged* f) {
         f->kind = 1, f->segments = Forged::Varints({1, 50, 9, ~0ull, 0, 9, 0});
       }},
      {"times that wrap",
       [](Forged* f) {
         f->kind = 1, f->segments = Forged::Varints({1, 50, 9, 3, 0, 9, ~0ull >> 1});
       }},
      {"segments that do not follow",
       [](Forged* f) {
         f->kind = 1, f->segments = Forged::Varints({2, 50, 9, 3, 0, 9, 0, 52, 12, 3, 0, 9, 0});
       }},
      {"a gap between two numbers",
       [](Forged* f) {
         f->count = 2, f->length = 50, f->more = Forged::Varints({22, 50, 6, 2, 0});
       }},
      {"an empty object",
       [](Forged* f) {
         f->count = 2, f->more = Forged::Varints({21, 0, 6, 2, 0});
       }},
      {"bytes at the end", [](Forged* f) { f->more = Forged::Varints({0}); }},
      {"another offset", [](Forged* f) { f->offset = 104; }},
      {"version 0", [](Forged* f) { f->version = 0; }},
  };
  for (const auto& [what, tell] : lies) {
    INFO(what);
    Forged forged;
    tell(&forged);
    CHECK(CodeOf(forged) == Code::kCorrupt);
  }
  Forged good;
  good.kind = 1;
  good.segments = one;
  CHECK(CodeOf(good) == Code::kOk);
  good.version = 3;
  CHECK(CodeOf(good) == Code::kNewer);
}

TEST_CASE("an index offset outside the pack is refused") {
  for (uint64_t offset : {0ull, 5ull, 1ull << 40, ~0ull}) {
    Forged forged;
    forged.offset = offset;
    const std::string end = forged.End();
    CHECK(PackIndexOffset(AsBytes(end), 105 + end.size()).status().code() == Code::kCorrupt);
  }
  const std::string end = Forged().End();
  CHECK(PackIndexOffset(AsBytes(end), 105 + end.size()).value() == 105);
  CHECK(PackIndexOffset(AsBytes(end), 10).status().code() == Code::kCorrupt);
}

}  // namespace backstay
