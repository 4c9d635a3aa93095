#include "uploader/format/frame_codec.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>

// For the parameters that leave the magic number out.
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

namespace backstay {
namespace {

// 3 makes a log smaller by 3 % (one transaction a PUT) to 7 % (ten), and takes 10 % more CPU of the
// capture thread (tests/bench).
constexpr int kLevel = 1;
// 512 KiB of hash table: fits the second-level cache, and covers a frame and its prefix.
constexpr int kMaxHashLog = 17;

// A codec without it would fail for ever: whoever makes it tries again.
template <typename Context>
Context* OrThrow(Context* context) {
  return context != nullptr ? context : throw std::bad_alloc();
}

Status OutOfMemory() { return {Code::kIo, "zstd: out of memory"}; }

Status ZstdFailure(const char* doing, size_t code) {
  return {Code::kCorrupt, std::string(doing) + ": " + ZSTD_getErrorName(code)};
}

}  // namespace

FrameDecoder::FrameDecoder() : context_(OrThrow(ZSTD_createDCtx())) {
  ZSTD_DCtx_setParameter(context_, ZSTD_d_format, ZSTD_f_zstd1_magicless);
}

FrameDecoder::~FrameDecoder() { ZSTD_freeDCtx(context_); }

Status FrameDecoder::Decode(Bytes prefix, Bytes frame, uint8_t* out, size_t size) {
  ZSTD_DCtx_reset(context_, ZSTD_reset_session_only);
  // Raw content, for this frame only: bytes of a page must never be taken for a trained dictionary.
  size_t code = ZSTD_DCtx_refPrefix(context_, prefix.data(), prefix.size());
  if (ZSTD_isError(code)) return OutOfMemory();
  size_t got = ZSTD_decompressDCtx(context_, out, size, frame.data(), frame.size());
  if (ZSTD_isError(got)) return ZstdFailure("zstd frame", got);
  if (got != size) return {Code::kCorrupt, "zstd frame: holds fewer bytes than its pages have"};
  return Status::Ok();
}

FrameEncoder::FrameEncoder() : context_(OrThrow(ZSTD_createCCtx())) {}

FrameEncoder::~FrameEncoder() { ZSTD_freeCCtx(context_); }

Result<Bytes> FrameEncoder::Compress(Bytes prefix, Bytes images) {
  size_t reach = prefix.size() + images.size();
  int window_log = std::max<int>(ZSTD_WINDOWLOG_MIN, std::bit_width(reach - 1));
  auto set = [this](ZSTD_cParameter parameter, int value) {
    return ZSTD_isError(ZSTD_CCtx_setParameter(context_, parameter, value)) != 0;
  };
  ZSTD_CCtx_reset(context_, ZSTD_reset_session_only);
  bool failed = set(ZSTD_c_compressionLevel, kLevel) || set(ZSTD_c_windowLog, window_log) ||
                set(ZSTD_c_hashLog, std::min(kMaxHashLog, window_log)) ||
                set(ZSTD_c_format, ZSTD_f_zstd1_magicless) || set(ZSTD_c_contentSizeFlag, 0) ||
                set(ZSTD_c_checksumFlag, 0) || set(ZSTD_c_dictIDFlag, 0) ||
                ZSTD_isError(ZSTD_CCtx_refPrefix(context_, prefix.data(), prefix.size())) != 0;
  if (failed) return OutOfMemory();
  size_t bound = ZSTD_compressBound(images.size());
  if (compressed_.size() < bound) compressed_.resize(bound);
  size_t size = ZSTD_compress2(context_, compressed_.data(), compressed_.size(), images.data(),
                               images.size());
  if (ZSTD_isError(size)) return OutOfMemory().Wrap(ZSTD_getErrorName(size));
  return Bytes(compressed_.data(), size);
}

Status FrameEncoder::Verify(Bytes prefix, Bytes images, Bytes frame) {
  std::vector<uint8_t>& again = decoder_.images;
  if (again.size() < images.size()) again.resize(images.size());
  Status decoded = decoder_.Decode(prefix, frame, again.data(), images.size());
  if (!decoded.ok()) return decoded.Wrap("self-check of a compressed frame");
  if (std::memcmp(again.data(), images.data(), images.size()) != 0) {
    return {Code::kCorrupt, "self-check of a compressed frame: other bytes come back"};
  }
  return Status::Ok();
}

Status FrameEncoder::Encode(Bytes prefix, Bytes images, ByteWriter* out) {
  Result<Bytes> frame = Compress(prefix, images);
  if (!frame.ok()) return frame.status();
  BACKSTAY_TRY(Verify(prefix, images, *frame));
  out->Varint(frame->size());
  out->Raw(*frame);
  return Status::Ok();
}

}  // namespace backstay
