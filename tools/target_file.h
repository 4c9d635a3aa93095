// TargetFile: the database that a restore makes, first under a temporary name beside it.
//
// One thread. Until Install() returns the target is as it was; the destructor removes the temporary
// file, unless it is to be kept. A restore that was interrupted leaves `<target>.backstay-restore`,
// which the next one takes over: its content is to be proven. Two restores to one target exclude
// each other. Errors: kExists (the target exists, is open, or is being restored), kIo and kDenied
// with the path and the remedy.

#ifndef BACKSTAY_TOOLS_TARGET_FILE_H_
#define BACKSTAY_TOOLS_TARGET_FILE_H_

#include <sys/stat.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "uploader/base/file.h"
#include "uploader/base/status.h"

namespace backstay {

// Is there anything at `path` but a file that holds nothing of a database (created and not written,
// or cut off within SQLite's header), without a WAL or journal that does? Errors are those that
// leave it open.
Result<bool> DatabaseExists(const std::string& path);

class TargetFile {
 public:
  struct Options {
    bool force = false;          // an existing database may be replaced, unless it is open
    std::optional<mode_t> mode;  // of a new file; else as the umask and the folder say
  };
  static Result<std::unique_ptr<TargetFile>> Create(const std::string& target,
                                                    const Options& options);
  ~TargetFile();
  TargetFile(const TargetFile&) = delete;
  TargetFile& operator=(const TargetFile&) = delete;

  const Fd& fd() const { return fd_; }
  // The temporary file has content, of an earlier restore.
  bool holds_pages() const { return holds_pages_; }
  // Whether the temporary file stays for another restore: by default what was found does.
  void Keep(bool keep) { keep_ = keep; }
  const std::string& temporary() const { return temporary_; }
  const std::string& target() const { return target_; }  // symbolic links resolved
  // Makes it durable, removes what stands beside the target from an earlier life (-wal, -shm,
  // -journal, the state folder, the state of a copy) and gives it its name. `beside` makes what is
  // to stand there with it.
  Status Install(const std::function<Status()>& beside = nullptr);

 private:
  TargetFile(std::string target, const Options& options);

  Status CheckTarget();
  Status OpenTemporary();
  mode_t NewMode(const struct stat& folder) const;
  Status SetOwner();
  void FinishInterrupted(bool temporary_existed);
  Status MoveAside();
  void MoveBack();
  Status Rename();

  const std::string target_;
  const std::string temporary_;
  const Options options_;
  std::optional<struct stat> old_;  // the target's, if it exists
  Fd fd_;
  bool holds_pages_ = false;
  bool keep_ = false;
};

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_TARGET_FILE_H_
