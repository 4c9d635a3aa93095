// backstay version: what this build is and what it runs on.

#include <curl/curl.h>
#include <openssl/crypto.h>
#include <sqlite3.h>
#include <zstd.h>

#include <cstdio>

#include "tools/arguments.h"
#include "tools/command.h"
#include "tools/json_output.h"
#include "uploader/format/log_object.h"

namespace backstay {

int RunVersion(const std::vector<std::string>& arguments) {
  bool json = false;
  Arguments app("version", "Prints versions.");
  app.Flag("--json", &json, "as JSON");
  int exit_code = kExitDone;
  if (!app.Parse(arguments, &exit_code)) return exit_code;
  const Json versions{
      {"version", BACKSTAY_VERSION},
      {"format", kFormatVersion},
      {"sqlite", sqlite3_libversion()},
      {"curl", curl_version_info(CURLVERSION_NOW)->version},
      {"openssl", OpenSSL_version(OPENSSL_VERSION_STRING)},
      {"zstd", ZSTD_versionString()},
  };
  if (json) {
    PrintJson(versions);
    return kExitDone;
  }
  printf("backstay %s\n", BACKSTAY_VERSION);
  for (const auto& [name, value] : versions.items()) {
    if (name == "version") continue;
    printf("%s %s\n", name.c_str(),
           value.is_string() ? value.get<std::string>().c_str() : value.dump().c_str());
  }
  return kExitDone;
}

}  // namespace backstay
