// The page hash index and its file.

#include <string>
#include <vector>

#include "tests/support/catch.h"
#include "uploader/base/hash.h"
#include "uploader/state/index_file.h"
#include "uploader/state/page_index.h"

namespace backstay {
namespace {

constexpr uint32_t kLockPage = 4;

// What the sum and the count of unknown pages must be.
void Check(const PageIndex& index) {
  uint64_t sum = 0;
  uint32_t unknown = 0;
  for (uint32_t pgno = 1; pgno <= index.pages(); ++pgno) {
    if (pgno == kLockPage) {
      REQUIRE(index.Get(pgno) == 0);
      continue;
    }
    sum += index.Get(pgno);
    unknown += index.Get(pgno) == 0 ? 1 : 0;
  }
  REQUIRE(index.checksum() == sum);
  REQUIRE(index.unknown() == unknown);
}

IndexFile Sample() {
  IndexFile file;
  file.identity.page_size = 4096;
  for (uint8_t& byte : file.identity.id) byte = 7;
  file.replica = "s3://bucket/app";
  file.encoded = {5, 6, 7, 8, true};
  file.wal = {1, 2, 3, 4, 5};
  file.stamp = {4096, 1, 2, 3, true};
  file.ship.epoch = 2;
  file.ship.writer_id = 9;
  file.ship.next_log_number = 300;
  file.ship.restorable = true;
  file.ship.marked = true;
  file.ship.void_below = 1;
  file.hashes = {1, 0, 3};
  return file;
}

}  // namespace

TEST_CASE("sum and unknown pages follow every change", "[index]") {
  PageIndex index(kLockPage);
  index.Set(2, 10);
  Check(index);
  REQUIRE(index.pages() == 2);
  for (uint32_t pgno : {1, 3, 4, 5, 6}) index.Set(pgno, pgno * 100);
  Check(index);
  REQUIRE(index.unknown() == 0);
  index.Set(5, 7);
  index.Set(6, 0);
  Check(index);
  index.Resize(3);
  Check(index);
  REQUIRE(index.Get(5) == 0);
  index.Resize(8);
  Check(index);
  REQUIRE(index.unknown() == 4);
  index.GrowZeroed(10, 512);
  Check(index);
  REQUIRE(index.Get(9) == PageHash(9, std::vector<uint8_t>(512, 0)));
  index.GrowZeroed(2, 512);
  REQUIRE(index.pages() == 10);
  index.SetAllUnknown();
  Check(index);
  REQUIRE(index.checksum() == 0);
  Check(PageIndex(kLockPage, {1, 2, 3, 4, 5}));
}

TEST_CASE("the index file reads as it was written", "[index]") {
  IndexFile file = Sample();
  IndexFile read = ParseIndexFile(AsBytes(EncodeIndexFile(file))).value();
  REQUIRE(EncodeIndexFile(read) == EncodeIndexFile(file));
  REQUIRE(read.hashes == file.hashes);
  REQUIRE(read.replica == file.replica);
  REQUIRE(read.stamp == file.stamp);
  REQUIRE(read.stamp.settled);
  REQUIRE(read.ship.marked);
  REQUIRE(read.ship.void_below == 1);
}

TEST_CASE("an index file with any byte changed or cut off is refused", "[index]") {
  const std::string whole = EncodeIndexFile(Sample());
  for (size_t at = 0; at < whole.size(); ++at) {
    REQUIRE_FALSE(ParseIndexFile(AsBytes(whole.substr(0, at))).ok());
    for (int change : {1, 0x80, 0xff}) {
      std::string other = whole;
      other[at] = static_cast<char>(other[at] ^ change);
      REQUIRE_FALSE(ParseIndexFile(AsBytes(other)).ok());
    }
  }
  std::string newer = whole;
  newer[4] = 2;
  REQUIRE(ParseIndexFile(AsBytes(newer)).status().code() == Code::kNewer);
}

}  // namespace backstay
