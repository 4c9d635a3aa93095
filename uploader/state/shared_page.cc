#include "uploader/state/shared_page.h"

#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <climits>
#include <ctime>
#include <new>

#include "uploader/base/file.h"

namespace backstay {
namespace {

constexpr size_t kPageBytes = 4096;
constexpr uint64_t kMagic = 0x0002657261685342;  // "BShare", version 2
constexpr int64_t kNsPerS = 1000000000;

using Word = std::atomic<uint32_t>;
using Long = std::atomic<uint64_t>;
static_assert(Word::is_always_lock_free && Long::is_always_lock_free && sizeof(Word) == 4);

// Not FUTEX_PRIVATE_FLAG: the sleepers are in other processes.
void FutexWait(Word* word, uint32_t seen, int64_t ms) {
  timespec time{ms / 1000, ms % 1000 * 1000000};
  syscall(SYS_futex, word, FUTEX_WAIT, seen, &time, nullptr, 0);
}

void FutexWake(Word* word, int count) {
  syscall(SYS_futex, word, FUTEX_WAKE, count, nullptr, nullptr, 0);
}

std::string PathIn(const std::string& folder) { return folder + "/shared"; }

}  // namespace

struct SharedPage::Layout {
  Long magic;
  Long holder;     // replica << 32 | count << 1 | gave up
  Long commit;     // the last one that is known
  Word bell;       // rung so often
  Word listening;  // the holder sleeps, or is about to, and nobody has rung since
  Word chime;      // those that wait sleep on it
  Word unused;
  struct {
    Long asked;
    Long answered;
  } lanes[kLanes];
};

Result<SharedPage::Layout*> SharedPage::Map(const Fd& page) {
  static_assert(sizeof(Layout) <= kPageBytes);
  void* at = mmap(nullptr, kPageBytes, PROT_READ | PROT_WRITE, MAP_SHARED, page.get(), 0);
  if (at == MAP_FAILED) return Status::Errno("map", errno);
  return static_cast<Layout*>(at);
}

Result<std::shared_ptr<SharedPage>> SharedPage::Make(const std::string& folder) {
  const std::string path = PathIn(folder);
  Result<Fd> page = MakeSealedPage(kPageBytes);
  if (!page.ok()) return page.status();
  Result<Layout*> layout = Map(*page);
  if (!layout.ok()) return layout.status();
  // From here on it is unmapped whatever fails.
  auto made = [&]() -> Result<std::shared_ptr<SharedPage>> {
    (*layout)->magic = kMagic;
    Result<PageDoor> door = PageDoor::Open(path, std::move(*page));
    if (!door.ok()) return door.status();
    Result<PageBell> bell = PageBell::At(path);
    if (!bell.ok()) return bell.status();
    return std::shared_ptr<SharedPage>(
        new SharedPage(*layout, NameIn(folder), std::move(*bell), std::move(*door)));
  }();
  if (!made.ok()) munmap(*layout, kPageBytes);
  return made;
}

Result<std::shared_ptr<SharedPage>> SharedPage::Join(const std::string& folder) {
  const std::string path = PathIn(folder);
  // Should it be another socket by the time it answers, the page is soon found not to be in there.
  const Name name = NameIn(folder);
  Result<PageBell> bell = PageBell::At(path);
  if (!bell.ok()) return bell.status();
  Result<Fd> page = bell->Knock(kPageBytes);
  if (!page.ok()) return page.status().Wrap(path);
  Result<Layout*> layout = Map(*page);
  if (!layout.ok()) return layout.status();
  if ((*layout)->magic.load() == kMagic) {
    return std::shared_ptr<SharedPage>(
        new SharedPage(*layout, name, std::move(*bell), std::nullopt));
  }
  munmap(*layout, kPageBytes);
  return Status(Code::kInvalid, path + " is not a page of this version of Backstay");
}

Result<std::shared_ptr<SharedPage>> SharedPage::Open(const std::string& folder, bool holder) {
  return holder ? Make(folder) : Join(folder);
}

SharedPage::~SharedPage() { munmap(at_, kPageBytes); }

SharedPage::Name SharedPage::NameIn(const std::string& folder) {
  struct stat info {};
  if (lstat(PathIn(folder).c_str(), &info) != 0) return {};
  return {info.st_dev, info.st_ino, info.st_ctim.tv_sec * kNsPerS + info.st_ctim.tv_nsec};
}

bool SharedPage::IsIn(const std::string& folder) const {
  const bool usable = bell_.valid() && (!door_ || door_->valid());
  return usable && name_.inode != 0 && NameIn(folder) == name_;
}

void SharedPage::Leave(const std::string& folder) {
  if (!door_) return;
  if (IsIn(folder)) (void)unlink(PathIn(folder).c_str());
  at_->holder = 0;
  Chime();
}

uint64_t SharedPage::holder() const { return at_->holder.load(); }

void SharedPage::Note(uint64_t commit) {
  if (commit != 0 && at_->commit.exchange(commit) == commit) return;
  Ring();
}

SharedPage::Ticket SharedPage::Ask(Lane lane) {
  auto& at = at_->lanes[lane];
  Ticket ticket;
  ticket.holder = holder();
  for (;;) {
    uint64_t answered = at.answered.load();
    ticket.number = at.asked.fetch_add(1) + 1;
    // Nothing is answered before it is asked for: else somebody has written over the page.
    if (answered < ticket.number) break;
    uint64_t asked = ticket.number;
    while (asked < answered && !at.asked.compare_exchange_weak(asked, answered)) {
    }
  }
  Ring();
  return ticket;
}

bool SharedPage::Answered(Lane lane, const Ticket& ticket) const {
  // In this order: an answer that is seen was given by this holder or a later one.
  return at_->lanes[lane].answered.load() >= ticket.number && holder() == ticket.holder;
}

bool SharedPage::Wait(Lane lane, const Ticket& ticket, int64_t ms) {
  uint32_t chime = at_->chime.load();
  if (Answered(lane, ticket)) return true;
  if (holder() == ticket.holder) FutexWait(&at_->chime, chime, std::max<int64_t>(ms, 0));
  return Answered(lane, ticket);
}

void SharedPage::Take(uint32_t replica) {
  uint64_t count = (holder() & UINT32_MAX) >> 1;
  at_->holder = uint64_t{replica} << 32 | ((count + 1) << 1 & UINT32_MAX);
  Chime();
}

void SharedPage::GiveUp() {
  at_->holder.fetch_or(1);
  Chime();
}

void SharedPage::Know(uint64_t commit) { at_->commit.store(commit, std::memory_order_relaxed); }

uint64_t SharedPage::asked(Lane lane) const { return at_->lanes[lane].asked.load(); }

void SharedPage::Answer(Lane lane, uint64_t number) {
  Long& answered = at_->lanes[lane].answered;
  if (answered.load() >= number) return;
  answered = number;
  Chime();
}

uint32_t SharedPage::bell() const { return at_->bell.load(); }

void SharedPage::Sleep(uint32_t bell) {
  at_->listening = 1;
  at_->bell.load() == bell ? door_->Wait() : door_->Answer();
  at_->listening = 0;
}

void SharedPage::Ring() {
  at_->bell.fetch_add(1);
  // One datagram is enough for one sleep.
  if (at_->listening.load() != 0 && at_->listening.exchange(0) != 0) bell_.Ring();
}

void SharedPage::Chime() {
  at_->chime.fetch_add(1);
  FutexWake(&at_->chime, INT_MAX);
}

}  // namespace backstay
