#include "uploader/storage/credential_world.h"

#include <utility>

#include "uploader/base/file.h"
#include "uploader/storage/quiet_child.h"

namespace backstay {
namespace {

constexpr size_t kMostFile = 1 << 20;

// An address that nobody has costs a second, and is none that a proxy would know.
CurlOptions Near() {
  CurlOptions options;
  options.no_proxy = true;
  options.connect_timeout_ms = 1000;
  options.silence_ms = 5000;
  options.stall_timeout_ms = 5000;
  return options;
}

// Never without a proof of who the server is, whatever the bucket's may be.
CurlOptions Far(const std::string& ca_file) {
  CurlOptions options;
  options.ca_file = ca_file;
  options.connect_timeout_ms = 5000;
  options.silence_ms = 10000;
  options.stall_timeout_ms = 10000;
  return options;
}

// Backstay would come into the program as well.
bool IsOurs(const std::string& entry) {
  return entry.starts_with("LD_PRELOAD=") || entry.starts_with("BACKSTAY_");
}

}  // namespace

CredentialCalls::CredentialCalls(const std::string& ca_file) : near_(Near()), far_(Far(ca_file)) {}

Result<HttpResponse> CredentialCalls::Send(const HttpRequest& request, Reach reach) {
  return (reach == Reach::kNear ? near_ : far_).Send(request);
}

Result<std::string> CredentialCalls::Run(const std::vector<std::string>& environment,
                                         const std::string& command) {
  QuietCommand what{.command = command, .environment = {}};
  for (const std::string& entry : environment) {
    if (!IsOurs(entry)) what.environment.push_back(entry);
  }
  return RunQuietly(what, cancelled_);
}

void CredentialCalls::Cancel() {
  cancelled_ = true;
  near_.Cancel();
  far_.Cancel();
}

CredentialWorld WorldOf(const ReplicaSettings& replica, Clock* clock, CredentialCalls* calls) {
  CredentialWorld world;
  const auto environment = replica.environment;
  world.getenv = [environment](const std::string& name) -> std::optional<std::string> {
    if (environment == nullptr) return std::nullopt;
    return ValueIn(*environment, name);
  };
  world.read_file = [](const std::string& path) { return ReadFile(path, kMostFile); };
  world.send = [calls](const HttpRequest& request, Reach reach) {
    return calls->Send(request, reach);
  };
  world.run = [calls, environment](const std::string& command) {
    return calls->Run(environment == nullptr ? std::vector<std::string>() : *environment, command);
  };
  world.clock = clock;
  world.profile = replica.profile;
  return world;
}

}  // namespace backstay
