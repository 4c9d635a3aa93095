// The page that processes share: tickets, holders, who hands it out, and names that are not what
// they should be.

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
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

PagePtr OpenIn(const std::string& folder, bool holder = false) {
  Result<PagePtr> page = SharedPage::Open(folder, holder);
  INFO(page.status().ToString());
  REQUIRE(page.ok());
  return *page;
}

// One that ships: makes the page, and hands it out from a thread of its own.
class Holder {
 public:
  explicit Holder(const std::string& folder)
      : page(OpenIn(folder, true)), listener_([this] { Listen(); }) {
    page->Take(kReplica);
  }
  ~Holder() {
    stop_ = true;
    page->Ring();
    listener_.join();
  }

  const PagePtr page;

 private:
  void Listen() {
    while (!stop_) {
      const uint32_t bell = page->bell();
      if (!stop_) page->Sleep(bell);
    }
  }

  std::atomic<bool> stop_{false};
  std::thread listener_;
};

void WriteFile(const std::string& path, const std::string& bytes) {
  REQUIRE(WriteFileAtomic(path, bytes, false).ok());
}

}  // namespace

TEST_CASE("tickets are answered across mappings, and no wake-up is lost", "[shared_page]") {
  TempFolder folder;
  PagePtr holder = OpenIn(folder.path(), true);
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
  Holder first(folder.path());
  PagePtr page = OpenIn(folder.path());
  SharedPage::Ticket ticket = page->Ask(SharedPage::kSync);
  REQUIRE(SharedPage::ReplicaOf(ticket.holder) == kReplica);
  REQUIRE_FALSE(page->Answered(SharedPage::kSync, ticket));
  first.page->Take(kReplica);
  first.page->Answer(SharedPage::kSync, first.page->asked(SharedPage::kSync));
  REQUIRE_FALSE(page->Wait(SharedPage::kSync, ticket, kLong));  // at once: it must ask again
  ticket = page->Ask(SharedPage::kSync);
  REQUIRE_FALSE(page->Answered(SharedPage::kSync, ticket));
  first.page->Answer(SharedPage::kSync, ticket.number);
  REQUIRE(page->Answered(SharedPage::kSync, ticket));
  REQUIRE_FALSE(SharedPage::GaveUp(page->holder()));
  first.page->GiveUp();
  REQUIRE(SharedPage::GaveUp(page->holder()));
  REQUIRE_FALSE(page->Answered(SharedPage::kSync, ticket));
  first.page->Take(kReplica);
  REQUIRE_FALSE(SharedPage::GaveUp(page->holder()));
}

TEST_CASE("a new holder has a page of its own, and the old one leads nowhere", "[shared_page]") {
  TempFolder folder;
  Holder first(folder.path());
  PagePtr page = OpenIn(folder.path());
  SharedPage::Ticket ticket = page->Ask(SharedPage::kSync);
  REQUIRE(page->IsIn(folder.path()));
  Holder second(folder.path());
  REQUIRE_FALSE(page->IsIn(folder.path()));
  REQUIRE_FALSE(first.page->IsIn(folder.path()));
  second.page->Answer(SharedPage::kSync, 100);
  REQUIRE_FALSE(page->Answered(SharedPage::kSync, ticket));
  page = OpenIn(folder.path());
  REQUIRE(page->IsIn(folder.path()));
  REQUIRE(page->Ask(SharedPage::kSync).number == 101);
  REQUIRE(second.page->asked(SharedPage::kSync) == 101);
}

TEST_CASE("an answer never goes back", "[shared_page]") {
  TempFolder folder;
  PagePtr page = OpenIn(folder.path(), true);
  page->Take(kReplica);
  SharedPage::Ticket ticket;
  for (int i = 0; i < 3; ++i) ticket = page->Ask(SharedPage::kSync);
  page->Answer(SharedPage::kSync, 3);
  page->Answer(SharedPage::kSync, 1);
  REQUIRE(page->Answered(SharedPage::kSync, ticket));
}

