#include "tests/sim/product.h"

#include <sqlite3.h>

#include <cstdlib>

#include "vfs/engine_loader.h"
#include "vfs/environment.h"
#include "vfs/process.h"
#include "vfs/selection.h"
#include "vfs/shim_vfs.h"

namespace backstay {
namespace sim {
namespace {

BackstayEngineFn linked_in = nullptr;

}  // namespace
}  // namespace sim

std::string OwnFolder() { return "/"; }
std::string WhyNotLoaded(const std::string& path, const std::string& linker) {
  return path + linker;
}

const BackstayEngine* EngineLoader::Load(std::string* error) {
  error->clear();
  if (loaded() == nullptr) {
    const BackstayEngine* engine = sim::linked_in(BACKSTAY_ENGINE_API_VERSION);
    engine->start(Environment::AtStart().entries());
    engine_.store(engine, std::memory_order_release);
  }
  return loaded();
}

namespace sim {

void BringProductIn(BackstayEngineFn engine) {
  linked_in = engine;
  Process::Start(SelectionFromEnvironment(/*preloaded=*/false), OwnFolder());
  auto* copy = new SqliteCopy;
  copy->version = sqlite3_libversion_number();
  copy->alloc = sqlite3_malloc;
  copy->free = sqlite3_free;
  if (sqlite3_vfs_register(MakeVfs(sqlite3_vfs_find("unix"), copy), 1) != SQLITE_OK) abort();
}

}  // namespace sim
}  // namespace backstay
