// Configuration: the settings of this process, and whether the file that they come from has become
// another one.
//
// Owned by Engine. settings() and Take() with the engine's mutex held, Look() without it, on any
// ship thread: a file system may hang, and one that does holds up no other thread. What cannot be
// used is told, again and again, and what was read before holds; so it does for the whole life of
// the process where it could not be used at the start. The environment does not change.

#ifndef BACKSTAY_UPLOADER_ENGINE_CONFIGURATION_H_
#define BACKSTAY_UPLOADER_ENGINE_CONFIGURATION_H_

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "uploader/base/clock.h"
#include "uploader/base/log.h"
#include "uploader/settings/settings.h"
#include "uploader/state/positions.h"

namespace backstay {

class Configuration {
 public:
  Configuration(SettingsSources sources, Clock* clock);

  const SettingsSources& sources() const { return sources_; }
  // As they were read last, or why they cannot be used.
  const Result<Settings>& settings() const { return settings_; }
  // The settings of the file if that is another one than the one read last, or was changed. It is
  // looked at every 5 s; `soon`: every second.
  std::optional<Settings> Look(bool soon, Logger* logger);
  void Take(Settings settings) { settings_ = std::move(settings); }

 private:
  bool DueLocked(bool soon);
  void MissLocked(Logger* logger);

  const SettingsSources sources_;
  Clock* const clock_;
  const std::string path_;
  FileStamp stamp_;  // guarded by mutex_; of the file before it was read
  Result<Settings> settings_;
  const bool usable_;      // at the start
  std::mutex mutex_;       // of the looks
  int64_t looked_ms_ = 0;  // guarded by mutex_; monotonic
  bool spoilt_ = false;    // guarded by mutex_; the file as it is now cannot be used
  bool missing_ = false;   // guarded by mutex_; at the last look
};

// What of `fresh` takes effect with the next start alone: names of settings, with commas between.
std::string NeedRestart(const Settings& old, const Settings& fresh);
std::string NeedRestart(const DatabaseSettings& old, const DatabaseSettings& fresh);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_ENGINE_CONFIGURATION_H_
