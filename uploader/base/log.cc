#include "uploader/base/log.h"

#include <nlohmann/json.hpp>

#include "uploader/base/json_text.h"

namespace backstay {
namespace {

constexpr int64_t kRepeatMs = 30000;
constexpr int kMostBeginnings = 2;  // that are told in this time

const char* LevelName(Level level) {
  switch (level) {
    case Level::kDebug: return "DEBUG";
    case Level::kInfo: return "INFO";
    case Level::kWarn: return "WARN";
    case Level::kError: return "ERROR";
  }
  return "ERROR";
}

// Calls `take` with the value of the field.
template <typename Take>
void Give(const LogField& field, Take take) {
  switch (field.kind) {
    case LogField::Kind::kText: return take(std::string_view(field.text));
    case LogField::Kind::kInteger: return take(field.integer);
    case LogField::Kind::kReal: return take(field.real);
  }
}

std::string JsonLine(Level level, const std::string& time, std::string_view message,
                     const LogFields& fields) {
  JsonText line(-1);
  line.Open('{');
  line.Add("time", time);
  line.Add("level", LevelName(level));
  line.Add("logger", "backstay");
  line.Add("msg", message);
  for (const LogField& field : fields) Give(field, [&](auto value) { line.Add(field.key, value); });
  line.Close('}');
  // Paths may hold any bytes; invalid UTF-8 is replaced rather than refused.
  return line.Take() + "\n";
}

std::string TextLine(Level level, const std::string& time, std::string_view message,
                     const LogFields& fields) {
  std::string line = time + " " + LevelName(level) + " backstay: " + std::string(message);
  for (const LogField& field : fields) {
    nlohmann::json value;
    Give(field, [&](auto v) { value = v; });
    line += std::string(" ") + field.key + "=" +
            value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }
  return line + "\n";
}

std::string NameOf(std::initializer_list<LogField> fields) {
  std::string name;
  for (const LogField& field : fields) {
    if (field.kind == LogField::Kind::kText) name += field.text + '\n';
  }
  return name;
}

}  // namespace

Logger::Logger(LogOptions options)
    : options_(std::move(options)),
      level_(options_.level),
      file_(options_.file),
      reminders_(options_.clock) {}

void Logger::Log(Level level, std::string_view message, const LogFields& fields) {
  if (!Enabled(level)) return;
  std::string time = FormatRfc3339(options_.clock->WallMs());
  std::string line = options_.json ? JsonLine(level, time, message, fields)
                                   : TextLine(level, time, message, fields);
  if (options_.sink) return options_.sink(line);
  const LogFile::News news = file_.Write(line);
  if (!news.text.empty()) news.bad ? Log(Level::kError, news.text) : Recovered(news.text, {});
}

void Logger::Recovered(std::string_view message, LogFields fields) {
  fields.push_back({"event", std::string("recovered")});
  Log(Level::kInfo, message, fields);
}

void Logger::Remind(Level level, const std::string& message,
                    std::initializer_list<LogField> fields) {
  const std::optional<std::string> due = reminders_.Due(NameOf(fields), message);
  if (due) Log(level, *due, fields);
}

void Logger::Over(std::string_view message, std::initializer_list<LogField> fields) {
  if (reminders_.Forget(NameOf(fields))) Recovered(message, fields);
}

bool LastingProblem::DueLocked(int64_t now, Code kind) {
  if (now - first_at_ms_ >= kRepeatMs) beginnings_ = 0;
  const bool lasts = logged_at_ms_ && now - *logged_at_ms_ < kRepeatMs;
  const bool known = told_ && kind == kind_;
  if (lasts && (known || beginnings_ == kMostBeginnings)) return false;
  if (beginnings_++ == 0) first_at_ms_ = now;
  return true;
}

void LastingProblem::Failed(std::string_view message, std::initializer_list<LogField> fields,
                            Code kind) {
  std::lock_guard<std::mutex> lock(mutex_);
  int64_t now = clock_->MonotonicMs();
  failing_ = true;
  if (!DueLocked(now, kind)) {
    ++repeated_;
    return;
  }
  std::string text(message);
  if (repeated_ > 0) text += " (" + std::to_string(repeated_) + " more since the last line)";
  // First: without the memory for a line nothing has been said.
  logger_->Log(level_, text, fields);
  told_ = true;
  kind_ = kind;
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
  logger_->Recovered(message, fields);
}

bool LastingProblem::failing() {
  std::lock_guard<std::mutex> lock(mutex_);
  return failing_;
}

}  // namespace backstay
