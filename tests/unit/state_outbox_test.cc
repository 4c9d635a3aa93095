// The outbox: what a later life reads of it, after every kind of end.

#include <sys/resource.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/temp_folder.h"
#include "uploader/state/outbox.h"

namespace backstay {
namespace {

constexpr size_t kMax = 1 << 20;

EncodedSegment Encoded(uint64_t number) {
  EncodedSegment encoded;
  encoded.head = {number, number * 1000, number, 5, false};
  encoded.wal = {1, 2, static_cast<uint32_t>(number), 3, 4};
  encoded.pages = 9;
  encoded.checksum = 77;
  encoded.hashes = {{1, 11}, {static_cast<uint32_t>(number), 12}};
  return encoded;
}

std::string BytesOf(uint64_t number) {
  return std::string(20 + number, static_cast<char>('a' + number));
}

struct Read {
  std::vector<uint64_t> segments;
  std::vector<uint64_t> shipped;
  int stamps = 0;
  Status status;
};

Read Open(Outbox* outbox) {
  Read read;
  read.status = outbox->Open(
      {[&](const EncodedSegment& s) { read.segments.push_back(s.head.segment_number); },
       [&](const ShipState& s) { read.shipped.push_back(s.shipped.segment_number); },
       [&](const FileStamp&) { ++read.stamps; }});
  return read;
}

// Three segments, the first of them shipped, and a stamp.
void Fill(Outbox* outbox) {
  REQUIRE(Open(outbox).status.ok());
  for (uint64_t number : {1, 2, 3}) {
    REQUIRE(outbox->AppendSegment(Encoded(number), BytesOf(number)).ok());
  }
  ShipState ship;
  ship.shipped.segment_number = 1;
  REQUIRE(outbox->AppendShip(ship).ok());
  REQUIRE(outbox->AppendStamp({4096, 1, 2, 3}).ok());
  outbox->Shipped(1);
}

void CheckPending(const Outbox& outbox, std::vector<uint64_t> numbers) {
  uint64_t bytes = 0;
  REQUIRE(outbox.pending().size() == numbers.size());
  for (size_t i = 0; i < numbers.size(); ++i) {
    const Outbox::Pending& pending = outbox.pending()[i];
    REQUIRE(pending.head.segment_number == numbers[i]);
    REQUIRE(outbox.ReadSegment(pending).value() == BytesOf(numbers[i]));
    bytes += BytesOf(numbers[i]).size();
  }
  REQUIRE(outbox.pending_bytes() == bytes);
}

}  // namespace

TEST_CASE("a later life reads what was appended", "[outbox]") {
  TempFolder folder;
  {
    Outbox outbox(folder / "outbox");
    Fill(&outbox);
    CheckPending(outbox, {2, 3});
  }
  Outbox outbox(folder / "outbox");
  Read read = Open(&outbox);
  REQUIRE(read.segments == std::vector<uint64_t>{1, 2, 3});
  REQUIRE(read.shipped == std::vector<uint64_t>{1});
  REQUIRE(read.stamps == 1);
  CheckPending(outbox, {2, 3});
  REQUIRE(outbox.pending()[1].pages == std::vector<uint32_t>{1, 3});
}

TEST_CASE("an outbox cut at any byte keeps the records before, and can be appended to",
          "[outbox]") {
  TempFolder folder;
  {
    Outbox outbox(folder / "outbox");
    Fill(&outbox);
  }
  const std::string whole = ReadFile(folder / "outbox", kMax).value();
  size_t before = 0;
  for (size_t n = 0; n <= whole.size(); ++n) {
    REQUIRE(WriteFileAtomic(folder / "cut", whole.substr(0, n), false).ok());
    Outbox outbox(folder / "cut");
    Read read = Open(&outbox);
    REQUIRE(read.status.ok());
    const size_t records =
        read.segments.size() + read.shipped.size() + static_cast<size_t>(read.stamps);
    REQUIRE(records >= before);
    before = records;
    REQUIRE(outbox.AppendSegment(Encoded(8), BytesOf(8)).ok());
    Outbox again(folder / "cut");
    REQUIRE(Open(&again).segments.size() == read.segments.size() + 1);
    REQUIRE(again.ReadSegment(again.pending().back()).value() == BytesOf(8));
  }
  REQUIRE(before == 5);
}

TEST_CASE("a flipped bit ends the outbox before its record", "[outbox]") {
  TempFolder folder;
  {
    Outbox outbox(folder / "outbox");
    Fill(&outbox);
  }
  const std::string whole = ReadFile(folder / "outbox", kMax).value();
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string flipped = whole;
    flipped[at] = static_cast<char>(flipped[at] ^ 0x10);
    REQUIRE(WriteFileAtomic(folder / "flipped", flipped, false).ok());
    Outbox outbox(folder / "flipped");
    Read read = Open(&outbox);
    REQUIRE(read.status.ok());
    REQUIRE(read.segments.size() + read.shipped.size() + static_cast<size_t>(read.stamps) < 5);
    for (size_t i = 0; i < read.segments.size(); ++i) REQUIRE(read.segments[i] == i + 1);
    for (const Outbox::Pending& pending : outbox.pending()) {
      REQUIRE(outbox.ReadSegment(pending).value() == BytesOf(pending.head.segment_number));
    }
  }
}

