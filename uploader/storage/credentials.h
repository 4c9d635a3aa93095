// Credentials: where the keys of a bucket come from when the settings hold none: a web identity,
// the profile of AWS's shared files, a container's endpoint, an EC2 instance's role.
//
// Called by SharedCredentials; any thread, no state. FindCredentials() reads files and asks nobody:
// kInvalid names what was looked at. A source's fetch() may ask a server or run a program and
// blocks as long as the world lets it. Errors hold no secret; kUnavailable may pass.

#ifndef BACKSTAY_UPLOADER_STORAGE_CREDENTIALS_H_
#define BACKSTAY_UPLOADER_STORAGE_CREDENTIALS_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "uploader/base/clock.h"
#include "uploader/base/status.h"
#include "uploader/storage/http.h"
#include "uploader/storage/sigv4.h"

namespace backstay {

struct ExpiringKeys {
  sigv4::Credentials keys;
  int64_t expires_ms = 0;  // wall clock; 0: not known, or never
};

// kNear: an address of this machine, which answers at once or never and is behind no proxy.
enum class Reach { kNear, kFar };

// All that a source sees.
struct CredentialWorld {
  std::function<std::optional<std::string>(const std::string& name)> getenv;
  std::function<Result<std::string>(const std::string& path)> read_file;
  std::function<Result<HttpResponse>(const HttpRequest& request, Reach reach)> send;
  // What the command writes to its standard output.
  std::function<Result<std::string>(const std::string& command)> run;
  Clock* clock = RealClock();
  std::string profile = {};  // that the settings name; empty: none

  // An empty variable counts as unset.
  std::string Variable(const char* name) const;
  // For requests for keys, which are none of the bucket's.
  std::string Region() const;
};

struct CredentialSource {
  std::string name;  // for people: "profile `backup`"
  std::function<Result<ExpiringKeys>()> fetch;
};

// `world` must outlive the source.
Result<CredentialSource> FindCredentials(const CredentialWorld& world);

// Keys as JSON: of a container, an instance or a process. `what`: their source, for people.
Result<ExpiringKeys> ParseKeysJson(const std::string& json, const std::string& what);
// "2026-11-28T07:00:00Z"; 0: it is no such time.
int64_t ParseTimeMs(const std::string& text);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STORAGE_CREDENTIALS_H_
