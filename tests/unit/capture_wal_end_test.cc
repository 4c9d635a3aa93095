// WalEnd: where the committed end of a database is when only its files say so.

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "tests/support/catch.h"
#include "tests/support/temp_folder.h"
#include "tests/support/wal_maker.h"
#include "uploader/base/file.h"
#include "uploader/capture/wal_end.h"

namespace backstay {
namespace {

constexpr uint32_t kPage = 1024;  // bytes
constexpr uint32_t kRead = 64;    // frames that WalEnd reads at once

class Bench {
 public:
  // Behind the file's end there is what a power failure may leave: part of a frame.
  WalTarget Find(const std::string& wal, size_t cut = 0) {
    REQUIRE(WriteFileAtomic(path() + "-wal", wal.substr(0, wal.size() - cut), false).ok());
    return Again();
  }
  WalTarget Again() {
    Result<WalTarget> found = end_.Find();
    REQUIRE(found.ok());
    REQUIRE(found->found);
    return *found;
  }
  // By wal-index or frames.
  WalTarget Any() {
    Result<WalTarget> found = end_.Find();
    REQUIRE(found.ok());
    return *found;
  }
  std::string path() const { return folder_ / "db"; }

 private:
  TempFolder folder_;
  WalEnd end_{path()};
};

}  // namespace

TEST_CASE("the end of a WAL is its last whole commit, however many frames are behind it",
          "[capture]") {
  const uint32_t before = GENERATE(0U, 1U, 2U, kRead - 1, kRead, kRead + 1, 3 * kRead);
  const uint32_t open = GENERATE(0U, 1U, kRead, kRead + 1);
  Bench bench;
  WalMaker wal(kPage);
  for (uint32_t i = 0; i < before; ++i) wal.Frame(1 + i, i + 1 == before ? 7 : 0);
  for (uint32_t i = 0; i < open; ++i) wal.Frame(2 + i, 0, 'o');
  const WalTarget found = bench.Find(wal.wal());
  REQUIRE(found.max_frame == before);
  REQUIRE(found.at_rest() == (before == 0));
  if (before == 0) return;
  REQUIRE(found.pages == 7);
  REQUIRE(found.salt1 == wal.salt1());
  REQUIRE(found.salt2 == wal.salt2());
}

TEST_CASE("the end of a WAL follows what is appended, begun anew, torn and taken away",
          "[capture]") {
  Bench bench;
  WalMaker wal(kPage);
  wal.Frame(1, 1);
  REQUIRE(bench.Find(wal.wal()).max_frame == 1);
  for (uint32_t i = 2; i < 2 * kRead; ++i) {
    wal.Frame(i, i);
    const WalTarget found = bench.Find(wal.wal());
    REQUIRE(found.max_frame == i);
    REQUIRE(found.pages == i);
  }
  REQUIRE(Bench().Find(wal.wal(), 1).max_frame == 2 * kRead - 2);
  WalMaker next(kPage, 100);
  next.Frame(3, 9);
  const WalTarget anew = bench.Find(next.wal() + wal.wal().substr(next.wal().size()));
  REQUIRE(anew.max_frame == 1);
  REQUIRE(anew.pages == 9);
  REQUIRE(anew.salt1 == next.salt1());
  REQUIRE(unlink((bench.path() + "-wal").c_str()) == 0);
  REQUIRE(bench.Again().at_rest());
  REQUIRE(bench.Find(wal.wal()).max_frame == 2 * kRead - 1);
}

TEST_CASE("a wal-index that a crash has left says nothing of a WAL that goes on without it",
          "[capture]") {
  TempFolder folder;
  const std::string path = folder / "db";
  const auto open_db = [](const std::string& at, const char* sql) {
    sqlite3* db = nullptr;
    REQUIRE(sqlite3_open(at.c_str(), &db) == SQLITE_OK);
    REQUIRE(sqlite3_exec(db, sql, nullptr, nullptr, nullptr) == SQLITE_OK);
    return db;
  };
  sqlite3* first = open_db(path, "PRAGMA journal_mode=wal; CREATE TABLE t(x)");
  const std::string left = folder / "left";
  for (const char* suffix : {"", "-wal", "-shm"}) {
    const std::string bytes = ReadFile(path + suffix, 1 << 20).value();
    REQUIRE(WriteFileAtomic(left + suffix, bytes, false).ok());
  }
  WalEnd end(left);
  const uint32_t before = end.Find().value().max_frame;
  REQUIRE(before > 0);
  sqlite3* second = open_db(left, "PRAGMA locking_mode=exclusive; INSERT INTO t VALUES(1)");
  const WalTarget found = end.Find().value();
  REQUIRE(found.found);
  REQUIRE(found.max_frame > before);
  sqlite3_close(second);
  sqlite3_close(first);
}

TEST_CASE("the wal-index of whoever has the database open says how far it is committed",
          "[capture]") {
  Bench bench;
  sqlite3* db = nullptr;
  REQUIRE(sqlite3_open(bench.path().c_str(), &db) == SQLITE_OK);
  const auto sql = [&](const char* text) {
    REQUIRE(sqlite3_exec(db, text, nullptr, nullptr, nullptr) == SQLITE_OK);
  };
  sql("PRAGMA journal_mode=wal; CREATE TABLE t(x)");
  const WalTarget first = bench.Any();
  REQUIRE(first.counted());
  sql("INSERT INTO t VALUES(1)");
  REQUIRE(bench.Any().change == first.change + 1);
  REQUIRE(bench.Any().max_frame > first.max_frame);
  // A transaction that has not ended does not count, however much of it is in the file.
  sql("PRAGMA cache_size=5; BEGIN; INSERT INTO t SELECT randomblob(9000) FROM t");
  for (int i = 0; i < 6; ++i) sql("INSERT INTO t SELECT randomblob(9000) FROM t");
  REQUIRE(bench.Any().change == first.change + 1);
  sql("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)");
  REQUIRE(bench.Any().max_frame == 0);
  REQUIRE(bench.Any().change == first.change + 2);
  // Looking has closed nothing that SQLite's locks hang on.
  sql("SELECT count(*) FROM t; BEGIN; SELECT count(*) FROM t");
  const pid_t child = fork();
  if (child == 0) {
    const int shm = open((bench.path() + "-shm").c_str(), O_RDWR);
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_start = 120;
    lock.l_len = 9;
    const bool free = fcntl(shm, F_GETLK, &lock) == 0 && lock.l_type == F_UNLCK;
    _exit(shm >= 0 && !free ? 0 : 1);
  }
  int status = 1;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(status == 0);
  sqlite3_close(db);
}

}  // namespace backstay
