#include "tools/command.h"

#include <array>
#include <cctype>
#include <cinttypes>
#include <cstdio>
#include <ctime>

namespace backstay {
namespace {

// Digits at *at; advances. -1 when there are not that many.
int Number(const std::string& text, size_t* at, int digits) {
  int value = 0;
  for (int i = 0; i < digits; ++i, ++*at) {
    if (*at >= text.size() || isdigit(static_cast<unsigned char>(text[*at])) == 0) return -1;
    value = value * 10 + (text[*at] - '0');
  }
  return value;
}

bool Skip(const std::string& text, size_t* at, const char* any_of) {
  if (*at >= text.size() || std::string(any_of).find(text[*at]) == std::string::npos) return false;
  ++*at;
  return true;
}

// Milliseconds of ".123…", 0 without one, -1 when malformed.
int Fraction(const std::string& text, size_t* at) {
  if (!Skip(text, at, ".")) return 0;
  int ms = 0;
  size_t digits = 0;
  for (; *at < text.size() && isdigit(static_cast<unsigned char>(text[*at])) != 0; ++*at) {
    if (digits++ < 3) ms = ms * 10 + (text[*at] - '0');
  }
  if (digits == 0) return -1;
  for (; digits < 3; ++digits) ms *= 10;
  return ms;
}

// Seconds east of Greenwich; false when malformed.
bool Offset(const std::string& text, size_t* at, int* seconds) {
  *seconds = 0;
  if (Skip(text, at, "Zz")) return true;
  const int sign = *at < text.size() && text[*at] == '-' ? -1 : 1;
  if (!Skip(text, at, "+-")) return false;
  const int hours = Number(text, at, 2);
  const bool colon = Skip(text, at, ":");
  const int minutes = Number(text, at, 2);
  *seconds = sign * (hours * 3600 + minutes * 60);
  return colon && hours >= 0 && hours < 24 && minutes >= 0 && minutes < 60;
}

bool ReadTime(const std::string& text, tm* time, int* ms, int* offset) {
  size_t at = 0;
  time->tm_year = Number(text, &at, 4) - 1900;
  bool ok = Skip(text, &at, "-");
  time->tm_mon = Number(text, &at, 2) - 1;
  ok = Skip(text, &at, "-") && ok;
  time->tm_mday = Number(text, &at, 2);
  ok = Skip(text, &at, "Tt ") && ok;
  time->tm_hour = Number(text, &at, 2);
  ok = Skip(text, &at, ":") && ok;
  time->tm_min = Number(text, &at, 2);
  ok = Skip(text, &at, ":") && ok;
  time->tm_sec = Number(text, &at, 2);
  *ms = Fraction(text, &at);
  ok = Offset(text, &at, offset) && ok && at == text.size() && *ms >= 0;
  return ok && time->tm_year >= 70 && time->tm_mon >= 0 && time->tm_mon < 12 &&
         time->tm_mday >= 1 && time->tm_mday <= 31 && time->tm_hour >= 0 && time->tm_hour < 24 &&
         time->tm_min >= 0 && time->tm_min < 60 && time->tm_sec >= 0 && time->tm_sec <= 60;
}

}  // namespace

void PrintError(const std::string& message) { fprintf(stderr, "backstay: %s\n", message.c_str()); }

int ExitCodeOf(const Status& status) {
  switch (status.code()) {
    case Code::kOk: return kExitDone;
    case Code::kInvalid: return kExitUsage;
    case Code::kNotFound: return kExitNothing;
    case Code::kCorrupt: return kExitDamaged;
    default: return kExitFailed;
  }
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

Result<int64_t> ParseRfc3339(const std::string& text) {
  tm time{};
  int ms = 0;
  int offset = 0;
  if (!ReadTime(text, &time, &ms, &offset)) {
    return Status(Code::kInvalid,
                  "`" + text + "` is not a time: write it like 2026-11-22T20:59:01Z");
  }
  const int month = time.tm_mon;
  const int64_t seconds = timegm(&time);  // normalises: 31 April becomes 1 May
  if (time.tm_mon != month) return Status(Code::kInvalid, "`" + text + "`: no such day");
  return (seconds - offset) * 1000 + ms;
}

}  // namespace backstay
