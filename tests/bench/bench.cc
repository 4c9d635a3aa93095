// Benchmarks: prints figures with the command that made them; asserts nothing. See
// tests/bench/README.md.
//
//   bench bytes BATCH TXNS      bytes shipped per transaction, BATCH transactions a PUT
//   bench engine BATCH TXNS     CPU of the engine's threads per transaction
//   bench commit plain|threads TXNS PAIRS [RATE]
//                               CPU of the committing thread per transaction, with the shim and
//                               without; as fast as it goes, or RATE transactions a second
//   bench lag N                 commit to acknowledged, ms; and a bare PUT of the same size
//   bench memory MEGABYTES      peak memory with a first snapshot under way, minus before
//   bench disk SECONDS RATE     bytes written by this process, with or without Backstay
//   bench idle SECONDS          requests while nothing is committed
//   bench sync WRITERS SECONDS  transactions per second with durability=sync
//   bench outage TXNS           commits before, during and after an outage
//
// Environment: BENCH_FOLDER (scratch), BENCH_EXTENSION (backstay.so; empty for runs without), and
// Backstay's own.

#include <sqlite3.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/bench/commits.h"
#include "tests/bench/run_app.h"
#include "tests/bench/workload.h"
#include "tests/bench/writers.h"
#include "uploader/settings/settings.h"
#include "uploader/storage/client_factory.h"

