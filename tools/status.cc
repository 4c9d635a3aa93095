// backstay status: what the process that replicates a database last wrote about it.

#include <cstdio>
#include <nlohmann/json.hpp>

#include "tools/arguments.h"
#include "tools/command.h"
#include "tools/source.h"
#include "uploader/base/file.h"
#include "uploader/state/state_folder.h"

namespace backstay {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxStatusBytes = 16 << 20;

std::string Scalar(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

// One "name: value" a line, nested ones indented.
void Print(const Json& value, int indent) {
  for (const auto& [name, each] : value.items()) {
    const bool nested = each.is_structured() && !each.empty();
    printf("%*s%s:%s%s\n", indent, "", name.c_str(), nested ? "" : " ",
           nested ? "" : Scalar(each).c_str());
    if (nested) Print(each, indent + 2);
  }
}

int PrintStatus(const std::string& database, bool json) {
  const std::string path = StateFolderOf(database) + "/status.json";
  Result<std::string> text = ReadFile(path, kMaxStatusBytes);
  if (text.status().code() == Code::kNotFound) {
    PrintError("status: " + database +
               " is not replicated by Backstay, or never was since it was "
               "restored: there is no " +
               path);
    return kExitFailed;
  }
  if (!text.ok()) {
    PrintError("status: " + text.status().message());
    return kExitFailed;
  }
  Json status = Json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (!status.is_object()) {
    PrintError("status: " + path + " is damaged; the process that replicates writes it anew");
    return kExitFailed;
  }
  if (json) {
    printf("%s\n", status.dump().c_str());
  } else {
    Print(status, 0);
  }
  return kExitDone;
}

}  // namespace

int RunStatus(const std::vector<std::string>& arguments) {
  std::string database;
  std::string config;
  bool json = false;
  Arguments app("status", "Prints how replication of a database stands.");
  app.Text("--config", &config, "accepted for symmetry; the state stands beside the database");
  app.Flag("--json", &json, "as JSON");
  app.Operand("database", &database, true, "DB", "database path");
  int exit_code = kExitDone;
  if (!app.Parse(arguments, &exit_code)) return exit_code;
  if (IsUrl(database)) {
    PrintError("status: " + database +
               " is a replica; give the path of the database, or ask `backstay list` what the "
               "replica holds");
    return kExitUsage;
  }
  return PrintStatus(DatabasePath(database), json);
}

}  // namespace backstay
