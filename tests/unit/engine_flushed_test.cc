// What is uploaded is on the disk before: a power cut takes nothing that the replica holds.

#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include "tests/support/catch.h"
#include "tests/support/temp_folder.h"
#include "tests/unit/engine_application.h"
#include "uploader/engine/database.h"
#include "uploader/storage/client_factory.h"

namespace {

std::atomic<ino_t> watched{0};
std::atomic<int> flushed{0};  // how often the watched file was

}  // namespace

// In front of the C library's, in this program.
extern "C" int fdatasync(int fd) {  // NOLINT(readability-inconsistent-declaration-parameter-name)
  struct stat info {};
  if (fstat(fd, &info) == 0 && info.st_ino == watched) ++flushed;
  return static_cast<int>(syscall(SYS_fdatasync, fd));
}

namespace backstay {

// With synchronous=NORMAL nobody else does, and what the copy holds is in no log object.
TEST_CASE("the WAL is flushed before a first snapshot ends", "[flushed]") {
  const bool sync_wal = GENERATE(true, false);
  TempFolder folder;
  Application app(folder / "app.db");
  app.Sql("INSERT INTO t VALUES (1, 'one')");
  struct stat wal {};
  REQUIRE(stat((folder / "app.db-wal").c_str(), &wal) == 0);
  watched = wal.st_ino;
  flushed = 0;
  LogOptions quiet;
  quiet.sink = [](std::string_view) {};
  Logger logger{quiet};
  DatabaseOptions options;
  options.settings.path = folder / "app.db";
  options.settings.sync_wal = sync_wal;
  ReplicaSettings replica;
  replica.type = "file";
  replica.path = folder / "replica";
  options.settings.replicas.push_back(replica);
  options.clock = RealClock();
  options.logger = &logger;
  options.random = [] { return static_cast<uint64_t>(rand()); };
  options.quiet = [] {};
  options.make_client = MakeReplicaClient;
  Result<std::unique_ptr<Database>> database = Database::Open(options, app.Host());
  REQUIRE(database.ok());
  REQUIRE((*database)->Sync(60000));
  RestoreTo(folder / "replica", folder / "restored");
  REQUIRE(app.Same(folder / "restored"));
  REQUIRE((flushed > 0) == sync_wal);
  watched = 0;
}

}  // namespace backstay
