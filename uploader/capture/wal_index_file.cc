#include "uploader/capture/wal_index_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <vector>

namespace backstay {
namespace {

constexpr size_t kCopyBytes = 48;
constexpr size_t kSummedBytes = 40;
constexpr uint32_t kVersion = 3007000;
constexpr size_t kInitAt = 12;  // one byte
constexpr size_t kSaltsAt = 32;
constexpr int kTries = 20;  // somebody is writing the header

uint32_t Word(Bytes header, size_t index) {
  uint32_t word = 0;
  memcpy(&word, header.data() + index * sizeof word, sizeof word);
  return word;
}

// Every connection that has the wal-index mapped holds a shared lock on this byte. The first one
// holds it exclusively until it has emptied what a crash has left.
constexpr off_t kUsersAt = 128;

// As an open file description of its own the question also meets the locks of this process.
bool IsUsed(int fd) {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = kUsersAt;
  lock.l_len = 1;
  return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type == F_RDLCK;
}

// The descriptors of this process, by file.
class Descriptors {
 public:
  static Descriptors& OfProcess() {
    static auto* all = new Descriptors;
    return *all;
  }

  // -1: there is none.
  int Get(const std::string& path) {
    struct stat info {};
    if (stat(path.c_str(), &info) != 0) return -1;
    // In a forked child it may be held for ever by a thread that is not there.
    std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
    for (int i = 0; i < kPatienceMs && !lock.owns_lock(); ++i) {
      usleep(1000);
      (void)lock.try_lock();
    }
    if (!lock.owns_lock()) return -1;
    for (const Entry& entry : all_) {
      if (entry.device == info.st_dev && entry.inode == info.st_ino && IsOpen(entry)) {
        return entry.fd;
      }
    }
    Forget();
    all_.reserve(all_.size() + 1);
    const int fd = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return -1;
    // One that is not told apart later stays open all the same.
    if (fstat(fd, &info) != 0) info = {};
    all_.push_back({info.st_dev, info.st_ino, fd});
    return fd;
  }

 private:
  struct Entry {
    dev_t device;
    ino_t inode;
    int fd;
  };

  // The number may have been closed by the host and be another file's by now.
  static bool IsOpen(const Entry& entry, struct stat* info) {
    return fstat(entry.fd, info) == 0 && info->st_dev == entry.device &&
           info->st_ino == entry.inode;
  }
  static bool IsOpen(const Entry& entry) {
    struct stat info {};
    return IsOpen(entry, &info);
  }

  void Forget() {
    const auto is_over = [](const Entry& entry) {
      struct stat info {};
      if (!IsOpen(entry, &info)) return true;
      if (info.st_nlink != 0) return false;
      close(entry.fd);
      return true;
    };
    all_.erase(std::remove_if(all_.begin(), all_.end(), is_over), all_.end());
  }

  static constexpr int kPatienceMs = 50;

  std::mutex mutex_;
  std::vector<Entry> all_;  // guarded by mutex_
};

}  // namespace

std::optional<WalTarget> ParseWalIndex(Bytes header) {
  if (header.size() < 2 * kCopyBytes) return std::nullopt;
  if (memcmp(header.data(), header.data() + kCopyBytes, kCopyBytes) != 0) return std::nullopt;
  if (Word(header, 0) != kVersion || header[kInitAt] != 1) return std::nullopt;
  uint32_t s1 = 0;
  uint32_t s2 = 0;
  for (size_t i = 0; i < kSummedBytes / sizeof(uint32_t); i += 2) {
    s1 += Word(header, i) + s2;
    s2 += Word(header, i + 1) + s1;
  }
  if (s1 != Word(header, 10) || s2 != Word(header, 11)) return std::nullopt;
  WalTarget target;
  target.salt1 = LoadBe32(header.data() + kSaltsAt);
  target.salt2 = LoadBe32(header.data() + kSaltsAt + 4);
  target.change = Word(header, 2);
  target.max_frame = Word(header, 4);
  target.pages = Word(header, 5);
  return target;
}

std::optional<WalTarget> WalIndexFile::Read() const {
  const int fd = Descriptors::OfProcess().Get(path_);
  // In this order: whoever used it when it was asked for kept it up to date until then.
  if (fd < 0 || !IsUsed(fd)) return std::nullopt;
  for (int i = 0; i < kTries; ++i) {
    uint8_t header[2 * kCopyBytes];
    if (pread(fd, header, sizeof header, 0) != sizeof header) return std::nullopt;
    std::optional<WalTarget> target = ParseWalIndex(Bytes(header, sizeof header));
    if (target) return target;
  }
  return std::nullopt;
}

}  // namespace backstay
