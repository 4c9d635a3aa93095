#include "tools/arguments.h"

#include <CLI/CLI.hpp>
#include <cctype>
#include <iostream>

#include "tools/command.h"

namespace backstay {
namespace {

// Options may be written `-name` or `--name`: two dashes for all of more than one letter, up to a
// lone `--`.
std::vector<std::string> NormaliseOptions(const std::vector<std::string>& arguments) {
  std::vector<std::string> out;
  bool options = true;
  for (const std::string& argument : arguments) {
    if (argument == "--") options = false;
    const bool single = options && argument.size() > 2 && argument[0] == '-' &&
                        isalpha(static_cast<unsigned char>(argument[1])) != 0;
    // "-o=OUT" is a short option with its value.
    out.push_back(single && argument[2] != '=' ? "-" + argument : argument);
  }
  return out;
}

}  // namespace

Arguments::Arguments(const char* name, const char* what)
    : app_(std::make_unique<CLI::App>(what, name)) {}

Arguments::~Arguments() = default;

void Arguments::Flag(const char* name, bool* value, const char* help) {
  app_->add_flag(name, *value, help);
}

void Arguments::Text(const char* name, std::string* value, const char* help) {
  app_->add_option(name, *value, help);
}

void Arguments::Transaction(const char* name, std::optional<uint64_t>* value, const char* help) {
  app_->add_option(name, *value, help)->check([](const std::string& text) -> std::string {
    constexpr size_t kMostDigits = 18;
    const bool number = !text.empty() && text.size() <= kMostDigits &&
                        text.find_first_not_of("0123456789") == std::string::npos;
    return number ? "" : "`" + text + "` is no transaction; `backstay list` shows which there are";
  });
}

void Arguments::Number(const char* name, size_t* value, size_t least, size_t most,
                       const char* help) {
  app_->add_option(name, *value, help)->check(CLI::Range(least, most));
}

void Arguments::Choice(const char* name, std::string* value,
                       const std::vector<std::string>& allowed, const char* help) {
  app_->add_option(name, *value, help)
      ->transform(CLI::IsMember(allowed, CLI::ignore_case).description(""));
}

void Arguments::Operand(const char* name, std::string* value, bool required, const char* type,
                        const char* help) {
  app_->add_option(name, *value, help)->required(required)->type_name(type);
  if (required) missing_ = std::string(type) + " is missing: give a " + help;
}

bool Arguments::Parse(const std::vector<std::string>& arguments, int* exit_code) {
  std::vector<std::string> normalised = NormaliseOptions(arguments);
  try {
    // CLI11 takes them last one first.
    app_->parse(std::vector<std::string>(normalised.rbegin(), normalised.rend()));
    return true;
  } catch (const CLI::CallForHelp&) {
    std::cout << app_->help();
    *exit_code = kExitDone;
  } catch (const CLI::Error& error) {
    const bool missing = dynamic_cast<const CLI::RequiredError*>(&error) != nullptr;
    std::string text = missing ? missing_ : error.what();
    // Named as the manual writes them.
    if (text.substr(0, 2) == "--") text.erase(0, 1);
    PrintError(app_->get_name() + ": " + text + "; see `backstay " + app_->get_name() + " -help`");
    *exit_code = kExitUsage;
  }
  return false;
}

}  // namespace backstay
