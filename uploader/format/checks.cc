#include "uploader/format/checks.h"

#include <limits>

#include "uploader/base/hash.h"
#include "uploader/format/log_object.h"

namespace backstay {

uint32_t ReadPageSize(ByteReader* in) {
  uint8_t log2 = in->U8();
  if (log2 >= 9 && log2 <= 16) return 1u << log2;
  in->Fail();
  return 512;
}

int64_t ReadTime(ByteReader* in) {
  return static_cast<int64_t>(in->VarintMax(std::numeric_limits<int64_t>::max()));
}

Status Corrupt(const std::string& what, const std::string& detail) {
  return {Code::kCorrupt, what + ": " + detail};
}

Status CheckVersion(const std::string& what, uint64_t version) {
  if (version == 0) return Corrupt(what, "format version 0 does not exist");
  if (version <= kFormatVersion) return Status::Ok();
  return {Code::kNewer, what + ": written in format version " + std::to_string(version) +
                            ", this build reads up to version " + std::to_string(kFormatVersion) +
                            "; upgrade Backstay"};
}

Status CheckTrailingHash(const std::string& what, Bytes data) {
  if (data.size() < 8) return Corrupt(what, "too short");
  Bytes body = data.first(data.size() - 8);
  if (Hash(body) != LoadLe64(data.data() + body.size())) {
    return Corrupt(what, "the hash does not match the bytes");
  }
  return Status::Ok();
}

}  // namespace backstay
