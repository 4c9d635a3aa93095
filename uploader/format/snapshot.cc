#include "uploader/format/snapshot.h"

#include <zstd.h>

#include <algorithm>
#include <cstring>

#include "uploader/base/hash.h"
#include "uploader/format/checks.h"

namespace backstay {
namespace {

constexpr uint32_t kFrameMagic = 0x46534b42;     // "BKSF"
constexpr uint32_t kManifestMagic = 0x4d534b42;  // "BKSM"
constexpr const char* kFrame = "snapshot frame";
constexpr const char* kManifest = "snapshot manifest";
constexpr size_t kHashBytes = 8;
constexpr uint8_t kBaseVersion = 2;  // of a manifest that names a base

// The images with zeros in place of the lock-byte page, if it is among them.
Bytes WithoutLockBytePage(uint32_t page_size, uint32_t first_page, Bytes images,
                          std::string* copy) {
  uint64_t lock_page = LockBytePage(page_size);
  if (lock_page < first_page || lock_page >= first_page + images.size() / page_size) return images;
  *copy = AsString(images);
  std::memset(copy->data() + (lock_page - first_page) * page_size, 0, page_size);
  return AsBytes(*copy);
}

uint64_t HashOf(uint32_t page_size, uint32_t pgno, Bytes image) {
  return pgno == LockBytePage(page_size) ? 0 : PageHash(pgno, image);
}

bool AllZero(Bytes image) {
  return std::all_of(image.begin(), image.end(), [](uint8_t byte) { return byte == 0; });
}

Status Decompress(Bytes compressed, uint64_t size, std::string* images) {
  if (ZSTD_getFrameContentSize(compressed.data(), compressed.size()) != size ||
      ZSTD_findFrameCompressedSize(compressed.data(), compressed.size()) != compressed.size()) {
    return Corrupt(kFrame, "the images do not have the size that the header says");
  }
  images->resize(size);
  size_t got = ZSTD_decompress(images->data(), size, compressed.data(), compressed.size());
  if (ZSTD_isError(got)) return Corrupt(kFrame, ZSTD_getErrorName(got));
  if (got != size) return Corrupt(kFrame, "images are missing");
  return Status::Ok();
}

// Magic, version and trailing hash, in the order in which they may be believed.
Status CheckEnvelope(const char* what, Bytes data, uint32_t magic) {
  if (data.size() < 5 + kHashBytes || LoadLe32(data.data()) != magic) {
    return Corrupt(what, "not one of Backstay's, or cut off");
  }
  BACKSTAY_TRY(CheckVersion(what, data[4]));
  return CheckTrailingHash(what, data);
}

Bytes Body(Bytes data) { return data.subspan(5, data.size() - 5 - kHashBytes); }

uint64_t FrameCount(uint32_t page_size, uint32_t pages) {
  uint64_t frame_pages = SnapshotFramePages(page_size);
  return (pages + frame_pages - 1) / frame_pages;
}

Status CheckManifest(const SnapshotManifest& manifest) {
  auto bad = [](const char* detail) { return Corrupt(kManifest, detail); };
  if (manifest.next_log_number == 0) return bad("log number 0");
  if (manifest.base >= manifest.next_log_number) return bad("lies before its base");
  if (manifest.pages == 0 || manifest.pages > kMaxPageNumber) return bad("bad database size");
  if (manifest.start_txid > manifest.consistent_txid) return bad("transactions out of order");
  if (manifest.consistent_time_ms < 0) return bad("bad time");
  if (manifest.frame_bytes.size() != FrameCount(manifest.page_size, manifest.pages)) {
    return bad("wrong number of frames");
  }
  for (uint64_t length : manifest.frame_bytes) {
    if (length == 0 || length > kMaxSnapshotObjectBytes) return bad("bad frame length");
  }
  return Status::Ok();
}

// All before the images.
Status ReadHead(ByteReader* in, SnapshotFrame* frame) {
  frame->page_size = ReadPageSize(in);
  frame->first_page = static_cast<uint32_t>(in->VarintMax(kMaxPageNumber));
  const uint64_t count = in->VarintMax(SnapshotFramePages(frame->page_size));
  if (!in->ok() || frame->first_page == 0 || count == 0 || in->remaining() / 8 < count ||
      frame->first_page + count - 1 > kMaxPageNumber) {
    return Corrupt(kFrame, "bad header");
  }
  frame->hashes.clear();
  frame->hashes.reserve(count);
  for (uint64_t i = 0; i < count; ++i) frame->hashes.push_back(in->U64());
  return Status::Ok();
}

}  // namespace

Result<std::string> EncodeSnapshotFrame(uint32_t page_size, uint32_t first_page, Bytes images,
                                        std::vector<uint64_t>* hashes, int level) {
  if (!ValidPageSize(page_size) || images.empty() || images.size() % page_size != 0 ||
      images.size() > kSnapshotFrameBytes || first_page == 0 ||
      uint64_t{first_page} + images.size() / page_size - 1 > kMaxPageNumber) {
    return Status(Code::kInvalid, "snapshot frame: not whole pages, or too many of them");
  }
  std::string copy;
  images = WithoutLockBytePage(page_size, first_page, images, &copy);
  const size_t count = images.size() / page_size;
  hashes->clear();
  ByteWriter out;
  out.U32(kFrameMagic);
  out.U8(kFirstFormatVersion);
  out.U8(PageSizeLog2(page_size));
  out.Varint(first_page);
  out.Varint(count);
  for (size_t i = 0; i < count; ++i) {
    uint32_t pgno = first_page + static_cast<uint32_t>(i);
    hashes->push_back(HashOf(page_size, pgno, images.subspan(i * page_size, page_size)));
    out.U64(hashes->back());
  }
  // Into its place: a second buffer of this size is much inside a small host.
  std::string object = out.Take();
  const size_t head = object.size();
  const size_t bound = ZSTD_compressBound(images.size());
  object.resize(head + bound + sizeof(uint64_t));
  size_t size = ZSTD_compress(object.data() + head, bound, images.data(), images.size(), level);
  if (ZSTD_isError(size)) return Status(Code::kIo, ZSTD_getErrorName(size)).Wrap(kFrame);
  object.resize(head + size);
  ByteWriter end;
  end.U64(Hash(AsBytes(object)));
  object += end.str();
  return object;
}

Status CheckSnapshotPages(uint32_t first, uint32_t page_size, const std::vector<uint64_t>& hashes,
                          Bytes images) {
  uint32_t pgno = first;
  for (uint64_t hash : hashes) {
    const Bytes image = images.first(page_size);
    images = images.subspan(page_size);
    const bool lock_page = pgno == LockBytePage(page_size);
    if (hash != HashOf(page_size, pgno, image) || (lock_page && !AllZero(image))) {
      return Corrupt(kFrame, "page " + std::to_string(pgno) + " does not match its hash");
    }
    ++pgno;
  }
  return Status::Ok();
}

Status DecodeSnapshotFrame(Bytes data, SnapshotFrame* frame) {
  BACKSTAY_TRY(CheckEnvelope(kFrame, data, kFrameMagic));
  ByteReader in(Body(data));
  BACKSTAY_TRY(ReadHead(&in, frame));
  const uint64_t size = frame->hashes.size() * uint64_t{frame->page_size};
  BACKSTAY_TRY(Decompress(in.Raw(in.remaining()), size, &frame->images));
  return CheckSnapshotPages(frame->first_page, frame->page_size, frame->hashes,
                            AsBytes(frame->images));
}

Result<SnapshotFrame> ParseSnapshotHead(Bytes data) {
  if (data.size() < 5 || LoadLe32(data.data()) != kFrameMagic) {
    return Corrupt(kFrame, "not one of Backstay's, or cut off");
  }
  BACKSTAY_TRY(CheckVersion(kFrame, data[4]));
  ByteReader in(data.subspan(5));
  SnapshotFrame frame;
  BACKSTAY_TRY(ReadHead(&in, &frame));
  return frame;
}

Result<SnapshotFrame> DecodeSnapshotFrame(Bytes data) {
  SnapshotFrame frame;
  BACKSTAY_TRY(DecodeSnapshotFrame(data, &frame));
  return frame;
}

Result<std::string> EncodeSnapshotManifest(const SnapshotManifest& manifest) {
  Status valid = ValidPageSize(manifest.page_size) ? CheckManifest(manifest)
                                                   : Corrupt(kManifest, "bad page size");
  if (!valid.ok()) return Status(Code::kInvalid, valid.message());
  ByteWriter out;
  out.U32(kManifestMagic);
  out.U8(manifest.base == 0 ? kFirstFormatVersion : kBaseVersion);
  out.U8(PageSizeLog2(manifest.page_size));
  out.Raw(Bytes(manifest.database_id));
  out.U64(manifest.nonce);
  out.Varint(manifest.epoch);
  if (manifest.base != 0) out.Varint(manifest.base);
  out.Varint(manifest.next_log_number);
  out.Varint(manifest.segment_number);
  out.U64(manifest.segment_hash);
  out.Varint(manifest.start_txid);
  out.Varint(manifest.consistent_txid);
  out.Varint(static_cast<uint64_t>(manifest.consistent_time_ms));
  out.U64(manifest.frames_checksum);
  out.Varint(manifest.pages);
  out.Varint(manifest.frame_bytes.size());
  for (uint64_t length : manifest.frame_bytes) out.Varint(length);
  out.U64(Hash(out.bytes()));
  return out.Take();
}

Result<SnapshotManifest> ParseSnapshotManifest(Bytes data) {
  BACKSTAY_TRY(CheckEnvelope(kManifest, data, kManifestMagic));
  ByteReader in(Body(data));
  SnapshotManifest manifest;
  manifest.page_size = ReadPageSize(&in);
  Bytes id = in.Raw(manifest.database_id.size());
  std::copy(id.begin(), id.end(), manifest.database_id.begin());
  manifest.nonce = in.U64();
  manifest.epoch = in.Varint();
  if (data[4] >= kBaseVersion) {
    manifest.base = in.Varint();
    if (manifest.base == 0) in.Fail();
  }
  manifest.next_log_number = in.Varint();
  manifest.segment_number = in.Varint();
  manifest.segment_hash = in.U64();
  manifest.start_txid = in.Varint();
  manifest.consistent_txid = in.Varint();
  manifest.consistent_time_ms = ReadTime(&in);
  manifest.frames_checksum = in.U64();
  manifest.pages = static_cast<uint32_t>(in.VarintMax(kMaxPageNumber));
  uint64_t count = in.VarintMax(in.remaining());
  for (uint64_t i = 0; i < count && in.ok(); ++i) manifest.frame_bytes.push_back(in.Varint());
  if (!in.ok() || in.remaining() != 0) return Corrupt(kManifest, "wrong length");
  BACKSTAY_TRY(CheckManifest(manifest));
  return manifest;
}

}  // namespace backstay
