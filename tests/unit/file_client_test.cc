// What is particular to a replica in a folder: paths, leftovers, rights, empty folders.

#include "uploader/storage/file_client.h"

#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/temp_folder.h"

namespace backstay {
namespace {

std::unique_ptr<ReplicaClient> Open(const std::string& root) {
  Result<std::unique_ptr<ReplicaClient>> client = FileReplicaClient::Make(root);
  REQUIRE(client.ok());
  return std::move(*client);
}

int ModeOf(const std::string& path) {
  struct stat info {};
  REQUIRE(stat(path.c_str(), &info) == 0);
  return info.st_mode & 0777;
}

size_t FilesBelow(const std::string& folder) {
  size_t n = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    n += entry.is_regular_file() ? 1 : 0;
  }
  return n;
}

}  // namespace

TEST_CASE("keys cannot leave the root") {
  TempFolder folder;
  REQUIRE(WriteFileAtomic(folder / "secret", "outside", false).ok());
  auto client = Open(folder / "root");
  REQUIRE(client->Put("in", {}).ok());
  for (std::string key :
       {"../secret", "a/../../secret", "/secret", "", ".", "..", "a/", "a//b", "./a", "a/./b"}) {
    INFO(key);
    CHECK(client->Put(key, AsBytes("x")).code() == Code::kInvalid);
    CHECK(client->PutIfAbsent(key, AsBytes("x")).code() == Code::kInvalid);
    CHECK(client->Get(key).status().code() == Code::kInvalid);
    CHECK(client->Delete({key}).code() == Code::kInvalid);
  }
  CHECK(client->Get(std::string("a\0b", 3)).status().code() == Code::kInvalid);
  CHECK(client->Get(std::string(256, 'x')).status().code() == Code::kInvalid);
  CHECK(client->Get(std::string(255, 'x')).status().code() == Code::kNotFound);
  CHECK(*ReadFile(folder / "secret", 100) == "outside");
  Result<std::vector<ObjectInfo>> list = client->List({.prefix = "../"});
  REQUIRE(list.ok());
  CHECK(list->empty());
}

TEST_CASE("what a crashed writer left is neither listed nor reachable") {
  TempFolder folder;
  auto client = Open(folder.path());
  REQUIRE(client->Put("log/1", AsBytes("x")).ok());
  REQUIRE(WriteFileAtomic(folder / "log/.backstay-tmp-a1B2c3", "half", false).ok());
  Result<std::vector<ObjectInfo>> list = client->List({});
  REQUIRE(list.ok());
  CHECK(list->size() == 1);
  CHECK(client->Get("log/.backstay-tmp-a1B2c3").status().code() == Code::kInvalid);
}

TEST_CASE("no temporary file stays behind") {
  TempFolder folder;
  auto client = Open(folder.path());
  REQUIRE(client->Put("k", AsBytes("x")).ok());
  REQUIRE(client->Put("k", AsBytes("y")).ok());
  REQUIRE(client->PutIfAbsent("l", AsBytes("x")).ok());
  CHECK(client->PutIfAbsent("l", AsBytes("y")).code() == Code::kExists);
  std::filesystem::create_directory(folder / "folder");
  CHECK(client->Put("folder", AsBytes("x")).code() == Code::kInvalid);
  CHECK(FilesBelow(folder.path()) == 2);
}

TEST_CASE("only the owner may read the replica") {
  TempFolder folder;
  mode_t before = umask(0);
  Status put = Open(folder / "root")->Put("log/1", AsBytes("x"));
  umask(before);
  REQUIRE(put.ok());
  CHECK(ModeOf(folder / "root") == 0700);
  CHECK(ModeOf(folder / "root/log") == 0700);
  CHECK(ModeOf(folder / "root/log/1") == 0600);
}

TEST_CASE("a root that cannot be used says so") {
  TempFolder folder;
  REQUIRE(WriteFileAtomic(folder / "file", "x", false).ok());
  auto on_file = Open(folder / "file");
  Status put = on_file->Put("k", AsBytes("x"));
  CHECK(put.code() == Code::kInvalid);
  CHECK_THAT(put.message(), Catch::Contains(folder / "file"));
  CHECK(on_file->List({}).status().code() == Code::kInvalid);
  // Nobody, root included, may make a folder in /sys.
  Status denied = Open("/sys/backstay-test")->Put("k", AsBytes("x"));
  CHECK(denied.code() == Code::kDenied);
  CHECK_THAT(denied.message(),
             Catch::Contains("/sys/backstay-test") && Catch::Contains("give this user access"));
}

TEST_CASE("a folder that a Delete empties is removed, the root is not") {
  TempFolder folder;
  auto client = Open(folder / "root");
  REQUIRE(client->Put("snapshot/1/a", {}).ok());
  REQUIRE(client->Put("snapshot/2/a", {}).ok());
  REQUIRE(client->Delete({"snapshot/1/a"}).ok());
  CHECK_FALSE(std::filesystem::exists(folder / "root/snapshot/1"));
  CHECK(std::filesystem::exists(folder / "root/snapshot/2/a"));
  REQUIRE(client->Delete({"snapshot/2/a"}).ok());
  CHECK(std::filesystem::is_empty(folder / "root"));
}

TEST_CASE("writers are not disturbed by a Delete that removes their folder") {
  TempFolder folder;
  auto client = Open(folder.path());
  std::atomic<bool> over{false};
  std::thread remover([&] {
    while (!over) {
      (void)client->Put("log/deep/other", AsBytes("x"));
      (void)client->Delete({"log/deep/other"});
    }
  });
  std::string failed;
  for (int i = 0; i < 50; i++) {
    std::string key = "log/deep/" + std::to_string(i);
    for (const Status& done : {client->PutIfAbsent(key, AsBytes("x")), client->Delete({key})}) {
      if (!done.ok()) failed += done.message() + "; ";
    }
  }
  over = true;
  remover.join();
  CHECK(failed == "");
}

TEST_CASE("symbolic links are not listed") {
  TempFolder folder;
  auto client = Open(folder / "root");
  REQUIRE(client->Put("a", {}).ok());
  std::filesystem::create_directory_symlink(folder.path(), folder / "root/loop");
  Result<std::vector<ObjectInfo>> list = client->List({});
  REQUIRE(list.ok());
  CHECK(list->size() == 1);
}

TEST_CASE("the place of a file system that is not mounted is no proof") {
  TempFolder folder;
  auto client = Open(folder / "mount/app");
  Status above = client->ProvePlace();
  CHECK(above.message().find(folder / "mount/app") != std::string::npos);
  REQUIRE(mkdir((folder / "mount").c_str(), 0700) == 0);
  CHECK_FALSE(client->ProvePlace().ok());
  SECTION("something else is on it") {
    REQUIRE(WriteFileAtomic(folder / "mount/other", "x", false).ok());
  }
  SECTION("the folder was made") { REQUIRE(mkdir((folder / "mount/app").c_str(), 0700) == 0); }
  CHECK(client->ProvePlace().ok());
}

}  // namespace backstay