TEST_CASE("answers ahead of what was asked for answer nothing", "[shared_page]") {
  TempFolder folder;
  PagePtr page = OpenIn(folder.path(), true);
  page->Take(kReplica);
  for (int i = 0; i < 3; ++i) page->Ask(SharedPage::kSync);
  page->Answer(SharedPage::kSync, 12);
  SharedPage::Ticket ticket = page->Ask(SharedPage::kSync);
  REQUIRE_FALSE(page->Answered(SharedPage::kSync, ticket));
  REQUIRE(ticket.number == 13);
}

TEST_CASE("notes of the same commit ring once", "[shared_page]") {
  TempFolder folder;
  Holder holder(folder.path());
  PagePtr page = OpenIn(folder.path());
  uint32_t bell = page->bell();
  page->Note(5);
  REQUIRE(page->bell() == bell + 1);
  OpenIn(folder.path())->Note(5);
  REQUIRE(page->bell() == bell + 1);
  page->Know(6);
  page->Note(6);
  REQUIRE(page->bell() == bell + 1);
  page->Note(0);
  page->Note(0);
  REQUIRE(page->bell() == bell + 3);
}

TEST_CASE("nobody can make the page smaller, whatever is done to its name", "[shared_page]") {
  TempFolder folder;
  Holder holder(folder.path());
  PagePtr page = OpenIn(folder.path());
  const std::string name = folder / "shared";
  REQUIRE(truncate(name.c_str(), 0) != 0);
  REQUIRE_FALSE(OpenFile(name, O_WRONLY | O_TRUNC).ok());
  // Nor through the descriptor that its maker keeps.
  for (int fd = 0; fd < 64; ++fd) {
    char target[64] = {};
    const std::string path = "/proc/self/fd/" + std::to_string(fd);
    const bool link = readlink(path.c_str(), target, sizeof target - 1) > 0;
    if (link && std::strstr(target, "memfd:backstay") != nullptr) REQUIRE(ftruncate(fd, 0) != 0);
  }
  page->Note(1);
  REQUIRE(holder.page->bell() == page->bell());
}

TEST_CASE("what is no page is refused, and replaced by the holder alone", "[shared_page]") {
  TempFolder folder;
  WriteFile(folder / "shared", std::string(4096, 'x'));
  REQUIRE_FALSE(SharedPage::Open(folder.path(), false).ok());
  Holder holder(folder.path());
  REQUIRE(OpenIn(folder.path())->Ask(SharedPage::kSync).number == 1);
  // A socket of somebody else, who answers with something that could be cut off.
  unlink((folder / "shared").c_str());
  Result<PageDoor> door =
      PageDoor::Open(folder / "shared", OpenFile(folder / "file", O_RDWR | O_CREAT).value());
  REQUIRE(door.ok());
  std::thread answers([&door] { door->Wait(); });
  Result<PagePtr> refused = SharedPage::Open(folder.path(), false);
  answers.join();
  REQUIRE(refused.status().code() == Code::kInvalid);
}

TEST_CASE("without its maker there is no page", "[shared_page]") {
  TempFolder folder;
  REQUIRE(SharedPage::Open(folder.path(), false).status().code() == Code::kNotFound);
  PagePtr page;
  {
    Holder holder(folder.path());
    page = OpenIn(folder.path());
  }
  page->Ask(SharedPage::kSync);  // what is gone still works, for nobody
  REQUIRE(SharedPage::Open(folder.path(), false).status().code() == Code::kNotFound);
  REQUIRE_FALSE(SharedPage::Open(folder / "missing", true).ok());
  PagePtr other = OpenIn(folder.path(), true);
  REQUIRE_FALSE(page->IsIn(folder.path()));
  page->Leave(folder.path());
  REQUIRE(other->IsIn(folder.path()));
  other->Leave(folder.path());
  REQUIRE(access((folder / "shared").c_str(), F_OK) != 0);
}

TEST_CASE("a page is for its owner alone, and needs no short path", "[shared_page]") {
  TempFolder folder;
  const std::string far = folder / std::string(150, 'f');
  REQUIRE(mkdir(far.c_str(), 0700) == 0);
  Holder holder(far);
  struct stat info {};
  REQUIRE(stat((far + "/shared").c_str(), &info) == 0);
  REQUIRE((info.st_mode & 0777) == 0600);
  REQUIRE(OpenIn(far)->holder() == holder.page->holder());
}

}  // namespace backstay
