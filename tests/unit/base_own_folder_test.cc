// What root makes in another user's folder, and what is planted there; a limit to the size of
// files.

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>

#include "tests/support/catch.h"
#include "tests/support/temp_folder.h"
#include "uploader/base/own_folder.h"

namespace backstay {

TEST_CASE("a limit to the size of files ends no process", "[file]") {
  TempFolder folder;
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  const rlimit small{10, before.rlim_max};
  const auto old = std::signal(SIGXFSZ, SIG_DFL);
  REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  const Status refused = WriteFileAtomic(folder / "a", "more than ten bytes", false);
  const Status fits = WriteFileAtomic(folder / "b", "ten bytes!", false);
  REQUIRE(setrlimit(RLIMIT_FSIZE, &before) == 0);
  std::signal(SIGXFSZ, old);
  REQUIRE(fits.ok());
  REQUIRE(refused.message().find("ulimit -f") != std::string::npos);
  REQUIRE(access((folder / "a").c_str(), F_OK) != 0);
}

TEST_CASE("a link in the place of a file of ours is replaced, not followed", "[file]") {
  TempFolder folder;
  REQUIRE(WriteFileAtomic(folder / "victim", "precious", false).ok());
  REQUIRE(symlink((folder / "victim").c_str(), (folder / "outbox").c_str()) == 0);
  OwnFolder own = OwnFolder::Open(folder.path()).value();
  REQUIRE(WriteAt(own.OpenFile("outbox").value(), AsBytes("x"), 0).ok());
  REQUIRE(ReadFile(folder / "victim", 100).value() == "precious");
  REQUIRE(ReadFile(folder / "outbox", 100).value() == "x");
  REQUIRE_FALSE(own.MakeFile("victim").ok());
}

TEST_CASE("what root makes in another user's folder is that user's", "[file]") {
  if (geteuid() != 0) return;
  TempFolder folder;
  const std::string other = folder / "other";
  REQUIRE(mkdir(other.c_str(), 0700) == 0);
  REQUIRE(chown(other.c_str(), 65534, 65534) == 0);
  REQUIRE(WriteFileAtomic(other + "/index", "x", false).ok());
  OwnFolder own = OwnFolder::Open(other).value();
  REQUIRE(own.OpenFile("outbox").ok());
  REQUIRE(own.OpenLock("lock").ok());
  for (const char* name : {"/index", "/outbox", "/lock"}) {
    struct stat info {};
    REQUIRE(stat((other + name).c_str(), &info) == 0);
    REQUIRE(info.st_uid == 65534);
  }
  // Root's own file, put there by the user.
  REQUIRE(WriteFileAtomic(folder / "victim", "precious", false).ok());
  REQUIRE(unlink((other + "/outbox").c_str()) == 0);
  REQUIRE(link((folder / "victim").c_str(), (other + "/outbox").c_str()) == 0);
  REQUIRE(WriteAt(own.OpenFile("outbox").value(), AsBytes("x"), 0).ok());
  REQUIRE(ReadFile(folder / "victim", 100).value() == "precious");
  // A folder of ours that is a link of that user's.
  REQUIRE(symlink(folder.path().c_str(), (other + "/link").c_str()) == 0);
  REQUIRE(lchown((other + "/link").c_str(), 65534, 65534) == 0);
  REQUIRE(OwnFolder::Open(other + "/link").status().code() == Code::kDenied);
}

}  // namespace backstay
