// What the segment writer refuses, and what its segments cost.

#include <functional>

#include "tests/support/catch.h"
#include "tests/unit/format_support.h"
#include "uploader/format/frame_codec.h"

namespace backstay {
namespace {

SegmentHeader Header(uint32_t page_size) {
  SegmentHeader header;
  header.page_size = page_size;
  header.number = 1;
  header.first_txid = 1;
  return header;
}

const Page kZeros(65536);

Status AddZeros(SegmentWriter* writer, uint32_t pgno) {
  return writer->Add(pgno, {kZeros.data(), PageHash(pgno, Bytes(kZeros).first(512))}, {});
}

}  // namespace

TEST_CASE("frame and lock-byte page sizes") {
  CHECK(FramePages(512) == 256);
  CHECK(FramePages(4096) == 256);
  CHECK(FramePages(8192) == 128);
  CHECK(FramePages(65536) == 16);
  CHECK(LockBytePage(512) == 2097153);
  CHECK(LockBytePage(4096) == 262145);
  CHECK(LockBytePage(65536) == 16385);
}

TEST_CASE("the segment writer refuses what its reader would") {
  struct Misuse {
    const char* what;
    std::function<void(SegmentWriter*, SegmentHeader*)> misuse;
  };
  auto step = [](SegmentWriter* w, uint64_t transactions) {
    w->BeginStep(transactions, 1);
    (void)AddZeros(w, 1);
    w->EndStep(1);
  };
  const Misuse misuses[] = {
      {"nothing", [](auto*, auto*) {}},
      {"page size 0", [&](auto* w, auto*) { w->Begin(0), step(w, 1); }},
      {"page size 1000", [&](auto* w, auto*) { w->Begin(1000), step(w, 1); }},
      {"page size 131072", [&](auto* w, auto*) { w->Begin(131072), step(w, 1); }},
      {"no end of a step", [](auto* w, auto*) { w->BeginStep(1, 1); }},
      {"two beginnings", [](auto* w, auto*) { w->BeginStep(1, 1), w->BeginStep(1, 1); }},
      {"end without beginning", [](auto* w, auto*) { w->EndStep(1); }},
      {"entry without a step", [](auto* w, auto*) { (void)AddZeros(w, 1); }},
      {"no pages", [](auto* w, auto*) { w->BeginStep(1, 1), w->EndStep(0); }},
      {"0 transactions, no more", [&](auto* w, auto*) { step(w, 0); }},
      {"0 transactions, then a step", [&](auto* w, auto*) { step(w, 0), step(w, 1); }},
      {"more without 0 transactions",
       [&](auto* w, auto* h) { step(w, 1), h->flags = kSegmentMore; }},
      {"unknown flag", [&](auto* w, auto* h) { step(w, 1), h->flags = 8; }},
      {"number 0", [&](auto* w, auto* h) { step(w, 1), h->number = 0; }},
      {"transaction 0", [&](auto* w, auto* h) { step(w, 1), h->first_txid = 0; }},
      {"another page size", [&](auto* w, auto* h) { step(w, 1), h->page_size = 1024; }},
  };
  for (const Misuse& misuse : misuses) {
    INFO(misuse.what);
    SegmentWriter writer;
    SegmentHeader header = Header(512);
    writer.Begin(512);
    misuse.misuse(&writer, &header);
    CHECK(writer.Finish(header).status().code() == Code::kInvalid);
    // Begin makes it good again.
    writer.Begin(512);
    step(&writer, 1);
    CHECK(writer.Finish(Header(512)).status().ToString() == "OK");
    CHECK(writer.Finish(Header(512)).status().code() == Code::kInvalid);
  }
}

TEST_CASE("the segment writer refuses pages that no segment may hold") {
  for (uint32_t pgno : {0u, 5u, 4u, LockBytePage(512), 0xffffffffu}) {
    INFO("page " << pgno);
    SegmentWriter writer;
    writer.Begin(512);
    writer.BeginStep(1, 1);
    CHECK(AddZeros(&writer, 5).ok());
    CHECK(AddZeros(&writer, pgno).code() == Code::kInvalid);
    CHECK(AddZeros(&writer, 6).code() == Code::kInvalid);
    CHECK(writer.Room() == 0);
    writer.EndStep(6);
    CHECK(writer.Finish(Header(512)).status().code() == Code::kInvalid);
  }
}

TEST_CASE("the segment writer tells its room, and takes exactly that") {
  SegmentWriter writer;
  writer.Begin(65536);
  writer.BeginStep(1, 1);
  const uint32_t room = writer.Room();
  CHECK(room == 256);
  for (uint32_t i = 0; i < room; ++i) {
    REQUIRE(writer.Room() == room - i);
    REQUIRE(writer.Add(i + 1, Version(i + 1, kZeros), {}).ok());
    CHECK(writer.InFrame(i + 1) == (i % 16 != 15));
    CHECK(writer.InFrame(1) == (i < 15));
  }
  CHECK(writer.entries() == room);
  CHECK(writer.Room() == 0);
  writer.EndStep(room);
  Result<std::string> bytes = writer.Finish(Header(65536));
  REQUIRE(bytes.ok());
  Pages pages;
  CHECK(pages.Apply(Parsed(*bytes)).ToString() == "OK");
  CHECK(pages.pages.size() == room);
}

TEST_CASE("the segment writer bounds the steps") {
  SegmentWriter writer;
  writer.Begin(512);
  for (uint32_t i = 0; i < kMaxSegmentSteps; ++i) {
    REQUIRE(writer.Room() > 0);
    writer.BeginStep(1, 1);
    writer.EndStep(1);
  }
  CHECK(writer.Room() == 0);
  Result<std::string> bytes = writer.Finish(Header(512));
  REQUIRE(bytes.ok());
  CHECK(Parsed(*bytes).transactions() == kMaxSegmentSteps);
}

TEST_CASE("a clock that goes back does not go into a segment") {
  SegmentWriter writer;
  writer.Begin(512);
  for (int64_t time : {int64_t{-5}, int64_t{100}, int64_t{50}, int64_t{200}}) {
    writer.BeginStep(1, time);
    writer.EndStep(1);
  }
  const std::string bytes = writer.Finish(Header(512)).value();
  std::vector<int64_t> times;
  const Segment segment = Parsed(bytes);
  for (const SegmentStep& step : segment.steps()) times.push_back(step.time_ms);
  CHECK(times == std::vector<int64_t>{0, 100, 100, 200});
}

TEST_CASE("a changed page costs its changes: the old page is found at full distance") {
  Random random(11);
  for (uint32_t count : {1u, 45u, 256u}) {
    INFO(count << " pages");
    SegmentWriter writer;
    writer.Begin(4096);
    writer.BeginStep(1, 1);
    for (uint32_t pgno = 1; pgno <= count; ++pgno) {
      Page old(4096);  // noise: without its old image it cannot shrink
      for (uint8_t& byte : old) byte = static_cast<uint8_t>(random());
      Page image = old;
      for (size_t place : {100u, 2000u, 4000u}) image[place] ^= 0x55;
      REQUIRE(writer.Add(pgno, Version(pgno, image), Version(pgno, old)).ok());
    }
    writer.EndStep(count);
    const size_t size = writer.Finish(Header(4096)).value().size();
    INFO(size << " bytes");
    CHECK(size < 80 + count * 24);
  }
}

TEST_CASE("a page changed twice in one frame costs its second change") {
  Random random(12);
  SegmentWriter writer;
  writer.Begin(4096);
  Page page(4096);
  for (uint8_t& byte : page) byte = static_cast<uint8_t>(random());
  for (int step = 0; step < 20; ++step) {
    writer.BeginStep(1, step);
    page[200] ^= 0x11;
    REQUIRE(writer.Add(9, Version(9, page), {}).ok());
    writer.EndStep(9);
  }
  CHECK(writer.Finish(Header(4096)).value().size() < 4096 + 20 * 40);
}

TEST_CASE("a prefix that looks like a trained dictionary is plain bytes") {
  Page old(512, 7);
  const uint8_t magic[] = {0x37, 0xa4, 0x30, 0xec};  // of zstd dictionaries
  std::copy(std::begin(magic), std::end(magic), old.begin());
  Page image = old;
  image[300] = 1;
  SegmentWriter writer;
  writer.Begin(512);
  writer.BeginStep(1, 1);
  REQUIRE(writer.Add(1, Version(1, image), Version(1, old)).ok());
  writer.EndStep(1);
  const std::string bytes = writer.Finish(Header(512)).value();
  Pages pages;
  pages.pages[1] = old;
  REQUIRE(pages.Apply(Parsed(bytes)).ToString() == "OK");
  CHECK(pages.pages[1] == image);
}

TEST_CASE("one decoder serves segments of any size in turn") {
  FrameDecoder decoder;
  for (uint64_t number = 1; number < 40; ++number) {
    const uint32_t count = 1 + static_cast<uint32_t>(number * 37 % 300);
    const std::string bytes = SmallSegment(number, 1, 0, 512u << number % 4, count);
    uint32_t sunk = 0;
    Status applied = Parsed(bytes).Apply(
        nullptr,
        [&](size_t, uint32_t pgno, Bytes, uint64_t) {
          CHECK(pgno == ++sunk);
          return Status::Ok();
        },
        &decoder);
    CHECK(applied.ToString() == "OK");
    CHECK(sunk == count);
  }
}

}  // namespace backstay
