// One benchmark process: a database under the workload, with or without Backstay, and what the
// system says of it.
//
// One thread. Reads /proc: Linux only. Throws std::runtime_error when something cannot be measured.

#ifndef BACKSTAY_TESTS_BENCH_RUN_APP_H_
#define BACKSTAY_TESTS_BENCH_RUN_APP_H_

#include <sqlite3.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/bench/workload.h"

namespace backstay {

// "" if it is not set.
std::string Environment(const char* name);
// Opens `path` in WAL mode with synchronous=NORMAL; `extension` (backstay.so) is loaded first
// unless empty.
sqlite3* OpenApp(const std::string& path, const std::string& extension);
// The status of the first replica.
nlohmann::json ReplicaStatus(sqlite3* db);
// Waits until everything is in the replica; throws after a minute.
void SyncApp(sqlite3* db);
// CPU time of the calling thread, us.
int64_t ThreadCpuUs();
// CPU time of this process's threads whose name begins so, us.
int64_t NamedThreadsCpuUs(const std::string& name);
// VmHWM or VmRSS, KiB.
int64_t MemoryKiB(const std::string& field);
// Bytes handed to write(2) and its like by this process so far.
int64_t WrittenBytes();
double Median(std::vector<double> values);

// A database of so many MB in BENCH_FOLDER, and the workload on it.
struct App {
  App(int megabytes, const std::string& extension);
  ~App();
  App(const App&) = delete;
  App& operator=(const App&) = delete;

  std::string path;
  Workload work;
  sqlite3* db = nullptr;
};

}  // namespace backstay

#endif  // BACKSTAY_TESTS_BENCH_RUN_APP_H_