namespace backstay {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

double Seconds(Clock::time_point since) {
  return std::chrono::duration<double>(Clock::now() - since).count();
}

void Batches(App* app, int batch, int transactions) {
  for (int done = 0; done < transactions; done += batch) {
    for (int i = 0; i < batch; ++i) app->work.Transaction(app->db);
    SyncApp(app->db);
  }
}

void Bytes(int batch, int transactions) {
  App app(60, Environment("BENCH_EXTENSION"));
  Batches(&app, batch, 50 * batch);
  auto before = ReplicaStatus(app.db);
  uint64_t bound = app.work.bound_bytes();
  Batches(&app, batch, transactions);
  auto after = ReplicaStatus(app.db);
  bound = app.work.bound_bytes() - bound;
  auto delta = [&](const char* key) {
    return after[key].get<double>() - before[key].get<double>();
  };
  printf(
      "bytes per transaction, %d a PUT: %.1f; bound values %.1f, ratio %.2f (%.1f requests per "
      "batch, %.2f pages per transaction, "
      "%.1f%% based)\n",
      batch, delta("bytes_sent") / transactions, static_cast<double>(bound) / transactions,
      delta("bytes_sent") / static_cast<double>(bound), delta("requests") * batch / transactions,
      delta("pages_encoded") / transactions, 100 * delta("pages_based") / delta("pages_encoded"));
}

void EngineCpu(int batch, int transactions) {
  App app(60, Environment("BENCH_EXTENSION"));
  Batches(&app, batch, 50 * batch);
  int64_t capture = NamedThreadsCpuUs("backstay-work");
  int64_t ship = NamedThreadsCpuUs("backstay-ship");
  Batches(&app, batch, transactions);
  printf("CPU per transaction, %d a PUT: capture thread %.1f us, ship thread %.1f us\n", batch,
         static_cast<double>(NamedThreadsCpuUs("backstay-work") - capture) / transactions,
         static_cast<double>(NamedThreadsCpuUs("backstay-ship") - ship) / transactions);
}

void Lag(int count) {
  App app(10, Environment("BENCH_EXTENSION"));
  Batches(&app, 1, 50);
  auto settings = ParseReplicaUrl(Environment("BACKSTAY_REPLICA_URL"), "");
  if (!settings.ok()) throw std::runtime_error(settings.status().message());
  FillCredentials(ProcessSources(), &*settings);
  settings->path += "-bare";
  auto client = MakeReplicaClient(*settings);
  if (!client.ok()) throw std::runtime_error(client.status().message());
  std::vector<double> ours;
  std::vector<double> bare;
  for (int i = 0; i < count; ++i) {
    uint64_t sent = ReplicaStatus(app.db)["bytes_sent"];
    auto start = Clock::now();
    app.work.Transaction(app.db);
    double committed = Seconds(start);
    SyncApp(app.db);
    ours.push_back(Seconds(start) - committed);
    uint64_t size = ReplicaStatus(app.db)["bytes_sent"].get<uint64_t>() - sent;
    std::string body(size, 'x');
    std::string key = "bare/" + std::to_string(Clock::now().time_since_epoch().count());
    start = Clock::now();
    Status put = (*client)->PutIfAbsent(key, AsBytes(body));
    if (!put.ok()) throw std::runtime_error(put.message());
    bare.push_back(Seconds(start));
  }
  printf("lag: %.3f ms, bare PUT: %.3f ms, ratio %.2f (medians of %d)\n", Median(ours) * 1e3,
         Median(bare) * 1e3, Median(ours) / Median(bare), count);
}

void Memory(int megabytes) {
  App app(megabytes, Environment("BENCH_EXTENSION"));
  int64_t before = MemoryKiB("VmRSS");
  for (int i = 0; i < 100; ++i) app.work.Transaction(app.db);
  auto start = Clock::now();
  while (!ReplicaStatus(app.db)["restorable"].get<bool>() && Seconds(start) < 300) {
    for (int i = 0; i < 10; ++i) app.work.Transaction(app.db);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  printf("memory added at most: %.1f MiB (%s MB database, snapshot of %.1f s)\n",
         static_cast<double>(MemoryKiB("VmHWM") - before) / 1024, std::to_string(megabytes).c_str(),
         Seconds(start));
}

void Disk(int seconds, int rate) {
  std::string extension = Environment("BENCH_EXTENSION");
  App app(60, extension);
  app.work.Transaction(app.db);
  if (!extension.empty()) SyncApp(app.db);
  int64_t before = WrittenBytes();
  double sent = extension.empty() ? 0 : ReplicaStatus(app.db)["bytes_sent"].get<double>();
  auto start = Clock::now();
  for (int i = 0; i < seconds * rate; ++i) {
    app.work.Transaction(app.db);
    std::this_thread::sleep_until(start + std::chrono::microseconds(1000000LL * (i + 1) / rate));
  }
  if (!extension.empty()) {
    SyncApp(app.db);
    sent = ReplicaStatus(app.db)["bytes_sent"].get<double>() - sent;
  }
  // What a file:// replica or a socket took is not the local disk's.
  printf("%.0f\n", static_cast<double>(WrittenBytes() - before) - sent);
}

void Idle(int seconds) {
  App app(1, Environment("BENCH_EXTENSION"));
  Batches(&app, 1, 3);
  std::this_thread::sleep_for(std::chrono::seconds(2));
  uint64_t before = ReplicaStatus(app.db)["requests"];
  std::this_thread::sleep_for(std::chrono::seconds(seconds));
  printf(
      "requests in %d idle seconds: %llu\n", seconds,
      static_cast<unsigned long long>(ReplicaStatus(app.db)["requests"].get<uint64_t>() - before));
}

void Fill(int megabytes) {
  App app(megabytes, Environment("BENCH_EXTENSION"));
  Batches(&app, 1, 3);
}

void Resume() {
  sqlite3* db = OpenApp(Environment("BENCH_FOLDER") + "/app.db", Environment("BENCH_EXTENSION"));
  std::string size =
      Query(db, "SELECT page_count * page_size / 1048576 FROM pragma_page_count, pragma_page_size");
  auto start = Clock::now();
  while (ReplicaStatus(db)["state"] != "replicating" && Seconds(start) < 60) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  auto status = ReplicaStatus(db);
  printf(
      "bytes sent between restored and shipping again, %s MiB database: %llu (state %s, epoch "
      "%d)\n",
      size.c_str(), status["bytes_sent"].get<unsigned long long>(),
      status["state"].get<std::string>().c_str(), status["epoch"].get<int>());
  sqlite3_close(db);
}

WriterOptions Writers() {
  return {Environment("BENCH_FOLDER") + "/app.db", Environment("BENCH_EXTENSION"),
          Environment("BACKSTAY_REPLICA_URL")};
}

int Main(int argc, char** argv) {
  std::string what = argc > 1 ? argv[1] : "";
  auto number = [&](int i) { return argc > i ? std::atoi(argv[i]) : 0; };
  if (what == "bytes") return Bytes(number(2), number(3)), 0;
  if (what == "engine") return EngineCpu(number(2), number(3)), 0;
  if (what == "commit") return Commit(argv[2], number(3), number(4), number(5)), 0;
  if (what == "lag") return Lag(number(2)), 0;
  if (what == "memory") return Memory(number(2)), 0;
  if (what == "disk") return Disk(number(2), number(3)), 0;
  if (what == "fill") return Fill(number(2)), 0;
  if (what == "resume") return Resume(), 0;
  if (what == "idle") return Idle(number(2)), 0;
  if (what == "sync") return SyncWriters(Writers(), number(2), number(3)), 0;
  if (what == "outage") return Outage(Writers(), number(2)), 0;
  fprintf(stderr, "usage: bench bytes|engine|commit|lag|memory|disk|idle|sync|outage …\n");
  return 2;
}

}  // namespace
}  // namespace backstay

int main(int argc, char** argv) {
  try {
    return backstay::Main(argc, argv);
  } catch (const std::exception& e) {
    fprintf(stderr, "bench: %s\n", e.what());
    return 1;
  }
}
