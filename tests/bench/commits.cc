#include "tests/bench/commits.h"

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <thread>
#include <vector>

#include "tests/bench/run_app.h"

namespace backstay {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr int kWarmUp = 10;  // turns: the page caches of both fill

// CPU of `transactions`, us. Between paced ones the thread sleeps, which is not counted.
int64_t CommitCpuUs(App* app, int transactions, int rate) {
  const int64_t before = ThreadCpuUs();
  int64_t asleep = 0;
  const Clock::time_point start = Clock::now();
  for (int i = 0; i < transactions; ++i) {
    app->work.Transaction(app->db);
    if (rate == 0) continue;
    const int64_t done = ThreadCpuUs();
    std::this_thread::sleep_until(start + std::chrono::microseconds(1000000LL * (i + 1) / rate));
    asleep += ThreadCpuUs() - done;
  }
  return ThreadCpuUs() - before - asleep;
}

// A process that takes a turn whenever it is told to.
class Committer {
 public:
  Committer(const std::string& host, int transactions, int rate) {
    int to_child[2];
    int from_child[2];
    if (pipe(to_child) != 0 || pipe(from_child) != 0) throw std::runtime_error("pipe");
    child_ = fork();
    if (child_ < 0) throw std::runtime_error("fork");
    if (child_ == 0) {
      close(to_child[1]);
      close(from_child[0]);
      Serve(host, transactions, rate, to_child[0], from_child[1]);
    }
    close(to_child[0]);
    close(from_child[1]);
    to_ = to_child[1];
    from_ = from_child[0];
  }
  ~Committer() {
    close(to_);
    close(from_);
    waitpid(child_, nullptr, 0);
  }
  Committer(const Committer&) = delete;
  Committer& operator=(const Committer&) = delete;

  double TurnUs() {
    const char go = 'g';
    int64_t us = 0;
    if (write(to_, &go, 1) != 1 || read(from_, &us, sizeof us) != sizeof us) {
      throw std::runtime_error("a committing process is gone");
    }
    return static_cast<double>(us);
  }

 private:
  [[noreturn]] static void Serve(const std::string& host, int transactions, int rate, int in,
                                 int out) {
    try {
      const std::string folder = Environment("BENCH_FOLDER") + "/" + host;
      if (system(("mkdir -p " + folder).c_str()) != 0) throw std::runtime_error(folder);
      setenv("BENCH_FOLDER", folder.c_str(), 1);
      const bool shim = host == "shim";
      App app(60, shim ? Environment("BENCH_EXTENSION") : "");
      // From its second thread on, libc locks for real in a process, and SQLite's calls pay for
      // that.
      if (host == "threads") std::thread([] { std::this_thread::sleep_for(24h); }).detach();
      char go = 0;
      while (read(in, &go, 1) == 1) {
        const int64_t us = CommitCpuUs(&app, transactions, rate);
        // Nothing of one turn is left for the other's.
        if (shim) SyncApp(app.db);
        if (write(out, &us, sizeof us) != sizeof us) break;
      }
    } catch (const std::exception& e) {
      fprintf(stderr, "bench: %s\n", e.what());
      _exit(1);
    }
    _exit(0);
  }

  pid_t child_ = -1;
  int to_ = -1;
  int from_ = -1;
};

}  // namespace

void Commit(const std::string& without, int transactions, int pairs, int rate) {
  Committer shim("shim", transactions, rate);
  Committer plain(without, transactions, rate);
  std::vector<double> with_us;
  std::vector<double> without_us;
  std::vector<double> ratios;
  for (int i = 0; i < kWarmUp + pairs; ++i) {
    double a = 0;
    double b = 0;
    if (i % 2 != 0) a = shim.TurnUs();
    b = plain.TurnUs();
    if (i % 2 == 0) a = shim.TurnUs();
    if (i < kWarmUp) continue;
    with_us.push_back(a / transactions);
    without_us.push_back(b / transactions);
    ratios.push_back(a / b);
  }
  printf(
      "CPU of the committing thread per transaction: %.1f us with the shim, %.1f us without "
      "(%s), ratio %.3f (medians of %d pairs)\n",
      Median(with_us), Median(without_us), without.c_str(), Median(ratios), pairs);
}

}  // namespace backstay
