// The parts of the shim that need no SQLite: wal-index and WAL parsing, file names, selection.

#include <sys/stat.h>

#include <array>
#include <atomic>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/temp_folder.h"
#include "vfs/engine_loader.h"
#include "vfs/environment.h"
#include "vfs/file_name.h"
#include "vfs/json_line.h"
#include "vfs/selection.h"
#include "vfs/wal_index.h"
#include "vfs/wal_writes.h"

namespace backstay {
namespace {

using Region = std::array<uint32_t, 24>;  // both copies of the header

Region MakeIndex(uint32_t change, uint32_t max_frame) {
  Region region = {};
  const uint8_t salts[] = {1, 2, 3, 4, 5, 6, 7, 8};
  for (size_t copy = 0; copy < 24; copy += 12) {
    region[copy] = 3007000;
    region[copy + 2] = change;
    reinterpret_cast<uint8_t*>(&region[copy + 3])[0] = 1;
    region[copy + 4] = max_frame;
    region[copy + 5] = 7;
    std::memcpy(&region[copy + 8], salts, sizeof salts);
  }
  return region;
}

TEST_CASE("A wal-index gives its position, salts as in the WAL") {
  const Region region = MakeIndex(3, 42);
  BackstayWalPosition position = {};
  REQUIRE(ReadWalIndex(region.data(), &position));
  CHECK(position.salt1 == 0x01020304);
  CHECK(position.salt2 == 0x05060708);
  CHECK(position.max_frame == 42);
  CHECK(position.pages == 7);
  CHECK(position.change == 3);
  CHECK(position.exclusive == 0);
}

TEST_CASE("A torn, fresh or foreign wal-index gives none") {
  BackstayWalPosition position = {};
  Region region = MakeIndex(3, 42);
  SECTION("torn") { region[12 + 4] = 43; }
  SECTION("torn in its checksum only") { region[11] = 1; }
  SECTION("not initialised") { region[3] = region[15] = 0; }
  SECTION("another version") { region[0] = region[12] = 4000000; }
  SECTION("zeros") { region = {}; }
  CHECK_FALSE(ReadWalIndex(region.data(), &position));
}

TEST_CASE("A wal-index that is being written is never read half") {
  Region region = MakeIndex(0, 0);
  std::atomic<bool> done = false;
  std::thread writer([&] {
    for (uint32_t i = 1; i < 200000; i++) {
      // As SQLite does: second copy, then, not reordered, the first.
      for (size_t copy : {12, 0}) {
        __atomic_store_n(&region[copy + 2], i, __ATOMIC_RELEASE);
        __atomic_store_n(&region[copy + 4], i, __ATOMIC_RELEASE);
      }
    }
    done = true;
  });
  uint32_t last = 0, halves = 0, backwards = 0;
  while (!done) {
    BackstayWalPosition position;
    if (!ReadWalIndex(region.data(), &position)) continue;
    halves += position.change != position.max_frame;
    backwards += position.change < last;
    last = position.change;
  }
  writer.join();
  CHECK(halves == 0);
  CHECK(backwards == 0);
}

TEST_CASE("The fingerprint changes with each commit and each restart") {
  const uint64_t before = WalIndexFingerprint(MakeIndex(3, 42).data());
  CHECK(before == WalIndexFingerprint(MakeIndex(3, 42).data()));
  CHECK(before != WalIndexFingerprint(MakeIndex(4, 42).data()));
  CHECK(before != WalIndexFingerprint(MakeIndex(3, 43).data()));
  Region restarted = MakeIndex(3, 42);
  restarted[8]++;
  CHECK(before != WalIndexFingerprint(restarted.data()));
}

std::vector<uint8_t> WalHeader(uint32_t page_size, uint8_t salt) {
  std::vector<uint8_t> header(kWalHeaderBytes);
  for (int i = 0; i < 4; i++) header[8 + i] = static_cast<uint8_t>(page_size >> (24 - 8 * i));
  header[16] = salt;
  return header;
}

std::vector<uint8_t> FrameHeader(uint8_t pages) {
  std::vector<uint8_t> header(kFrameHeaderBytes);
  header[3] = 1;
  header[7] = pages;
  header[11] = 9;
  header[15] = 8;
  return header;
}

TEST_CASE("Only a commit frame at a frame's place ends a transaction") {
  WalWrites writes;
  BackstayWalPosition position = {};
  const auto commit = FrameHeader(5), other = FrameHeader(0);
  CHECK_FALSE(writes.CommitFrame(commit.data(), kFrameHeaderBytes, 32, &position));
  writes.SetHeader(WalHeader(1024, 1).data());
  CHECK_FALSE(writes.CommitFrame(other.data(), kFrameHeaderBytes, 32, &position));
  CHECK_FALSE(writes.CommitFrame(commit.data(), kFrameHeaderBytes, 33, &position));
  CHECK_FALSE(writes.CommitFrame(commit.data(), kFrameHeaderBytes, 8, &position));
  CHECK_FALSE(writes.CommitFrame(commit.data(), 23, 32, &position));
  REQUIRE(writes.CommitFrame(commit.data(), kFrameHeaderBytes, 32 + 2 * 1048, &position));
  CHECK(position.max_frame == 3);
  CHECK(position.salt1 == 9);
  CHECK(position.salt2 == 8);
  CHECK(position.exclusive == 1);
  CHECK(writes.SizeOf(3) == 32 + 3 * 1048);
}

TEST_CASE("Page sizes: 65536 is a size, garbage is none") {
  WalWrites writes;
  writes.SetHeader(WalHeader(65536, 1).data());
  CHECK(writes.SizeOf(1) == 32 + 24 + 65536);
  for (uint32_t size : {0u, 256u, 1000u, 131072u}) {
    writes.SetHeader(WalHeader(size, 1).data());
    CHECK_FALSE(writes.has_header());
  }
}

TEST_CASE("Equal salts are the same generation") {
  CHECK(WalWrites::SameSalts(WalHeader(512, 1).data(), WalHeader(4096, 1).data()));
  CHECK_FALSE(WalWrites::SameSalts(WalHeader(512, 1).data(), WalHeader(512, 2).data()));
}

TEST_CASE("URI parameters behind a name") {
  const char name[] =
      "/a.db\0replica\0file:///x\0empty\0\0nolock\0Yes\0immutable\0"
      "0\0\0";
  const UriParameters parameters = ReadUriParameters(name);
  REQUIRE(parameters.size() == 4);
  CHECK(*FindParameter(parameters, "replica") == "file:///x");
  CHECK(FindParameter(parameters, "empty")->empty());
  CHECK(FindParameter(parameters, "other") == nullptr);
  CHECK(IsTrue(parameters, "nolock"));
  CHECK_FALSE(IsTrue(parameters, "immutable"));
  CHECK_FALSE(IsTrue(parameters, "other"));
  CHECK(ReadUriParameters("/a.db\0\0").empty());
}

TEST_CASE("Database of a WAL") {
  CHECK(DatabaseOfWal("/x/a.db-wal") == "/x/a.db");
  CHECK(DatabaseOfWal("/x/a.db-journal").empty());
  CHECK(DatabaseOfWal("-wal").empty());
}

bool Selects(SelectionOptions options, const std::string& path) {
  return Selection(options).Selects(path);
}

SelectionOptions Pattern(const std::string& pattern) {
  SelectionOptions options;
  options.pattern = pattern;
  return options;
}

TEST_CASE("JsonLine") {
  CHECK(JsonLine({}) == "{}");
  CHECK(JsonLine({{"a", "x\"\n"}, {"none", ""}, {"b", "\xff"}}) ==
        "{\"a\":\"x\\\"\\n\",\"b\":\"\xef\xbf\xbd\"}");
}

TEST_CASE("Selection by pattern") {
  TempFolder folder;
  const std::string db = folder / "a.db";
  std::ofstream(db) << "x";
  CHECK_FALSE(Selects({}, db));
  SelectionOptions every;
  every.replica_set = true;
  CHECK(Selects(every, db));
  CHECK(Selects(Pattern(db), db));
  CHECK(Selects(Pattern(folder / "./a.db"), db));
  CHECK(Selects(Pattern(folder / "[ab].db"), db));
  CHECK_FALSE(Selects(Pattern(folder / "b.db"), db));
  CHECK_FALSE(Selects(Pattern("/*"), db));
}

TEST_CASE("A library that the engine needs is missing") {
  const std::string engine = "/lib/libbackstay_engine.so";
  const auto missing = [&](const std::string& name) {
    return WhyNotLoaded(engine,
                        name + ": cannot open shared object file: No such file or directory");
  };
  CHECK(missing("libcurl.so.4") ==
        "cannot load the engine: the library libcurl.so.4 is missing; remedy: install it (Debian: "
        "libcurl4)");
  CHECK(missing("libpugixml.so.1").find("(Debian: libpugixml1v5)") != std::string::npos);
  CHECK(missing("libother.so.9") ==
        "cannot load the engine: the library libother.so.9 is missing; remedy: install it");
  CHECK(missing(engine).find("put it beside the library that was loaded") != std::string::npos);
  const std::string old =
      "/lib/libc.so.6: version `GLIBC_2.99' not found (required by " + engine + ")";
  CHECK(WhyNotLoaded(engine, old) == "cannot load the engine: " + old);
}

TEST_CASE("Selection by a JSON file") {
  TempFolder folder;
  const std::string config = folder / "backstay.json";
  SelectionOptions options;
  options.config = config;
  SECTION("absent") { CHECK_FALSE(Selects(options, "/a.db")); }
  SECTION("absent though named") {
    options.config_required = true;
    CHECK(Selection(options).broken());
    CHECK(Selects(options, "/a.db"));
  }
  SECTION("names databases") {
    std::ofstream(config) << R"({"dbs":[{"path":"/a.db"},{"path":"/c/*.db"}]})";
    CHECK(Selects(options, "/a.db"));
    CHECK(Selects(options, "/c/x.db"));
    CHECK_FALSE(Selects(options, "/b.db"));
  }
  SECTION("paths of replicas are none of databases") {
    std::ofstream(config) << R"({"path":"/x.db","dbs":[{"replicas":[{"type":"file","path":"/r"}],
                                 "path":"/a.db"}],"other":[{"path":"/y.db"}]})";
    CHECK(Selects(options, "/a.db"));
    for (const char* path : {"/r", "/x.db", "/y.db"}) CHECK_FALSE(Selects(options, path));
  }
  SECTION("variables") {
    // As it was at the start: what the program makes of it later does not count.
    const char* path = Environment::AtStart().Get("PATH");
    REQUIRE(path != nullptr);
    setenv("BACKSTAY_TEST_FOLDER", "/srv", 1);
    std::ofstream(config) << R"({"dbs":[{"path":"/${PATH}/a.db"},{"path":"/$${x}/b.db"}]})";
    CHECK(Selects(options, "/" + std::string(path) + "/a.db"));
    CHECK(Selects(options, "/${x}/b.db"));
    CHECK_FALSE(Selects(options, "/c.db"));
    std::ofstream(config) << R"({"dbs":[{"path":"${BACKSTAY_TEST_FOLDER}/a.db"}]})";
    CHECK(Selection(options).broken());
    unsetenv("BACKSTAY_TEST_FOLDER");
  }
  SECTION("what the engine has to report") {
    for (const char* text : {"", "{", "[]", "{\"dbs\":", R"({"dbs":[{"paht":"/a.db"}]})",
                             R"({"dbs":[{"path":1}]})", R"({"dbs":[{"path":"${a"}]})"}) {
      INFO(text);
      std::ofstream(config) << text;
      CHECK(Selection(options).broken());
    }
  }
  SECTION("a folder") {
    REQUIRE(mkdir(config.c_str(), 0700) == 0);
    CHECK(Selection(options).broken());
  }
}

}  // namespace
}  // namespace backstay
