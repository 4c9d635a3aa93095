#include "tests/sim/turns.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "tests/sim/libc_wrap.h"
#include "tests/sim/scheduler.h"

namespace backstay::sim {
namespace {

World::Slot* mine = nullptr;
uint64_t wakes_seen = 0;

// Past our own syscall().
long Futex(std::atomic<uint32_t>* word, int what, uint32_t value) {
  static auto* const real = BACKSTAY_REAL(syscall);
  return real(SYS_futex, word, what, value, nullptr, nullptr, 0);
}

void Sleep() {
  while (mine->turn.exchange(0) == 0) Futex(&mine->turn, FUTEX_WAIT, 0);
}

// One that can go on now, or else the first that can; time passes until then.
World::Slot* Choose(Random* random) {
  std::vector<World::Slot*> ready;
  World::Slot* first = nullptr;
  for (World::Slot& slot : world->slots) {
    if (!slot.lives) continue;
    if (slot.until_ns <= world->now_ns) ready.push_back(&slot);
    if (first == nullptr || slot.until_ns < first->until_ns) first = &slot;
  }
  if (!ready.empty()) return ready[random->Below(ready.size())];
  if (first != nullptr && first->until_ns != kNever) world->now_ns = first->until_ns;
  return first;
}

void Give(World::Slot* slot) {
  slot->turn = 1;
  Futex(&slot->turn, FUTEX_WAKE, 1);
}

// What the others have woken meanwhile.
void Hear() {
  for (; wakes_seen < world->wakes; ++wakes_seen) {
    // What has been written over is taken for everything; there are never so many.
    if (world->wakes - wakes_seen > world->woken.size()) abort();
    Wake(world->woken[wakes_seen % world->woken.size()], true);
  }
}

struct Mapping {
  const char* at = nullptr;
  size_t bytes = 0;
  uint64_t inode = 0;
};
std::vector<Mapping>& Mappings() {
  static auto* const mappings = new std::vector<Mapping>;
  return *mappings;
}

}  // namespace

void Join(size_t slot) {
  mine = &world->slots[slot];
  wakes_seen = world->wakes;
  this_process = static_cast<uint8_t>(slot + 1);
  Sleep();
}

bool OthersLive() {
  for (const World::Slot& slot : world->slots) {
    if (slot.lives && &slot != mine) return true;
  }
  return false;
}

void Yield(Random* random, int64_t until_ns) {
  mine->until_ns = until_ns;
  World::Slot* next = Choose(random);
  if (next->until_ns == kNever) {
    Note(Kind::kViolation, "all threads wait for ever");
    syscall(SYS_exit_group, 1);
  }
  if (next == mine) return;
  Give(next);
  Sleep();
  Hear();
}

bool GiveTurn(Random* random) {
  World::Slot* next = Choose(random);
  if (next == nullptr) return false;
  Give(next);
  return true;
}

void CountStatement() { mine->statements++; }

Statements OfOthers() {
  Statements all;
  for (const World::Slot& slot : world->slots) {
    if (&slot == mine) continue;
    all.count += slot.statements;
    all.inside = all.inside || slot.statements % 2 != 0;
  }
  return all;
}

const void* NameOfShared(const void* word) {
  const auto* at = static_cast<const char*>(word);
  for (const Mapping& mapping : Mappings()) {
    if (at < mapping.at || at >= mapping.at + mapping.bytes) continue;
    // No address is as high.
    const uint64_t name =
        uint64_t{1} << 63 | mapping.inode << 16 | static_cast<uint64_t>(at - mapping.at);
    return reinterpret_cast<const void*>(name);  // NOLINT(performance-no-int-to-ptr)
  }
  return nullptr;
}

void WakeEverywhere(const void* name) {
  Wake(name, true);
  world->woken[world->wakes++ % world->woken.size()] = name;
  wakes_seen = world->wakes;
  for (World::Slot& slot : world->slots) slot.until_ns = std::min(slot.until_ns, world->now_ns);
}

}  // namespace backstay::sim

// Their declarations have names that are not ours to use.
// NOLINTBEGIN(readability-inconsistent-declaration-parameter-name)
using namespace backstay::sim;  // NOLINT: these are the C library's names

BACKSTAY_WRAP void* mmap(void* near, size_t bytes, int how, int flags, int fd, off_t at) noexcept {
  static auto* const real = BACKSTAY_REAL(mmap);
  void* mapped = real(near, bytes, how, flags, fd, at);
  struct stat info {};
  if (mapped == MAP_FAILED || !Scheduled() || (flags & MAP_SHARED) == 0 || fd < 0) return mapped;
  if (at == 0 && fstat(fd, &info) == 0)
    Mappings().push_back({static_cast<const char*>(mapped), bytes, info.st_ino});
  return mapped;
}

BACKSTAY_WRAP void* mmap64(void* near, size_t bytes, int how, int flags, int fd,
                           off64_t at) noexcept {
  return mmap(near, bytes, how, flags, fd, at);
}

BACKSTAY_WRAP int munmap(void* at, size_t bytes) noexcept {
  static auto* const real = BACKSTAY_REAL(munmap);
  if (Scheduled()) {
    auto& mappings = Mappings();
    for (size_t i = mappings.size(); i-- > 0;) {
      if (mappings[i].at == at) mappings.erase(mappings.begin() + static_cast<int64_t>(i));
    }
  }
  return real(at, bytes);
}
// NOLINTEND(readability-inconsistent-declaration-parameter-name)
