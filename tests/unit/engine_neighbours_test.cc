// Processes that share a database, as two ends of one page in this process: who waits for whom.

#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <string>
#include <thread>

#include "tests/support/catch.h"
#include "tests/support/temp_folder.h"
#include "uploader/engine/neighbours.h"

namespace backstay {
namespace {

constexpr int64_t kLong = 20000;  // ms; reached only when a wake-up is lost

int64_t Later() { return RealClock()->MonotonicMs() + kLong; }

// One process: its board, and its end of the page.
struct Process {
  explicit Process(const std::string& folder, uint32_t replica = 7)
      : neighbours({folder, replica, kLong, &board, RealClock(),
                    [this](Level, const std::string& message) {
                      std::lock_guard<std::mutex> lock(mutex);
                      log += message + "\n";
                    },
                    [this](const std::string& message) {
                      std::lock_guard<std::mutex> lock(mutex);
                      log += "over: " + message + "\n";
                    }}) {}

  // A pass of the capture thread that is asked for next; returns its ticket.
  uint64_t Pass(bool with_others, uint64_t segment) {
    seen = board.Wait(Later(), seen, false, {}, UINT32_MAX).ticket;
    board.Done(seen, segment, with_others);
    return seen;
  }
  // A pass soon, whether or not one is asked for.
  void PassSoon(uint64_t segment) {
    seen = board.Wait(RealClock()->MonotonicMs() + 10, seen, false, {}, UINT32_MAX).ticket;
    board.Done(seen, segment, true);
  }
  // Waits until something more was asked for.
  void Asked() { board.Wait(Later(), seen, false, {}, UINT32_MAX); }

  NoteBoard board{RealClock()};
  std::mutex mutex;
  std::string log;  // guarded by mutex
  uint64_t seen = 0;
  Neighbours neighbours;
};

struct World {
  World() {
    ships.neighbours.Lead();
    // The one that Lead() asks for.
    ships.Pass(true, 0);
    ships.board.Shipped(0, true);
    waits.neighbours.Follow();
  }

  TempFolder folder;
  Process ships{folder.path()};
  Process waits{folder.path()};
};

// A Sync() of another thread.
class Waiter {
 public:
  explicit Waiter(Process* process)
      : thread_([this, process] { state_ = process->neighbours.Sync(3 * kLong) ? 1 : 2; }) {}
  ~Waiter() { thread_.join(); }
  bool over() const { return state_ != 0; }
  bool acknowledged() { return End() == 1; }
  bool refused() { return End() == 2; }

 private:
  int End() {
    for (const int64_t end = Later(); state_ == 0 && RealClock()->MonotonicMs() < end;) {
      std::this_thread::yield();
    }
    return state_;
  }

