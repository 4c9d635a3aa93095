// Moment: a point in time as a person writes it, and as it is shown to them.
//
// Pure functions of their arguments: what time it is, and which zone this is, are handed in. Main
// thread (zones of the C library are one for the process). ParseMoment() fails with kInvalid,
// quotes the text and says what can be written.

#ifndef BACKSTAY_TOOLS_MOMENT_H_
#define BACKSTAY_TOOLS_MOMENT_H_

#include <cstdint>
#include <ctime>
#include <functional>
#include <string>

#include "uploader/base/status.h"

namespace backstay {

struct Zone {
  std::function<time_t(tm*)> to_time;  // as mktime()
  std::function<tm(time_t)> to_local;  // as localtime_r()
  std::string unknown;  // what TZ names and is not there: the two above know UTC alone
};
// That of this process: TZ, else the machine's.
Zone LocalZone();

// Milliseconds since 1970 of
//   2026-11-22T20:59:01.5+01:00   RFC 3339; the T may be a space, seconds may be left out
//   2026-11-27 14:05              the same without an offset: in `zone`
//   yesterday 14:05, today 9:00   in `zone`
//   -90m, -2d, -1h30m, now        counted from `now_ms`
// A local time that a change of the clocks left out, or brought twice, is an error, and so is any
// where the zone is unknown.
Result<int64_t> ParseMoment(const std::string& text, int64_t now_ms, const Zone& zone);

// The value of TZ if it names a zone of which no file is there, else empty: the C library would
// take UTC for it. `tz` may be null. Rules that need no file ("CET-1CEST") are known.
std::string UnknownZone(const char* tz);

// "2026-11-26 14:05:00 CET"; with milliseconds where there are some.
std::string FormatLocal(int64_t ms, const Zone& zone);

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_MOMENT_H_
