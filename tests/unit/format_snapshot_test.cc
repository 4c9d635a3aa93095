#include <zstd.h>

#include <functional>

#include "tests/support/catch.h"
#include "tests/unit/format_support.h"
#include "uploader/base/hash.h"
#include "uploader/format/snapshot.h"

namespace backstay {
namespace {

std::string Images(Random* random, uint32_t page_size, size_t count) {
  std::string images;
  for (size_t i = 0; i < count; ++i) {
    const Page page = RandomPage(random, page_size);
    images.append(page.begin(), page.end());
  }
  return images;
}

SnapshotManifest SomeManifest() {
  SnapshotManifest manifest;
  manifest.page_size = 4096;
  manifest.database_id = {9, 8, 7};
  manifest.nonce = 0xabcdef0123456789;
  manifest.epoch = 4;
  manifest.next_log_number = 1000;
  manifest.segment_number = 2000;
  manifest.segment_hash = 0x1111222233334444;
  manifest.start_txid = 3000;
  manifest.consistent_txid = 3010;
  manifest.consistent_time_ms = 1700000000999;
  manifest.pages = 2049;  // three frames of 1024
  manifest.frames_checksum = 0x5555666677778888;
  manifest.frame_bytes = {500000, 1, 8 << 20};
  return manifest;
}

// A frame of two zero pages of 512 bytes, field by field under a valid hash.
struct Forged {
  uint8_t version = 1;
  uint8_t page_log2 = 9;
  uint64_t first_page = 1;
  uint64_t count = 2;
  std::string images = std::string(1024, '\0');
  std::string compressed;  // empty: of images

  static std::string Zstd(const std::string& content) {
    std::string out(ZSTD_compressBound(content.size()), '\0');
    out.resize(ZSTD_compress(out.data(), out.size(), content.data(), content.size(), 1));
    return out;
  }

  std::string Encode() const {
    const Page zeros(512);
    ByteWriter out;
    out.Raw("BKSF");
    out.U8(version);
    out.U8(page_log2);
    out.Varint(first_page);
    out.Varint(count);
    out.U64(PageHash(1, zeros));
    out.U64(PageHash(2, zeros));
    out.Raw(compressed.empty() ? Zstd(images) : compressed);
    out.U64(Hash(out.bytes()));
    return out.Take();
  }
};

Code FrameCode(const std::string& bytes) {
  return DecodeSnapshotFrame(AsBytes(bytes)).status().code();
}
Code ManifestCode(const std::string& bytes) {
  return ParseSnapshotManifest(AsBytes(bytes)).status().code();
}

}  // namespace

TEST_CASE("a snapshot frame gives back its pages") {
  Random random(1);
  for (uint32_t page_size = 512; page_size <= 65536; page_size *= 2) {
    for (size_t count : {size_t{1}, size_t{3}, size_t{SnapshotFramePages(page_size)}}) {
      INFO(page_size << " " << count);
      const std::string images = Images(&random, page_size, count);
      std::vector<uint64_t> hashes = {123};
      Result<std::string> bytes = EncodeSnapshotFrame(page_size, 77, AsBytes(images), &hashes);
      REQUIRE(bytes.ok());
      CHECK(bytes->size() <= kMaxSnapshotObjectBytes);
      Result<SnapshotFrame> frame = DecodeSnapshotFrame(AsBytes(*bytes));
      REQUIRE(frame.status().ToString() == "OK");
      CHECK(frame->page_size == page_size);
      CHECK(frame->first_page == 77);
      CHECK(frame->hashes == hashes);
      REQUIRE(hashes.size() == count);
      CHECK((frame->images == images));
      CHECK(hashes.back() ==
            PageHash(76 + static_cast<uint32_t>(count), AsBytes(images).last(page_size)));
    }
  }
}

TEST_CASE("the lock-byte page of a snapshot is zeros and has no hash") {
  Random random(2);
  for (uint32_t page_size : {512u, 65536u}) {
    const std::string images = Images(&random, page_size, 3);
    std::vector<uint64_t> hashes;
    Result<std::string> bytes =
        EncodeSnapshotFrame(page_size, LockBytePage(page_size) - 1, AsBytes(images), &hashes);
    REQUIRE(bytes.ok());
    SnapshotFrame frame = DecodeSnapshotFrame(AsBytes(*bytes)).value();
    CHECK(frame.hashes[0] != 0);
    CHECK(frame.hashes[1] == 0);
    CHECK(frame.hashes[2] != 0);
    const std::string zeros(page_size, '\0');
    CHECK((frame.images == images.substr(0, page_size) + zeros + images.substr(2 * page_size)));
  }
}

TEST_CASE("what cannot be a snapshot frame is not encoded") {
  const std::string images(8 << 20, 'x');
  auto encode = [&](uint32_t page_size, uint32_t first_page, size_t size) {
    std::vector<uint64_t> hashes;
    return EncodeSnapshotFrame(page_size, first_page, AsBytes(images).first(size), &hashes)
        .status()
        .code();
  };
  CHECK(encode(4096, 1, 4 << 20) == Code::kOk);
  CHECK(encode(4096, 1, (4 << 20) + 4096) == Code::kInvalid);
  CHECK(encode(4096, 1, 4097) == Code::kInvalid);
  CHECK(encode(4096, 1, 0) == Code::kInvalid);
  CHECK(encode(4096, 0, 4096) == Code::kInvalid);
  CHECK(encode(4000, 1, 4000) == Code::kInvalid);
  CHECK(encode(0, 1, 4096) == Code::kInvalid);
  CHECK(encode(4096, 0xfffffffe, 4096) == Code::kOk);
  CHECK(encode(4096, 0xfffffffe, 8192) == Code::kInvalid);
}

TEST_CASE("a snapshot frame with any byte changed, or cut anywhere, is refused") {
  Random random(3);
  const std::string images = Images(&random, 512, 2);
  std::vector<uint64_t> hashes;
  const std::string bytes = EncodeSnapshotFrame(512, 1, AsBytes(images), &hashes).value();
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (uint8_t change : {0x01, 0x80, 0xff}) {
      const Code code = FrameCode(WithByte(bytes, i, change));
      CHECK((code == Code::kCorrupt || (i == 4 && code == Code::kNewer)));
    }
    CHECK(FrameCode(bytes.substr(0, i)) == Code::kCorrupt);
  }
}

