// Damaged and hostile segments: refused, never applied, never more than an error.

#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

#include <functional>

#include "tests/support/catch.h"
#include "tests/unit/format_support.h"
#include "uploader/base/hash.h"

namespace backstay {
namespace {

constexpr uint32_t kPageSize = 512;

std::string ZstdFrame(const std::string& content) {
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_format, ZSTD_f_zstd1_magicless);
  std::string out(ZSTD_compressBound(content.size()), '\0');
  out.resize(ZSTD_compress2(context, out.data(), out.size(), content.data(), content.size()));
  ZSTD_freeCCtx(context);
  return out;
}

// A segment field by field, so that each can lie under a valid hash. As it stands: one step that
// writes pages 1 and 2, of zeros.
struct Forged {
  uint8_t flags = 0;
  uint8_t page_log2 = 9;
  uint64_t number = 5;
  uint64_t first_txid = 9;
  uint64_t time = 1000;
  uint64_t checksum = 0;
  std::string images = std::string(2 * kPageSize, '\0');
  uint64_t pages_hash = 0;  // 0: of images
  uint64_t patch_bytes = 0;
  uint64_t step_count = 1;
  uint64_t transactions = 1;
  uint64_t passed = 0;
  uint64_t pages = 2;
  uint64_t entry_count = 2;
  std::vector<uint64_t> entries = {0, 0};
  std::vector<std::string> frames = {ZstdFrame(images)};
  uint64_t frame_length = 0;  // 0: as the frame
  std::string more_steps, tail;

  uint64_t HashOfImages() const {
    ByteWriter hashes;
    for (uint32_t i = 0; (i + 1) * kPageSize <= images.size(); ++i) {
      hashes.U64(PageHash(i + 1, AsBytes(images).subspan(i * kPageSize, kPageSize)));
    }
    return Hash(hashes.bytes());
  }

  std::string Encode() const {
    ByteWriter body;
    body.U8(flags);
    body.U8(page_log2);
    body.Varint(number);
    body.Varint(first_txid);
    body.Varint(time);
    body.U64(0);
    body.U64(checksum);
    body.U64(pages_hash != 0 ? pages_hash : HashOfImages());
    body.Varint(step_count);
    body.Varint(transactions);
    body.Varint(passed);
    body.Varint(pages);
    body.Varint(entry_count);
    for (uint64_t entry : entries) body.Varint(entry);
    body.Raw(more_steps);
    for (const std::string& frame : frames) {
      body.Varint(patch_bytes);
      body.Varint(frame_length != 0 ? frame_length : frame.size());
      body.Raw(frame);
    }
    body.Raw(tail);
    ByteWriter out;
    out.Varint(body.size() + 8);
    out.Raw(body.bytes());
    out.U64(Hash(out.bytes()));
    return out.Take();
  }
};

Status ParseStatus(const std::string& bytes) {
  size_t consumed = 0;
  return Segment::Parse(AsBytes(bytes), &consumed).status();
}

Status ApplyStatus(const std::string& bytes, size_t* sunk) {
  return Parsed(bytes).Apply(
      [](uint32_t, uint8_t* out) {
        std::fill_n(out, kPageSize, uint8_t{0});
        return Status::Ok();
      },
      [&](size_t, uint32_t, Bytes, uint64_t) {
        ++*sunk;
        return Status::Ok();
      });
}

// Page 2 becomes a patch of these numbers and bytes.
void Patch(Forged* f, std::initializer_list<uint64_t> numbers, const std::string& bytes) {
  ByteWriter patch;
  for (uint64_t number : numbers) patch.Varint(number);
  patch.Raw(bytes);
  f->entries = {0, 2};
  f->patch_bytes = patch.size();
  f->frames = {ZstdFrame(f->images.substr(0, kPageSize) + patch.str())};
}

struct Lie {
  const char* what;
  std::function<void(Forged*)> tell;
};

std::string Varints(std::initializer_list<uint64_t> values) {
  ByteWriter out;
  for (uint64_t value : values) out.Varint(value);
  return out.Take();
}

// A segment of two transactions that write based pages, and the pages it needs.
std::string BasedSegment(Pages* before) {
  Random random(3);
  SegmentWriter writer;
  writer.Begin(kPageSize);
  for (uint32_t pgno = 1; pgno <= 4; ++pgno) {
    before->pages[pgno] = RandomPage(&random, kPageSize);
  }
  for (int step = 0; step < 2; ++step) {
    writer.BeginStep(1, 5000);
    for (auto& [pgno, page] : before->pages) {
      Page image = ChangedPage(&random, page);
      REQUIRE(writer.Add(pgno, Version(pgno, image), Version(pgno, page)).ok());
    }
    writer.EndStep(4);
  }
  SegmentHeader header;
  header.page_size = kPageSize;
  header.number = 1;
  header.first_txid = 1;
  return writer.Finish(header).value();
}

}  // namespace

