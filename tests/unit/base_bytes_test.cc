#include <random>

#include "tests/support/catch.h"
#include "uploader/base/bytes.h"
#include "uploader/base/hash.h"

namespace backstay {

TEST_CASE("integers are little-endian, and big where SQLite's are") {
  ByteWriter out;
  out.U8(1);
  out.U32(0x05040302);
  out.U64(0x0d0c0b0a09080706);
  for (uint8_t i = 0; i < out.size(); ++i) CHECK(out.bytes()[i] == i + 1);
  CHECK(LoadLe32(out.bytes().data() + 1) == 0x05040302);
  CHECK(LoadLe64(out.bytes().data() + 5) == 0x0d0c0b0a09080706);
  CHECK(LoadBe32(out.bytes().data() + 1) == 0x02030405);
}

TEST_CASE("varints come back in as few bytes as they need") {
  std::mt19937_64 random(1);
  for (int bits = 0; bits <= 64; ++bits) {
    for (int i = 0; i < 20; ++i) {
      uint64_t value = bits == 0 ? 0 : (random() | 1ull << 63) >> (64 - bits);
      ByteWriter out;
      out.Varint(value);
      CHECK(out.size() == std::max<size_t>(1, (static_cast<size_t>(bits) + 6) / 7));
      ByteReader in(out.bytes());
      CHECK(in.Varint() == value);
      CHECK(in.ok());
      CHECK(in.remaining() == 0);
      for (size_t cut = 0; cut < out.size(); ++cut) {
        ByteReader less(out.bytes().first(cut));
        CHECK(less.Varint() == 0);
        CHECK_FALSE(less.ok());
      }
    }
  }
}

TEST_CASE("varints beyond 64 bits fail") {
  for (std::string bad : {std::string(9, '\xff') + '\x02', std::string(10, '\xff') + '\x01',
                          std::string(10, '\x80') + '\x00', std::string(100, '\xff')}) {
    ByteReader in(AsBytes(bad));
    CHECK(in.Varint() == 0);
    CHECK_FALSE(in.ok());
  }
  std::string largest = std::string(9, '\xff') + '\x01';
  ByteReader in(AsBytes(largest));
  CHECK(in.Varint() == ~0ull);
  CHECK(in.ok());
}

TEST_CASE("a varint over its limit fails, one at the limit does not") {
  ByteWriter out;
  out.Varint(1000);
  ByteReader at(out.bytes());
  CHECK(at.VarintMax(1000) == 1000);
  CHECK(at.ok());
  ByteReader over(out.bytes());
  CHECK(over.VarintMax(999) == 0);
  CHECK_FALSE(over.ok());
}

TEST_CASE("a reader that failed stays failed and gives zeros") {
  const std::string data = "0123456789";
  ByteReader in(AsBytes(data));
  CHECK(in.Raw(4).size() == 4);
  CHECK(in.position() == 4);
  CHECK(in.U64() == 0);
  CHECK_FALSE(in.ok());
  CHECK(in.remaining() == 0);
  CHECK(in.U8() == 0);
  CHECK(in.U32() == 0);
  CHECK(in.Raw(1).empty());
  ByteReader huge(AsBytes(data));
  CHECK(huge.Raw(SIZE_MAX).empty());
  CHECK_FALSE(huge.ok());
  ByteReader told(AsBytes(data));
  told.Fail();
  CHECK_FALSE(told.ok());
}

TEST_CASE("zigzag keeps small magnitudes small and loses none") {
  CHECK(ZigZag(0) == 0);
  CHECK(ZigZag(-1) == 1);
  CHECK(ZigZag(1) == 2);
  for (int64_t value : {int64_t{0}, int64_t{-1}, int64_t{123456}, INT64_MAX, INT64_MIN}) {
    CHECK(UnZigZag(ZigZag(value)) == value);
  }
}

TEST_CASE("hashes are XXH3-64, and a hash in pieces is the hash of the whole") {
  // Of the empty string, from xxHash's own test vectors.
  CHECK(Hash({}) == 0x2d06800538d394c2);
  std::mt19937_64 random(2);
  std::string data(5000, '\0');
  for (char& c : data) c = static_cast<char>(random());
  Hasher hasher;
  hasher.Update(AsBytes("left over"));
  hasher.Reset();
  CHECK(hasher.Digest() == Hash({}));
  for (size_t at = 0; at < data.size();) {
    const size_t n = std::min<size_t>(data.size() - at, random() % 700);
    hasher.Update(AsBytes(data).subspan(at, n));
    at += n;
    CHECK(hasher.Digest() == Hash(AsBytes(data).first(at)));
  }
}

TEST_CASE("a page hash depends on the page's number and is never 0") {
  const std::string page(4096, 'p');
  CHECK(PageHash(1, AsBytes(page)) != PageHash(2, AsBytes(page)));
  CHECK(PageHash(1, AsBytes(page)) == PageHash(1, AsBytes(page)));
  for (uint32_t pgno = 1; pgno < 1000; ++pgno) CHECK(PageHash(pgno, AsBytes(page)) != 0);
}

}  // namespace backstay