  std::atomic<int> state_{0};
  std::thread thread_;
};

WalTarget Target(uint32_t frame) {
  WalTarget target;
  target.salt1 = 1;
  target.max_frame = frame;
  return target;
}

}  // namespace

TEST_CASE("a neighbour's sync ends when the pass that it asked for is shipped", "[neighbours]") {
  World world;
  for (uint64_t segment = 1; segment <= 50; ++segment) {
    Waiter waiter(&world.waits);
    world.ships.Pass(true, segment);
    REQUIRE_FALSE(waiter.over());
    REQUIRE(world.ships.board.SyncWaits());
    world.ships.board.Shipped(segment - 1, true);
    REQUIRE_FALSE(waiter.over());
    world.ships.board.Shipped(segment, true);
    REQUIRE(waiter.acknowledged());
    REQUIRE_FALSE(world.ships.board.SyncWaits());
  }
  REQUIRE(world.waits.neighbours.AllShipped());
}

TEST_CASE("a pass that knew its own process only answers no neighbour", "[neighbours]") {
  World world;
  Waiter waiter(&world.waits);
  world.ships.Pass(false, 1);
  world.ships.board.Shipped(1, true);
  REQUIRE(world.ships.board.SyncWaits());
  REQUIRE_FALSE(waiter.over());
  world.ships.board.Done(world.ships.seen, 1, true);  // the next poll
  REQUIRE(waiter.acknowledged());
}

TEST_CASE("segments that were dropped are waited for anew", "[neighbours]") {
  World world;
  Waiter waiter(&world.waits);
  world.ships.Pass(true, 5);
  world.ships.board.Dropped();
  world.ships.board.Shipped(9, true);  // other segments have come to these numbers
  REQUIRE_FALSE(waiter.over());
  world.ships.Pass(true, 10);
  REQUIRE_FALSE(waiter.over());
  world.ships.board.Shipped(10, true);
  REQUIRE(waiter.acknowledged());
}

TEST_CASE("a neighbour's commit wakes the capture thread once", "[neighbours]") {
  World world;
  for (uint32_t frame = 1; frame <= 50; ++frame) {
    NoteBoard::Work work;
    std::thread capture([&] {
      const int64_t end = Later();
      while (!work.commits && RealClock()->MonotonicMs() < end) {
        work = world.ships.board.Wait(end, world.ships.seen, true, {}, UINT32_MAX);
      }
    });
    world.waits.neighbours.Committed(Target(frame));
    capture.join();
    REQUIRE(work.commits);
    world.ships.board.TakeCommits();
    REQUIRE(world.waits.board.Latest()->max_frame == frame);
  }
  // The commits of the one that ships are no news to it.
  world.ships.neighbours.Committed(Target(51));
  world.ships.board.TakeCommits();
  world.waits.neighbours.Committed(Target(51));
  Waiter waiter(&world.waits);
  world.ships.Asked();
  REQUIRE_FALSE(world.ships.board.Wait(0, world.ships.seen, true, {}, UINT32_MAX).commits);
  world.ships.Pass(true, 0);
  REQUIRE(waiter.acknowledged());
}

TEST_CASE("who only takes the page has committed nothing", "[neighbours]") {
  World world;
  // What the other one may have committed before it came.
  REQUIRE(world.ships.board.Wait(Later(), world.ships.seen, true, {}, UINT32_MAX).commits);
  REQUIRE(world.ships.board.TakeCommits() != 0);
  for (int i = 0; i < 20; ++i) REQUIRE(SharedPage::Open(world.folder.path(), false).ok());
  REQUIRE(world.ships.board.NotTaken().count == 0);
}

TEST_CASE("finish waits for the neighbour that reads the WAL, once in vain", "[neighbours]") {
  World world;
  std::atomic<bool> finished{false};
  std::thread application([&] { finished = world.waits.neighbours.Finish(kLong); });
  world.ships.Asked();
  world.ships.board.DoneFinish(world.ships.seen + 1);
  application.join();
  REQUIRE(finished);
  world.ships.seen += 1;
  REQUIRE_FALSE(world.waits.neighbours.Finish(kLong));  // shorter than that
  auto page = SharedPage::Open(world.folder.path(), false).value();
  const uint64_t asked = page->asked(SharedPage::kRead);
  REQUIRE_FALSE(world.waits.neighbours.Finish(kLong));
  REQUIRE(page->asked(SharedPage::kRead) == asked);  // nobody was waited for
  world.ships.Pass(false, 0);
  std::thread again([&] { finished = world.waits.neighbours.Finish(kLong); });
  world.ships.Pass(false, 0);
  again.join();
  REQUIRE(finished);
}

TEST_CASE("who waits when its turn comes to ship goes on with its own board", "[neighbours]") {
  World world;
  Waiter waiter(&world.waits);
  world.ships.Asked();
  world.ships.neighbours.Stop(/*holds=*/true);
  world.waits.neighbours.Lead();
  world.waits.board.Shipped(3, true);
  while (!waiter.over()) world.waits.PassSoon(3);
  REQUIRE(waiter.acknowledged());
}

TEST_CASE("a holder that gives up lets its neighbours go at once", "[neighbours]") {
  World world;
  {
    Waiter waiter(&world.waits);
    world.ships.Asked();
    world.ships.board.Deactivate();
    REQUIRE(waiter.refused());
  }
  REQUIRE_FALSE(world.waits.neighbours.Sync(kLong));
  REQUIRE(world.waits.neighbours.Problem().find("stopped") != std::string::npos);
}

TEST_CASE("what a neighbour waited for in vain is found shipped later", "[neighbours]") {
  World world;
  REQUIRE_FALSE(world.waits.neighbours.Sync(0));
  REQUIRE_FALSE(world.waits.neighbours.AllShipped());
  REQUIRE(world.waits.neighbours.Problem().find("not answered") != std::string::npos);
  world.ships.Pass(true, 1);
  REQUIRE_FALSE(world.waits.neighbours.AllShipped());
  world.ships.board.Shipped(1, true);
  REQUIRE(world.waits.neighbours.AllShipped());
  // Likewise when this process itself ships by then: not before a pass of its own.
  REQUIRE_FALSE(world.waits.neighbours.Sync(0));
  world.ships.neighbours.Stop(/*holds=*/true);
  world.waits.board.Shipped(1, true);
  world.waits.neighbours.Lead();
  REQUIRE_FALSE(world.waits.neighbours.AllShipped());
  world.waits.Pass(true, 1);
  REQUIRE(world.waits.neighbours.AllShipped());
}

TEST_CASE("answers about another replica count for nothing", "[neighbours]") {
  World world;
  Process other(world.folder.path(), 8);
  other.neighbours.Follow();
  REQUIRE_FALSE(other.neighbours.Sync(0));
  world.ships.Pass(true, 0);
  REQUIRE_FALSE(other.neighbours.Sync(0));
  REQUIRE_FALSE(other.neighbours.AllShipped());
  REQUIRE(other.neighbours.Problem().find("another replica") != std::string::npos);
}

TEST_CASE("more waits than there is room for lose no answer", "[neighbours]") {
  NoteBoard board(RealClock());
  NoteBoard::Answers last;
  board.Serve([&](const NoteBoard::Answers& answers) { last = answers; });
  board.Shipped(0, true);
  for (uint64_t number = 1; number <= 100; ++number) {
    board.SyncFor(number, 1, kLong);
    board.FinishFor(number);
  }
  board.Done(1, 1, true);
  REQUIRE(last.sync == 0);
  board.Shipped(1, true);
  REQUIRE(last.sync == 1);
  REQUIRE(last.finish == 0);
  board.Done(200, 2, true);
  REQUIRE(last.finish == 100);
  REQUIRE(last.sync == 1);
  board.Shipped(2, true);
  REQUIRE(last.sync == 100);
  REQUIRE(board.AllShipped());
}

TEST_CASE("a page whose name was removed is made anew, and neighbours find it", "[neighbours]") {
  World world;
  unlink((world.folder / "shared").c_str());
  world.ships.neighbours.Attend();
  world.waits.neighbours.Follow();
  Waiter waiter(&world.waits);
  world.ships.Pass(true, 1);
  world.ships.board.Shipped(1, true);
  REQUIRE(waiter.acknowledged());
  REQUIRE(world.ships.log.empty());
  REQUIRE(world.waits.log.empty());
}

TEST_CASE("without a page waits are in vain, and the log says why once", "[neighbours]") {
  TempFolder folder;
  Process process(folder / "missing");
  REQUIRE_FALSE(process.neighbours.Sync(0));  // not known yet who ships
  // Its maker may be about to make it: that is told after a while.
  for (const int64_t end = Later(); process.log.empty() && RealClock()->MonotonicMs() < end;) {
    process.neighbours.Follow();
  }
  process.neighbours.Follow();
  REQUIRE_FALSE(process.neighbours.Sync(1));
  REQUIRE_FALSE(process.neighbours.AllShipped());
  process.neighbours.Committed(Target(1));
  process.neighbours.Changed();
  REQUIRE(process.log.find("cannot tell each other") != std::string::npos);
  REQUIRE(process.log.find('\n') == process.log.size() - 1);
  REQUIRE(mkdir((folder / "missing").c_str(), 0700) == 0);
  Process ships(folder / "missing");
  ships.neighbours.Lead();
  process.neighbours.Follow();
  REQUIRE(process.log.find("over: ") != std::string::npos);
}

TEST_CASE("who waits takes the place of the one that left at once", "[neighbours]") {
  World world;
  std::atomic<bool> finished{false};
  world.ships.neighbours.Stop(/*holds=*/true);
  REQUIRE(world.waits.neighbours.Orphaned());
  std::thread application([&] { finished = world.waits.neighbours.Finish(kLong); });
  world.waits.Asked();  // to try the lock
  world.waits.neighbours.Lead();
  REQUIRE_FALSE(world.waits.neighbours.Orphaned());
  for (const int64_t end = Later(); !finished && RealClock()->MonotonicMs() < end;) {
    world.waits.PassSoon(0);
  }
  application.join();
  REQUIRE(finished);
}

TEST_CASE("the heir of one that has left is waited for until its page is there", "[neighbours]") {
  World world;
  std::atomic<bool> finished{false};
  world.ships.neighbours.Stop(/*holds=*/true);
  world.waits.neighbours.Follow();  // another process has the lock, and no page yet
  std::thread application([&] { finished = world.waits.neighbours.Finish(kLong); });
  world.waits.Asked();  // to try the lock
  Process heir(world.folder.path());
  heir.neighbours.Lead();
  heir.Pass(true, 0);
  world.waits.neighbours.Follow();
  heir.Pass(true, 0);
  application.join();
  REQUIRE(finished);
}

TEST_CASE("nobody waits for the heir of a process that only shows no page", "[neighbours]") {
  TempFolder folder;
  Process process(folder / "missing");
  process.neighbours.Follow();
  std::atomic<bool> finished{false};
  std::thread application([&] { finished = process.neighbours.Finish(kLong); });
  // The first thing that the capture thread hears of is the wait itself.
  process.Pass(false, 0);
  application.join();
  REQUIRE(finished);
}

TEST_CASE(
    "many short waits have the lock tried, too: the one that ships may be gone without a word",
    "[neighbours]") {
  World world;
  std::atomic<bool> over{false};
  std::thread application([&] {
    while (!over) (void)world.waits.neighbours.Sync(20);
  });
  const int64_t end = Later();
  for (int i = 0; i < 3; ++i) world.waits.Asked();
  over = true;
  application.join();
  REQUIRE(RealClock()->MonotonicMs() < end);
}

TEST_CASE("a process that ends lets its own waits go", "[neighbours]") {
  World world;
  Waiter waiter(&world.waits);
  world.ships.Asked();
  world.waits.neighbours.RequestStop();
  REQUIRE(waiter.refused());
}

}  // namespace backstay
