// Settings from bytes that nobody checked: the first byte chooses a parser, the rest is its input.
//
// Nothing may crash, and no error may hold the secret that the environment holds.

#include <cstdint>
#include <cstdlib>
#include <string>

#include "uploader/settings/json_file.h"
#include "uploader/settings/settings.h"

namespace {

constexpr char kSecret[] = "wJalrXUtnFEMIK7MDENG";

backstay::SettingsSources Sources() {
  backstay::SettingsSources sources;
  sources.getenv = [](const std::string& name) -> std::optional<std::string> {
    if (name == "AWS_ACCESS_KEY_ID") return "AKID";
    if (name == "AWS_SECRET_ACCESS_KEY") return kSecret;
    return std::nullopt;
  };
  sources.names = [] { return std::vector<std::string>(); };
  return sources;
}

// `typed`: the input itself spells the secret out, so an error may quote it.
void Check(const backstay::Status& status, bool typed) {
  if (!typed && status.message().find(kSecret) != std::string::npos) std::abort();
}

void FuzzJson(const std::string& text, bool typed) {
  backstay::Settings settings;
  backstay::SettingsSources sources = Sources();
  backstay::Problems problems;
  backstay::ReadSettingsJson(text, "f", sources, false, &settings, &problems);
  const backstay::Status status = problems.Sum();
  // "${AWS_SECRET_ACCESS_KEY}" in a key that is no secret is quoted by its error.
  Check(status, typed || text.find("${") != std::string::npos);
  if (!status.ok()) return;
  for (const backstay::DatabaseRule& rule : settings.rules) {
    auto database = backstay::SettingsFor(settings, sources, rule.pattern, "", {});
    Check(database.status(), typed);
  }
}

void FuzzUrl(const std::string& url, bool typed) {
  auto replica = backstay::ParseReplicaUrl(url, "app.db");
  Check(replica.status(), typed);
  if (!replica.ok()) return;
  backstay::FillCredentials(Sources(), &*replica);
  if (!typed && replica->Describe().find(kSecret) != std::string::npos) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const bool typed = text.find(kSecret) != std::string::npos;
  switch (data[0]) {
    case 'j': FuzzJson(text, typed); break;
    case 'u': FuzzUrl(text, typed); break;
    case 'd': (void)backstay::ParseDurationMs(text); break;
    case 'b': (void)backstay::ParseBytes(text); break;
    case 'p':
      (void)backstay::SettingsFor({}, Sources(), "/a/app.db", "s3://b",
                                  {{"backstay_durability", text}, {"backstay_" + text, "1"}});
      break;
    default: break;
  }
  return 0;
}
