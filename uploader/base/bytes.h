// Little-endian and varint encoding: the vocabulary of every binary format here.
//
// ByteWriter appends to a string it owns. ByteReader walks a span it does not own and is total:
// reading past the end or an overlong varint sets a sticky failure and yields zeros, so a parser
// reads a whole header and asks ok() once. Any thread; no locking.

#ifndef BACKSTAY_UPLOADER_BASE_BYTES_H_
#define BACKSTAY_UPLOADER_BASE_BYTES_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

namespace backstay {

using Bytes = std::span<const uint8_t>;

inline Bytes AsBytes(std::string_view s) {
  return {reinterpret_cast<const uint8_t*>(s.data()), s.size()};
}
inline std::string_view AsString(Bytes b) {
  return {reinterpret_cast<const char*>(b.data()), b.size()};
}

static_assert(std::endian::native == std::endian::little, "the formats are read in place");

inline uint32_t LoadLe32(const uint8_t* p) {
  uint32_t v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline uint64_t LoadLe64(const uint8_t* p) {
  uint64_t v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline uint32_t LoadBe32(const uint8_t* p) { return __builtin_bswap32(LoadLe32(p)); }
inline void StoreLe32(uint8_t* p, uint32_t v) { std::memcpy(p, &v, sizeof v); }
inline void StoreLe64(uint8_t* p, uint64_t v) { std::memcpy(p, &v, sizeof v); }

// Signed to unsigned so that small magnitudes stay small varints.
inline uint64_t ZigZag(int64_t v) {
  return (static_cast<uint64_t>(v) << 1) ^ static_cast<uint64_t>(v >> 63);
}
inline int64_t UnZigZag(uint64_t v) {
  return static_cast<int64_t>(v >> 1) ^ -static_cast<int64_t>(v & 1);
}

class ByteWriter {
 public:
  void U8(uint8_t v) { out_.push_back(static_cast<char>(v)); }
  void U32(uint32_t v);
  void U64(uint64_t v);
  void Varint(uint64_t v);  // LEB128, 1 to 10 bytes
  void Raw(Bytes b) { out_.append(AsString(b)); }
  void Raw(std::string_view s) { out_.append(s); }

  size_t size() const { return out_.size(); }
  const std::string& str() const { return out_; }
  Bytes bytes() const { return AsBytes(out_); }
  std::string Take() { return std::move(out_); }
  void Clear() { out_.clear(); }
  void Reserve(size_t bytes) { out_.reserve(bytes); }

 private:
  std::string out_;
};

class ByteReader {
 public:
  explicit ByteReader(Bytes data) : data_(data) {}

  uint8_t U8();
  uint32_t U32();
  uint64_t U64();
  uint64_t Varint();
  // A varint that must be at most `max`; more is a failure.
  uint64_t VarintMax(uint64_t max);
  Bytes Raw(size_t n);

  bool ok() const { return ok_; }
  void Fail() { ok_ = false; }
  size_t position() const { return position_; }
  size_t remaining() const { return ok_ ? data_.size() - position_ : 0; }

 private:
  bool Need(size_t n);

  Bytes data_;
  size_t position_ = 0;
  bool ok_ = true;
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_BASE_BYTES_H_
