// OwnFolder: makes, opens and replaces files in a folder that may be another user's, as root does
// that looks once at a service's database. What it makes gets owner and group of the folder, and
// its group's right to write, so that the service can go on with it.
//
// No link in it leads root to another file: names are taken within the folder's descriptor, the
// last part of a path is never followed, a new file is new (O_EXCL), and of the files that are
// there root writes only to those of the folder's owner. Any thread, also in the host's commit: no
// call waits for more than the disk. Fails like open(2); kDenied: a link of another user.

#ifndef BACKSTAY_UPLOADER_BASE_OWN_FOLDER_H_
#define BACKSTAY_UPLOADER_BASE_OWN_FOLDER_H_

#include <sys/stat.h>

#include <string>
#include <utility>

#include "uploader/base/file.h"
#include "uploader/base/status.h"

namespace backstay {

class OwnFolder {
 public:
  static Result<OwnFolder> Open(const std::string& path);

  // Opens `name` to read and write, and makes it if need be. One that root must not write to, or
  // that the folder's owner may not, is replaced by a new one.
  Result<Fd> OpenFile(const std::string& name) const;
  // Likewise, only to lock it: what is there stays, whosever it is.
  Result<Fd> OpenLock(const std::string& name) const;
  // A file of that name that was not there.
  Result<Fd> MakeFile(const std::string& name) const;
  Status Rename(const std::string& from, const std::string& to) const;
  // Each name stands for the other's file then; `from` is renamed where there is no other, or where
  // the file system cannot do that.
  Status Exchange(const std::string& from, const std::string& to) const;
  void Remove(const std::string& name) const;
  // Gives a socket of ours to the folder's owner.
  void GiveSocket(const std::string& name) const;

 private:
  OwnFolder(std::string path, Fd fd, const struct stat& info)
      : path_(std::move(path)), fd_(std::move(fd)), info_(info) {}

  bool MayWrite(const Fd& file) const;
  Status Failed(const char* what, const std::string& name) const;

  std::string path_;
  Fd fd_;
  struct stat info_;
};

// A file may become this large: beyond RLIMIT_FSIZE a write would end the process (SIGXFSZ).
Status CheckSizeLimit(int64_t size);

// Gives what root has made to the owner of `model`, the folder that it is in or the file that it is
// for. Not being able to is no reason to fail: it works for us as it is.
void GiveTo(const Fd& made, const struct stat& model);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_BASE_OWN_FOLDER_H_
