// BegunSnapshotFile: what is kept of a snapshot is read back or not there, never something else.

#include "tests/support/catch.h"
#include "tests/support/temp_folder.h"
#include "uploader/base/file.h"
#include "uploader/state/begun_snapshot.h"

namespace backstay {
namespace {

constexpr uint64_t kMost = 1 << 20;
constexpr uint32_t kPageSize = 65536;  // 64 pages a frame
constexpr uint32_t kPages = 130;

BegunSnapshot Begun(bool first) {
  BegunSnapshot begun;
  begun.database_id = {1, 2, 3};
  begun.page_size = kPageSize;
  begun.first = first;
  begun.writer_id = 4;
  begun.epoch = 5;
  begun.number = 6;
  begun.nonce = 7;
  begun.start = {8, 9, 10, 11, false};
  begun.pages = kPages;
  begun.log_bytes = 12;
  return begun;
}

BegunSnapshot::Frame Frame(uint64_t bytes, size_t pages) {
  return {bytes, std::vector<uint64_t>(pages, bytes), bytes * 2};
}

struct World {
  void Begin(bool first = true) {
    REQUIRE(file.Begin(Begun(first)));
    REQUIRE(file.AddFrame(Frame(100, first ? 64 : 0)));
    REQUIRE(file.AddFrame(Frame(200, first ? 64 : 0)));
  }
  std::optional<BegunSnapshot> Left() { return BegunSnapshotFile(path).Read(kMost); }

  TempFolder folder;
  std::string path = folder / "snapshot";
  BegunSnapshotFile file{path};
};

}  // namespace

TEST_CASE("what is there of a snapshot is read back, and added to", "[state]") {
  World world;
  const bool first = GENERATE(true, false);
  world.Begin(first);
  BegunSnapshotFile next(world.path);
  REQUIRE(next.Read(kMost));
  REQUIRE(next.AddFrame(Frame(300, first ? 2 : 0)));
  const std::optional<BegunSnapshot> left = world.Left();
  REQUIRE(left);
  CHECK(left->database_id == Begun(first).database_id);
  CHECK(left->first == first);
  CHECK(left->writer_id == 4);
  CHECK(left->nonce == 7);
  CHECK(left->start.txid == 10);
  CHECK(left->pages == kPages);
  CHECK(left->log_bytes == 12);
  REQUIRE(left->frames.size() == 3);
  CHECK(left->frames[2].bytes == 300);
  CHECK(left->frames[2].checksum == 600);
  CHECK(left->frames[1].hashes.size() == (first ? 64 : 0));
}

TEST_CASE("frames that cannot be of this snapshot are not there", "[state]") {
  World world;
  world.Begin();
  SECTION("of too many pages") { REQUIRE(world.file.AddFrame(Frame(300, 3))); }
  SECTION("larger than one can be") { REQUIRE(world.file.AddFrame(Frame(uint64_t{1} << 40, 2))); }
  CHECK(world.Left()->frames.size() == 2);
  SECTION("more than it has pages for") {
    REQUIRE(world.file.AddFrame(Frame(300, 2)));
    REQUIRE(world.file.AddFrame(Frame(400, 0)));
    CHECK(world.Left()->frames.size() == 3);
  }
}

TEST_CASE("a torn tail and a changed byte end what is kept", "[state]") {
  World world;
  world.Begin();
  std::string bytes = *ReadFile(world.path, kMost);
  const size_t at = GENERATE(0, 1, 40, 90, 700);
  SECTION("torn") { bytes.resize(bytes.size() - 1 - at); }
  SECTION("changed") { bytes[at] ^= 1; }
  REQUIRE(WriteFileAtomic(world.path, bytes, false).ok());
  const std::optional<BegunSnapshot> left = world.Left();
  CHECK((!left || left->frames.size() < 2));
  if (!left) return;
  // What is added behind it is read back.
  BegunSnapshotFile next(world.path);
  const size_t before = next.Read(kMost)->frames.size();
  REQUIRE(next.AddFrame(Frame(200, 64)));
  CHECK(world.Left()->frames.size() == before + 1);
}

TEST_CASE("one that is too long and one that is removed are not there", "[state]") {
  World world;
  world.Begin();
  CHECK_FALSE(BegunSnapshotFile(world.path).Read(100));
  CHECK(world.file.Remove());
  CHECK_FALSE(world.Left());
  CHECK_FALSE(world.file.AddFrame(Frame(100, 64)));
  CHECK_FALSE(world.Left());
  CHECK_FALSE(ReadFile(world.path, kMost).ok());
}

}  // namespace backstay
