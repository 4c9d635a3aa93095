// The handover: what may be believed of a file that is read without a lock, and how much waits.

#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include "tests/support/catch.h"
#include "uploader/engine/handover.h"

namespace backstay {
namespace {

using Settled = Handover::Settled;

FileLook Look(uint32_t change) {
  FileLook look;
  look.page_size = 4096;
  look.rollback = true;
  look.change = change;
  look.pages = 10;
  look.stamp.size = 40960;
  return look;
}

TransactionPtr Changed(std::vector<uint32_t> pgnos, bool with_images = true) {
  auto made = std::make_shared<Transaction>();
  made->committed = true;
  made->page_size = 4096;
  made->pages = 10;
  made->pgnos = std::move(pgnos);
  if (with_images) made->images = made->old = std::vector<uint8_t>(made->pgnos.size() * 4096);
  return made;
}

// A file, and the handover that looks at it.
struct Bench {
  explicit Bench(uint64_t max_bytes = 1 << 20)
      : handover({[this] { return file; }, [this] { return journal; }, nullptr, max_bytes}) {}

  void Run(TransactionPtr transaction) {
    handover.Begin(file);
    ++file.change;
    handover.End(std::move(transaction), file);
  }

  FileLook file = Look(1);
  bool journal = false;
  Handover handover;
};

}  // namespace

TEST_CASE("what was read in the middle of a transaction counts after its end", "[handover]") {
  Bench bench;
  REQUIRE_FALSE(bench.handover.Opened(bench.file));
  bench.handover.Begin(bench.file);
  const uint64_t begun = bench.handover.begun();
  REQUIRE(bench.handover.SettledSince(begun) == Settled::kNotYet);
  REQUIRE(bench.handover.SettledSince(begun - 1) == Settled::kYes);
  ++bench.file.change;
  bench.handover.End(Changed({2}), bench.file);
  REQUIRE(bench.handover.SettledSince(begun) == Settled::kYes);
  // One that begins later does not matter.
  bench.handover.Begin(bench.file);
  REQUIRE(bench.handover.SettledSince(begun) == Settled::kYes);
}

TEST_CASE("another program's transaction is waited for, then told", "[handover]") {
  Bench bench;
  static_cast<void>(bench.handover.Opened(bench.file));
  bench.journal = true;
  REQUIRE(bench.handover.SettledSince(0) == Settled::kNotYet);
  REQUIRE_FALSE(bench.handover.Poll());
  bench.journal = false;
  ++bench.file.change;
  REQUIRE(bench.handover.SettledSince(0) == Settled::kForeign);
  Handover::Batch batch = bench.handover.Take();
  REQUIRE(batch.foreign);
  REQUIRE(batch.look->change == 2);
  REQUIRE(bench.handover.SettledSince(0) == Settled::kYes);
}

TEST_CASE("an end without a beginning does not count", "[handover]") {
  Bench bench;
  static_cast<void>(bench.handover.Opened(bench.file));
  ++bench.file.change;
  SECTION("with its pages") { bench.handover.End(Changed({2}), bench.file); }
  SECTION("without") { bench.handover.EndUnknown(bench.file); }
  REQUIRE_FALSE(bench.handover.Open());
  const Handover::Batch batch = bench.handover.Take();
  REQUIRE(batch.foreign);
  REQUIRE(batch.transactions.empty());
  bench.handover.Begin(bench.file);
  REQUIRE(bench.handover.Open());
  REQUIRE_FALSE(bench.handover.Idle());
  REQUIRE(bench.handover.SettledSince(bench.handover.begun()) == Settled::kNotYet);
  ++bench.file.change;
  bench.handover.End(Changed({2}), bench.file);
  REQUIRE_FALSE(bench.handover.Open());
  REQUIRE_FALSE(bench.handover.Take().foreign);
}

TEST_CASE("a transaction finds what happened before it", "[handover]") {
  Bench bench;
  static_cast<void>(bench.handover.Opened(bench.file));
  bench.Run(Changed({2}));
  REQUIRE_FALSE(bench.handover.Take().foreign);
  SECTION("a commit") { ++bench.file.change; }
  SECTION("one that was rolled back") { bench.file.stamp.mtime_ns = 5; }
  bench.Run(Changed({3}));
  Handover::Batch batch = bench.handover.Take();
  REQUIRE(batch.foreign);
  REQUIRE(batch.transactions.size() == 1);
}

TEST_CASE("WAL mode begins where the last transaction ended, or it is told", "[handover]") {
  Bench bench;
  static_cast<void>(bench.handover.Opened(bench.file));
  bench.Run(Changed({1}));
  REQUIRE(bench.handover.rollback());
  const bool missed = GENERATE(false, true);
  if (missed) ++bench.file.change;
  bench.handover.EnterWal(bench.file);
  REQUIRE_FALSE(bench.handover.rollback());
  Handover::Batch batch = bench.handover.Take();
  REQUIRE(batch.foreign == missed);
  REQUIRE(batch.entry == bench.file.stamp);
  REQUIRE_FALSE(batch.look.has_value());
}

TEST_CASE("a look finds that the last transaction has turned WAL mode on", "[handover]") {
  Bench bench;
  static_cast<void>(bench.handover.Opened(bench.file));
  bench.handover.Begin(bench.file);
  ++bench.file.change;
  bench.file.rollback = false;
  bench.handover.End(Changed({1}), bench.file);
  REQUIRE(bench.handover.rollback());
  REQUIRE(bench.handover.Poll());
  // The file stays as it is now, whatever others commit.
  REQUIRE_FALSE(bench.handover.rollback());
  const Handover::Batch batch = bench.handover.Take();
  REQUIRE_FALSE(batch.foreign);
  REQUIRE(batch.transactions.size() == 1);
  REQUIRE(batch.left == bench.file.stamp);
}

TEST_CASE("a transaction waits while the last ones are read, but not for ever", "[handover]") {
  Bench bench;
  static_cast<void>(bench.handover.Opened(bench.file));
  bench.handover.Keep(true);
  SECTION("until they are") {
    std::thread next([&] { bench.Run(Changed({2})); });
    // Not before Keep(false) wherever the thread has got to.
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    const bool begun = bench.handover.begun() != 0;
    bench.handover.Keep(false);
    next.join();
    REQUIRE_FALSE(begun);
  }
  SECTION("which its own journal does not hinder") {
    bench.journal = true;
    std::thread next([&] { bench.Run(Changed({2})); });
    bool settled = false;
    while (!settled && bench.handover.begun() == 0) {
      settled = bench.handover.SettledSince(0) == Settled::kYes && bench.handover.begun() == 0;
    }
    bench.handover.Keep(false);
    next.join();
    REQUIRE(settled);
  }
  SECTION("where it finds what happened before it") {
    ++bench.file.change;
    bench.Run(Changed({2}));
    REQUIRE(bench.handover.Take().foreign);
  }
  SECTION("at most a part of the time") {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < 100; ++i) bench.Run(Changed({2}));
    const auto took = std::chrono::steady_clock::now() - start;
    REQUIRE(took >= std::chrono::milliseconds(Handover::kMaxWaitMs));
    REQUIRE(took < 20 * std::chrono::milliseconds(Handover::kMaxWaitMs));
  }
  SECTION("not where nothing is kept") {
    bench.handover.Close();
    for (int i = 0; i < 100; ++i) bench.Run(Changed({2}));
  }
  REQUIRE(bench.handover.begun() > 0);
}