TEST_CASE("compaction keeps what waits and drops the rest", "[outbox]") {
  TempFolder folder;
  Outbox outbox(folder / "outbox");
  Fill(&outbox);
  const uint64_t before = outbox.file_bytes();
  REQUIRE(outbox.Compact().ok());
  REQUIRE(outbox.file_bytes() < before);
  CheckPending(outbox, {2, 3});
  {
    Outbox again(folder / "outbox");
    REQUIRE(Open(&again).segments == std::vector<uint64_t>{2, 3});
    CheckPending(again, {2, 3});
    REQUIRE(again.pending()[1].pages == std::vector<uint32_t>{1, 3});
  }
  outbox.Shipped(3);
  REQUIRE(outbox.Compact().ok());
  REQUIRE(outbox.file_bytes() == 0);
  CheckPending(outbox, {});
}

TEST_CASE("compaction moves much when there is more to gain", "[outbox]") {
  TempFolder folder;
  Outbox outbox(folder / "outbox");
  REQUIRE(Open(&outbox).status.ok());
  const auto bytes = [](uint64_t number) {
    return std::string(2 << 20, static_cast<char>('a' + number));
  };
  for (uint64_t number : {1, 2, 3, 4, 5}) {
    REQUIRE(outbox.AppendSegment(Encoded(number), bytes(number)).ok());
  }
  const uint64_t before = outbox.file_bytes();
  outbox.Shipped(1);
  REQUIRE(outbox.Compact().ok());
  REQUIRE(outbox.file_bytes() == before);
  outbox.Shipped(3);
  REQUIRE(outbox.Compact().ok());
  REQUIRE(outbox.file_bytes() < before / 2);
  for (const Outbox::Pending& pending : outbox.pending()) {
    REQUIRE((outbox.ReadSegment(pending).value() == bytes(pending.head.segment_number)));
  }
  Outbox again(folder / "outbox");
  REQUIRE(Open(&again).segments == std::vector<uint64_t>{4, 5});
}

TEST_CASE("a compaction that fails halfway loses nothing", "[outbox]") {
  TempFolder folder;
  Outbox outbox(folder / "outbox");
  REQUIRE(Open(&outbox).status.ok());
  const auto bytes = [](uint64_t number) {
    return std::string(2 << 20, static_cast<char>('a' + number));
  };
  const auto whole = [&](const Outbox& of, const std::vector<uint64_t>& numbers) {
    REQUIRE(of.pending().size() == numbers.size());
    for (size_t i = 0; i < numbers.size(); ++i) {
      REQUIRE(of.pending()[i].head.segment_number == numbers[i]);
      const Result<std::string> read = of.ReadSegment(of.pending()[i]);
      REQUIRE(read.status().ToString() == Status::Ok().ToString());
      REQUIRE((*read == bytes(numbers[i])));
    }
  };
  for (uint64_t number : {1, 2, 3, 4, 5, 6}) {
    REQUIRE(outbox.AppendSegment(Encoded(number), bytes(number)).ok());
  }
  outbox.Shipped(3);
  struct rlimit before {};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  // Within the second record; at its beginning, too, where what was there is a whole record.
  const uint64_t record = outbox.file_bytes() / 6;
  for (uint64_t most : {record + (1 << 20), record}) {
    rlimit limit = before;
    limit.rlim_cur = most;
    REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    const Status refused = outbox.Compact();
    REQUIRE(setrlimit(RLIMIT_FSIZE, &before) == 0);
    REQUIRE_FALSE(refused.ok());
    REQUIRE(outbox.resting());
    whole(outbox, {4, 5, 6});
  }
  REQUIRE(outbox.Compact().ok());
  REQUIRE_FALSE(outbox.resting());
  whole(outbox, {4, 5, 6});
  Outbox later(folder / "outbox");
  REQUIRE(Open(&later).segments == std::vector<uint64_t>{4, 5, 6});
  whole(later, {4, 5, 6});
}

// A hole would make a later life take what came behind it for all there was.
TEST_CASE("an outbox that could not be written goes on only once it is whole again", "[outbox]") {
  TempFolder folder;
  Outbox outbox(folder / "outbox");
  Fill(&outbox);
  struct rlimit before {};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  rlimit limit = before;
  limit.rlim_cur = outbox.file_bytes() + 100;  // room for what is small
  REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
  const Status refused = outbox.AppendSegment(Encoded(4), BytesOf(90));
  REQUIRE(setrlimit(RLIMIT_FSIZE, &before) == 0);
  REQUIRE_FALSE(refused.ok());
  REQUIRE(outbox.resting());
  ShipState ship;
  ship.shipped.segment_number = 4;
  REQUIRE(outbox.AppendSegment(Encoded(5), BytesOf(5)).ok());
  REQUIRE(outbox.AppendShip(ship).ok());
  REQUIRE(outbox.AppendStamp({4096, 1, 2, 3}).ok());
  {
    Outbox later(folder / "outbox");
    const Read read = Open(&later);
    REQUIRE(read.segments == std::vector<uint64_t>{1, 2, 3});
    REQUIRE(read.shipped == std::vector<uint64_t>{1});
    REQUIRE(read.stamps == 1);
  }
  REQUIRE(outbox.Compact().ok());
  REQUIRE_FALSE(outbox.resting());
  REQUIRE(outbox.AppendSegment(Encoded(6), BytesOf(6)).ok());
  Outbox later(folder / "outbox");
  REQUIRE(Open(&later).segments == std::vector<uint64_t>{2, 3, 4, 5, 6});
}

