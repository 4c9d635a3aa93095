#include "uploader/base/log.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "uploader/base/json_text.h"
#include "uploader/base/own_folder.h"

namespace backstay {
namespace {

constexpr int64_t kRepeatMs = 30000;

const char* LevelName(Level level) {
  switch (level) {
    case Level::kDebug: return "DEBUG";
    case Level::kInfo: return "INFO";
    case Level::kWarn: return "WARN";
    case Level::kError: return "ERROR";
  }
  return "ERROR";
}

std::string JsonLine(Level level, const std::string& time, std::string_view message,
                     std::initializer_list<LogField> fields) {
  JsonText line(-1);
  line.Open('{');
  line.Add("time", time);
  line.Add("level", LevelName(level));
  line.Add("logger", "backstay");
  line.Add("msg", message);
  for (const LogField& field : fields) {
    std::visit([&](const auto& value) { line.Add(field.key, value); }, field.value);
  }
  line.Close('}');
  // Paths may hold any bytes; invalid UTF-8 is replaced rather than refused.
  return line.Take() + "\n";
}

std::string TextLine(Level level, const std::string& time, std::string_view message,
                     std::initializer_list<LogField> fields) {
  std::string line = time + " " + LevelName(level) + " backstay: " + std::string(message);
  for (const LogField& field : fields) {
    nlohmann::json value;
    std::visit([&](const auto& v) { value = v; }, field.value);
    line += std::string(" ") + field.key + "=" +
            value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }
  return line + "\n";
}

std::string NameOf(std::initializer_list<LogField> fields) {
  std::string name;
  for (const LogField& field : fields) {
    const auto* text = std::get_if<std::string>(&field.value);
    if (text != nullptr) name += *text + '\n';
  }
  return name;
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

}  // namespace

Logger::Logger(LogOptions options) : options_(std::move(options)), reminders_(options_.clock) {
  if (options_.file.empty()) return;
  Result<Fd> fd = OpenFile(options_.file, O_WRONLY | O_CREAT | O_APPEND, 0640);
  if (fd.ok()) file_ = std::move(*fd);
}

void Logger::Log(Level level, std::string_view message, std::initializer_list<LogField> fields) {
  if (!Enabled(level)) return;
  std::string time = FormatRfc3339(options_.clock->WallMs());
  std::string line = options_.json ? JsonLine(level, time, message, fields)
                                   : TextLine(level, time, message, fields);
  if (options_.sink) return options_.sink(line);
  // The result is not used: there is nowhere to report a log that cannot be written.
  int fd = file_.valid() ? file_.get() : STDERR_FILENO;
  struct stat info {};
  const bool file = fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
  const auto size = static_cast<int64_t>(info.st_size + static_cast<off_t>(line.size()));
  if (file && !CheckSizeLimit(size).ok()) return;
  WriteLine(fd, line);
}

void Logger::Remind(Level level, const std::string& message,
                    std::initializer_list<LogField> fields) {
  const std::optional<std::string> due = reminders_.Due(NameOf(fields), message);
  if (due) Log(level, *due, fields);
}

void Logger::Over(std::initializer_list<LogField> fields) { reminders_.Forget(NameOf(fields)); }

void LastingProblem::Failed(std::string_view message, std::initializer_list<LogField> fields) {
  std::lock_guard<std::mutex> lock(mutex_);
  int64_t now = clock_->MonotonicMs();
  failing_ = true;
  if (logged_at_ms_ && now - *logged_at_ms_ < kRepeatMs) {
    ++repeated_;
    return;
  }
  std::string text(message);
  if (repeated_ > 0) text += " (" + std::to_string(repeated_) + " more since the last line)";
  // First: without the memory for a line nothing has been said.
  logger_->Log(level_, text, fields);
  told_ = true;
  logged_at_ms_ = now;
  repeated_ = 0;
}

void LastingProblem::Recovered(std::string_view message, std::initializer_list<LogField> fields) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    failing_ = false;
    if (!told_) return;
    told_ = false;
    repeated_ = 0;
  }
  logger_->Log(Level::kInfo, message, fields);
}

bool LastingProblem::failing() {
  std::lock_guard<std::mutex> lock(mutex_);
  return failing_;
}

}  // namespace backstay
