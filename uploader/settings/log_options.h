// What the settings say of the log, as the logger wants it.
//
// Called by whoever makes a logger; any thread. Cannot fail.

#ifndef BACKSTAY_UPLOADER_SETTINGS_LOG_OPTIONS_H_
#define BACKSTAY_UPLOADER_SETTINGS_LOG_OPTIONS_H_

#include "uploader/base/log.h"
#include "uploader/settings/settings.h"

namespace backstay {

inline LogOptions LogOptionsFrom(const LogSettings& log) {
  LogOptions options;
  options.json = log.type == "json";
  options.file = log.file;
  options.level = log.level == "debug"   ? Level::kDebug
                  : log.level == "warn"  ? Level::kWarn
                  : log.level == "error" ? Level::kError
                                         : Level::kInfo;
  return options;
}

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_SETTINGS_LOG_OPTIONS_H_
