#include "uploader/storage/file_client.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>

#include "uploader/base/own_folder.h"

namespace backstay {
namespace {

constexpr char kTemporary[] = ".backstay-tmp-";
constexpr size_t kMaxName = 255;  // NAME_MAX of Linux file systems
constexpr int kFolderAttempts = 1000;

bool StartsWith(std::string_view text, std::string_view start) {
  return text.substr(0, start.size()) == start;
}

Status Passing(const std::string& message) { return {Code::kUnavailable, message, true}; }

// What is not the caller's fault or a matter of rights may pass: a full disk, a stale mount.
Status Classify(const Status& status) {
  return status.code() == Code::kIo ? Passing(status.message()) : status;
}

Status FileError(const std::string& context, int errnum) {
  Status status = Status::Errno(context, errnum);
  switch (errnum) {
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
    case ENAMETOOLONG: return {Code::kInvalid, status.message()};
    case EACCES:
    case EPERM:
    case EROFS:
      return {Code::kDenied, status.message() + "; give this user access, or name another folder"};
    default: return Classify(status);
  }
}

Status CheckKey(const std::string& key) {
  size_t at = 0;
  while (true) {
    size_t end = std::min(key.find('/', at), key.size());
    std::string_view name(key.data() + at, end - at);
    bool bad = name.empty() || name == "." || name == ".." || name.size() > kMaxName ||
               StartsWith(name, kTemporary) || name.find('\0') != std::string_view::npos;
    if (bad) return {Code::kInvalid, "key `" + key + "`: no path of a file below the root"};
    if (end == key.size()) return Status::Ok();
    at = end + 1;
  }
}

// What root makes belongs to the owner of the folder that it is in.
void GiveToOwnerOf(const std::string& folder, const Fd& made) {
  struct stat info {};
  if (stat(folder.c_str(), &info) == 0) GiveTo(made, info);
}

Status GiveFolder(const std::string& made) {
  const Result<Fd> fd = OpenFile(made, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (fd.ok()) GiveToOwnerOf(FolderOf(made), *fd);
  return Status::Ok();
}

// Makes the folder and all above it that are missing. The caller fsyncs them, later: between this
// and the first file in it, another client's Delete may remove the folder as empty.
Status MakeFolder(const std::string& folder) {
  if (mkdir(folder.c_str(), 0700) == 0) return GiveFolder(folder);
  if (errno == EEXIST) return Status::Ok();
  if (errno != ENOENT || folder == FolderOf(folder)) return FileError("mkdir " + folder, errno);
  BACKSTAY_TRY(MakeFolder(FolderOf(folder)));
  if (mkdir(folder.c_str(), 0700) == 0) return GiveFolder(folder);
  return errno == EEXIST ? Status::Ok() : FileError("mkdir " + folder, errno);
}

// A new temporary file in `folder`; *path is its name. *made: folders were missing, and made.
Result<Fd> OpenTemporary(const std::string& folder, std::string* path, bool* made) {
  *made = false;
  for (int n = 0; n < kFolderAttempts; n++) {
    *path = folder + "/" + kTemporary + "XXXXXX";
    Fd fd(mkostemp(path->data(), O_CLOEXEC));
    if (fd.valid()) {
      GiveToOwnerOf(folder, fd);
      return fd;
    }
    if (errno != ENOENT) return FileError("create a file in " + folder, errno);
    *made = true;
    Status status = MakeFolder(folder);
    if (!status.ok() && status.code() != Code::kNotFound) return status;
  }
  return Passing("create a file in " + folder + ": the folder keeps disappearing");
}

// Fsyncs the folder of `path`; all folders above it as well, if some were made for it.
Status SyncFolders(const std::string& path, bool all) {
  std::string folder = FolderOf(path);
  while (true) {
    Status synced = Classify(SyncFolder(folder));
    // One that is gone went with the object, which someone has deleted since. One above that may
    // not be read was there before.
    bool ignored = synced.code() == Code::kNotFound || synced.code() == Code::kDenied;
    if (!synced.ok() && !ignored) return synced;
    if (!all || folder == FolderOf(folder)) return Status::Ok();
    folder = FolderOf(folder);
  }
}

Status Replace(const std::string& temporary, const std::string& path) {
  if (rename(temporary.c_str(), path.c_str()) == 0) return Status::Ok();
  return FileError("rename to " + path, errno);
}

// FAT and some FUSE file systems have no hard links; the kernel may still rename without replacing.
Status RenameIfAbsent(const std::string& temporary, const std::string& path) {
  if (renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE) == 0) {
    return Status::Ok();
  }
  if (errno == EINVAL || errno == ENOSYS) {
    return {Code::kUnsupported, path + ": this file system cannot create a file only if absent"};
  }
  return FileError("rename to " + path, errno);
}

Status LinkIfAbsent(const Fd& fd, const std::string& temporary, const std::string& path) {
  if (link(temporary.c_str(), path.c_str()) == 0) return Status::Ok();
  int errnum = errno;
  if (errnum == EPERM || errnum == EOPNOTSUPP || errnum == ENOSYS || errnum == EMLINK) {
    return RenameIfAbsent(temporary, path);
  }
  // NFS repeats a request whose answer was lost (open(2), O_EXCL): the count of links is the truth.
  struct stat info {};
  if (errnum == EEXIST && fstat(fd.get(), &info) == 0 && info.st_nlink == 2) return Status::Ok();
  return FileError("link to " + path, errnum);
}

// kUnknown: it cannot be told, and errno says why.
enum class Kind { kFile, kFolder, kOther, kUnknown };

// Without following a symbolic link; *size in bytes for a file.
Kind KindOf(DIR* folder, const dirent& entry, uint64_t* size) {
  if (entry.d_type == DT_DIR) return Kind::kFolder;
  if (entry.d_type != DT_REG && entry.d_type != DT_UNKNOWN) return Kind::kOther;
  struct stat info {};
  if (fstatat(dirfd(folder), entry.d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
    return errno == ENOENT ? Kind::kOther : Kind::kUnknown;
  }
  *size = static_cast<uint64_t>(info.st_size);
  if (S_ISDIR(info.st_mode)) return Kind::kFolder;
  return S_ISREG(info.st_mode) ? Kind::kFile : Kind::kOther;
}

// May a key that starts with `folder` be in the list?
bool Overlaps(const std::string& folder, const ListOptions& options) {
  bool in_prefix = StartsWith(folder, options.prefix) || StartsWith(options.prefix, folder);
  return in_prefix && (folder > options.start_after || StartsWith(options.start_after, folder));
}

using Dir = std::unique_ptr<DIR, int (*)(DIR*)>;

bool HidesFromList(const char* name) {
  return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || StartsWith(name, kTemporary);
}

}  // namespace

Result<std::unique_ptr<ReplicaClient>> FileReplicaClient::Make(const std::string& root) {
  if (root.empty() || root[0] != '/' || root.find('\0') != std::string::npos) {
    return Status(Code::kInvalid, "replica folder `" + root + "`: write an absolute path");
  }
  std::string trimmed = root;
  while (trimmed.size() > 1 && trimmed.back() == '/') trimmed.pop_back();
  return std::unique_ptr<ReplicaClient>(new FileReplicaClient(std::move(trimmed)));
}

ClientCounters FileReplicaClient::Counters() const {
  return {.requests = requests_,
          .bytes_sent = bytes_sent_,
          .bytes_received = bytes_received_,
          .by_kind = counts_.All()};
}

void FileReplicaClient::Seen() {
  struct stat info {};
  if (stat(root_.c_str(), &info) == 0) device_ = info.st_dev;
}

// Kind and id, which outlive a mount; where it has no id, as NFS, the device, which may not. Of a
// folder that is missing: that of the one above, where it would be made.
std::string FileReplicaClient::PlaceMark() const {
  struct statfs system {};
  struct stat info {};
  std::string folder = root_;
  while (stat(folder.c_str(), &info) != 0) {
    if (folder == FolderOf(folder)) return {};
    folder = FolderOf(folder);
  }
  if (statfs(folder.c_str(), &system) != 0) return {};
  uint64_t id = 0;
  static_assert(sizeof id == sizeof system.f_fsid);
  memcpy(&id, &system.f_fsid, sizeof id);
  const std::string device = id == 0 ? " device " + std::to_string(info.st_dev) : "";
  return "type " + std::to_string(system.f_type) + " id " + std::to_string(id) + device;
}

Status FileReplicaClient::ProvePlace() {
  struct stat info {};
  const uint64_t before = device_;
  if (before != 0 && stat(root_.c_str(), &info) == 0 && info.st_dev != before) {
    return {Code::kIo, "the folder " + root_ +
                           " is not on the file system that it was on: mount that; or, if it is "
                           "another one for good, end this application, and `backstay adopt` its "
                           "database"};
  }
  if (Dir(opendir(root_.c_str()), &closedir) != nullptr) return Status::Ok();
  const std::string above = FolderOf(root_);
  const Dir dir(opendir(above.c_str()), &closedir);
  const dirent* entry = dir == nullptr ? nullptr : readdir(dir.get());
  while (entry != nullptr && HidesFromList(entry->d_name)) entry = readdir(dir.get());
  if (entry != nullptr) return Status::Ok();
  return {Code::kIo, "the folder " + root_ + " does not exist, and " + above +
                         (dir == nullptr ? " does not either" : " is empty") +
                         ", as when a file system is not mounted: mount it; or, if nothing was "
                         "ever replicated there, make the folder: mkdir -p " +
                         root_};
}

Status FileReplicaClient::Begin(const std::string& key) {
  if (cancelled_) return {Code::kCancelled, "cancelled"};
  requests_++;
  return CheckKey(key).Wrap(Describe());
}

Status FileReplicaClient::Put(const std::string& key, Bytes body) {
  Status put = Write(key, body, Mode::kReplace);
  counts_.Add(RequestKind::kPut, put);
  return put;
}

Status FileReplicaClient::PutIfAbsent(const std::string& key, Bytes body) {
  Status put = Write(key, body, Mode::kCreateOnly);
  counts_.Add(RequestKind::kPut, put);
  return put;
}

Status FileReplicaClient::Write(const std::string& key, Bytes body, Mode mode) {
  BACKSTAY_TRY(Begin(key));
  if (device_ != 0) BACKSTAY_TRY(Classify(ProvePlace()));
  std::string path = root_ + "/" + key;
  std::string temporary;
  bool made_folders = false;
  Result<Fd> fd = OpenTemporary(FolderOf(path), &temporary, &made_folders);
  if (!fd.ok()) return fd.status();
  bytes_sent_ += body.size();
  Status done = [&]() -> Status {
    BACKSTAY_TRY(Classify(WriteAt(*fd, body, 0)).Wrap(path));
    if (fsync(fd->get()) != 0) return FileError("fsync " + temporary, errno);
    return mode == Mode::kReplace ? Replace(temporary, path) : LinkIfAbsent(*fd, temporary, path);
  }();
  // After a rename there is nothing left to remove.
  unlink(temporary.c_str());
  BACKSTAY_TRY(done);
  Seen();
  return SyncFolders(path, made_folders);
}

Result<std::string> FileReplicaClient::Get(const std::string& key, const GetOptions& options) {
  Result<std::string> got = Read(key, options);
  counts_.Add(RequestKind::kGet, got.status());
  return got;
}

Result<std::string> FileReplicaClient::Read(const std::string& key, const GetOptions& options) {
  BACKSTAY_TRY(Begin(key));
  std::string path = root_ + "/" + key;
  Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) return FileError("open " + path, errno == ENOTDIR ? ENOENT : errno);
  struct stat info {};
  if (fstat(fd.get(), &info) != 0) return FileError("stat " + path, errno);
  if (!S_ISREG(info.st_mode)) return FileError("open " + path, ENOENT);