TEST_CASE("beyond its memory it keeps page numbers, in order", "[handover]") {
  Bench bench(/*max_bytes=*/3 * 8192);
  static_cast<void>(bench.handover.Opened(bench.file));
  for (uint32_t pgno = 1; pgno <= 6; ++pgno) bench.Run(Changed({pgno, pgno + 1}));
  Handover::Batch batch = bench.handover.Take();
  REQUIRE(batch.transactions.size() == 2);
  REQUIRE(batch.transactions[0]->has_images());
  REQUIRE_FALSE(batch.transactions[1]->has_images());
  REQUIRE(batch.transactions[1]->pgnos == std::vector<uint32_t>{2, 3, 4, 5, 6, 7});
  REQUIRE(bench.handover.Idle());
  bench.Run(Changed({2}));
  REQUIRE(bench.handover.Take().transactions[0]->has_images());
}

TEST_CASE("what was missed while another process shipped is told", "[handover]") {
  Bench bench;
  static_cast<void>(bench.handover.Opened(bench.file));
  bench.handover.Deactivate();
  bench.Run(Changed({2}));
  bench.handover.Begin(bench.file);
  bench.handover.Activate(bench.file);
  bench.handover.End(Changed({3}), bench.file);
  Handover::Batch batch = bench.handover.Take();
  REQUIRE(batch.foreign);
  REQUIRE(batch.transactions.size() == 1);
}

