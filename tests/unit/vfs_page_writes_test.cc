// PageWrites: which pages a transaction changed, and what they were, on a file in memory.

#include <cstring>
#include <string>
#include <vector>

#include "tests/support/catch.h"
#include "vfs/page_writes.h"

namespace backstay {
namespace {

constexpr uint32_t kPage = 512;  // bytes

struct MemoryFile : sqlite3_file {
  std::vector<uint8_t> bytes;
};

int Read(sqlite3_file* file, void* out, int n, sqlite3_int64 offset) {
  const auto& bytes = static_cast<MemoryFile*>(file)->bytes;
  if (static_cast<size_t>(offset + n) > bytes.size()) return SQLITE_IOERR_SHORT_READ;
  std::memcpy(out, bytes.data() + offset, static_cast<size_t>(n));
  return SQLITE_OK;
}

int Size(sqlite3_file* file, sqlite3_int64* size) {
  *size = static_cast<sqlite3_int64>(static_cast<MemoryFile*>(file)->bytes.size());
  return SQLITE_OK;
}

// A database file of `pages` pages of ones, and a connection that writes to it.
class Bench {
 public:
  explicit Bench(uint32_t pages) {
    methods_.xRead = Read;
    methods_.xFileSize = Size;
    memory_.bytes.assign(size_t{pages} * kPage, 1);
    SetPageSize(kPage);
    writes.Begin(file);
  }
  void SetPageSize(uint32_t size) {
    std::memcpy(memory_.bytes.data(), "SQLite format 3", 16);
    memory_.bytes[16] = static_cast<uint8_t>(size >> 8);
    memory_.bytes[17] = static_cast<uint8_t>(size);
  }
  void Write(uint32_t pgno, uint8_t value) {
    const size_t at = size_t{pgno - 1} * kPage;
    writes.Write(file, kPage, static_cast<int64_t>(at));
    if (memory_.bytes.size() < at + kPage) memory_.bytes.resize(at + kPage, 0);
    std::memset(memory_.bytes.data() + at, value, kPage);
  }
  void Truncate(uint32_t pages) {
    writes.Truncate(int64_t{pages} * kPage);
    memory_.bytes.resize(size_t{pages} * kPage, 0);
  }

 private:
  MemoryFile memory_;
  sqlite3_io_methods methods_ = {};

 public:
  const InnerFile file{&memory_, &methods_};
  PageWrites writes;
};

}  // namespace

TEST_CASE("pages written come in order, with what they were and what they are", "[vfs]") {
  Bench bench(5);
  bench.Write(4, 8);
  bench.Write(2, 9);
  bench.Write(4, 7);
  const PageWrites::Pages pages = bench.writes.Collect(bench.file);
  REQUIRE(pages.complete);
  REQUIRE(pages.pgnos == std::vector<uint32_t>{2, 4});
  REQUIRE(pages.old == std::vector<uint8_t>(2 * kPage, 1));
  REQUIRE(pages.images.front() == 9);
  REQUIRE(pages.images.back() == 7);
  bench.writes.Clear();
  bench.writes.Begin(bench.file);
  REQUIRE(bench.writes.Collect(bench.file).pgnos.empty());
}

TEST_CASE("pages that were cut off and came back are written ones", "[vfs]") {
  Bench bench(8);
  bench.Truncate(3);
  bench.Write(7, 5);
  const PageWrites::Pages pages = bench.writes.Collect(bench.file);
  REQUIRE(pages.pgnos == std::vector<uint32_t>{4, 5, 6, 7});
  REQUIRE(pages.images.front() == 0);
  REQUIRE(pages.images.back() == 5);
}

TEST_CASE("a write may lie across pages, or in one", "[vfs]") {
  Bench bench(8);
  bench.writes.Write(bench.file, 2 * kPage, kPage + 1);
  bench.writes.Write(bench.file, 1, 7 * kPage);
  REQUIRE(bench.writes.Collect(bench.file).pgnos == std::vector<uint32_t>{2, 3, 4, 8});
}

TEST_CASE("beyond the images that may be kept there are numbers", "[vfs]") {
  Bench bench(10);
  for (uint32_t pgno = 3000; pgno > 0; --pgno)
    bench.writes.Write(bench.file, kPage, (pgno - 1) * kPage);
  bench.Write(3000, 1);
  const PageWrites::Pages pages = bench.writes.Collect(bench.file);
  REQUIRE(pages.complete);
  REQUIRE(pages.pgnos.size() == 3000);
  REQUIRE(pages.images.empty());
  REQUIRE(pages.old.empty());
}

TEST_CASE("what cannot be told in pages is said to be incomplete", "[vfs]") {
  Bench bench(8);
  bench.Write(3, 5);
  SECTION("another page size") { bench.SetPageSize(1024); }
  SECTION("no memory") { bench.writes.Lose(); }
  REQUIRE_FALSE(bench.writes.Collect(bench.file).complete);
}

}  // namespace backstay
