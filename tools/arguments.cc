#include "tools/arguments.h"

#include <CLI/CLI.hpp>
#include <cctype>
#include <iostream>

#include "tools/command.h"

namespace backstay {
namespace {

std::vector<CommandHelp>* described_into = nullptr;

// As the manual writes it: one dash.
std::string NameOf(const CLI::Option& option) {
  const std::vector<std::string>& names = option.get_lnames();
  return "-" + (names.empty() ? option.get_snames().front() : names.front());
}

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

// "--name=" has an empty value, like "--name" and "": CLI11 takes the next argument for it.
std::vector<std::string> WithEmptyValues(const std::vector<std::string>& arguments) {
  std::vector<std::string> out;
  bool options = true;
  for (const std::string& argument : arguments) {
    if (argument == "--") options = false;
    const bool empty = options && argument.size() > 2 && argument[0] == '-' &&
                       argument.find('=') == argument.size() - 1;
    out.push_back(empty ? argument.substr(0, argument.size() - 1) : argument);
    if (empty) out.emplace_back();
  }
  return out;
}

std::string NotEmpty(const std::string& text) {
  return text.empty() ? "is empty: give a value, or leave it out (is a variable not set?)" : "";
}

}  // namespace

Arguments::Arguments(const char* name, const char* what)
    : app_(std::make_unique<CLI::App>(what, name)) {}

Arguments::~Arguments() = default;

void Arguments::Flag(const char* name, bool* value, const char* help) {
  app_->add_flag(name, *value, help);
}

void Arguments::Text(const char* name, std::string* value, const char* help) {
  app_->add_option(name, *value, help)->check(NotEmpty);
}

void Arguments::Text(const char* name, std::optional<std::string>* value, const char* help) {
  app_->add_option(name, *value, help)->check(NotEmpty);
}

void Arguments::TextOrEmpty(const char* name, std::optional<std::string>* value, const char* help) {
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
  choices_[name] = allowed;
  app_->add_option(name, *value, help)
      ->transform(CLI::IsMember(allowed, CLI::ignore_case).description(""));
}

void Arguments::Operand(const char* name, std::string* value, bool required, const char* type,
                        const char* help) {
  app_->add_option(name, *value, help)->required(required)->type_name(type)->check(NotEmpty);
  operand_ = {name, type};
  if (required) missing_ = std::string(type) + " is missing: give a " + help;
}

void Arguments::DescribeInto(std::vector<CommandHelp>* book) { described_into = book; }

CommandHelp Arguments::Description() const {
  CommandHelp help{app_->get_name(), app_->get_description(), {}, {}};
  for (const CLI::Option* option : app_->get_options()) {
    ArgumentHelp argument;
    argument.help = option->get_description();
    if (option->get_positional()) {
      argument.name = option->get_type_name();
      argument.required = option->get_required();
      help.operands.push_back(std::move(argument));
      continue;
    }
    argument.name = NameOf(*option);
    argument.takes_value = option->get_items_expected_max() > 0;
    const auto found = choices_.find("-" + argument.name);
    if (found != choices_.end()) argument.choices = found->second;
    help.options.push_back(std::move(argument));
  }
  return help;
}

// An option that is not known is more than an operand that is missing.
std::string Arguments::TextOf(const CLI::Error& error) const {
  const bool missing = dynamic_cast<const CLI::RequiredError*>(&error) != nullptr;
  const std::vector<std::string> others = app_->remaining();
  std::string what = missing ? missing_ : error.what();
  // As the help calls it.
  const auto& [name, type] = operand_;
  if (!name.empty() && what.starts_with(name + ": ")) what.replace(0, name.size(), type);
  if (others.empty()) return what;
  const std::string text =
      CLI::ExtrasError(app_->get_name(), {others.rbegin(), others.rend()}).what();
  return unexpected_.empty() || others.front().starts_with("-") ? text : text + "; " + unexpected_;
}

bool Arguments::Parse(const std::vector<std::string>& arguments, int* exit_code) {
  if (described_into != nullptr) {
    described_into->push_back(Description());
    *exit_code = kExitDone;
    return false;
  }
  std::vector<std::string> normalised = NormaliseOptions(arguments);
  try {
    // CLI11 takes them last one first.
    const std::vector<std::string> given = WithEmptyValues(normalised);
    app_->parse(std::vector<std::string>(given.rbegin(), given.rend()));
    return true;
  } catch (const CLI::CallForHelp&) {
    std::cout << app_->help();
    *exit_code = kExitDone;
  } catch (const CLI::Error& error) {
    std::string text = TextOf(error);
    // Named as the manual writes them, or as they were typed.
    if (text.substr(0, 2) == "--") text.erase(0, 1);
    for (size_t i = 0; i < arguments.size(); ++i) {
      const size_t at =
          normalised[i] == arguments[i] ? std::string::npos : text.find(normalised[i]);
      if (at != std::string::npos) text.replace(at, normalised[i].size(), arguments[i]);
    }
    PrintError(app_->get_name() + ": " + text + "; see `backstay " + app_->get_name() + " -help`");
    *exit_code = kExitUsage;
  }
  return false;
}

}  // namespace backstay
