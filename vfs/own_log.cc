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
  const LogFile::News news = file_.Write(line);
  if (!news.text.empty()) Write(news.bad ? BACKSTAY_ERROR : BACKSTAY_INFO, {}, news.text);
}

}  // namespace backstay
