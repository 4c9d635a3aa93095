// LogFile: where log lines go: a file, or standard error.
//
// Of engine and shim alike, which share no library: header only, libc only. Opened for each line,
// so that no descriptor is held, and a file that was moved, deleted or is writable again is found.
// A line that the file does not take goes to standard error. Any thread, and a forked child. Never
// ends the host or holds it up: neither a reader that is gone or reads no more, nor a limit.

#ifndef BACKSTAY_UPLOADER_LOG_FILE_H_
#define BACKSTAY_UPLOADER_LOG_FILE_H_

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <string>
#include <string_view>
#include <utility>

namespace backstay {

class LogFile {
 public:
  // To be logged, too: that the file is not written, at most every 30 s, or is again; else empty.
  struct News {
    bool bad = false;
    std::string text;
  };

  // Empty: standard error.
  explicit LogFile(std::string path) : path_(std::move(path)) {}

  News Write(std::string_view line) {
    const int error = path_.empty() ? EBADF : Append(line);
    if (error == 0) {
      if (!failing_.exchange(false)) return {};
      told_s_ = 0;
      return {false, "the log file can be written again"};
    }
    (void)Put(STDERR_FILENO, line, &stderr_torn_);
    if (path_.empty()) return {};
    failing_ = true;
    const int64_t now = Seconds();
    int64_t told = told_s_;
    if ((told != 0 && now - told < kPauseS) || !told_s_.compare_exchange_strong(told, now)) {
      return {};
    }
    return {true, "the log file " + path_ + " cannot be written (" + strerror(error) +
                      "); its lines go to standard error until it can"};
  }

 private:
  static constexpr int64_t kPauseS = 30;

  static int64_t Seconds() {
    timespec now{};
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + 1;
  }

  // 0, or the error.
  int Append(std::string_view line) {
    constexpr int kFlags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    const int fd = open(path_.c_str(), kFlags, 0640);
    if (fd < 0) return errno;
    const int error = HasRoom(fd, line.size()) ? Put(fd, line, &torn_) : EFBIG;
    (void)close(fd);
    return error;
  }

  // At the limit for files a write would end the process.
  static bool HasRoom(int fd, size_t bytes) {
    rlimit limit{};
    struct stat info {};
    if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return true;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) return true;
    return static_cast<rlim_t>(info.st_size) + bytes <= limit.rlim_cur;
  }

  // A pipe that is ready takes this much without a wait.
  static int Put(int fd, std::string_view line, std::atomic<bool>* torn) {
    if (fd == STDERR_FILENO && !HasRoom(fd, line.size())) return EFBIG;
    int error = 0;
    // What follows the half of a line is a line of its own.
    if (*torn) error = PutPiece(fd, "\n");
    if (error != 0) return error;
    *torn = false;
    struct stat info {};
    const bool pipe = fstat(fd, &info) != 0 || !S_ISREG(info.st_mode);
    const size_t most = pipe ? PIPE_BUF : line.size();
    for (size_t at = 0; at < line.size() && error == 0; at += most) {
      error = PutPiece(fd, line.substr(at, most));
      if (error != 0) *torn = at != 0 || error == kShort;
    }
    return error == kShort ? ENOSPC : error;
  }

  static int PutPiece(int fd, std::string_view piece) {
    constexpr int kPatienceMs = 20;
    pollfd ready{fd, POLLOUT, 0};
    if (poll(&ready, 1, kPatienceMs) <= 0) return EAGAIN;
    sigset_t pipe;
    sigset_t before;
    sigset_t pending;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    if (const int error = pthread_sigmask(SIG_BLOCK, &pipe, &before); error != 0) return error;
    const bool waits = sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) == 1;
    const ssize_t n = write(fd, piece.data(), piece.size());
    const int error = n < 0 ? errno : 0;
    constexpr timespec kNow{};
    if (error == EPIPE && !waits) (void)sigtimedwait(&pipe, nullptr, &kNow);
    (void)pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (error != 0) return error;
    return static_cast<size_t>(n) < piece.size() ? kShort : 0;
  }

  static constexpr int kShort = -1;

  const std::string path_;
  std::atomic<bool> failing_{false};
  std::atomic<bool> torn_{false};  // the last thing in the file is the beginning of a line
  std::atomic<bool> stderr_torn_{false};
  std::atomic<int64_t> told_s_{0};  // monotonic; 0: not since it failed
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_LOG_FILE_H_
