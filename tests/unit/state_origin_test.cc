// Family and home of a database file.

#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "tests/support/catch.h"
#include "tests/support/temp_folder.h"
#include "uploader/base/file.h"
#include "uploader/state/database_mark.h"
#include "uploader/state/database_origin.h"
#include "uploader/state/state_folder.h"

namespace backstay {
namespace {

Family Of(uint8_t byte) {
  Family family;
  family.id.fill(byte);
  family.since_ms = 1700000000000;
  family.state_ms = 1690000000000;
  family.checksum = 0xfedcba9876543210;
  return family;
}

struct Disk {
  Disk() { Make("app.db"); }

  std::string Make(const std::string& name) {
    const std::string path = folder / name;
    REQUIRE(WriteFileAtomic(path, "a database", false).ok());
    REQUIRE(MakeStateFolder(StateFolderOf(path), path).ok());
    return path;
  }
  // As `cp` does it, with the state folder that lies beside it.
  std::string Copy() {
    const std::string path = Make("copy.db");
    const auto options = std::filesystem::copy_options::overwrite_existing |
                         std::filesystem::copy_options::recursive;
    std::filesystem::copy(StateFolderOf(db), StateFolderOf(path), options);
    return path;
  }

  TempFolder folder;
  const std::string db = folder / "app.db";
};

}  // namespace

TEST_CASE("a family reads as it was written, and the first one stays", "[origin]") {
  Disk disk;
  REQUIRE_FALSE(ReadFamily(disk.db).known());
  REQUIRE(ClaimFamily(disk.db, Of(7))->id == Of(7).id);
  REQUIRE(ClaimFamily(disk.db, Of(8))->id == Of(7).id);
  const Family read = ReadFamily(disk.db);
  REQUIRE(read.id == Of(7).id);
  REQUIRE(read.since_ms == 1700000000000);
  REQUIRE(read.state_ms == 1690000000000);
  REQUIRE(read.checksum == 0xfedcba9876543210);
  REQUIRE(WriteFamily(disk.db, Of(9)).ok());
  REQUIRE(ReadFamily(disk.db).id == Of(9).id);
}

TEST_CASE("a family that is damaged is none", "[origin]") {
  Disk disk;
  for (const std::string bad : {"", "x", "00", "07070707070707070707070707070707",
                                "07070707070707070707070707070707 1 2", "g7 1 2 3"}) {
    if (setxattr(disk.db.c_str(), "user.backstay.family", bad.data(), bad.size(), 0) != 0) return;
    REQUIRE_FALSE(ReadFamily(disk.db).known());
    REQUIRE(ClaimFamily(disk.db, Of(7))->known());
  }
}

TEST_CASE("a copy finds its original, one that was moved nobody", "[origin]") {
  Disk disk;
  REQUIRE(OriginalOf(disk.db).empty());
  REQUIRE(WriteHome(disk.db).ok());
  REQUIRE(OriginalOf(disk.db).empty());
  const std::string copy = disk.Copy();
  REQUIRE(OriginalOf(copy) == disk.db);
  SECTION("the original is gone") { REQUIRE(unlink(disk.db.c_str()) == 0); }
  SECTION("another file is there") {
    const std::string kept = disk.folder / "kept.db";  // so that its number is not used again
    REQUIRE(rename(disk.db.c_str(), kept.c_str()) == 0);
    disk.Make("app.db");
  }
  SECTION("the copy is a second name of it") {
    REQUIRE(unlink(copy.c_str()) == 0);
    REQUIRE(link(disk.db.c_str(), copy.c_str()) == 0);
  }
  SECTION("it has a home of its own") { REQUIRE(WriteHome(copy).ok()); }
  REQUIRE(OriginalOf(copy).empty());
}

TEST_CASE("a home that is damaged tells nothing", "[origin]") {
  Disk disk;
  for (const std::string bad : {"", "x", "1", "1 2", "1 2 ", "1 2 /nowhere", "-1 -1 /"}) {
    REQUIRE(WriteFileAtomic(StateFolderOf(disk.db) + "/home", bad, false).ok());
    REQUIRE(OriginalOf(disk.db).empty());
  }
}

TEST_CASE("a copy that begins a life of its own forgets where it is from", "[origin]") {
  Disk disk;
  DatabaseId id{};
  id.fill(5);
  REQUIRE_FALSE(HasMark(disk.db));
  REQUIRE(WriteHome(disk.db).ok());
  REQUIRE_FALSE(HasMark(disk.db));
  REQUIRE(WriteMark({disk.db, StateFolderOf(disk.db)}, id, 3).ok());
  REQUIRE(ClaimFamily(disk.db, Of(7)).ok());
  REQUIRE(HasMark(disk.db));
  ForgetOrigin(disk.db);
  REQUIRE_FALSE(HasMark(disk.db));
  REQUIRE_FALSE(ReadFamily(disk.db).known());
  REQUIRE(ReadMark({disk.db, StateFolderOf(disk.db)}, id) == 0);
}

TEST_CASE("the marks of all replicas are known and forgotten, where files have no attributes",
          "[origin]") {
  Disk disk;
  const std::string second = StateFolderOf(disk.db, "s3://bucket/second", 1);
  REQUIRE(MakeStateFolder(second, disk.db).ok());
  REQUIRE_FALSE(HasMark(disk.db));
  REQUIRE(WriteFileAtomic(second + "/mark", "its mark", false).ok());
  REQUIRE(HasMark(disk.db));
  ForgetOrigin(disk.db);
  REQUIRE_FALSE(HasMark(disk.db));
}

}  // namespace backstay
