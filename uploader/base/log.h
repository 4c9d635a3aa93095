// Logger: one line per event, to stderr or a file; JSON or text.
//
// {"time":"…Z","level":"WARN","logger":"backstay","msg":"…","db":"…","replica":"…",…}: one object a
// line, level in capitals, never a secret (callers pass none). Any thread. Cannot fail: a line that
// the file does not take goes to stderr, and is dropped only where that takes none. Never stdout.

#ifndef BACKSTAY_UPLOADER_BASE_LOG_H_
#define BACKSTAY_UPLOADER_BASE_LOG_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "uploader/base/clock.h"
#include "uploader/base/reminders.h"
#include "uploader/base/status.h"
#include "uploader/log_file.h"

namespace backstay {

enum class Level { kDebug, kInfo, kWarn, kError };

// A plain struct: where a copy of a std::variant runs out of memory, libstdc++ 12 calls that
// unreachable.
struct LogField {
  LogField(const char* name, std::string value) : key(name), text(std::move(value)) {}
  LogField(const char* name, int64_t value) : key(name), kind(Kind::kInteger), integer(value) {}
  LogField(const char* name, double value) : key(name), kind(Kind::kReal), real(value) {}

  enum class Kind { kText, kInteger, kReal };

  const char* key;
  Kind kind = Kind::kText;
  std::string text;
  int64_t integer = 0;
  double real = 0;
};

using LogFields = std::vector<LogField>;

struct LogOptions {
  Level level = Level::kInfo;
  bool json = true;
  std::string file;  // empty: stderr
  Clock* clock = RealClock();
  // Test seam: receives whole lines in place of the file.
  std::function<void(std::string_view line)> sink;
};

class Logger {
 public:
  explicit Logger(LogOptions options);

  void Log(Level level, std::string_view message, const LogFields& fields = {});
  // What a WARN or an ERROR told of is over: an INFO with "event":"recovered", by which alerts find
  // it.
  void Recovered(std::string_view message, LogFields fields);
  // A state that lasts until somebody acts: call it again and again, Reminders says how often there
  // is a line. `fields` name what it is a state of; for Over() too.
  void Remind(Level level, const std::string& message, std::initializer_list<LogField> fields);
  // It is over: `message` says so where a line said that it was.
  void Over(std::string_view message, std::initializer_list<LogField> fields);
  bool Enabled(Level level) const { return level >= level_.load(); }
  void UseLevel(Level level) { level_ = level; }

 private:
  const LogOptions options_;
  std::atomic<Level> level_;
  LogFile file_;
  Reminders reminders_;
};

// A problem that lasts: logged when it begins, then at most every 30 s with the number of
// repetitions, and once, at INFO, when it is over. One that comes back, or becomes one of another
// kind, is logged at once, too; from the third time in 30 s on it is only counted. Thread-safe.
class LastingProblem {
 public:
  LastingProblem(Logger* logger, Clock* clock, Level level)
      : logger_(logger), clock_(clock), level_(level) {}

  // `kind`: what the remedy depends on; the same call may give another one each time.
  void Failed(std::string_view message, std::initializer_list<LogField> fields,
              Code kind = Code::kOk);
  // `message` says what works again. Nothing is logged when no failure was.
  void Recovered(std::string_view message, std::initializer_list<LogField> fields);
  bool failing();

 private:
  Logger* const logger_;
  Clock* const clock_;
  const Level level_;
  std::mutex mutex_;
  bool DueLocked(int64_t now, Code kind);

  std::optional<int64_t> logged_at_ms_;  // guarded by mutex_
  int64_t first_at_ms_ = 0;              // guarded by mutex_; of those that are counted below
  int beginnings_ = 0;                   // guarded by mutex_
  uint64_t repeated_ = 0;                // guarded by mutex_
  bool told_ = false;                    // guarded by mutex_; the last line was a failure
  Code kind_ = Code::kOk;                // guarded by mutex_; of that line
  bool failing_ = false;                 // guarded by mutex_
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_BASE_LOG_H_
