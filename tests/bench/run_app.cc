#include "tests/bench/run_app.h"

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "tests/bench/workload.h"

namespace backstay {

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

sqlite3* OpenApp(const std::string& path, const std::string& extension) {
  sqlite3* db = nullptr;
  if (!extension.empty()) {
    sqlite3_open(":memory:", &db);
    sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 1, nullptr);
    char* error = nullptr;
    if (sqlite3_load_extension(db, extension.c_str(), nullptr, &error) != SQLITE_OK) {
      throw std::runtime_error(error);
    }
    sqlite3_close(db);
  }
  if (sqlite3_open(path.c_str(), &db) != SQLITE_OK) throw std::runtime_error(sqlite3_errmsg(db));
  Exec(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL");
  return db;
}

nlohmann::json ReplicaStatus(sqlite3* db) {
  return nlohmann::json::parse(Query(db, "PRAGMA backstay_status")).at("replicas").at(0);
}

void SyncApp(sqlite3* db) {
  if (Query(db, "PRAGMA backstay_sync=60000") != "1")
    throw std::runtime_error("not in sync after a minute");
}

int64_t ThreadCpuUs() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t NamedThreadsCpuUs(const std::string& name) {
  int64_t total_ns = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string comm;
    std::getline(std::ifstream(task.path() / "comm"), comm);
    if (comm.rfind(name, 0) != 0) continue;
    // The clock of another thread, from its id: the encoding that clock_getcpuclockid(3) uses for
    // processes.
    int tid = std::stoi(task.path().filename());
    timespec t{};
    clock_gettime(static_cast<clockid_t>((~static_cast<unsigned>(tid) << 3) | 6), &t);
    total_ns += t.tv_sec * 1000000000LL + t.tv_nsec;
  }
  return total_ns / 1000;
}

int64_t MemoryKiB(const std::string& field) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind(field + ":", 0) == 0) return std::stoll(line.substr(field.size() + 1));
  }
  throw std::runtime_error("no " + field);
}

int64_t WrittenBytes() {
  std::ifstream io("/proc/self/io");
  for (std::string line; std::getline(io, line);) {
    if (line.rfind("wchar:", 0) == 0) return std::stoll(line.substr(6));
  }
  throw std::runtime_error("no wchar");
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  size_t n = values.size();
  return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

App::App(int megabytes, const std::string& extension)
    : path(Environment("BENCH_FOLDER") + "/app.db"), work(7) {
  // The preload is not what is measured: it is done without Backstay.
  sqlite3* plain = OpenApp(path, "");
  if (Query(plain, "SELECT count(*) FROM sqlite_schema") == "0") {
    work.CreateSchema(plain);
    work.Preload(plain, megabytes);
  }
  work.Finalize();
  sqlite3_close(plain);
  db = OpenApp(path, extension);
}

App::~App() {
  work.Finalize();
  sqlite3_close(db);
}

}  // namespace backstay