TEST_CASE("the forged segment is good as it stands") {
  size_t sunk = 0;
  std::string bytes = Forged().Encode();
  CHECK(ParseStatus(bytes).ToString() == "OK");
  CHECK(ApplyStatus(bytes, &sunk).ToString() == "OK");
  CHECK(sunk == 2);
}

TEST_CASE("a segment that breaks a rule under a valid hash is refused") {
  const Lie lies[] = {
      {"unknown flag", [](Forged* f) { f->flags = 8; }},
      {"page size 256", [](Forged* f) { f->page_log2 = 8; }},
      {"page size 131072", [](Forged* f) { f->page_log2 = 17; }},
      {"page size 2^200", [](Forged* f) { f->page_log2 = 200; }},
      {"number 0", [](Forged* f) { f->number = 0; }},
      {"transaction 0", [](Forged* f) { f->first_txid = 0; }},
      {"transaction beyond 2^62", [](Forged* f) { f->first_txid = (1ull << 62) + 1; }},
      {"time beyond int64", [](Forged* f) { f->time = 1ull << 63; }},
      {"checksum without its flag", [](Forged* f) { f->checksum = 1; }},
      {"no steps", [](Forged* f) { f->step_count = 0; }},
      {"steps that are not there", [](Forged* f) { f->step_count = 2; }},
      {"too many steps", [](Forged* f) { f->step_count = 1ull << 40; }},
      {"0 transactions without more", [](Forged* f) { f->transactions = 0; }},
      {"more, but no unfinished one", [](Forged* f) { f->flags = kSegmentMore; }},
      {"unfinished transaction before the last step",
       [](Forged* f) {
         f->flags = kSegmentMore;
         f->step_count = 2;
         f->transactions = 0;
         f->more_steps = Varints({0, 0, 2, 0});
       }},
      {"transactions that wrap", [](Forged* f) { f->transactions = 1ull << 62; }},
      {"time before the first step", [](Forged* f) { f->passed = 1; }},
      {"times that wrap",
       [](Forged* f) {
         f->step_count = 2;
         f->more_steps = Varints({1, (1ull << 63) - 1, 2, 0});
       }},
      {"a database of 0 pages", [](Forged* f) { f->pages = 0; }},
      {"a database of 2^32 pages", [](Forged* f) { f->pages = 1ull << 32; }},
      {"fewer entries than frames hold", [](Forged* f) { f->entry_count = 1; }},
      {"more entries than there are", [](Forged* f) { f->entry_count = 1000; }},
      {"entries without end", [](Forged* f) { f->entry_count = ~0ull; }},
      {"page number beyond the last",
       [](Forged* f) {
         f->entries = {0, 0xfffffffeull * 4};
       }},
      {"page number that wraps",
       [](Forged* f) {
         f->entries = {0, ~0ull};
       }},
      {"the lock-byte page",
       [](Forged* f) {
         f->entries = {0, ((1ull << 30) / 512 - 1) * 4};
       }},
      {"a page based after it was in the frame",
       [](Forged* f) {
         f->step_count = 2;
         f->entry_count = 1;
         f->entries = {0};
         f->more_steps = Varints({1, 0, 2, 1, 1});
       }},
      {"no frame", [](Forged* f) { f->frames = {}; }},
      {"a frame too many", [](Forged* f) { f->frames.push_back(f->frames[0]); }},
      {"an empty frame", [](Forged* f) { f->frames = {std::string()}; }},
      {"a frame without end", [](Forged* f) { f->frame_length = 1ull << 50; }},
      {"bytes at the end", [](Forged* f) { f->tail = Varints({0}); }},
      {"a pages hash of nothing",
       [](Forged* f) {
         f->entry_count = 0;
         f->entries = {};
         f->frames = {};
         f->pages_hash = 1;
       }},
      {"an entry of no kind",
       [](Forged* f) {
         f->entries = {0, 3};
       }},
      {"patch bytes without a patch", [](Forged* f) { f->patch_bytes = 1; }},
      {"a patch without bytes",
       [](Forged* f) {
         f->entries = {0, 2};
       }},
      {"patches longer than their pages",
       [](Forged* f) {
         f->entries = {0, 2};
         f->patch_bytes = kPageSize + 1;
       }},
  };
  for (const Lie& lie : lies) {
    INFO(lie.what);
    Forged forged;
    lie.tell(&forged);
    CHECK(ParseStatus(forged.Encode()).code() == Code::kCorrupt);
  }
}

