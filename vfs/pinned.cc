#include "vfs/pinned.h"

#include <dlfcn.h>
#include <link.h>

namespace backstay {

void* PinModule(const void* address) noexcept {
  Dl_info info;
  void* found = nullptr;
  if (address == nullptr || dladdr1(address, &info, &found, RTLD_DL_LINKMAP) == 0) return nullptr;
  const auto* module = static_cast<const link_map*>(found);
  // The program has no name.
  const bool program = module == nullptr || module->l_name == nullptr || *module->l_name == '\0';
  constexpr int kMode = RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE;
  // Never closed, which holds it a second time.
  return dlopen(program ? nullptr : module->l_name, kMode);
}

void PinVfs(const sqlite3_vfs* vfs) noexcept {
  PinModule(vfs);
  PinModule(reinterpret_cast<const void*>(vfs->xOpen));
  PinModule(reinterpret_cast<const void*>(vfs->xAccess));
}

}  // namespace backstay
