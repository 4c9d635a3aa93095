#include "tools/command.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string_view>

#include "tools/transcript.h"

namespace backstay {
namespace {

std::mutex last_mutex;
std::string last_error;  // guarded by last_mutex

// What is said of objects and keys that others have named must not steer a terminal.
std::string Harmless(std::string text) {
  for (char& c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7f) c = '?';
  }
  return text;
}

void Print(Level level, const std::string& message, const LogFields& fields) {
  const std::string text = (level == Level::kWarn ? "warning: " : "") + Harmless(message);
  const char* format = getenv("BACKSTAY_LOG_FORMAT");
  if (format != nullptr && std::string_view(format) == "json") {
    Logger(LogOptions{}).Log(level, message, fields);
  } else {
    fprintf(stderr, "backstay: %s\n", text.c_str());
  }
  Transcript::Note(text);
}

}  // namespace

void PrintLine(Level level, const std::string& message) { Print(level, message, {}); }

void PrintRecovered(const std::string& message) {
  Print(Level::kInfo, message, {{"event", std::string("recovered")}});
}

void PrintError(const std::string& message) {
  NoteError(message);
  PrintLine(Level::kError, message);
}

void NoteError(const std::string& message) {
  std::lock_guard<std::mutex> lock(last_mutex);
  last_error = message;
}

void PrintNote(const std::string& message) { PrintLine(Level::kInfo, message); }

void PrintWarning(const std::string& message) { PrintLine(Level::kWarn, message); }

std::string LastError() {
  std::lock_guard<std::mutex> lock(last_mutex);
  return last_error;
}

int ExitCodeOf(const Status& status) {
  switch (status.code()) {
    case Code::kOk: return kExitDone;
    case Code::kInvalid: return kExitUsage;
    case Code::kNotFound:
    case Code::kNoBucket: return kExitNothing;
    case Code::kCorrupt: return kExitDamaged;
    default: return kExitFailed;
  }
}

int WorseOf(int exit_code, int other) {
  const auto rank = [](int code) {
    static constexpr int kOrder[] = {kExitDone, kExitUsage, kExitFailed, kExitNothing,
                                     kExitDamaged};
    return std::find(std::begin(kOrder), std::end(kOrder), code);
  };
  return rank(exit_code) < rank(other) ? other : exit_code;
}

std::string FormatBytes(uint64_t bytes) {
  static constexpr std::array<const char*, 5> kUnits = {"KiB", "MiB", "GiB", "TiB", "PiB"};
  if (bytes < 1024) return std::to_string(bytes) + " bytes";
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  std::array<char, 32> text{};
  snprintf(text.data(), text.size(), "%.1f %s", value, kUnits[unit]);
  return text.data();
}

}  // namespace backstay
