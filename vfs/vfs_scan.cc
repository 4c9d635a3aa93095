#include "vfs/vfs_scan.h"

#include <link.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "vfs/shim_vfs.h"

namespace backstay {
namespace {

constexpr const char* kNames[] = {"unix",       "unix-excl",  "unix-none", "unix-dotfile",
                                  "unix-posix", "unix-flock", "unix-afp",  "unix-namedsem",
                                  "unix-nfs",   "unix-proxy"};
constexpr size_t kLongestName = 16;  // bytes, with the NUL

// One loaded module: its segments, as the program headers give them.
class Module {
 public:
  explicit Module(const dl_phdr_info& info) : info_(info) {}

  // True if n bytes at p are in a segment with these flags.
  bool Has(const void* p, size_t n, ElfW(Word) flags) const {
    const auto address = reinterpret_cast<uintptr_t>(p);
    for (size_t i = 0; i < info_.dlpi_phnum; i++) {
      const ElfW(Phdr)& segment = info_.dlpi_phdr[i];
      const uintptr_t start = Start(segment);
      if (segment.p_type == PT_LOAD && (segment.p_flags & flags) == flags && address >= start &&
          address - start <= segment.p_filesz && n <= segment.p_filesz - (address - start)) {
        return true;
      }
    }
    return false;
  }

  // Calls visit(p) for each aligned place in initialised data that stays writable.
  template <typename Visit>
  void EachWritablePlace(size_t n, Visit visit) const {
    for (size_t i = 0; i < info_.dlpi_phnum; i++) {
      const ElfW(Phdr)& segment = info_.dlpi_phdr[i];
      if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) == 0) continue;
      const uintptr_t start = std::max(Start(segment), RelroEnd(segment));
      const uintptr_t end = Start(segment) + segment.p_filesz;
      constexpr uintptr_t kAlign = alignof(sqlite3_vfs);
      for (uintptr_t p = (start + kAlign - 1) & ~(kAlign - 1); p + n <= end; p += kAlign) visit(p);
    }
  }

 private:
  uintptr_t Start(const ElfW(Phdr) & segment) const { return info_.dlpi_addr + segment.p_vaddr; }

  // End of the part at the segment's start that is read-only after relocation, or 0.
  uintptr_t RelroEnd(const ElfW(Phdr) & segment) const {
    for (size_t i = 0; i < info_.dlpi_phnum; i++) {
      const ElfW(Phdr)& relro = info_.dlpi_phdr[i];
      if (relro.p_type == PT_GNU_RELRO && relro.p_vaddr >= segment.p_vaddr &&
          relro.p_vaddr < segment.p_vaddr + segment.p_memsz) {
        return Start(relro) + relro.p_memsz;
      }
    }
    return 0;
  }

  const dl_phdr_info& info_;
};

bool IsName(const char* zName) {
  for (const char* name : kNames) {
    if (std::strcmp(zName, name) == 0) return true;
  }
  return false;
}

bool IsUnixVfs(const Module& module, const sqlite3_vfs* vfs) {
  const int path = vfs->mxPathname;
  if (vfs->iVersion < 1 || vfs->iVersion > 3 || (path != 512 && path != 1024 && path != 4096) ||
      vfs->szOsFile < 40 || vfs->szOsFile > 4096) {
    return false;
  }
  auto code = [&](auto* function) {
    return module.Has(reinterpret_cast<const void*>(function), 1, PF_X);
  };
  return module.Has(vfs->zName, kLongestName, PF_R) && IsName(vfs->zName) && code(vfs->xAccess) &&
         code(vfs->xFullPathname) && code(vfs->xRandomness) && code(vfs->xSleep) &&
         (IsHooked(vfs) || (code(vfs->xOpen) && code(vfs->xDelete)));
}

int ScanModule(dl_phdr_info* info, size_t, void* data) {
  auto* found = static_cast<FoundVfses*>(data);
  const Module module(*info);
  const size_t first = found->count;
  bool plain = false, exclusive = false;
  module.EachWritablePlace(sizeof(sqlite3_vfs), [&](uintptr_t place) {
    auto* vfs = reinterpret_cast<sqlite3_vfs*>(place);
    if (!IsUnixVfs(module, vfs)) return;
    if (found->count == found->objects.size()) {
      found->all = false;
      return;
    }
    plain = plain || std::strcmp(vfs->zName, "unix") == 0;
    exclusive = exclusive || std::strcmp(vfs->zName, "unix-excl") == 0;
    found->objects[found->count++] = vfs;
  });
  if (!plain || !exclusive) found->count = first;
  return 0;
}

int ReadAdds(dl_phdr_info* info, size_t, void* data) {
  *static_cast<unsigned long long*>(data) = info->dlpi_adds;
  return 1;
}

}  // namespace

FoundVfses FindUnixVfses() noexcept {
  FoundVfses found;
  dl_iterate_phdr(&ScanModule, &found);
  return found;
}

unsigned long long ModulesEverLoaded() noexcept {
  unsigned long long adds = 0;
  dl_iterate_phdr(&ReadAdds, &adds);
  return adds;
}

}  // namespace backstay
