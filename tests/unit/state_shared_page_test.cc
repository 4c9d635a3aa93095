// The page that processes share: tickets, holders, and files that are not what they should be.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/temp_folder.h"
#include "uploader/base/clock.h"
#include "uploader/base/file.h"
#include "uploader/state/shared_page.h"

namespace backstay {
namespace {

using PagePtr = std::shared_ptr<SharedPage>;

constexpr int64_t kLong = 20000;  // ms; reached only when a wake-up is lost
constexpr uint32_t kReplica = 77;

PagePtr OpenIn(const TempFolder& folder, bool holder = false) {
  Result<PagePtr> page = SharedPage::Open(folder.path(), holder);
  INFO(page.status().ToString());
  REQUIRE(page.ok());
  return *page;
}

void WriteFile(const std::string& path, const std::string& bytes) {
  REQUIRE(WriteFileAtomic(path, bytes, false).ok());
}

std::string FileOf(const TempFolder& folder) {
  return ReadFile(folder / "shared", 1 << 20).value();
}

}  // namespace

TEST_CASE("tickets are answered across mappings, and no wake-up is lost", "[shared_page]") {
  TempFolder folder;
  PagePtr holder = OpenIn(folder, true);
  holder->Take(kReplica);
  constexpr uint64_t kAsks = 2000;
  constexpr uint64_t kAskers = 3;
  std::thread listener([holder] {
    for (uint64_t answered = 0; answered < kAsks * kAskers;) {
      uint32_t bell = holder->bell();
      answered = holder->asked(SharedPage::kSync);
      holder->Answer(SharedPage::kSync, answered);
      if (answered < kAsks * kAskers) holder->Sleep(bell);
    }
  });
  std::atomic<uint64_t> answered{0};
  std::vector<std::thread> askers;
  for (uint64_t i = 0; i < kAskers; ++i) {
    askers.emplace_back([&] {
      PagePtr page = SharedPage::Open(folder.path(), false).value();
      for (uint64_t n = 0; n < kAsks; ++n) {
        SharedPage::Ticket ticket = page->Ask(SharedPage::kSync);
        const int64_t end = RealClock()->MonotonicMs() + kLong;
        bool done = false;
        while (!done && RealClock()->MonotonicMs() < end) {
          done = page->Wait(SharedPage::kSync, ticket, kLong);
        }
        if (!done) return;
        ++answered;
      }
    });
  }
  for (std::thread& asker : askers) asker.join();
  answered == kAsks* kAskers ? listener.join() : listener.detach();
  REQUIRE(answered == kAsks * kAskers);
  REQUIRE(holder->asked(SharedPage::kRead) == 0);
}

TEST_CASE("an answer counts only from the holder that was asked", "[shared_page]") {
  TempFolder folder;
  PagePtr page = OpenIn(folder);
  SharedPage::Ticket nobody = page->Ask(SharedPage::kSync);
  REQUIRE(nobody.holder == 0);
  PagePtr first = OpenIn(folder, true);
  first->Take(kReplica);
  SharedPage::Ticket ticket = page->Ask(SharedPage::kSync);
  REQUIRE(SharedPage::ReplicaOf(ticket.holder) == kReplica);
  REQUIRE_FALSE(page->Answered(SharedPage::kSync, ticket));
  PagePtr second = OpenIn(folder, true);
  second->Take(kReplica);
  second->Answer(SharedPage::kSync, second->asked(SharedPage::kSync));
  REQUIRE_FALSE(page->Answered(SharedPage::kSync, nobody));
  REQUIRE_FALSE(page->Wait(SharedPage::kSync, ticket, kLong));  // at once: it must ask again
  ticket = page->Ask(SharedPage::kSync);
  REQUIRE_FALSE(page->Answered(SharedPage::kSync, ticket));
  second->Answer(SharedPage::kSync, ticket.number);
  REQUIRE(page->Answered(SharedPage::kSync, ticket));
  REQUIRE_FALSE(SharedPage::GaveUp(page->holder()));
  second->GiveUp();
  REQUIRE(SharedPage::GaveUp(page->holder()));
  REQUIRE_FALSE(page->Answered(SharedPage::kSync, ticket));
  second->Take(kReplica);
  REQUIRE_FALSE(SharedPage::GaveUp(page->holder()));
}

TEST_CASE("an answer never goes back", "[shared_page]") {
  TempFolder folder;
  PagePtr page = OpenIn(folder, true);
  page->Take(kReplica);
  SharedPage::Ticket ticket;
  for (int i = 0; i < 3; ++i) ticket = page->Ask(SharedPage::kSync);
  page->Answer(SharedPage::kSync, 3);
  page->Answer(SharedPage::kSync, 1);
  REQUIRE(page->Answered(SharedPage::kSync, ticket));
}

TEST_CASE("a page that a power cut has torn says of nothing that it is done", "[shared_page]") {
  TempFolder folder;
  PagePtr page = OpenIn(folder, true);
  page->Take(kReplica);
  page->Note(0);  // so that no other counter has the same value
  for (int i = 0; i < 3; ++i) page->Ask(SharedPage::kSync);
  const std::string before = FileOf(folder);
  for (int i = 0; i < 9; ++i) page->Ask(SharedPage::kSync);
  page->Answer(SharedPage::kSync, 12);
  std::string torn = FileOf(folder);
  // The count of what was asked for is as old as `before`, that of the answers is not.
  size_t different = 0;
  for (size_t at = 0; at < torn.size() && different == 0; at += 8) {
    uint64_t now = 0;
    memcpy(&now, torn.data() + at, 8);
    if (now == 12) different = at;
  }
  torn.replace(different, 8, before, different, 8);
  WriteFile(folder / "shared", torn);
  PagePtr again = OpenIn(folder);
  REQUIRE(again->asked(SharedPage::kSync) == 3);
  SharedPage::Ticket ticket = again->Ask(SharedPage::kSync);
  REQUIRE_FALSE(again->Answered(SharedPage::kSync, ticket));
  REQUIRE(ticket.number == 13);
}

TEST_CASE("notes of the same commit ring once", "[shared_page]") {
  TempFolder folder;
  PagePtr page = OpenIn(folder);
  uint32_t bell = page->bell();
  page->Note(5);
  REQUIRE(page->bell() == bell + 1);
  OpenIn(folder)->Note(5);
  REQUIRE(page->bell() == bell + 1);
  page->Know(6);
  page->Note(6);
  REQUIRE(page->bell() == bell + 1);
  page->Note(0);
  page->Note(0);
  REQUIRE(page->bell() == bell + 3);
}

TEST_CASE("a file that is no page is refused, and replaced by the holder alone", "[shared_page]") {
  for (const std::string& bytes :
       {std::string(4096, 'x'), std::string(10, 'x'), std::string(8192, '\0')}) {
    TempFolder folder;
    WriteFile(folder / "shared", bytes);
    Result<PagePtr> refused = SharedPage::Open(folder.path(), false);
    REQUIRE(refused.status().code() == Code::kInvalid);
    PagePtr page = OpenIn(folder, true);
    REQUIRE(OpenIn(folder)->asked(SharedPage::kSync) == 0);
    REQUIRE(page->Ask(SharedPage::kSync).number == 1);
  }
}

TEST_CASE("an empty or short file becomes a page of its full size", "[shared_page]") {
  TempFolder folder;
  WriteFile(folder / "shared", "");
  PagePtr page = OpenIn(folder);
  page->Ask(SharedPage::kSync);
  struct stat info {};
  REQUIRE(stat((folder / "shared").c_str(), &info) == 0);
  REQUIRE(info.st_size == 4096);
  REQUIRE(info.st_blocks > 0);
  // Cut off while nobody has it open.
  std::string cut = FileOf(folder).substr(0, 24);
  page.reset();
  WriteFile(folder / "shared", cut);
  page = OpenIn(folder);
  SharedPage::Ticket ticket = page->Ask(SharedPage::kSync);
  REQUIRE_FALSE(page->Answered(SharedPage::kSync, ticket));
}

TEST_CASE("a page is for its owner alone, and gone with its file", "[shared_page]") {
  TempFolder folder;
  PagePtr page = OpenIn(folder);
  struct stat info {};
  REQUIRE(stat((folder / "shared").c_str(), &info) == 0);
  REQUIRE((info.st_mode & 0777) == 0600);
  REQUIRE(page->IsIn(folder.path()));
  unlink((folder / "shared").c_str());
  REQUIRE_FALSE(page->IsIn(folder.path()));
  PagePtr other = OpenIn(folder);
  REQUIRE_FALSE(page->IsIn(folder.path()));
  REQUIRE(other->IsIn(folder.path()));
  REQUIRE_FALSE(SharedPage::Open(folder / "missing", true).ok());
  page->Ask(SharedPage::kSync);  // what is gone still works, for nobody
}

}  // namespace backstay