TEST_CASE("a segment holds at most 16 frames") {
  Forged forged;
  forged.entry_count = kMaxSegmentFrames * FramePages(kPageSize) + 1;
  forged.entries.assign(forged.entry_count, 0);
  forged.frames.assign(kMaxSegmentFrames + 1, forged.frames[0]);
  CHECK(ParseStatus(forged.Encode()).code() == Code::kCorrupt);
  forged.entry_count -= 1;
  forged.entries.pop_back();
  forged.frames.pop_back();
  CHECK(ParseStatus(forged.Encode()).ToString() == "OK");
}

TEST_CASE("frames that do not hold the promised images pass nothing on") {
  const Lie lies[] = {
      {"a bomb", [](Forged* f) { f->frames = {ZstdFrame(std::string(50 << 20, 'x'))}; }},
      {"one byte too many",
       [](Forged* f) { f->frames = {ZstdFrame(std::string(2 * kPageSize + 1, 0))}; }},
      {"one byte too few", [](Forged* f) { f->frames = {ZstdFrame(f->images.substr(1))}; }},
      {"no zstd", [](Forged* f) { f->frames = {"not zstd"}; }},
      {"other bytes", [](Forged* f) { f->frames = {ZstdFrame(std::string(1024, 'y'))}; }},
      {"another hash of the pages", [](Forged* f) { f->pages_hash = 1; }},
      {"an old image that is in no hash",
       [](Forged* f) {
         f->entries = {1, 0};
       }},
      {"a patch that reaches outside its page",
       [](Forged* f) {
         Patch(f, {2, 0, 513}, "");
       }},
      {"a move that reaches outside its page",
       [](Forged* f) {
         Patch(f, {1, 500, 0, 100}, "");
       }},
      {"a patch cut off",
       [](Forged* f) {
         Patch(f, {2, 0, 4}, "abc");
       }},
      {"bytes after a patch",
       [](Forged* f) {
         Patch(f, {2, 0, 2}, "abc");
       }},
  };
  for (const Lie& lie : lies) {
    INFO(lie.what);
    Forged forged;
    lie.tell(&forged);
    size_t sunk = 0;
    CHECK(ApplyStatus(forged.Encode(), &sunk).code() == Code::kCorrupt);
    CHECK(sunk == 0);
  }
}

TEST_CASE("a segment with any byte changed, or cut anywhere, is refused") {
  Pages before;
  const std::string bytes = BasedSegment(&before);
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (uint8_t change : {0x01, 0x80, 0xff}) {
      CHECK(ParseStatus(WithByte(bytes, i, change)).code() == Code::kCorrupt);
    }
    CHECK(ParseStatus(bytes.substr(0, i)).code() == Code::kCorrupt);
  }
}

TEST_CASE("a base that is not the one it was made from is noticed before anything is passed on") {
  Pages good;
  const std::string bytes = BasedSegment(&good);
  for (auto& [pgno, page] : good.pages) {
    for (size_t place : {size_t{0}, page.size() / 2, page.size() - 1}) {
      Pages bad = good;
      bad.pages[pgno][place] ^= 1;
      std::vector<AppliedPage> log;
      CHECK(bad.Apply(Parsed(bytes), &log).code() == Code::kCorrupt);
      CHECK(log.empty());
    }
  }
}

TEST_CASE("an error of the base or of the sink ends Apply and comes back") {
  Pages good;
  const std::string bytes = BasedSegment(&good);
  const Segment segment = Parsed(bytes);
  Pages none;
  CHECK(none.Apply(segment).code() == Code::kNotFound);
  Status sink = segment.Apply(
      [&](uint32_t pgno, uint8_t* out) {
        std::copy(good.pages[pgno].begin(), good.pages[pgno].end(), out);
        return Status::Ok();
      },
      [](size_t, uint32_t, Bytes, uint64_t) { return Status(Code::kIo, "disk full"); });
  CHECK(sink.code() == Code::kIo);
}

}  // namespace backstay
