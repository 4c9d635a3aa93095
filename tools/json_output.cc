#include "tools/json_output.h"

#include <algorithm>
#include <cstdio>

#include "tools/command.h"
#include "uploader/base/clock.h"

namespace backstay {
namespace {

bool printed = false;

}  // namespace

void PrintJson(const Json& object) {
  printed = true;
  // A path may hold what is no UTF-8.
  printf("%s\n", object.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
}

void PrintJsonError(const std::string& command, int exit_code) {
  if (printed) return;
  std::string error = LastError();
  const std::string by = command + ": ";
  if (error.starts_with(by)) error.erase(0, by.size());
  PrintJson({{"error", error}, {"exit", exit_code}});
}

bool AsksForJson(const std::vector<std::string>& arguments) {
  const auto end = std::find(arguments.begin(), arguments.end(), "--");
  return std::any_of(arguments.begin(), end,
                     [](const std::string& each) { return each == "-json" || each == "--json"; });
}

Json JsonTime(int64_t ms) { return ms == 0 ? Json() : Json(FormatRfc3339(ms)); }

Json JsonText(const std::string& text) { return text.empty() ? Json() : Json(text); }

}  // namespace backstay
