// The home-server workload of the benchmarks: many small tables, indexes, short texts; 1 to 3 rows
// a transaction.
//
// One thread; seeded, so two runs do the same. Throws std::runtime_error when SQLite fails: a
// benchmark that goes wrong should stop.

#ifndef BACKSTAY_TESTS_BENCH_WORKLOAD_H_
#define BACKSTAY_TESTS_BENCH_WORKLOAD_H_

#include <sqlite3.h>

#include <cstdint>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

namespace backstay {

class Workload {
 public:
  explicit Workload(uint64_t seed);

  // 8 tables, 17 secondary indexes and 2 automatic ones.
  void CreateSchema(sqlite3* db);
  // Fills the tables until the database has about `megabytes`.
  void Preload(sqlite3* db, int megabytes);
  // One small transaction.
  void Transaction(sqlite3* db);
  // Forget prepared statements before their connection is closed.
  void Finalize();
  // Bytes of all values bound so far: what the application had to say.
  uint64_t bound_bytes() const { return bound_bytes_; }

 private:
  struct Statement {
    std::string sql;
    sqlite3_stmt* handle = nullptr;
  };
  int AnyKind();
  void Row(sqlite3* db, int kind);
  void Run(sqlite3* db, size_t statement, const std::vector<std::string>& values);
  std::string Words(int n);
  std::string Uuid();
  std::string Url();
  std::string Json();
  std::string Number(uint64_t below) { return std::to_string(random_() % below); }

  std::mt19937_64 random_;
  std::vector<std::string> words_;
  std::unordered_map<std::string, std::vector<std::string>> next_;
  std::vector<Statement> statements_;
  uint64_t clock_ = 1700000000;
  uint64_t bound_bytes_ = 0;
};

void Exec(sqlite3* db, const std::string& sql);
// First column of the first row.
std::string Query(sqlite3* db, const std::string& sql);

}  // namespace backstay

#endif  // BACKSTAY_TESTS_BENCH_WORKLOAD_H_
