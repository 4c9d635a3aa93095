#include "tests/sim/world.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

namespace backstay::sim {

World* world = nullptr;
uint8_t this_process = 0;

uint64_t Random::Next() {
  uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

World::FileTime* World::Find(uint64_t inode) {
  for (size_t i = 0; i < times.size(); ++i) {
    FileTime* entry = &times[(inode * 0x9e3779b97f4a7c15ULL + i) % times.size()];
    if (entry->inode == inode || entry->inode == 0) return entry;
  }
  abort();
}

void World::Touch(uint64_t inode) { *Find(inode) = {inode, TickedNs()}; }

int64_t World::TimeOf(uint64_t inode) {
  const FileTime* entry = Find(inode);
  return entry->inode == inode ? entry->ns : kEpochNs;
}

void MakeWorld(const std::string& journal_path) {
  if (world == nullptr) {
    void* memory =
        mmap(nullptr, sizeof(World), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) abort();
    world = new (memory) World;
  } else {
    close(world->journal);
    new (world) World;
  }
  world->journal =
      open(journal_path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
  if (world->journal < 0) abort();
}

void Note(Kind kind, const std::string& key, const std::string& value) {
  std::string head = {static_cast<char>(kind), static_cast<char>(this_process)};
  const std::array<uint32_t, 2> sizes = {static_cast<uint32_t>(key.size()),
                                         static_cast<uint32_t>(value.size())};
  head.append(reinterpret_cast<const char*>(sizes.data()), sizeof sizes);
  const std::string record = head + key + value;
  // Past our own write(), which is where a process may die.
  const long wrote = syscall(SYS_write, world->journal, record.data(), record.size());
  if (wrote != static_cast<long>(record.size())) abort();
}

// Past our own pread(), which is a point.
static bool ReadAll(char* out, size_t n, int64_t at) {
  return syscall(SYS_pread64, world->journal, out, n, at) == static_cast<long>(n);
}

bool ReadJournal(int64_t* at, Record* record) {
  std::array<char, 10> head{};
  if (!ReadAll(head.data(), head.size(), *at)) return false;
  std::array<uint32_t, 2> sizes{};
  std::memcpy(sizes.data(), head.data() + 2, sizeof sizes);
  std::string both(sizes[0] + size_t{sizes[1]}, 0);
  const auto rest = *at + static_cast<int64_t>(head.size());
  if (!ReadAll(both.data(), both.size(), rest)) return false;
  *at = rest + static_cast<int64_t>(both.size());
  *record = {static_cast<Kind>(head[0]), static_cast<uint8_t>(head[1]), both.substr(0, sizes[0]),
             both.substr(sizes[0])};
  return true;
}

void Say(const char* format, ...) {
  std::array<char, 500> text{};
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text.data(), text.size(), format, arguments);
  va_end(arguments);
  std::array<char, 32> time{};
  snprintf(time.data(), time.size(), "%12.6f %c ", static_cast<double>(world->now_ns) / 1e9,
           this_process == 0 ? ' ' : static_cast<char>('A' + this_process - 1));
  Note(Kind::kSays, time.data(), text.data());
}

}  // namespace backstay::sim
