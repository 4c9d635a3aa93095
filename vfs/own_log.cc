#include "vfs/own_log.h"

#include <fcntl.h>
#include <poll.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <utility>

#include "uploader/engine_api.h"
#include "vfs/json_line.h"

namespace backstay {
namespace {

constexpr const char* kNames[] = {"DEBUG", "INFO", "WARN", "ERROR"};

int LevelOf(const std::string& name) {
  for (int level = BACKSTAY_DEBUG; level <= BACKSTAY_ERROR; level++) {
    if (strcasecmp(name.c_str(), kNames[level]) == 0) return level;
  }
  return BACKSTAY_INFO;
}

// The reader of a pipe may be gone, or read no more: neither may end the host, nor hold it up.
void WriteLine(int fd, const std::string& line) {
  constexpr int kPatienceMs = 20;
  pollfd ready{fd, POLLOUT, 0};
  if (poll(&ready, 1, kPatienceMs) <= 0) return;
  sigset_t pipe;
  sigset_t before;
  sigset_t pending;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  if (pthread_sigmask(SIG_BLOCK, &pipe, &before) != 0) return;
  const bool waits = sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) == 1;
  const bool broken = write(fd, line.data(), line.size()) < 0 && errno == EPIPE;
  constexpr timespec kNow{};
  if (broken && !waits) (void)sigtimedwait(&pipe, nullptr, &kNow);
  (void)pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

// At the limit for files a write would end the process.
bool HasRoom(int fd, size_t bytes) {
  rlimit limit{};
  struct stat info {};
  if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return true;
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) return true;
  return static_cast<rlim_t>(info.st_size) + bytes <= limit.rlim_cur;
}

std::string Now() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  tm utc;
  gmtime_r(&now.tv_sec, &utc);
  char text[64];
  const size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
  snprintf(text + n, sizeof text - n, ".%03ldZ", now.tv_nsec / 1000000);
  return text;
}

}  // namespace

OwnLog::OwnLog(OwnLogOptions options)
    : options_(std::move(options)), lowest_(LevelOf(options_.level)) {}

void OwnLog::Write(int level, std::string_view path, std::string_view message) const {
  if (level < lowest_) return;
  std::string line;
  if (options_.type == "text") {
    line.append(Now()).append(" ").append(kNames[level]).append(" backstay: ").append(message);
    if (!path.empty()) line.append(" db=\"").append(path).append("\"");
  } else {
    line = JsonLine({{"time", Now()},
                     {"level", kNames[level]},
                     {"logger", "backstay"},
                     {"msg", message},
                     {"db", path}});
  }
  line += '\n';
  constexpr int kFlags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  const bool named = !options_.file.empty() && options_.file[0] == '/';
  const int file = named ? open(options_.file.c_str(), kFlags, 0640) : -1;
  const int fd = file >= 0 ? file : STDERR_FILENO;
  if (HasRoom(fd, line.size())) WriteLine(fd, line);
  if (file >= 0) close(file);
}

}  // namespace backstay
