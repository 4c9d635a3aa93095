// What a command says with -json: one object, on one line of stdout. JSON.md is the contract.
//
// Main thread. The one place of the tool that prints JSON, so that a command which fails before it
// has anything to say still prints an object.

#ifndef BACKSTAY_TOOLS_JSON_OUTPUT_H_
#define BACKSTAY_TOOLS_JSON_OUTPUT_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace backstay {

using Json = nlohmann::ordered_json;

void PrintJson(const Json& object);
// Unless one was printed: {"error": …, "exit": …}, with what `command` last said on stderr.
void PrintJsonError(const std::string& command, int exit_code);
// Whether -json is among the options of a command.
bool AsksForJson(const std::vector<std::string>& arguments);

// RFC 3339 in UTC; null for 0.
Json JsonTime(int64_t ms);
// null for an empty one.
Json JsonText(const std::string& text);

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_JSON_OUTPUT_H_
