#include "uploader/state/index_file.h"

#include <algorithm>
#include <cstring>

#include "uploader/base/hash.h"

namespace backstay {
namespace {

constexpr std::string_view kMagic = "BKIX";
constexpr uint8_t kVersion = 1;
constexpr size_t kMaxDescription = 4096;

}  // namespace

std::string EncodeIndexFile(const IndexFile& index) {
  ByteWriter out;
  out.Raw(kMagic);
  out.U8(kVersion);
  out.U32(index.identity.page_size);
  out.Raw(Bytes(index.identity.id));
  out.Varint(index.replica.size());
  out.Raw(index.replica);
  EncodeLogHead(index.encoded, &out);
  EncodeWalMark(index.wal, &out);
  EncodeFileStamp(index.stamp, &out);
  EncodeShipState(index.ship, &out);
  out.U32(static_cast<uint32_t>(index.hashes.size()));
  out.Raw(Bytes(reinterpret_cast<const uint8_t*>(index.hashes.data()), index.hashes.size() * 8));
  out.U64(Hash(out.bytes()));
  return out.Take();
}

Result<IndexFile> ParseIndexFile(Bytes data) {
  if (data.size() < kMagic.size() + 1 + 8 || AsString(data.first(4)) != kMagic) {
    return Status(Code::kCorrupt, "not an index file");
  }
  if (data[4] > kVersion) return Status(Code::kNewer, "the index file is of a newer version");
  Bytes body = data.first(data.size() - 8);
  if (Hash(body) != LoadLe64(data.data() + body.size())) {
    return Status(Code::kCorrupt, "the index file is damaged");
  }
  ByteReader in(body.subspan(5));
  IndexFile index;
  index.identity.page_size = in.U32();
  Bytes id = in.Raw(index.identity.id.size());
  if (in.ok()) std::copy(id.begin(), id.end(), index.identity.id.begin());
  index.replica = AsString(in.Raw(in.VarintMax(kMaxDescription)));
  index.encoded = DecodeLogHead(&in);
  index.wal = DecodeWalMark(&in);
  index.stamp = DecodeFileStamp(&in);
  index.ship = DecodeShipState(&in);
  uint32_t count = in.U32();
  Bytes hashes = in.Raw(static_cast<size_t>(count) * 8);
  if (!in.ok() || in.remaining() != 0) return Status(Code::kCorrupt, "the index file is damaged");
  index.hashes.resize(count);
  if (count > 0) std::memcpy(index.hashes.data(), hashes.data(), hashes.size());
  return index;
}

}  // namespace backstay
