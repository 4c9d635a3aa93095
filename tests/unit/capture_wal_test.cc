// Capture on WALs that no SQLite wrote for this database: of another page size, with page numbers
// and sizes that nothing justifies. Nothing is written beyond a buffer, no memory goes to what the
// files do not hold, and what is wrong is said.

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>

#include "tests/support/catch.h"
#include "tests/support/temp_folder.h"
#include "tests/support/wal_maker.h"
#include "uploader/capture/capture.h"

namespace backstay {
namespace {

constexpr uint32_t kPage = 1024;  // bytes
constexpr uint32_t kPages = 4;
constexpr uint32_t kFar = 0xfffffff0;

class Bench {
 public:
  Bench() : index(LockBytePage(kPage)) {
    REQUIRE(outbox_.Open({[](auto&) {}, [](auto&) {}, [](auto&) {}}).ok());
    Capture::Options options;
    options.database_path = folder_ / "db";
    options.page_size = kPage;
    options.cache_bytes = 1 << 16;
    options.file = [](void* out, int64_t n, int64_t offset) {
      const int64_t size = std::clamp<int64_t>(kPages * kPage - offset, 0, n);
      std::memset(out, 'f', static_cast<size_t>(size));
      return size;
    };
    options.file_size = [] { return int64_t{kPages} * kPage; };
    options.index = &index;
    options.outbox = &outbox_;
    options.clock = RealClock();
    capture = std::make_unique<Capture>(std::move(options));
  }

  WalTarget Put(const WalMaker& wal, uint32_t frames, uint32_t pages) {
    REQUIRE(WriteFileAtomic(folder_ / "db-wal", wal.wal(), false).ok());
    WalTarget target;
    target.salt1 = wal.salt1();
    target.salt2 = wal.salt2();
    target.max_frame = frames;
    target.pages = pages;
    target.change = ++change_;
    return target;
  }

  PageIndex index;
  std::unique_ptr<Capture> capture;

 private:
  TempFolder folder_;
  Outbox outbox_{folder_ / "outbox"};
  uint32_t change_ = 0;
};

}  // namespace

TEST_CASE("a WAL of another page size than the database is not read", "[capture]") {
  const uint32_t other = GENERATE(512U, 4096U, 65536U);
  Bench bench;
  WalMaker mine(kPage);
  mine.Frame(2, kPages);
  REQUIRE(bench.capture->StartFresh(bench.Put(mine, 1, kPages)).ok());
  WalMaker foreign(other, 100);
  for (int i = 0; i < 3; ++i) foreign.Frame(2, kPages);
  const WalTarget target = bench.Put(foreign, 3, kPages);
  Result<bool> advanced = bench.capture->Advance(target);
  REQUIRE(advanced.status().code() == Code::kForeign);
  REQUIRE(advanced.status().message().find(std::to_string(other)) != std::string::npos);
  REQUIRE(bench.capture->StartFresh(target).code() == Code::kForeign);
  std::string page(kPage, 0);
  const std::span<uint8_t> out(reinterpret_cast<uint8_t*>(page.data()), page.size());
  REQUIRE(bench.capture->CopyPages(2, 1, out).ok());
  REQUIRE(page == std::string(kPage, 'f'));
}

TEST_CASE("a buffer for pages of another size is refused", "[capture]") {
  Bench bench;
  REQUIRE(bench.capture->StartFresh(WalTarget{}).ok());
  std::string room(size_t{4} * kPage, 0);
  const std::span<uint8_t> out(reinterpret_cast<uint8_t*>(room.data()), room.size());
  REQUIRE(bench.capture->CopyPages(1, 4, out).ok());
  REQUIRE(bench.capture->CopyPages(1, 1, out).code() == Code::kCancelled);
  REQUIRE(bench.capture->CopyPages(1, 8, out).code() == Code::kCancelled);
}

TEST_CASE("page 0 ends a WAL", "[capture]") {
  Bench bench;
  WalMaker wal(kPage);
  wal.Frame(1, kPages);
  REQUIRE(bench.capture->StartFresh(bench.Put(wal, 1, kPages)).ok());
  wal.Frame(0, kPages);
  const WalTarget target = bench.Put(wal, 2, kPages);
  REQUIRE(bench.capture->Advance(target).status().code() == Code::kNotFound);
  REQUIRE(bench.capture->Skip(target).status().code() == Code::kNotFound);
  REQUIRE(bench.capture->StartFresh(target).code() == Code::kNotFound);
}

TEST_CASE("a size that the files cannot hold takes no memory", "[capture]") {
  const bool number = GENERATE(false, true);
  Bench bench;
  WalMaker wal(kPage);
  wal.Frame(1, kPages);
  REQUIRE(bench.capture->StartFresh(bench.Put(wal, 1, kPages)).ok());
  number ? wal.Frame(kFar, 0) : wal.Frame(1, kFar);
  const WalTarget target = bench.Put(wal, 2, number ? kPages : kFar);
  REQUIRE(bench.capture->Advance(target).status().code() == Code::kCorrupt);
  REQUIRE(bench.capture->Skip(target).status().code() == Code::kCorrupt);
  REQUIRE(bench.capture->PagesAt(target) < 10000);
  if (!number) REQUIRE(bench.capture->StartFresh(target).code() == Code::kCorrupt);
  REQUIRE(bench.index.pages() == kPages);
}

// What is known is not shipped by a repair: only a first snapshot puts it into the replica.
TEST_CASE("a page that is copied becomes known in a first snapshot alone", "[capture]") {
  Bench bench;
  REQUIRE(bench.capture->StartFresh(WalTarget{}).ok());
  REQUIRE(bench.index.unknown() == kPages);
  std::string page(kPage, 0);
  const std::span<uint8_t> out(reinterpret_cast<uint8_t*>(page.data()), page.size());
  REQUIRE(bench.capture->CopyPages(1, 1, out).ok());
  bench.capture->encoder()->BeginSnapshot(/*first=*/false);
  REQUIRE(bench.capture->CopyPages(2, 1, out).ok());
  bench.capture->encoder()->EndSnapshot();
  REQUIRE(bench.index.unknown() == kPages);
  bench.capture->encoder()->BeginSnapshot(/*first=*/true);
  REQUIRE(bench.capture->CopyPages(3, 1, out).ok());
  REQUIRE(bench.index.unknown() == kPages - 1);
}

TEST_CASE("pages far apart are found again", "[capture]") {
  Bench bench;
  WalMaker wal(kPage);
  wal.Frame(3, 0, 'a');
  wal.Frame(500, 0, 'b');
  wal.Frame(700, 700, 'c');
  REQUIRE(bench.capture->StartFresh(bench.Put(wal, 3, 700)).ok());
  std::string page(kPage, 0);
  const std::span<uint8_t> out(reinterpret_cast<uint8_t*>(page.data()), page.size());
  for (auto [pgno, fill] :
       {std::pair{3U, 'a'}, {500U, 'b'}, {700U, 'c'}, {4U, 'f'}, {501U, '\0'}}) {
    REQUIRE(bench.capture->CopyPages(pgno, 1, out).ok());
    REQUIRE(page == std::string(kPage, fill));
  }
}

}  // namespace backstay
