// ScratchFolder: a private folder for files that nobody needs when the command is over.
//
// One owner, one thread. The destructor removes it with its content. One of a command that was
// killed is removed by the next that makes one in the same place: it holds a lock on its folder as
// long as it lives. Fails with kIo: names the folder and the remedy.

#ifndef BACKSTAY_TOOLS_SCRATCH_FOLDER_H_
#define BACKSTAY_TOOLS_SCRATCH_FOLDER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "uploader/base/file.h"
#include "uploader/base/status.h"

namespace backstay {

class ScratchFolder {
 public:
  // In `parent`; empty: in TMPDIR, or /tmp.
  static Result<std::unique_ptr<ScratchFolder>> Create(const std::string& parent);
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  const std::string& path() const { return path_; }
  // kIo unless its files can be of `bytes` in all; what they take already counts.
  Status CheckRoom(uint64_t bytes) const;

 private:
  ScratchFolder(std::string path, Fd lock) : path_(std::move(path)), lock_(std::move(lock)) {}

  const std::string path_;
  const Fd lock_;
};

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_SCRATCH_FOLDER_H_
