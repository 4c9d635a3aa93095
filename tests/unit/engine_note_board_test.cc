// The note board: who waits for what, and that no wake-up is lost.

#include <atomic>
#include <thread>
#include <vector>

#include "tests/support/catch.h"
#include "uploader/engine/note_board.h"

namespace backstay {
namespace {

constexpr int64_t kLong = 60000;  // ms; reached only when a wake-up is lost

int64_t Later() { return RealClock()->MonotonicMs() + kLong; }

WalTarget Target(uint32_t salt, uint32_t frame) {
  WalTarget target;
  target.salt1 = salt;
  target.max_frame = frame;
  return target;
}

}  // namespace

TEST_CASE("a commit wakes the capture thread that asked for it", "[note_board]") {
  NoteBoard board(RealClock());
  std::thread application([&] { board.Committed(Target(1, 5)); });
  NoteBoard::Work work = board.Wait(Later(), 0, true, {}, UINT32_MAX);
  application.join();
  REQUIRE(work.commits);
  REQUIRE(board.Latest()->max_frame == 5);
  board.TakeCommits();
  REQUIRE_FALSE(board.Wait(0, 0, true, {}, UINT32_MAX).commits);
}

TEST_CASE("commits wake nobody before there is enough of them", "[note_board]") {
  for (uint32_t round = 1; round <= 300; ++round) {
    NoteBoard board(RealClock());
    const WalMark encoded{1, 0, 50, 0, 0};
    NoteBoard::Work work;
    std::thread waiter([&] { work = board.Wait(Later(), 0, false, encoded, 10); });
    board.Committed(Target(1, 55));
    // The next WAL begins at frame 1 again.
    for (uint32_t frame = 1; frame < 10; ++frame) board.Committed(Target(2, frame));
    const bool enough = round % 2 == 0;
    std::thread application(
        [&] { enough ? board.Committed(Target(2, 10)) : static_cast<void>(board.Finish(kLong)); });
    waiter.join();
    // Only the last call can have woken it.
    REQUIRE(work.ticket == (enough ? 0 : 1));
    REQUIRE(board.Latest()->max_frame == (enough ? 10 : 9));
    board.Stop();
    application.join();
  }
}

TEST_CASE("finish and sync end with the pass that was asked for", "[note_board]") {
  NoteBoard board(RealClock());
  std::atomic<int> finished{0};
  std::vector<std::thread> applications;
  for (int i = 0; i < 8; ++i) {
    applications.emplace_back([&, i] {
      for (int n = 0; n < 200; ++n) {
        bool done = i % 2 == 0 ? board.Finish(kLong) : board.Sync(kLong);
        finished += done ? 1 : 0;
      }
    });
  }
  uint64_t segment = 0;
  for (uint64_t seen = 0; seen < 8 * 200;) {
    NoteBoard::Work work = board.Wait(Later(), seen, false, {}, UINT32_MAX);
    REQUIRE(work.ticket > seen);
    seen = work.ticket;
    board.Done(seen, ++segment, true);
    board.Shipped(segment, true);
  }
  for (std::thread& thread : applications) thread.join();
  REQUIRE(finished == 8 * 200);
}

TEST_CASE("waits end when their time is over", "[note_board]") {
  NoteBoard board(RealClock());
  REQUIRE_FALSE(board.Finish(0));
  REQUIRE_FALSE(board.Sync(0));
  REQUIRE_FALSE(board.Sync(-5));
}

TEST_CASE("sync waits for shipping and for something to restore", "[note_board]") {
  NoteBoard board(RealClock());
  board.Done(100, 7, true);  // passes of later tickets than will be asked for
  board.Shipped(6, true);
  REQUIRE_FALSE(board.Sync(0));
  board.Shipped(7, false);
  REQUIRE_FALSE(board.Sync(0));
  board.Shipped(7, true);
  REQUIRE(board.Sync(0));
  REQUIRE(board.Finish(0));
}

TEST_CASE("sync does not take the number of a dropped segment for its own", "[note_board]") {
  NoteBoard board(RealClock());
  std::atomic<bool> acknowledged{false};
  std::atomic<bool> ended{false};
  std::thread application([&] {
    acknowledged = board.Sync(kLong);
    ended = true;
  });
  uint64_t ticket = board.Wait(Later(), 0, false, {}, UINT32_MAX).ticket;
  board.Done(ticket, 5, true);
  board.Dropped();
  board.Shipped(9, true);  // other segments have come to these numbers
  // The wait asks for a new pass instead of ending.
  NoteBoard::Work work = board.Wait(Later(), ticket, false, {}, UINT32_MAX);
  REQUIRE(work.ticket > ticket);
  REQUIRE_FALSE(ended);
  board.Done(work.ticket, 10, true);
  board.Shipped(10, true);
  application.join();
  REQUIRE(acknowledged);
}

TEST_CASE("of those who wait for the WAL only a commit is in a hurry", "[note_board]") {
  for (bool commit : {false, true}) {
    NoteBoard board(RealClock());
    std::thread waits([&] { (void)board.Finish(kLong, commit); });
    uint64_t asked = 0;
    while (asked == 0) asked = board.Wait(Later(), 0, false, {}, UINT32_MAX).ticket;
    CHECK(board.CommitWaits() == commit);
    board.Deactivate();
    waits.join();
    REQUIRE_FALSE(board.CommitWaits());
  }
}

TEST_CASE("the end of capture releases everybody", "[note_board]") {
  for (bool stop : {false, true}) {
    NoteBoard board(RealClock());
    std::atomic<int> finished{0};
    std::atomic<int> synced{0};
    std::thread finish([&] { finished = board.Finish(kLong) ? 1 : 2; });
    std::thread sync([&] { synced = board.Sync(kLong) ? 1 : 2; });
    board.Wait(Later(), 1, false, {}, UINT32_MAX);  // both have asked
    stop ? board.Stop() : board.Deactivate();
    finish.join();
    sync.join();
    REQUIRE(finished == 1);
    REQUIRE(synced == 2);
    REQUIRE(board.Finish(kLong));
    REQUIRE_FALSE(board.Sync(kLong));
  }
}

TEST_CASE("who is impatient learns of a failure", "[note_board]") {
  NoteBoard board(RealClock());
  std::atomic<bool> back{false};
  std::thread sync([&] {
    REQUIRE_FALSE(board.Sync(kLong, /*impatient=*/true));
    back = true;
  });
  board.Wait(Later(), 0, false, {}, UINT32_MAX);  // it has asked
  REQUIRE_FALSE(board.Sync(1));
  REQUIRE_FALSE(back);
  board.Trouble();
  sync.join();
}

TEST_CASE("the time of a commit is found by its frame", "[note_board]") {
  NoteBoard board(RealClock());
  int64_t before = RealClock()->WallMs();
  for (uint32_t frame = 1; frame <= 5000; ++frame) board.Committed(Target(7, frame));
  REQUIRE(board.CommitTime(7, 5000) >= before);
  REQUIRE(board.CommitTime(7, 4500) >= before);
  REQUIRE(board.CommitTime(7, 1) == 0);  // forgotten
  REQUIRE(board.CommitTime(8, 5000) == 0);
}

TEST_CASE("a group that was answered is back when as many wait again and are captured",
          "[note_board]") {
  NoteBoard board(RealClock());
  REQUIRE_FALSE(board.Sync(0));  // one waits for the first PUT
  board.Done(1, 1, true);
  REQUIRE(board.Regrouped());
  board.Sending();
  board.Shipped(1, true);
  REQUIRE_FALSE(board.Regrouped());
  REQUIRE_FALSE(board.Sync(0));
  REQUIRE_FALSE(board.Regrouped());  // its commit is not captured yet
  board.Done(2, 2, true);
  REQUIRE(board.Regrouped());
}

TEST_CASE("what waited in vain is shipped in the end", "[note_board]") {
  NoteBoard board(RealClock());
  REQUIRE_FALSE(board.Sync(0));
  board.Shipped(0, true);
  REQUIRE_FALSE(board.AllShipped());
  board.Done(1, 3, true);
  REQUIRE_FALSE(board.AllShipped());
  board.Shipped(3, false);
  REQUIRE_FALSE(board.AllShipped());
  board.Shipped(3, true);
  REQUIRE(board.AllShipped());
  board.Deactivate();
  REQUIRE_FALSE(board.AllShipped());
}

TEST_CASE("what was noted and is not taken is known with its time", "[note_board]") {
  NoteBoard board(RealClock());
  REQUIRE(board.NotTaken().count == 0);
  const int64_t before = RealClock()->WallMs();
  board.Committed(Target(1, 5));
  // A look at the same place is no commit.
  board.Committed(Target(1, 5));
  board.Committed(Target(1, 7));
  board.Handed(false);
  REQUIRE(board.NotTaken().count == 3);
  REQUIRE(board.NotTaken().first_ms >= before);
  REQUIRE(board.NotTaken().last_ms >= board.NotTaken().first_ms);
  REQUIRE(board.TakeCommits() >= before);
  REQUIRE(board.NotTaken().first_ms == 0);
  REQUIRE(board.TakeCommits() == 0);
}

}  // namespace backstay
