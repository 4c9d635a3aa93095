// ShippedLog: what was kept is read back or not there, never something else.

#include <unistd.h>

#include "tests/support/catch.h"
#include "tests/support/temp_folder.h"
#include "uploader/state/shipped_log.h"

namespace backstay {
namespace {

constexpr DatabaseId kOwner{1, 2, 3};

std::string Object(uint64_t number) { return "object " + std::to_string(number); }

void Fill(ShippedLog* log, uint64_t first, uint64_t last) {
  for (uint64_t number = first; number <= last; ++number) log->Add(number, AsBytes(Object(number)));
}

}  // namespace

TEST_CASE("what was shipped is read back, also by the next process", "[state]") {
  TempFolder folder;
  ShippedLog log(folder / "shipped");
  log.Open(kOwner);
  Fill(&log, 7, 20);
  log.Add(21, {});
  ShippedLog next(folder / "shipped");
  next.Open(kOwner);
  Fill(&next, 22, 25);
  for (ShippedLog* each : {&log, &next}) {
    CHECK(each->Read(7) == Object(7));
    CHECK(each->Read(20) == Object(20));
    CHECK(each->Read(21) == "");
    CHECK(each->Read(6) == std::nullopt);
    CHECK(each->Read(26) == std::nullopt);
  }
  CHECK(next.Read(25) == Object(25));
}

TEST_CASE("another database's, a torn tail and a changed byte are not there", "[state]") {
  TempFolder folder;
  ShippedLog log(folder / "shipped");
  log.Open(kOwner);
  Fill(&log, 1, 9);
  SECTION("another database's") {
    log.Open({9});
    for (uint64_t number = 1; number <= 9; ++number) CHECK(log.Read(number) == std::nullopt);
  }
  SECTION("torn") {
    const Result<std::string> bytes = ReadFile(folder / "shipped", 1 << 20);
    REQUIRE(truncate((folder / "shipped").c_str(), static_cast<off_t>(bytes->size() - 1)) == 0);
    CHECK(log.Read(9) == std::nullopt);
    log.Open(kOwner);
    CHECK(log.Read(8) == Object(8));
    log.Add(9, AsBytes(Object(9)));
    CHECK(log.Read(9) == Object(9));
  }
  SECTION("changed") {
    std::string bytes = *ReadFile(folder / "shipped", 1 << 20);
    bytes[bytes.size() - 1] ^= 1;
    REQUIRE(WriteFileAtomic(folder / "shipped", bytes, false).ok());
    CHECK(log.Read(9) == std::nullopt);
    CHECK(log.Read(8) == Object(8));
  }
}

TEST_CASE("a gap, and a file that grows too large, begin anew", "[state]") {
  TempFolder folder;
  ShippedLog log(folder / "shipped");
  log.Open(kOwner);
  Fill(&log, 1, 3);
  Fill(&log, 5, 6);
  CHECK(log.Read(3) == std::nullopt);
  CHECK(log.Read(5) == Object(5));
  const std::string large(ShippedLog::kMaxBytes / 2, 'x');
  for (uint64_t number = 7; number < 12; ++number) log.Add(number, AsBytes(large));
  CHECK(log.Read(11) == large);
  CHECK(ReadFile(folder / "shipped", ShippedLog::kMaxBytes).ok());
}

TEST_CASE("what is not needed any more goes, the rest stays", "[state]") {
  TempFolder folder;
  ShippedLog log(folder / "shipped");
  log.Open(kOwner);
  Fill(&log, 10, 20);
  log.DropThrough(5);
  CHECK(log.Read(10) == Object(10));
  log.DropThrough(15);
  CHECK(log.Read(15) == std::nullopt);
  CHECK(log.Read(16) == Object(16));
  Fill(&log, 21, 21);
  log.Open(kOwner);
  CHECK(log.Read(16) == Object(16));
  CHECK(log.Read(21) == Object(21));
  log.DropThrough(21);
  CHECK(access((folder / "shipped").c_str(), F_OK) != 0);
}

TEST_CASE("a link in its place is neither written nor read through", "[state]") {
  TempFolder folder;
  const std::string victim = "what is another's";
  ShippedLog log(folder / "shipped");
  log.Open(kOwner);
  Fill(&log, 5, 6);
  REQUIRE(rename((folder / "shipped").c_str(), (folder / "elsewhere").c_str()) == 0);
  REQUIRE(symlink((folder / "elsewhere").c_str(), (folder / "shipped").c_str()) == 0);
  CHECK(log.Read(5) == std::nullopt);
  ShippedLog next(folder / "shipped");
  next.Open(kOwner);
  CHECK(next.Read(5) == std::nullopt);
  REQUIRE(WriteFileAtomic(folder / "elsewhere", victim, false).ok());
  Fill(&log, 7, 7);
  CHECK(*ReadFile(folder / "elsewhere", 100) == victim);
  CHECK(log.Read(5) == std::nullopt);
  CHECK(log.Read(7) == Object(7));
}

}  // namespace backstay