TEST_CASE("a transaction without a WAL finds that another program has turned WAL mode off",
          "[handover]") {
  Bench bench;
  bench.file.rollback = false;
  static_cast<void>(bench.handover.Opened(bench.file));
  SECTION("it has") {
    bench.file.rollback = true;
    bench.Run(Changed({2}));
    REQUIRE(bench.handover.Take().foreign);
    bench.Run(Changed({2}));
    REQUIRE_FALSE(bench.handover.Take().foreign);
  }
  SECTION("this transaction does") {
    bench.handover.Begin(bench.file);
    bench.file.rollback = true;
    bench.handover.End(Changed({1}), bench.file);
    REQUIRE_FALSE(bench.handover.Take().foreign);
  }
  SECTION("there was no database yet") {
    const FileLook made = std::exchange(bench.file, FileLook());
    bench.handover.Begin(bench.file);
    bench.handover.End(Changed({1}), made);
    REQUIRE_FALSE(bench.handover.Take().foreign);
  }
}

// Another WAL may have followed, and be encoded: the stamp would say that none of it is.
TEST_CASE("the WAL mode that began while another process shipped is not told", "[handover]") {
  Bench bench;
  REQUIRE_FALSE(bench.handover.Opened(bench.file));
  const bool before = GENERATE(false, true);
  if (before) bench.handover.EnterWal(bench.file);
  bench.handover.Deactivate();
  if (!before) bench.handover.EnterWal(bench.file);
  bench.handover.Activate(bench.file);
  REQUIRE_FALSE(bench.handover.Take().entry);
  bench.handover.EnterWal(bench.file);
  REQUIRE(bench.handover.Take().entry);
}

TEST_CASE("where replication has stopped nothing is kept, whoever ships later", "[handover]") {
  Bench bench(4096);
  static_cast<void>(bench.handover.Opened(bench.file));
  bench.Run(Changed({2}));
  bench.handover.Close();
  REQUIRE(bench.handover.queued_pages() == 0);
  bench.handover.Deactivate();
  bench.handover.Activate(bench.file);
  bench.Run(Changed({2}));
  bench.Run(Changed({3}));  // would wait for room
  REQUIRE(bench.handover.queued_pages() == 0);
}

TEST_CASE("what a neighbour tells of is read again, whenever the file is looked at", "[handover]") {
  FileLook file = Look(1);
  std::optional<uint32_t> told;  // up to this change
  Handover handover({[&] { return file; }, [] { return false; },
                     [&](const FileLook&, const FileLook& to) {
                       std::optional<std::vector<TransactionPtr>> steps;
                       if (told == to.change) steps = {Changed({3}, /*with_images=*/false)};
                       return steps;
                     }});
  REQUIRE_FALSE(handover.Opened(file));
  // Opened in the middle of the neighbour's transaction: neither missed nor passed over.
  ++file.change;
  REQUIRE(handover.Opened(file));
  REQUIRE(handover.SettledSince(0) == Settled::kNotYet);
  REQUIRE(handover.unexplained());
  ++file.change;
  REQUIRE(handover.SettledSince(0) == Settled::kNotYet);
  told = file.change;
  REQUIRE(handover.SettledSince(0) == Settled::kYes);
  REQUIRE_FALSE(handover.unexplained());
  Handover::Batch batch = handover.Take();
  REQUIRE_FALSE(batch.foreign);
  REQUIRE(batch.transactions.size() == 1);
  REQUIRE(batch.transactions[0]->pgnos == std::vector<uint32_t>{3});
  // What nobody tells of, and stays, was another program.
  ++file.change;
  Settled settled = Settled::kNotYet;
  for (int i = 0; i < 200 && settled == Settled::kNotYet; ++i) {
    settled = handover.SettledSince(0);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  REQUIRE(settled == Settled::kForeign);
  REQUIRE(handover.Take().foreign);
}

}  // namespace backstay
