#include "uploader/base/bytes.h"

namespace backstay {

void ByteWriter::U32(uint32_t v) {
  uint8_t b[4];
  StoreLe32(b, v);
  Raw(Bytes(b));
}

void ByteWriter::U64(uint64_t v) {
  uint8_t b[8];
  StoreLe64(b, v);
  Raw(Bytes(b));
}

void ByteWriter::Varint(uint64_t v) {
  while (v >= 0x80) {
    U8(static_cast<uint8_t>(v) | 0x80);
    v >>= 7;
  }
  U8(static_cast<uint8_t>(v));
}

bool ByteReader::Need(size_t n) {
  if (ok_ && data_.size() - position_ >= n) return true;
  ok_ = false;
  return false;
}

uint8_t ByteReader::U8() { return Need(1) ? data_[position_++] : 0; }

uint32_t ByteReader::U32() {
  if (!Need(4)) return 0;
  position_ += 4;
  return LoadLe32(data_.data() + position_ - 4);
}

uint64_t ByteReader::U64() {
  if (!Need(8)) return 0;
  position_ += 8;
  return LoadLe64(data_.data() + position_ - 8);
}

uint64_t ByteReader::Varint() {
  uint64_t v = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    uint8_t b = U8();
    if (!ok_) return 0;
    if (shift == 63 && b > 1) break;
    v |= static_cast<uint64_t>(b & 0x7f) << shift;
    if ((b & 0x80) == 0) return v;
  }
  ok_ = false;
  return 0;
}

uint64_t ByteReader::VarintMax(uint64_t max) {
  uint64_t v = Varint();
  if (v <= max) return v;
  ok_ = false;
  return 0;
}

Bytes ByteReader::Raw(size_t n) {
  if (!Need(n)) return {};
  position_ += n;
  return data_.subspan(position_ - n, n);
}

}  // namespace backstay
