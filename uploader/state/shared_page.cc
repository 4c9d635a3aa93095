#include "uploader/state/shared_page.h"

#include <fcntl.h>
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
constexpr uint64_t kMagic = 0x0001657261685342;  // "BShare", version 1

using Word = std::atomic<uint32_t>;
using Long = std::atomic<uint64_t>;
static_assert(Word::is_always_lock_free && Long::is_always_lock_free && sizeof(Word) == 4);

// Not FUTEX_PRIVATE_FLAG: the sleepers are in other processes. `ms` < 0: no limit.
void FutexWait(Word* word, uint32_t seen, int64_t ms) {
  timespec time{ms / 1000, ms % 1000 * 1000000};
  syscall(SYS_futex, word, FUTEX_WAIT, seen, ms < 0 ? nullptr : &time, nullptr, 0);
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
  Word bell;       // the listening holder sleeps on it
  Word listening;  // it does, or is about to
  Word chime;      // those that wait sleep on it
  Word unused;
  struct {
    Long asked;
    Long answered;
  } lanes[kLanes];
};

Result<std::shared_ptr<SharedPage>> SharedPage::Open(const std::string& folder, bool holder) {
  static_assert(sizeof(Layout) <= kPageBytes);
  const std::string path = PathIn(folder);
  Result<Fd> fd = OpenFile(path, O_RDWR | O_CREAT | O_NONBLOCK | O_NOFOLLOW);
  if (!fd.ok()) return fd.status();
  struct stat info {};
  if (fstat(fd->get(), &info) != 0) return Status::Errno("stat " + path, errno);
  bool ours = S_ISREG(info.st_mode) && info.st_size <= static_cast<off_t>(kPageBytes);
  if (ours) {
    // A page without a block of the disk would end the host by SIGBUS when there is none left.
    if (int failed = posix_fallocate(fd->get(), 0, kPageBytes); failed != 0) {
      return Status::Errno("allocate " + path, failed);
    }
    void* at = mmap(nullptr, kPageBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd->get(), 0);
    if (at == MAP_FAILED) return Status::Errno("map " + path, errno);
    auto* layout = static_cast<Layout*>(at);
    uint64_t found = 0;
    // Zeros are a new page, which whoever comes first names.
    ours = layout->magic.compare_exchange_strong(found, kMagic) || found == kMagic;
    if (ours) return std::shared_ptr<SharedPage>(new SharedPage(layout, info.st_dev, info.st_ino));
    munmap(at, kPageBytes);
  }
  if (!holder) return Status(Code::kInvalid, path + " is not a page of this version of Backstay");
  if (unlink(path.c_str()) != 0) return Status::Errno("remove " + path, errno);
  return Open(folder, /*holder=*/false);
}

SharedPage::~SharedPage() { munmap(at_, kPageBytes); }

bool SharedPage::IsIn(const std::string& folder) const {
  struct stat info {};
  return stat(PathIn(folder).c_str(), &info) == 0 && info.st_dev == device_ &&
         info.st_ino == inode_;
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
    // Nothing is answered before it is asked for: else the page is one that a power cut has torn.
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
  if (at_->bell.load() == bell) FutexWait(&at_->bell, bell, -1);
  at_->listening = 0;
}

void SharedPage::Ring() {
  at_->bell.fetch_add(1);
  if (at_->listening.load() != 0) FutexWake(&at_->bell, INT_MAX);
}

void SharedPage::Chime() {
  at_->chime.fetch_add(1);
  FutexWake(&at_->chime, INT_MAX);
}

}  // namespace backstay