TEST_CASE("an outbox that is empty again is not whole before the disk takes something",
          "[outbox]") {
  TempFolder folder;
  Outbox outbox(folder / "outbox");
  REQUIRE(Open(&outbox).status.ok());
  struct rlimit before {};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  rlimit limit = before;
  limit.rlim_cur = outbox.file_bytes() + 100;  // room for what is small
  REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
  const Status refused = outbox.AppendSegment(Encoded(1), BytesOf(90));
  outbox.Shipped(1);
  const Status still = outbox.Compact();
  REQUIRE(setrlimit(RLIMIT_FSIZE, &before) == 0);
  REQUIRE_FALSE(refused.ok());
  REQUIRE(outbox.pending().empty());
  REQUIRE_FALSE(still.ok());
  REQUIRE(outbox.resting());
  REQUIRE(outbox.Compact().ok());
  REQUIRE_FALSE(outbox.resting());
  REQUIRE(outbox.AppendSegment(Encoded(2), BytesOf(2)).ok());
  Outbox later(folder / "outbox");
  REQUIRE(Open(&later).segments == std::vector<uint64_t>{2});
}

TEST_CASE("an outbox whose segments were given up says nothing of those after them", "[outbox]") {
  TempFolder folder;
  Outbox outbox(folder / "outbox");
  Fill(&outbox);
  outbox.DropPending();
  const std::string large(1 << 20, 'x');
  for (uint64_t number : {2, 3}) REQUIRE(outbox.AppendSegment(Encoded(number), large).ok());
  {
    Outbox later(folder / "outbox");
    REQUIRE(Open(&later).segments == std::vector<uint64_t>{1, 2, 3});
    CheckPending(later, {2, 3});
  }
  REQUIRE(outbox.Compact().ok());
  Outbox later(folder / "outbox");
  REQUIRE(Open(&later).segments == std::vector<uint64_t>{2, 3});
  REQUIRE(later.ReadSegment(later.pending().front()).value() == large);
}

TEST_CASE("another database's records are none", "[outbox]") {
  TempFolder folder;
  const DatabaseId id = {1};
  {
    Outbox outbox(folder / "outbox");
    outbox.SetOwner(id);
    Fill(&outbox);
  }
  const std::string theirs = ReadFile(folder / "outbox", kMax).value();
  REQUIRE(WriteFileAtomic(folder / "other", theirs, false).ok());
  Outbox other(folder / "other");
  other.SetOwner({2});
  REQUIRE(Open(&other).segments.empty());
  CheckPending(other, {});
  REQUIRE(other.file_bytes() == 0);
  Outbox own(folder / "outbox");
  own.SetOwner(id);
  REQUIRE(Open(&own).segments.size() == 3);
}

TEST_CASE("without a disk, segments wait in memory", "[outbox]") {
  TempFolder folder;
  Outbox outbox(folder / "nowhere/outbox");
  REQUIRE_FALSE(Open(&outbox).status.ok());
  REQUIRE_FALSE(outbox.AppendSegment(Encoded(1), BytesOf(1)).ok());
  CheckPending(outbox, {1});
  outbox.DropPending();
  CheckPending(outbox, {});
}

TEST_CASE("only the segment that was encoded is proven", "[outbox]") {
  SegmentWriter writer;
  writer.Begin(512);
  writer.BeginStep(1, 5);
  writer.EndStep(1);
  SegmentHeader header;
  header.page_size = 512;
  header.number = 1;
  header.first_txid = 1;
  const std::string segment = writer.Finish(header).value();
  size_t used = 0;
  EncodedSegment encoded = Encoded(1);
  encoded.head.segment_hash = Segment::Parse(AsBytes(segment), &used).value().hash();
  TempFolder folder;
  Outbox outbox(folder / "outbox");
  REQUIRE(Open(&outbox).status.ok());
  REQUIRE(outbox.AppendSegment(encoded, segment).ok());
  REQUIRE(outbox.AppendSegment(Encoded(2), segment).ok());     // another's hash
  REQUIRE(outbox.AppendSegment(encoded, segment + 'x').ok());  // longer than it
  REQUIRE(outbox.AppendSegment(Encoded(3), BytesOf(3)).ok());  // none
  const Outbox::Waiting proven = outbox.ReadProven(outbox.pending()[0]).value();
  REQUIRE(proven.bytes == segment);
  REQUIRE(proven.header.number == 1);
  for (size_t i : {1, 2, 3}) REQUIRE_FALSE(outbox.ReadProven(outbox.pending()[i]).ok());
}

}  // namespace backstay