  uint64_t size = static_cast<uint64_t>(info.st_size);
  uint64_t first = 0;
  uint64_t count = size;
  if (options.length > 0) {
    uint64_t offset = static_cast<uint64_t>(options.offset);
    first = options.offset >= 0 ? offset : size - std::min(size, 0 - offset);
    if (first >= size) return std::string();
    count = std::min(options.length, size - first);
  }
  if (count > options.max_bytes) {
    return Status(Code::kInvalid, path + ": larger than the limit of " +
                                      std::to_string(options.max_bytes) + " bytes");
  }
  std::string body(count, '\0');
  Result<size_t> got =
      ReadAt(fd, reinterpret_cast<uint8_t*>(body.data()), body.size(), static_cast<int64_t>(first));
  if (!got.ok()) return Classify(got.status()).Wrap(path);
  body.resize(*got);
  bytes_received_ += body.size();
  Seen();
  return body;
}

Status FileReplicaClient::Walk(const std::string& folder, const ListOptions& options,
                               std::vector<ObjectInfo>* out) {
  if (cancelled_) return {Code::kCancelled, "cancelled"};
  std::string path = root_ + "/" + folder;
  Dir dir(opendir(path.c_str()), &closedir);
  if (dir == nullptr) return errno == ENOENT ? Status::Ok() : FileError("list " + path, errno);
  while (true) {
    errno = 0;
    const dirent* entry = readdir(dir.get());
    if (entry == nullptr) return errno == 0 ? Status::Ok() : FileError("list " + path, errno);
    if (HidesFromList(entry->d_name)) continue;
    uint64_t size = 0;
    std::string key = folder + entry->d_name;
    Kind kind = KindOf(dir.get(), *entry, &size);
    if (kind == Kind::kUnknown) return FileError("stat " + root_ + "/" + key, errno);
    if (kind == Kind::kFolder) {
      if (Overlaps(key + "/", options)) BACKSTAY_TRY(Walk(key + "/", options, out));
    } else if (kind == Kind::kFile && StartsWith(key, options.prefix)) {
      out->push_back({std::move(key), size});
    }
  }
}

Result<std::vector<ObjectInfo>> FileReplicaClient::List(const ListOptions& options) {
  Result<std::vector<ObjectInfo>> found = Find(options);
  counts_.Add(RequestKind::kList, found.status());
  return found;
}

Result<std::vector<ObjectInfo>> FileReplicaClient::Find(const ListOptions& options) {
  if (cancelled_) return Status(Code::kCancelled, "cancelled");
  requests_++;
  std::vector<ObjectInfo> found;
  BACKSTAY_TRY(Walk("", options, &found));
  std::vector<ObjectInfo> out;
  for (ObjectInfo& object : found) {
    if (options.folders) {
      size_t slash = object.key.find('/', options.prefix.size());
      if (slash == std::string::npos) continue;
      object = {object.key.substr(0, slash + 1), 0};
    }
    if (object.key > options.start_after) out.push_back(std::move(object));
  }
  std::sort(out.begin(), out.end(), [](auto& a, auto& b) { return a.key < b.key; });
  auto same = [](auto& a, auto& b) { return a.key == b.key; };
  out.erase(std::unique(out.begin(), out.end(), same), out.end());
  return out;
}

Status FileReplicaClient::Delete(const std::vector<std::string>& keys) {
  for (const std::string& key : keys) {
    Status removed = Remove(key);
    counts_.Add(RequestKind::kDelete, removed);
    BACKSTAY_TRY(std::move(removed));
  }
  return Status::Ok();
}

Status FileReplicaClient::Remove(const std::string& key) {
  BACKSTAY_TRY(Begin(key));
  std::string path = root_ + "/" + key;
  bool gone = unlink(path.c_str()) == 0 || errno == ENOENT || errno == ENOTDIR || errno == EISDIR;
  if (!gone) return FileError("delete " + path, errno);
  RemoveEmptyFolders(path);
  return Status::Ok();
}

void FileReplicaClient::RemoveEmptyFolders(const std::string& path) {
  std::string folder = FolderOf(path);
  while (folder.size() > root_.size() && rmdir(folder.c_str()) == 0) folder = FolderOf(folder);
}

}  // namespace backstay