TEST_CASE("a snapshot frame that breaks a rule under a valid hash is refused") {
  REQUIRE(FrameCode(Forged().Encode()) == Code::kOk);
  const std::pair<const char*, std::function<void(Forged*)>> lies[] = {
      {"version 0", [](Forged* f) { f->version = 0; }},
      {"page size", [](Forged* f) { f->page_log2 = 77; }},
      {"first page 0", [](Forged* f) { f->first_page = 0; }},
      {"first page beyond the last", [](Forged* f) { f->first_page = 0xffffffff; }},
      {"pages beyond the last", [](Forged* f) { f->first_page = 0xfffffffe; }},
      {"no pages", [](Forged* f) { f->count = 0; }},
      {"pages that are not there", [](Forged* f) { f->count = 3; }},
      {"pages without end", [](Forged* f) { f->count = ~0ull; }},
      {"pages beyond 4 MiB", [](Forged* f) { f->count = 8193; }},
      {"moved pages", [](Forged* f) { f->first_page = 2; }},
      {"other images", [](Forged* f) { f->images = std::string(1024, 'x'); }},
      {"too long images", [](Forged* f) { f->images = std::string(1025, '\0'); }},
      {"a bomb", [](Forged* f) { f->images = std::string(64 << 20, '\0'); }},
      {"two zstd frames",
       [](Forged* f) { f->compressed = Forged::Zstd(f->images) + Forged::Zstd(f->images); }},
      {"no zstd", [](Forged* f) { f->compressed = "this is not zstd"; }},
  };
  for (const auto& [what, tell] : lies) {
    INFO(what);
    Forged forged;
    tell(&forged);
    CHECK(FrameCode(forged.Encode()) == Code::kCorrupt);
  }
  Forged newer;
  newer.version = 3;
  CHECK(FrameCode(newer.Encode()) == Code::kNewer);
}

TEST_CASE("a lock-byte page that holds something is refused") {
  auto frame = [](char byte) {
    ByteWriter out;
    out.Raw("BKSF");
    out.U8(1);
    out.U8(9);
    out.Varint(LockBytePage(512));
    out.Varint(1);
    out.U64(0);
    out.Raw(Forged::Zstd(std::string(512, byte)));
    out.U64(Hash(out.bytes()));
    return out.Take();
  };
  CHECK(FrameCode(frame('\0')) == Code::kOk);
  CHECK(FrameCode(frame('x')) == Code::kCorrupt);
}

