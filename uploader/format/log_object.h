// Log objects: the unit that is PUT under log/<number>. Specified in uploader/format/README.md.
//
// Pure functions and values, any thread. Readers return kCorrupt or kNewer, never more.

#ifndef BACKSTAY_UPLOADER_FORMAT_LOG_OBJECT_H_
#define BACKSTAY_UPLOADER_FORMAT_LOG_OBJECT_H_

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "uploader/base/bytes.h"
#include "uploader/base/status.h"
#include "uploader/format/segment.h"

namespace backstay {

// The newest that is read. An object carries the lowest version that can say what it says.
inline constexpr uint8_t kFormatVersion = 2;
inline constexpr uint8_t kFirstFormatVersion = 1;

using DatabaseId = std::array<uint8_t, 16>;

// Persistent: values are part of the format.
enum class LogKind : uint8_t {
  kSegments = 1,
  kTakeover = 2,
  kNewBase = 3,  // a takeover behind which the database has another page size; from version 2 on
};
inline bool IsTakeover(LogKind kind) { return kind != LogKind::kSegments; }
inline uint8_t FormatVersionOf(LogKind kind) {
  return kind == LogKind::kNewBase ? 2 : kFirstFormatVersion;
}

struct LogHeader {
  LogKind kind = LogKind::kSegments;
  uint64_t epoch = 0;
  uint64_t number = 0;
  uint64_t segments = 0;  // how many follow; 0 with a takeover of either kind
};

struct Takeover {
  DatabaseId database_id{};
  uint64_t writer_id = 0;
  int64_t time_ms = 0;
  uint64_t segment_number = 0;  // last segment before this record; 0 before the first
  uint64_t segment_hash = 0;
  uint64_t txid = 0;  // last transaction before this record
  // Of the database from here on, where it is another: nothing before is the base of anything
  // behind. 0: nothing of the kind happened.
  uint32_t page_size = 0;
};

// The header that goes before the segments (their bytes are simply appended).
std::string EncodeLogHeader(const LogHeader& header);
// Of kind kNewBase when it states a page size.
std::string EncodeTakeover(uint64_t epoch, uint64_t number, const Takeover& takeover);

struct LogObject {
  LogHeader header;
  std::vector<Segment> segments;  // kind kSegments; they point into the parsed bytes
  Takeover takeover;              // kinds kTakeover and kNewBase
};

// `number` is the one in the key: another one in the object is kCorrupt. `data` must outlive the
// result.
Result<LogObject> ParseLogObject(Bytes data, uint64_t number);
// The same, but `segments` stays empty: each is handed out in turn. Thousands of small ones take
// several times the memory of the object.
Result<LogObject> WalkLogObject(Bytes data, uint64_t number,
                                const std::function<void(const Segment&)>& take);
// Only the header.
Result<LogHeader> ParseLogHeader(Bytes data, size_t* consumed);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_FORMAT_LOG_OBJECT_H_
