// SnapshotCopy: whatever cannot be written or removed, nobody goes on with a copy that is void.

#include <sys/resource.h>

#include "tests/support/catch.h"
#include "tests/support/temp_folder.h"
#include "uploader/engine/snapshot_copy.h"

namespace backstay {
namespace {

constexpr uint64_t kMost = 1 << 20;

BegunSnapshot Begun() {
  BegunSnapshot begun;
  begun.page_size = 4096;
  begun.nonce = 7;
  begun.pages = 10;
  return begun;
}

struct Life {
  explicit Life(const TempFolder& folder)
      : outbox(std::make_unique<Outbox>(folder / "outbox")), copy(folder / "snapshot", &outbox) {
    REQUIRE(outbox->Open({[](auto&) {}, [](auto&) {}, [](auto&) {}}).ok());
    copy.AskLock([this] { return holds; });
  }
  size_t FramesLeft() {
    const std::optional<BegunSnapshot> left = copy.Left(kMost);
    return left ? left->frames.size() : 0;
  }

  bool holds = true;
  std::unique_ptr<Outbox> outbox;
  SnapshotCopy copy;
};

// No file can be opened meanwhile.
class NoDescriptors {
 public:
  NoDescriptors() {
    getrlimit(RLIMIT_NOFILE, &before_);
    const rlimit none{0, before_.rlim_max};
    setrlimit(RLIMIT_NOFILE, &none);
  }
  ~NoDescriptors() { setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

}  // namespace

TEST_CASE("a copy is gone on with until it is forgotten, through a compaction", "[copy]") {
  TempFolder folder;
  Life life(folder);
  life.copy.Begin(Begun());
  life.copy.Keep({100, {}, 5});
  if (GENERATE(false, true)) REQUIRE(life.outbox->Compact().ok());
  CHECK(Life(folder).FramesLeft() == 1);
  CHECK(life.copy.Forget());
  life.copy.Keep({100, {}, 5});
  CHECK(Life(folder).FramesLeft() == 0);
}

TEST_CASE("a copy whose file cannot be removed is not gone on with", "[copy]") {
  TempFolder folder;
  Life life(folder);
  life.copy.Begin(Begun());
  life.copy.Keep({100, {}, 5});
  bool forgotten = false;
  SECTION("the outbox says so") {
    const NoDescriptors none;
    forgotten = life.copy.Forget();
  }
  SECTION("a frame cannot be added") {
    const NoDescriptors none;
    life.copy.Keep({100, {}, 5});
    forgotten = life.copy.Told();
  }
  CHECK(forgotten);
  CHECK(ReadFile(folder / "snapshot", kMost).ok());
  CHECK(Life(folder).FramesLeft() == 0);
  REQUIRE(life.outbox->Compact().ok());
  CHECK(Life(folder).FramesLeft() == 0);
}

TEST_CASE("where neither file nor outbox can be written a copy is not forgotten", "[copy]") {
  TempFolder folder;
  Life life(folder);
  life.copy.Begin(Begun());
  life.copy.Keep({100, {}, 5});
  life.outbox->Rest();
  {
    const NoDescriptors none;
    CHECK_FALSE(life.copy.Forget());
    CHECK_FALSE(life.copy.Told());
  }
  CHECK(life.copy.Told());
  CHECK(Life(folder).FramesLeft() == 0);
}

TEST_CASE("who has lost the lock leaves the copy to who has it", "[copy]") {
  TempFolder folder;
  Life life(folder);
  life.copy.Begin(Begun());
  life.copy.Keep({100, {}, 5});
  life.holds = false;
  life.copy.Keep({100, {}, 5});
  CHECK_FALSE(life.copy.Forget());
  life.copy.Void();
  CHECK(Life(folder).FramesLeft() == 1);
}

}  // namespace backstay
