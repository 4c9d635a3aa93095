#include "tests/bench/writers.h"

#include <signal.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <thread>
#include <vector>

#include "tests/bench/run_app.h"
#include "tests/bench/workload.h"
#include "uploader/settings/settings.h"
#include "uploader/storage/client_factory.h"

namespace backstay {
namespace {

using Clock = std::chrono::steady_clock;

double Seconds(Clock::time_point since) {
  return std::chrono::duration<double>(Clock::now() - since).count();
}

sqlite3* Connect(const std::string& path) {
  sqlite3* db = OpenApp(path, "");
  sqlite3_busy_timeout(db, 60000);
  return db;
}

// Median time of a PUT of about the size of a transaction, s.
double RoundTrip(const std::string& url) {
  auto settings = ParseReplicaUrl(url, "");
  if (!settings.ok()) throw std::runtime_error(settings.status().message());
  FillCredentials(ProcessSources(), &*settings);
  settings->path += "-bare";
  auto client = MakeReplicaClient(*settings);
  if (!client.ok()) throw std::runtime_error(client.status().message());
  std::vector<double> times;
  for (int i = 0; i < 30; ++i) {
    auto start = Clock::now();
    Status put = (*client)->PutIfAbsent(std::to_string(start.time_since_epoch().count()),
                                        AsBytes(std::string(400, 'x')));
    if (!put.ok()) throw std::runtime_error(put.message());
    times.push_back(Seconds(start));
  }
  return Median(times);
}

int64_t SizeOf(const std::string& path) {
  std::error_code ignored;
  auto size = std::filesystem::file_size(path, ignored);
  return ignored ? 0 : static_cast<int64_t>(size);
}

struct Phase {
  double per_second = 0;
  double cpu_us = 0;  // of the committing thread, per transaction
  int64_t wal = 0;    // bytes, at most
  int64_t outbox = 0;
};

Phase Run(Workload* work, sqlite3* db, const std::string& path, int transactions) {
  Phase phase;
  auto start = Clock::now();
  int64_t cpu = ThreadCpuUs();
  for (int i = 0; i < transactions; ++i) {
    work->Transaction(db);
    if (i % 100 != 0) continue;
    phase.wal = std::max(phase.wal, SizeOf(path + "-wal"));
    phase.outbox = std::max(phase.outbox, SizeOf(path + "-backstay/outbox"));
  }
  phase.cpu_us = double(ThreadCpuUs() - cpu) / transactions;
  phase.per_second = transactions / Seconds(start);
  return phase;
}

void Print(const char* name, const Phase& phase, const Phase& before) {
  printf(
      "%s: %.0f transactions/s (%.2f of before), CPU of the commit %.1f us (%.2f), WAL at most "
      "%.1f MiB, outbox %.1f MiB, memory %.1f MiB\n",
      name, phase.per_second, phase.per_second / before.per_second, phase.cpu_us,
      phase.cpu_us / before.cpu_us, double(phase.wal) / (1 << 20), double(phase.outbox) / (1 << 20),
      double(MemoryKiB("VmRSS")) / 1024);
}

void Signal(int signal) {
  const char* pid = std::getenv("FAULT_PROXY_PID");
  if (pid == nullptr) throw std::runtime_error("no FAULT_PROXY_PID: run under fault_proxy.py");
  kill(std::atoi(pid), signal);
}

}  // namespace

void SyncWriters(const WriterOptions& options, int writers, int seconds) {
  sqlite3* db = OpenApp(options.path, options.extension);
  Exec(db, "CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, text)");
  SyncApp(db);
  double round_trip = RoundTrip(options.replica_url);
  std::atomic<int> transactions{0};
  std::atomic<bool> over{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < writers; ++i) {
    threads.emplace_back([&] {
      sqlite3* own = Connect(options.path);
      while (!over) {
        Exec(own, "INSERT INTO t(text) VALUES(hex(randomblob(100)))");
        ++transactions;
      }
      sqlite3_close(own);
    });
  }
  std::this_thread::sleep_for(std::chrono::seconds(1));
  auto start = Clock::now();
  uint64_t requests = ReplicaStatus(db)["requests"];
  int before = transactions;
  std::this_thread::sleep_for(std::chrono::seconds(seconds));
  int done = transactions - before;
  double rate = done / Seconds(start);
  requests = ReplicaStatus(db)["requests"].get<uint64_t>() - requests;
  over = true;
  for (std::thread& thread : threads) thread.join();
  double most = writers / round_trip;
  printf(
      "sync, %d writers: %.1f transactions/s, round trip %.1f ms, writers / round trip %.1f/s, "
      "ratio %.2f; %.1f transactions a request; WAL %.1f MiB\n",
      writers, rate, round_trip * 1e3, most, rate / most, double(done) / double(requests),
      double(std::filesystem::file_size(options.path + "-wal")) / (1 << 20));
  sqlite3_close(db);
}

void Outage(const WriterOptions& options, int transactions) {
  Workload work(7);
  sqlite3* db = OpenApp(options.path, options.extension);
  work.CreateSchema(db);
  work.Preload(db, 20);
  SyncApp(db);
  Run(&work, db, options.path, transactions / 10);
  Phase before = Run(&work, db, options.path, transactions);
  SyncApp(db);
  Print("before the outage", before, before);
  Signal(SIGUSR1);
  Phase during = Run(&work, db, options.path, transactions);
  Print("in the outage", during, before);
  Signal(SIGUSR2);
  auto start = Clock::now();
  SyncApp(db);
  printf("caught up %.1f s after its end\n", Seconds(start));
  Print("after it", Run(&work, db, options.path, transactions), before);
  work.Finalize();
  sqlite3_close(db);
}

}  // namespace backstay
