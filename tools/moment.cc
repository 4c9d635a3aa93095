#include "tools/moment.h"

#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <regex>
#include <system_error>

#include "uploader/settings/settings.h"
#include "uploader/settings/units.h"

namespace backstay {
namespace {

constexpr const char* kShapes =
    "write 2026-11-22T20:59:01Z (or with an offset like +01:00), 2026-11-22 20:59 (local time), "
    "yesterday 14:05, today 09:00, -90m, -2d or now";

// Takes a text apart from its front.
class Scanner {
 public:
  explicit Scanner(const std::string& text) : text_(text) {}

  bool AtEnd() const { return at_ == text_.size(); }
  bool Skip(const char* any_of) {
    if (AtEnd() || std::string(any_of).find(text_[at_]) == std::string::npos) return false;
    ++at_;
    return true;
  }
  bool Word(const std::string& word) {
    if (text_.compare(at_, word.size(), word) != 0) return false;
    at_ += word.size();
    return true;
  }
  // Of `least` to `most` digits.
  bool Number(size_t least, size_t most, int* value) {
    size_t digits = 0;
    for (*value = 0; digits < most && IsDigit(); ++digits)
      *value = *value * 10 + text_[at_++] - '0';
    return digits >= least;
  }
  // "5" is 500; beyond milliseconds it is cut off.
  bool Fraction(int* ms) {
    size_t digits = 0;
    int unit = 100;
    for (*ms = 0; IsDigit(); ++digits, unit /= 10) *ms += (text_[at_++] - '0') * unit;
    return digits > 0;
  }

 private:
  bool IsDigit() const { return !AtEnd() && isdigit(static_cast<unsigned char>(text_[at_])) != 0; }

