// Objects written by released versions: every build must read them for good.
//
// Run with BACKSTAY_WRITE_GOLDEN=1 to write the files of a new version; those of a released version
// never change. zstd's bytes differ from release to release of zstd, so what it compressed is
// compared decoded; everything else byte by byte.

#include <cstdlib>
#include <filesystem>

#include "tests/support/catch.h"
#include "tests/unit/format_support.h"
#include "uploader/base/file.h"
#include "uploader/base/hash.h"
#include "uploader/format/keys.h"
#include "uploader/format/pack.h"
#include "uploader/format/snapshot.h"

namespace backstay {
namespace {

constexpr uint32_t kPageSize = 512;
const DatabaseId kId = {0x10, 0x21, 0x32, 0x43, 0x54, 0x65, 0x76, 0x87,
                        0x98, 0xa9, 0xba, 0xcb, 0xdc, 0xed, 0xfe, 0x0f};

std::string GoldenFile(const std::string& name, const std::string& written,
                       const std::string& version = "v1") {
  const std::string path = std::string(BACKSTAY_GOLDEN_FOLDER) + "/" + version + "/" + name;
  if (std::getenv("BACKSTAY_WRITE_GOLDEN") != nullptr) {
    std::filesystem::create_directories(FolderOf(path));
    REQUIRE(WriteFileAtomic(path, written, false).ToString() == "OK");
  }
  Result<std::string> content = ReadFile(path, 1 << 20);
  REQUIRE(content.status().ToString() == "OK");
  return *content;
}

Page PageOf(uint32_t pgno, uint32_t version) {
  Page page(kPageSize);
  for (uint32_t i = 0; i < kPageSize; ++i) page[i] = static_cast<uint8_t>(i * pgno + i / 7);
  page[100 + version] = static_cast<uint8_t>(version);
  for (uint32_t i = 200; version >= 4 && i < 400; ++i) page[i] ^= static_cast<uint8_t>(i * 31);
  return page;
}

struct Write {
  size_t step;
  uint32_t pgno;
  uint32_t version;
  bool based;
};

// Every kind of entry: page 3 in full, then patched, then in full again; page 1 patched, then based
// on what it was before.
const Write kWrites[] = {
    {0, 2, 1, true}, {0, 3, 1, false}, {1, 1, 1, true},
    {1, 3, 2, true}, {2, 1, 4, true},  {2, 3, 3, false},
};

std::string WriteSegment() {
  SegmentWriter writer;
  writer.Begin(kPageSize);
  for (size_t step = 0; step < 3; ++step) {
    writer.BeginStep(step == 2 ? 0 : step + 1, 1700000000000 + static_cast<int64_t>(step) * 250);
    for (const Write& write : kWrites) {
      if (write.step != step) continue;
      const Page old = PageOf(write.pgno, write.version - 1);
      const Page image = PageOf(write.pgno, write.version);
      const PageVersion known = write.based ? Version(write.pgno, old) : PageVersion{};
      REQUIRE(writer.Add(write.pgno, Version(write.pgno, image), known).ok());
    }
    writer.EndStep(3 + static_cast<uint32_t>(step));
  }
  SegmentHeader header;
  header.flags = kSegmentMore | kSegmentChecksum;
  header.page_size = kPageSize;
  header.number = 300;
  header.first_txid = 70000;
  header.previous_hash = 0x0123456789abcdef;
  header.checksum = 0xfedcba9876543210;
  return writer.Finish(header).value();
}

void CheckSegment(const Segment& segment) {
  CHECK(segment.header().flags == (kSegmentMore | kSegmentChecksum));
  CHECK(segment.header().page_size == kPageSize);
  CHECK(segment.header().number == 300);
  CHECK(segment.header().first_txid == 70000);
  CHECK(segment.last_txid() == 70002);
  CHECK(segment.header().previous_hash == 0x0123456789abcdef);
  CHECK(segment.header().checksum == 0xfedcba9876543210);
  REQUIRE(segment.steps().size() == 3);
  std::vector<EntryKind> kinds;
  for (const SegmentStep& step : segment.steps()) {
    for (const SegmentEntry& entry : step.entries) kinds.push_back(entry.kind);
  }
  using enum EntryKind;
  CHECK((kinds == std::vector{kPatched, kFull, kPatched, kPatched, kBased, kFull}));
  Pages pages;
  for (uint32_t pgno : {1u, 2u}) pages.pages[pgno] = PageOf(pgno, 0);
  std::vector<AppliedPage> got;
  REQUIRE(pages.Apply(segment, &got).ToString() == "OK");
  REQUIRE(got.size() == std::size(kWrites));
  for (size_t i = 0; i < got.size(); ++i) {
    CHECK(got[i].step == kWrites[i].step);
    CHECK(got[i].pgno == kWrites[i].pgno);
    CHECK(got[i].image == PageOf(kWrites[i].pgno, kWrites[i].version));
  }
  for (size_t step = 0; step < 3; ++step) {
    CHECK(segment.steps()[step].pages == 3 + step);
    CHECK(segment.steps()[step].transactions == (step == 2 ? 0 : step + 1));
    CHECK(segment.steps()[step].time_ms == 1700000000000 + static_cast<int64_t>(step) * 250);
  }
}

Takeover SomeTakeover() {
  Takeover takeover;
  takeover.database_id = kId;
  takeover.writer_id = 0x1122334455667788;
  takeover.time_ms = 1700000001000;
  takeover.segment_number = 300;
  takeover.segment_hash = 0x99aabbccddeeff00;
  takeover.txid = 70002;
  return takeover;
}

std::string WriteLogObject() {
  return EncodeLogHeader({LogKind::kSegments, 5, 0x1234, 1}) + WriteSegment();
}

std::string WritePack() {
  PackWriter writer(kId);
  const std::string segments = WriteLogObject();
  const std::string takeover = EncodeTakeover(6, 0x1235, SomeTakeover());
  REQUIRE(writer.Add(AsBytes(segments), 0x1234).ok());
  REQUIRE(writer.Add(AsBytes(takeover), 0x1235).ok());
  return writer.Finish();
}

std::string SnapshotImages() {
  std::string images;
  for (uint32_t pgno = 1; pgno <= 4; ++pgno) {
    const Page page = PageOf(pgno, 0);
    images.append(page.begin(), page.end());
  }
  return images;
}

std::string WriteSnapshotFrame() {
  std::vector<uint64_t> hashes;
  const std::string images = SnapshotImages();
  return EncodeSnapshotFrame(kPageSize, 1, AsBytes(images), &hashes).value();
}

SnapshotManifest SomeManifest() {
  SnapshotManifest manifest;
  manifest.page_size = kPageSize;
  manifest.database_id = kId;
  manifest.nonce = 0x00000000deadbeef;
  manifest.epoch = 5;
  manifest.next_log_number = 0x1234;
  manifest.segment_number = 299;
  manifest.segment_hash = 0x0123456789abcdef;
  manifest.start_txid = 69999;
  manifest.consistent_txid = 70001;
  manifest.consistent_time_ms = 1700000000250;
  manifest.pages = 8193;
  manifest.frame_bytes = {4194304, 700};
  return manifest;
}

Takeover SomeNewBase() {
  Takeover takeover = SomeTakeover();
  takeover.page_size = 8192;
  return takeover;
}

}  // namespace

TEST_CASE("golden: log object with a segment") {
  const std::string written = WriteLogObject();
  for (const std::string& bytes : {GoldenFile("log_segments.bin", written), written}) {
    Result<LogObject> object = ParseLogObject(AsBytes(bytes), 0x1234);
    REQUIRE(object.status().ToString() == "OK");
    CHECK(object->header.kind == LogKind::kSegments);
    CHECK(object->header.epoch == 5);
    REQUIRE(object->segments.size() == 1);
    CheckSegment(object->segments[0]);
  }
}

TEST_CASE("golden: takeover") {
  const std::string written = EncodeTakeover(6, 0x1235, SomeTakeover());
  const std::string bytes = GoldenFile("log_takeover.bin", written);
  CHECK((bytes == written));
  Result<LogObject> object = ParseLogObject(AsBytes(bytes), 0x1235);
  REQUIRE(object.status().ToString() == "OK");
  CHECK(object->takeover.database_id == kId);
  CHECK(object->takeover.txid == 70002);
}

TEST_CASE("golden: pack") {
  const std::string written = WritePack();
  for (const std::string& bytes : {GoldenFile("pack.bin", written), written}) {
    Result<uint64_t> offset = PackIndexOffset(AsBytes(bytes), bytes.size());
    REQUIRE(offset.ok());
    DatabaseId id{};
    auto index = ParsePackIndex(AsBytes(bytes).subspan(*offset), bytes.size(), &id);
    REQUIRE(index.status().ToString() == "OK");
    CHECK(id == kId);
    REQUIRE(index->size() == 2);
    const PackedObject& first = (*index)[0];
    CHECK(first.header.number == 0x1234);
    CHECK(first.header.epoch == 5);
    REQUIRE(first.segments.size() == 1);
    CHECK(first.segments[0].number == 300);
    CHECK(first.segments[0].first_txid == 70000);
    CHECK(first.segments[0].transactions == 3);
    CHECK(first.segments[0].flags == (kSegmentMore | kSegmentChecksum));
    CHECK(first.segments[0].first_time_ms == 1700000000000);
    CHECK(first.segments[0].last_time_ms == 1700000000500);
    Bytes object = AsBytes(bytes).subspan(first.offset, first.length);
    CHECK(ParseLogObject(object, 0x1234).ok());
    CHECK((*index)[1].header.kind == LogKind::kTakeover);
  }
}

TEST_CASE("golden: snapshot frame") {
  const std::string written = WriteSnapshotFrame();
  for (const std::string& bytes : {GoldenFile("snapshot_frame.bin", written), written}) {
    Result<SnapshotFrame> frame = DecodeSnapshotFrame(AsBytes(bytes));
    REQUIRE(frame.status().ToString() == "OK");
    CHECK(frame->page_size == kPageSize);
    CHECK(frame->first_page == 1);
    CHECK((frame->images == SnapshotImages()));
    CHECK(frame->hashes[3] == PageHash(4, PageOf(4, 0)));
  }
}

TEST_CASE("golden: snapshot manifest") {
  const std::string written = EncodeSnapshotManifest(SomeManifest()).value();
  const std::string bytes = GoldenFile("snapshot_manifest.bin", written);
  CHECK((bytes == written));
  Result<SnapshotManifest> manifest = ParseSnapshotManifest(AsBytes(bytes));
  REQUIRE(manifest.status().ToString() == "OK");
  CHECK(manifest->consistent_txid == 70001);
  CHECK(manifest->frame_bytes == SomeManifest().frame_bytes);
}

TEST_CASE("golden: takeover that states a page size") {
  const std::string written = EncodeTakeover(6, 0x1235, SomeNewBase());
  const std::string bytes = GoldenFile("log_new_base.bin", written, "v2");
  CHECK((bytes == written));
  Result<LogObject> object = ParseLogObject(AsBytes(bytes), 0x1235);
  REQUIRE(object.status().ToString() == "OK");
  CHECK(object->header.kind == LogKind::kNewBase);
  CHECK(object->takeover.page_size == 8192);
  CHECK(object->takeover.txid == 70002);
}

TEST_CASE("golden: pack with such a takeover") {
  PackWriter writer(kId);
  REQUIRE(writer.Add(AsBytes(EncodeTakeover(6, 0x1235, SomeNewBase())), 0x1235).ok());
  const std::string written = writer.Finish();
  const std::string bytes = GoldenFile("pack.bin", written, "v2");
  CHECK((bytes == written));
  Result<uint64_t> offset = PackIndexOffset(AsBytes(bytes), bytes.size());
  REQUIRE(offset.ok());
  auto index = ParsePackIndex(AsBytes(bytes).subspan(*offset), bytes.size());
  REQUIRE(index.status().ToString() == "OK");
  CHECK(index->front().header.kind == LogKind::kNewBase);
}

TEST_CASE("golden: snapshot manifest behind such a takeover") {
  SnapshotManifest manifest = SomeManifest();
  manifest.base = 0x1200;
  const std::string written = EncodeSnapshotManifest(manifest).value();
  const std::string bytes = GoldenFile("snapshot_manifest.bin", written, "v2");
  CHECK((bytes == written));
  Result<SnapshotManifest> read = ParseSnapshotManifest(AsBytes(bytes));
  REQUIRE(read.status().ToString() == "OK");
  CHECK(read->base == 0x1200);
  CHECK(read->consistent_txid == 70001);
}

TEST_CASE("golden: identity") {
  const std::string written = EncodeIdentity({kId, 4096});
  const std::string json = GoldenFile("backstay.json", written);
  CHECK(json == written);
  CHECK(json == R"({"format":1,"id":"102132435465768798a9bacbdcedfe0f","page-size":4096})"
                "\n");
  CHECK(ParseIdentity(json)->id == kId);
}

TEST_CASE("golden: identity with a family") {
  DatabaseId family = kId;
  family[0] = 0xaf;
  const std::string written = EncodeIdentity({kId, 4096, family});
  const std::string json = GoldenFile("family.json", written);
  CHECK(json == written);
  CHECK(ParseIdentity(json)->id == kId);
  CHECK(ParseIdentity(json)->family == family);
}

}  // namespace backstay