TEST_CASE("a snapshot manifest comes back") {
  const SnapshotManifest want = SomeManifest();
  Result<std::string> bytes = EncodeSnapshotManifest(want);
  REQUIRE(bytes.ok());
  Result<SnapshotManifest> got = ParseSnapshotManifest(AsBytes(*bytes));
  REQUIRE(got.status().ToString() == "OK");
  CHECK(got->page_size == want.page_size);
  CHECK(got->database_id == want.database_id);
  CHECK(got->nonce == want.nonce);
  CHECK(got->epoch == want.epoch);
  CHECK(got->next_log_number == want.next_log_number);
  CHECK(got->segment_number == want.segment_number);
  CHECK(got->segment_hash == want.segment_hash);
  CHECK(got->start_txid == want.start_txid);
  CHECK(got->consistent_txid == want.consistent_txid);
  CHECK(got->consistent_time_ms == want.consistent_time_ms);
  CHECK(got->pages == want.pages);
  CHECK(got->frames_checksum == want.frames_checksum);
  CHECK(got->frame_bytes == want.frame_bytes);
}

TEST_CASE("a snapshot manifest with any byte changed, or cut anywhere, is refused") {
  const std::string bytes = EncodeSnapshotManifest(SomeManifest()).value();
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (uint8_t change : {0x01, 0x80, 0xff}) {
      const Code code = ManifestCode(WithByte(bytes, i, change));
      CHECK((code == Code::kCorrupt || (i == 4 && code == Code::kNewer)));
    }
    CHECK(ManifestCode(bytes.substr(0, i)) == Code::kCorrupt);
  }
}

TEST_CASE("a snapshot manifest that contradicts itself is neither written nor read") {
  const std::pair<const char*, std::function<void(SnapshotManifest*)>> lies[] = {
      {"log number 0", [](auto* m) { m->next_log_number = 0; }},
      {"no pages", [](auto* m) { m->pages = 0, m->frame_bytes.clear(); }},
      {"a frame too few", [](auto* m) { m->pages = 3073; }},
      {"a frame too many", [](auto* m) { m->pages = 2048; }},
      {"an empty frame", [](auto* m) { m->frame_bytes[1] = 0; }},
      {"a frame too long", [](auto* m) { m->frame_bytes[1] = (8 << 20) + 1; }},
      {"an end before the start", [](auto* m) { m->consistent_txid = 2999; }},
      {"a time before 1970", [](auto* m) { m->consistent_time_ms = -1; }},
      {"a page size of no kind", [](auto* m) { m->page_size = 3; }},
  };
  for (const auto& [what, tell] : lies) {
    INFO(what);
    SnapshotManifest manifest = SomeManifest();
    tell(&manifest);
    CHECK(EncodeSnapshotManifest(manifest).status().code() == Code::kInvalid);
  }
  // Under a valid hash: the byte of `pages` that makes 2049 into 2177, then one that adds a frame.
  std::string bytes = EncodeSnapshotManifest(SomeManifest()).value();
  auto rehash = [](std::string forged) {
    StoreLe64(reinterpret_cast<uint8_t*>(forged.data()) + forged.size() - 8,
              Hash(AsBytes(forged).first(forged.size() - 8)));
    return forged;
  };
  const size_t count_at = bytes.size() - 8 - 8 - 1;
  REQUIRE(bytes[count_at] == 3);
  CHECK(ManifestCode(rehash(bytes)) == Code::kOk);
  CHECK(ManifestCode(rehash(WithByte(bytes, count_at, 1))) == Code::kCorrupt);
  CHECK(ManifestCode(rehash(WithByte(bytes, count_at, 4))) == Code::kCorrupt);
  CHECK(ManifestCode(rehash(WithByte(bytes, count_at - 1, 1))) == Code::kOk);
  CHECK(ManifestCode(rehash(WithByte(bytes, count_at - 1, 64))) == Code::kCorrupt);
  CHECK(ManifestCode(rehash(WithByte(bytes, 5, 16))) == Code::kCorrupt);
  CHECK(ManifestCode(rehash(WithByte(bytes, 4, 2))) == Code::kNewer);
}

}  // namespace backstay
