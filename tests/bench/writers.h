// Benchmarks with several writing threads, and without S3: durability=sync and outages.
//
// Called by bench.cc. Figures go to stdout; what cannot be measured throws std::runtime_error. The
// environment is bench.cc's.

#ifndef BACKSTAY_TESTS_BENCH_WRITERS_H_
#define BACKSTAY_TESTS_BENCH_WRITERS_H_

#include <string>

namespace backstay {

struct WriterOptions {
  std::string path;         // of the database
  std::string extension;    // backstay.so
  std::string replica_url;  // for bare PUTs beside it
};

// Transactions a second of `writers` threads, each with a connection of its own, with
// durability=sync, against writers / round trip.
void SyncWriters(const WriterOptions& options, int writers, int seconds);

// Commits before, during and after an outage of the replica, `transactions` each: how fast, and
// what WAL, outbox and memory grow to. Begins and ends it with signals to the proxy
// (fault_proxy.py).
void Outage(const WriterOptions& options, int transactions);

}  // namespace backstay

#endif  // BACKSTAY_TESTS_BENCH_WRITERS_H_
