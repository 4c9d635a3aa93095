// EngineLoader: brings libbackstay_engine.so into the process, at the first replicated database.
//
// Owned by Process; any thread. The library is looked for in the shim's own folder, stays loaded
// for good, and keeps its symbols to itself: RTLD_LOCAL, and RTLD_DEEPBIND so that it runs the
// OpenSSL it was built against even in a program that exports its own (what it allocates with is
// the program's all the same: uploader/engine/host_malloc.cc). Fails with a message for people.

#ifndef BACKSTAY_VFS_ENGINE_LOADER_H_
#define BACKSTAY_VFS_ENGINE_LOADER_H_

#include <atomic>
#include <mutex>
#include <string>

#include "uploader/engine_api.h"

namespace backstay {

// The folder of the library that this code is in, as an absolute path. Call it early: a relative
// name is only good in the working folder of the load.
std::string OwnFolder();

// What to say when the dynamic linker could not load the engine from `path`, and said `linker`.
std::string WhyNotLoaded(const std::string& path, const std::string& linker);

class EngineLoader {
 public:
  explicit EngineLoader(std::string folder) : folder_(std::move(folder)) {}

  // Loads at the first call; NULL when that failed, and *error says why. Empty: memory or file
  // descriptors ran out, and the next call tries again.
  const BackstayEngine* Load(std::string* error);
  // What Load() returned, without loading.
  const BackstayEngine* loaded() const { return engine_.load(std::memory_order_acquire); }

  const std::string& folder() const { return folder_; }

 private:
  // False: to be tried again.
  bool Open();

  const std::string folder_;
  std::atomic<const BackstayEngine*> engine_ = nullptr;
  std::mutex mutex_;
  bool tried_ = false;  // guarded by mutex_
  std::string error_;   // guarded by mutex_
};

}  // namespace backstay

#endif  // BACKSTAY_VFS_ENGINE_LOADER_H_
