// What tests of the engine share: a database that tells it what its shim would, and a restore.
//
// Any thread, one at a time. What fails fails the test.

#ifndef BACKSTAY_TESTS_UNIT_ENGINE_APPLICATION_H_
#define BACKSTAY_TESTS_UNIT_ENGINE_APPLICATION_H_

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <string>

#include "tests/support/catch.h"
#include "uploader/engine/database.h"
#include "uploader/replica/restore.h"
#include "uploader/storage/file_client.h"
#include "vfs/wal_index.h"

namespace backstay {

// A database without the shim: its commits are noted and its WAL is finished by hand.
class Application {
 public:
  explicit Application(const std::string& path) : path_(path) {
    REQUIRE(sqlite3_open(path.c_str(), &db_) == SQLITE_OK);
    Sql("PRAGMA journal_mode=wal; PRAGMA wal_autocheckpoint=0; PRAGMA synchronous=off;"
        "CREATE TABLE t(id INTEGER PRIMARY KEY, text)");
    fd_ = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    int shm = open((path + "-shm").c_str(), O_RDONLY | O_CLOEXEC);
    index_ = mmap(nullptr, kWalIndexRegionBytes, PROT_READ, MAP_SHARED, shm, 0);
    close(shm);
    REQUIRE(index_ != MAP_FAILED);
  }
  ~Application() {
    munmap(index_, kWalIndexRegionBytes);
    sqlite3_close(db_);
    close(fd_);
  }

  void Sql(const std::string& sql) {
    char* error = nullptr;
    int rc = sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, &error);
    INFO((error != nullptr ? error : ""));
    REQUIRE(rc == SQLITE_OK);
  }
  void Commit(Database* database, const std::string& sql) {
    Sql(sql);
    BackstayWalPosition position{};
    if (Position(&position)) database->Committed(ToTarget(position));
  }
  bool Position(BackstayWalPosition* position) { return WalPosition(this, position) == 1; }
  void RestartWal(Database* database) {
    database->Finish(2000);
    Sql("PRAGMA wal_checkpoint(RESTART)");
  }
  // True when the database at `other` has the same rows.
  bool Same(const std::string& other) {
    Sql("ATTACH '" + other + "' AS other");
    int different = -1;
    sqlite3_stmt* statement = nullptr;
    sqlite3_prepare_v2(db_,
                       "SELECT (SELECT count(*) FROM (SELECT * FROM t EXCEPT SELECT * FROM "
                       "other.t)) + (SELECT count(*) FROM (SELECT * FROM other.t EXCEPT SELECT * "
                       "FROM t))",
                       -1, &statement, nullptr);
    if (sqlite3_step(statement) == SQLITE_ROW) different = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    Sql("DETACH other");
    return different == 0;
  }

  std::atomic<int> released{0};  // how often the engine gave its host back

  BackstayHost Host() {
    return {this,
            [](void* self, void* buf, int64_t n, int64_t at) -> int64_t {
              return pread(static_cast<Application*>(self)->fd_, buf, static_cast<size_t>(n), at);
            },
            [](void* self) -> int64_t {
              struct stat st {};
              return fstat(static_cast<Application*>(self)->fd_, &st) == 0 ? st.st_size : -1;
            },
            WalPosition,
            [](void*) { return 1; },
            [](void*) -> uint64_t { return 0; },
            [](void*) { return 0; },
            [](void*) {},
            [](void* self) { ++static_cast<Application*>(self)->released; }};
  }

 private:
  static int WalPosition(void* self, BackstayWalPosition* position) {
    return ReadWalIndex(static_cast<Application*>(self)->index_, position) ? 1 : 0;
  }

  const std::string path_;
  sqlite3* db_ = nullptr;
  int fd_ = -1;
  void* index_ = nullptr;
};

inline void RestoreTo(const std::string& replica, const std::string& path) {
  auto client = FileReplicaClient::Make(replica).value();
  ReplicaReader reader(client.get());
  Result<Fd> fd = OpenFile(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
  REQUIRE(fd.ok());
  FilePageStore store(*fd, path);
  Result<RestoreOutcome> restored = RestoreInto(reader, {}, &store);
  INFO(restored.status().ToString());
  REQUIRE(restored.ok());
}

}  // namespace backstay

#endif  // BACKSTAY_TESTS_UNIT_ENGINE_APPLICATION_H_
