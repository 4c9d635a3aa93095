// Host: the callbacks of the process that has the database open, for all pipelines of one database.
//
// Owned by Database. Calls may come from any engine thread; they are serialised with Replace() and
// Release(), so a callback never runs after release(). Once released every call says "not there".
// Cannot fail otherwise.

#ifndef BACKSTAY_UPLOADER_ENGINE_HOST_H_
#define BACKSTAY_UPLOADER_ENGINE_HOST_H_

#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>

#include "uploader/capture/capture.h"
#include "uploader/capture/file_look.h"
#include "uploader/engine_api.h"

namespace backstay {

class Host {
 public:
  // Nothing is there until Replace().
  Host() = default;
  ~Host() { Release(); }

  int64_t Read(void* out, int64_t n, int64_t offset);
  int64_t Size();
  // It can be read no more: the application has closed the descriptor.
  bool Lost() { return Size() == BACKSTAY_LOST; }
  FileLook Look(const std::string& database_path);
  std::optional<WalTarget> WalPosition();
  bool InUse();
  // The number of the write transaction that is open; 0: none is.
  uint64_t Writing();
  // A write transaction of this process is under way that nobody has told us of.
  bool Untold();
  // The process is ending: what it has open is not used any more.
  void Leave();
  // The database was opened (again, before it was released).
  void Replace(const BackstayHost& host);
  void Release();
  // The engine has nothing of it any more: the host may open it anew, and is released. `released`
  // is called before: the host may be opening it already, and wait for that.
  void LetGo(const std::function<void()>& released);
  bool released();

 private:
  std::mutex mutex_;
  BackstayHost host_{};   // guarded by mutex_
  bool present_ = false;  // guarded by mutex_
  bool left_ = false;     // guarded by mutex_
};

WalTarget ToTarget(const BackstayWalPosition& position);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_ENGINE_HOST_H_