  const std::string& text_;
  size_t at_ = 0;
};

struct Parts {
  tm time{};
  int ms = 0;
  std::optional<int> offset;  // seconds east of Greenwich; nullopt: local time
};

bool ReadDate(Scanner* in, tm* time) {
  int year = 0;
  int month = 0;
  const bool read = in->Number(4, 4, &year) && in->Skip("-") && in->Number(2, 2, &month) &&
                    in->Skip("-") && in->Number(2, 2, &time->tm_mday) && in->Skip("t ");
  time->tm_year = year - 1900;
  time->tm_mon = month - 1;
  return read && year >= 1970 && month >= 1 && month <= 12 && time->tm_mday >= 1 &&
         time->tm_mday <= 31;
}

bool ReadClock(Scanner* in, Parts* parts) {
  tm* time = &parts->time;
  bool read = in->Number(1, 2, &time->tm_hour) && in->Skip(":") && in->Number(2, 2, &time->tm_min);
  if (read && in->Skip(":")) {
    read = in->Number(2, 2, &time->tm_sec);
    if (read && in->Skip(".")) read = in->Fraction(&parts->ms);
  }
  return read && time->tm_hour < 24 && time->tm_min < 60 && time->tm_sec <= 60;
}

bool ReadOffset(Scanner* in, Parts* parts) {
  if (in->AtEnd()) return true;
  if (in->Skip("z")) {
    parts->offset = 0;
    return in->AtEnd();
  }
  const bool west = in->Skip("-");
  int hours = 0;
  int minutes = 0;
  bool read = (west || in->Skip("+")) && in->Number(2, 2, &hours);
  if (read) in->Skip(":");
  read = read && in->Number(2, 2, &minutes) && hours < 24 && minutes < 60;
  parts->offset = (hours * 3600 + minutes * 60) * (west ? -1 : 1);
  return read && in->AtEnd();
}

bool SameClock(const tm& a, const tm& b) {
  return a.tm_year == b.tm_year && a.tm_mon == b.tm_mon && a.tm_mday == b.tm_mday &&
         a.tm_hour == b.tm_hour && a.tm_min == b.tm_min;
}

Status NoSuch(const std::string& text, const std::string& why) {
  return {Code::kInvalid, Quote(text) + ": " + why};
}

Status CheckZone(const std::string& text, const Zone& zone) {
  if (zone.unknown.empty()) return Status::Ok();
  return NoSuch(text, "the time zone TZ=" + zone.unknown +
                          " is not known here: install tzdata, correct TZ, or write the time in "
                          "UTC, as in 2026-11-22T20:59:01Z");
}

// Where clocks are put back an hour comes twice, where they are put forward one is left out.
Result<time_t> FromLocal(const std::string& text, const tm& wanted, const Zone& zone) {
  BACKSTAY_TRY(CheckZone(text, zone));
  tm asked = wanted;
  asked.tm_isdst = -1;
  const time_t time = zone.to_time(&asked);
  if (!SameClock(zone.to_local(time), wanted)) {
    return NoSuch(text, "there was no such local time: the clocks were put forward");
  }
  for (const time_t shift : {1800, 3600, 7200}) {
    if (SameClock(zone.to_local(time - shift), wanted) ||
        SameClock(zone.to_local(time + shift), wanted)) {
      return NoSuch(text,
                    "that local time came twice, as the clocks were put back: add the offset "
                    "from UTC, as in 2026-10-25T02:30:00+02:00");
    }
  }
  return time;
}

Result<int64_t> ToMs(const std::string& text, const Parts& parts, const Zone& zone) {
  tm day = parts.time;
  day.tm_sec = 0;  // a leap second is no other day
  tm normalised = day;
  const time_t utc = timegm(&normalised);
  if (!SameClock(normalised, day)) return NoSuch(text, "there is no such day");
  Result<time_t> minute = utc - parts.offset.value_or(0);
  if (!parts.offset) minute = FromLocal(text, day, zone);
  if (!minute.ok()) return minute.status();
  return (int64_t{*minute} + parts.time.tm_sec) * 1000 + parts.ms;
}

// What is meant by a word for a day is that day of the zone.
void SetDay(int64_t now_ms, int days_ago, const Zone& zone, tm* time) {
  tm day = zone.to_local(now_ms / 1000);
  day.tm_mday -= days_ago;
  day.tm_isdst = 0;
  (void)timegm(&day);
  time->tm_year = day.tm_year;
  time->tm_mon = day.tm_mon;
  time->tm_mday = day.tm_mday;
}

}  // namespace

Zone LocalZone() {
  return {mktime,
          [](time_t time) {
            tm local{};
            localtime_r(&time, &local);
            return local;
          },
          UnknownZone(getenv("TZ"))};
}

std::string UnknownZone(const char* tz) {
  const std::string value = tz == nullptr ? "" : tz;
  const std::string name = value.substr(value.starts_with(':') ? 1 : 0);
  static const std::regex rules("(<[A-Za-z0-9+-]{3,}>|[A-Za-z]{3,})[+-]?[0-9].*|UTC|GMT|");
  if (std::regex_match(name, rules)) return "";
  const char* folder = getenv("TZDIR");
  const std::filesystem::path zones = folder == nullptr ? "/usr/share/zoneinfo" : folder;
  std::error_code error;
  return std::filesystem::exists(zones / name, error) ? "" : value;
}

Result<int64_t> ParseMoment(const std::string& text, int64_t now_ms, const Zone& zone) {
  const std::string lower = LowerCase(text);
  const Status unknown(Code::kInvalid, Quote(text) + " is not a time: " + kShapes);
  if (lower == "now") return now_ms;
  if (lower.starts_with("-")) {
    Result<int64_t> ago = ParseDurationMs(lower.substr(1));
    if (!ago.ok()) return unknown;
    return *ago <= now_ms ? Result<int64_t>(now_ms - *ago) : NoSuch(text, "that is before 1970");
  }
  Scanner in(lower);
  Parts parts;
  if (lower.starts_with("yesterday ") || lower.starts_with("today ")) {
    BACKSTAY_TRY(CheckZone(text, zone));
  }
  if (in.Word("yesterday ")) {
    SetDay(now_ms, 1, zone, &parts.time);
  } else if (in.Word("today ")) {
    SetDay(now_ms, 0, zone, &parts.time);
  } else if (!ReadDate(&in, &parts.time)) {
    return unknown;
  }
  if (!ReadClock(&in, &parts) || !ReadOffset(&in, &parts)) return unknown;
  return ToMs(text, parts, zone);
}

std::string FormatLocal(int64_t ms, const Zone& zone) {
  const tm local = zone.to_local(ms / 1000);
  char text[64];
  size_t length = strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &local);
  std::string out(text, length);
  if (ms % 1000 != 0) out += "." + std::to_string(1000 + ms % 1000).substr(1);
  if (!zone.unknown.empty()) return out + " UTC";
  length = strftime(text, sizeof text, " %Z", &local);
  return out + std::string(text, length);
}

}  // namespace backstay
