// The trail: which steps lead from one place to another, and what does not count.

#include <sys/resource.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/support/catch.h"
#include "tests/support/temp_folder.h"
#include "uploader/state/trail.h"

namespace backstay {
namespace {

// The database file after its n-th change.
TrailPlace File(uint32_t n) {
  TrailPlace place;
  place.file.size = 4096;
  place.file.mtime_ns = 1000 + n;
  place.file.inode = 7;
  place.change = n;
  return place;
}

TrailPlace Wal(uint32_t frame) {
  TrailPlace place;
  place.salt1 = 1;
  place.salt2 = 2;
  place.frame = frame;
  return place;
}

TrailStep Step(const TrailPlace& from, const TrailPlace& to, std::vector<uint32_t> pgnos) {
  return {from, to, 1024, 4, std::move(pgnos)};
}

}  // namespace

TEST_CASE("steps that follow each other lead on", "[trail]") {
  TempFolder folder;
  Trail mine(folder / "");
  Trail others(folder / "");
  REQUIRE(!mine.Between(File(1), File(2)));
  others.Append(Step(File(1), File(2), {1, 3}));
  mine.Append(Step(File(2), File(3), {2}));
  const auto steps = mine.Between(File(1), File(3));
  REQUIRE(steps);
  REQUIRE(steps->size() == 2);
  REQUIRE((*steps)[0].pgnos == std::vector<uint32_t>{1, 3});
  REQUIRE((*steps)[1].pgnos == std::vector<uint32_t>{2});
  REQUIRE((*steps)[1].page_size == 1024);
  REQUIRE((*steps)[1].pages == 4);
  REQUIRE(others.Between(File(2), File(3))->size() == 1);
  // Nobody has told how the file came to be this one.
  REQUIRE(!mine.Between(File(1), File(4)));
  REQUIRE(!mine.Between(File(0), File(3)));
  others.Append(Step(File(5), File(6), {2}));
  REQUIRE(!mine.Between(File(1), File(6)));
  // Another file of the same size and age.
  TrailPlace other = File(3);
  other.file.inode = 8;
  REQUIRE(!mine.Between(File(1), other));
}

TEST_CASE("where several steps begin within one tick of the clock, the earliest counts",
          "[trail]") {
  TempFolder folder;
  Trail trail(folder / "");
  TrailPlace uncounted = File(1);
  uncounted.change = 0;
  trail.Append(Step(File(0), uncounted, {9}));
  trail.Append(Step(uncounted, uncounted, {1}));
  trail.Append(Step(uncounted, uncounted, {2}));
  trail.Append(Step(uncounted, File(2), {3}));
  const auto steps = trail.Between(uncounted, File(2));
  REQUIRE(steps);
  REQUIRE(steps->size() == 3);
  REQUIRE(steps->front().pgnos == std::vector<uint32_t>{1});
}

TEST_CASE("the end of a WAL leads to the file that it was written into", "[trail]") {
  TempFolder folder;
  Trail trail(folder / "");
  trail.Append(Step(Wal(9), File(1), {}));
  REQUIRE(trail.Between(Wal(9), File(1)));
  REQUIRE(!trail.Between(Wal(8), File(1)));
}

TEST_CASE("a damaged trail ends there, and starts over when it is large", "[trail]") {
  TempFolder folder;
  const std::string file = folder / "trail";
  Trail trail(folder / "");
  trail.Append(Step(File(1), File(2), {1}));
  trail.Append(Step(File(2), File(3), {1}));
  std::filesystem::resize_file(file, std::filesystem::file_size(file) - 1);
  REQUIRE(trail.Between(File(1), File(2)));
  REQUIRE(!trail.Between(File(1), File(3)));
  std::ofstream(file, std::ios::trunc) << "no trail at all, but long enough to be read";
  REQUIRE(!trail.Between(File(1), File(2)));
  std::filesystem::resize_file(file, 300 << 10);
  trail.Append(Step(File(3), File(4), {1}));
  REQUIRE(trail.Between(File(3), File(4)));
  std::filesystem::remove(file);
  trail.Append(Step(File(4), File(5), {1}));
  REQUIRE(trail.Between(File(4), File(5)));
}

TEST_CASE("a limit to the size of files ends the trail, and not the process", "[trail]") {
  TempFolder folder;
  Trail trail(folder / "");
  struct rlimit old {};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &old) == 0);
  const struct rlimit tight { 100, old.rlim_max };
  REQUIRE(setrlimit(RLIMIT_FSIZE, &tight) == 0);
  trail.Append(Step(File(1), File(2), {1, 2, 3}));
  REQUIRE(setrlimit(RLIMIT_FSIZE, &old) == 0);
  REQUIRE(!trail.Between(File(1), File(2)));
  trail.Append(Step(File(2), File(3), {1}));
  REQUIRE(trail.Between(File(2), File(3)));
}

}  // namespace backstay
