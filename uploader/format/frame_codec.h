// The zstd frames of a segment: contexts that live as long as their owner, so that a small frame
// pays for its bytes and not for setting up.
//
// FrameEncoder belongs to a SegmentWriter; a FrameDecoder may be kept by whoever applies many
// segments. One thread at a time each. kIo when zstd cannot get memory, kCorrupt for bad frames.

#ifndef BACKSTAY_UPLOADER_FORMAT_FRAME_CODEC_H_
#define BACKSTAY_UPLOADER_FORMAT_FRAME_CODEC_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "uploader/base/bytes.h"
#include "uploader/base/status.h"

struct ZSTD_CCtx_s;
struct ZSTD_DCtx_s;

namespace backstay {

class FrameDecoder {
 public:
  FrameDecoder();
  ~FrameDecoder();
  FrameDecoder(const FrameDecoder&) = delete;
  FrameDecoder& operator=(const FrameDecoder&) = delete;

  // Decompresses `frame` into exactly `size` bytes at `out`; any other size is kCorrupt.
  Status Decode(Bytes prefix, Bytes frame, uint8_t* out, size_t size);

  // Scratch for the caller, reused from frame to frame.
  std::vector<uint8_t> prefix;
  std::vector<uint8_t> images;

 private:
  ZSTD_DCtx_s* const context_;
};

class FrameEncoder {
 public:
  FrameEncoder();
  ~FrameEncoder();
  FrameEncoder(const FrameEncoder&) = delete;
  FrameEncoder& operator=(const FrameEncoder&) = delete;

  // Appends the length and the zstd frame of `images` to `out`, decompressed again and compared.
  Status Encode(Bytes prefix, Bytes images, ByteWriter* out);

 private:
  Result<Bytes> Compress(Bytes prefix, Bytes images);
  Status Verify(Bytes prefix, Bytes images, Bytes frame);

  ZSTD_CCtx_s* const context_;
  FrameDecoder decoder_;
  std::vector<uint8_t> compressed_;
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_FORMAT_FRAME_CODEC_H_
