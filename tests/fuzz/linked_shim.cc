#include <sqlite3.h>

#include <string>

#include "tests/fuzz/linked_engine.h"
#include "vfs/engine_loader.h"
#include "vfs/process.h"
#include "vfs/shim_vfs.h"

namespace backstay {

std::string OwnFolder() { return "/"; }

const BackstayEngine* EngineLoader::Load(std::string* error) {
  error->clear();
  if (engine_.load() == nullptr) engine_.store(LinkedEngine());
  return loaded();
}

}  // namespace backstay

const char* ShimVfs() {
  static const backstay::SqliteCopy copy = {sqlite3_libversion_number(), true,
                                            [](int n) { return sqlite3_malloc(n); }, sqlite3_free};
  if (sqlite3_vfs_find(backstay::kVfsName) == nullptr) {
    backstay::Process::Start(backstay::SelectionOptions(), "/");
    sqlite3_vfs_register(backstay::MakeVfs(sqlite3_vfs_find(nullptr), &copy), /*makeDflt=*/0);
  }
  return backstay::kVfsName;
}
