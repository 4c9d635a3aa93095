#include "vfs/own_log.h"

#include <strings.h>

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
    : options_(std::move(options)),
      lowest_(LevelOf(options_.level)),
      file_(!options_.file.empty() && options_.file[0] == '/' ? options_.file : "") {}

void OwnLog::Write(int level, std::string_view path, std::string_view message) {
  WriteOf(level, path, message, {});
}

void OwnLog::WriteOf(int level, std::string_view path, std::string_view message,
                     std::string_view event) {
  if (level < lowest_) return;
  std::string line;
  if (options_.type == "text") {
    line.append(Now()).append(" ").append(kNames[level]).append(" backstay: ").append(message);
    if (!path.empty()) line.append(" db=\"").append(path).append("\"");
    if (!event.empty()) line.append(" event=\"").append(event).append("\"");
  } else {
    line = JsonLine({{"time", Now()},
                     {"level", kNames[level]},
                     {"logger", "backstay"},
                     {"msg", message},
                     {"db", path},
                     {"event", event}});
  }
  line += '\n';
  const LogFile::News news = file_.Write(line);
  if (news.text.empty()) return;
  news.bad ? WriteOf(BACKSTAY_ERROR, {}, news.text, {})
           : WriteOf(BACKSTAY_INFO, {}, news.text, "recovered");
}

}  // namespace backstay
