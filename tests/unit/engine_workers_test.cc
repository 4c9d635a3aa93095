// The threads that all databases of a process share.

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/catch.h"
#include "uploader/engine/workers.h"

namespace backstay {
namespace {

constexpr auto kLong = std::chrono::seconds(60);  // reached only when something never happens
constexpr int64_t kNotSoon = 1000000;             // ms

class SetClock : public Clock {
 public:
  int64_t WallMs() override { return now_ms; }
  int64_t MonotonicMs() override { return now_ms; }
  std::atomic<int64_t> now_ms{1000};
};

// Opened once, for good.
class Gate {
 public:
  void Open() {
    const std::lock_guard<std::mutex> lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  bool Await() {
    std::unique_lock<std::mutex> lock(mutex_);
    return changed_.wait_for(lock, kLong, [this] { return open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
};

bool Comes(const std::function<bool()>& what) {
  for (int i = 0; i < 60000 && !what(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return what();
}

int ThreadsOfOurs() {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream file(entry.path() / "comm");
    std::string name;
    if (std::getline(file, name) && name == "backstay-work") ++count;
  }
  return count;
}

// Says how often it was stepped; is over when it is told.
struct Counted {
  Counted(Workers* all, Clock* now, int64_t every_ms)
      : workers(all), clock(now), task([this, every_ms]() -> std::optional<int64_t> {
          if (over) return std::nullopt;
          ++steps;
          return clock->MonotonicMs() + every_ms;
        }) {}
  ~Counted() {
    over = true;
    workers->AwaitOver(&task);
  }

  Workers* const workers;
  Clock* const clock;
  std::atomic<bool> over{false};
  std::atomic<int> steps{0};
  Workers::Task task;
};

// Stands in its only step until it is let go.
struct Stuck {
  explicit Stuck(Workers* all, bool says = false)
      : workers(all), task([this, says]() -> std::optional<int64_t> {
          if (says) workers->TakesLong(&task);
          in.Open();
          REQUIRE(out.Await());
          return std::nullopt;
        }) {
    REQUIRE(workers->Add(&task));
  }
  ~Stuck() {
    out.Open();
    workers->AwaitOver(&task);
  }

  Workers* const workers;
  Gate in;
  Gate out;
  Workers::Task task;
};

}  // namespace

TEST_CASE("a task is stepped when it is added, woken, or due", "[workers]") {
  SetClock clock;
  Workers workers(&clock);
  Counted task(&workers, RealClock(), kNotSoon);
  CHECK(workers.IsOver(&task.task));
  workers.Wake(&task.task);  // of one that was never added: nothing
  REQUIRE(workers.Add(&task.task));
  CHECK(workers.Add(&task.task));
  CHECK(Comes([&] { return task.steps == 1; }));
  for (int i = 2; i < 20; ++i) {
    workers.Wake(&task.task);
    CHECK(Comes([&] { return task.steps >= i; }));
  }
  CHECK_FALSE(workers.IsOver(&task.task));
  Workers real(RealClock());
  Counted often(&real, RealClock(), 1);
  REQUIRE(real.Add(&often.task));
  CHECK(Comes([&] { return often.steps > 20; }));
}

TEST_CASE("a task that is woken while it runs runs once more, and never twice at once",
          "[workers]") {
  Workers workers(RealClock());
  std::atomic<int> running{0};
  std::atomic<int> steps{0};
  std::atomic<bool> twice{false};
  std::atomic<bool> over{false};
  Workers::Task task([&]() -> std::optional<int64_t> {
    if (++running > 1) twice = true;
    std::this_thread::yield();
    ++steps;
    --running;
    if (over) return std::nullopt;
    return RealClock()->MonotonicMs() + kNotSoon;
  });
  Counted beside(&workers, RealClock(), 1);
  REQUIRE(workers.Add(&task));
  REQUIRE(workers.Add(&beside.task));
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([&] {
      for (int j = 0; j < 2000; ++j) workers.Wake(&task);
    });
  }
  for (std::thread& caller : callers) caller.join();
  const int before = steps;
  workers.Wake(&task);
  CHECK(Comes([&] { return steps > before; }));
  over = true;
  workers.AwaitOver(&task);
  CHECK(workers.IsOver(&task));
  CHECK_FALSE(twice);
}

TEST_CASE("two threads are at work, whatever the number of tasks", "[workers]") {
  Workers workers(RealClock());
  {
    std::vector<std::unique_ptr<Counted>> tasks;
    for (int i = 0; i < 200; ++i) {
      tasks.push_back(std::make_unique<Counted>(&workers, RealClock(), 5));
      REQUIRE(workers.Add(&tasks.back()->task));
    }
    for (auto& task : tasks) CHECK(Comes([&] { return task->steps > 3; }));
    CHECK(ThreadsOfOurs() <= 3);
  }
  // Without a task there is no thread.
  CHECK(Comes([] { return ThreadsOfOurs() == 0; }));
  Counted again(&workers, RealClock(), 5);
  REQUIRE(workers.Add(&again.task));
  CHECK(Comes([&] { return again.steps > 0; }));
}

TEST_CASE("no task waits behind those that take long", "[workers]") {
  SetClock clock;
  Workers workers(&clock);
  SECTION("as they say") {
    std::vector<std::unique_ptr<Stuck>> stuck;
    for (int i = 0; i < 5; ++i) {
      stuck.push_back(std::make_unique<Stuck>(&workers, /*says=*/true));
      REQUIRE(stuck.back()->in.Await());
    }
    Counted task(&workers, &clock, kNotSoon);
    REQUIRE(workers.Add(&task.task));
    CHECK(Comes([&] { return task.steps > 0; }));
  }
  SECTION("as it shows once something is due") {
    Stuck first(&workers);
    Stuck second(&workers);
    REQUIRE(first.in.Await());
    REQUIRE(second.in.Await());
    Counted task(&workers, &clock, kNotSoon);
    REQUIRE(workers.Add(&task.task));
    CHECK(ThreadsOfOurs() <= 3);
    CHECK(task.steps == 0);
    // Nobody says anything any more.
    clock.now_ms += 1000;
    CHECK(Comes([&] { return task.steps > 0; }));
  }
}

TEST_CASE("what is due by its own time comes while all others hang", "[workers]") {
  Workers workers(RealClock());
  Counted often(&workers, RealClock(), 20);
  REQUIRE(workers.Add(&often.task));
  CHECK(Comes([&] { return often.steps > 2; }));
  std::vector<std::unique_ptr<Stuck>> stuck;
  for (int i = 0; i < 4; ++i) stuck.push_back(std::make_unique<Stuck>(&workers));
  for (auto& one : stuck) REQUIRE(one->in.Await());
  const int before = often.steps;
  CHECK(Comes([&] { return often.steps > before + 5; }));
}

TEST_CASE("a task that is over may be added again", "[workers]") {
  Workers workers(RealClock());
  int steps = 0;
  Workers::Task task([&]() -> std::optional<int64_t> {
    ++steps;
    return std::nullopt;
  });
  for (int i = 1; i < 4; ++i) {
    REQUIRE(workers.Add(&task));
    workers.AwaitOver(&task);
    CHECK(steps == i);
  }
  workers.Stop();
  CHECK(ThreadsOfOurs() == 0);
  CHECK_FALSE(workers.Add(&task));
}

}  // namespace backstay
