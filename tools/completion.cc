#include "tools/completion.h"

namespace backstay {
namespace {

constexpr char kMade[] = "# Made by `backstay help`.\n";

std::string Join(const std::vector<std::string>& words, const std::string& between) {
  std::string all;
  for (const std::string& word : words) all += (all.empty() ? "" : between) + word;
  return all;
}

std::vector<std::string> NamesOf(const std::vector<CommandHelp>& commands) {
  std::vector<std::string> names;
  for (const CommandHelp& command : commands) names.push_back(command.name);
  return names;
}

std::vector<std::string> OptionsOf(const CommandHelp& command) {
  std::vector<std::string> names;
  for (const ArgumentHelp& option : command.options) names.push_back(option.name);
  return names;
}

std::string Escaped(const std::string& text, const std::string& special,
                    const std::string& before) {
  std::string out;
  for (char c : text) {
    if (special.find(c) != std::string::npos) out += before;
    out += c;
  }
  return out;
}

// Inside single quotes of a Bourne shell.
std::string Quoted(const std::string& text) {
  std::string out = "'";
  for (char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::string FirstSentence(const std::string& text) { return text.substr(0, text.find(". ")); }

// "restore -integrity-check) words="none quick full" ;;" for each option with a fixed set.
std::string BashValues(const std::vector<CommandHelp>& commands) {
  std::string out;
  for (const CommandHelp& command : commands) {
    for (const ArgumentHelp& option : command.options) {
      const std::string place = "      \"" + command.name + " " + option.name + "\")";
      if (!option.choices.empty()) {
        out += place + " words=\"" + Join(option.choices, " ") + "\" ;;\n";
      } else if (option.takes_value) {
        out += place + " files=1 ;;\n";
      }
    }
  }
  return out;
}

std::string ZshOption(const ArgumentHelp& option) {
  std::string spec = option.name + "[" + Escaped(option.help, "[]\\:", "\\") + "]";
  if (!option.choices.empty()) {
    spec += ":value:(" + Join(option.choices, " ") + ")";
  } else if (option.takes_value) {
    spec += ":value:_files";
  }
  return "        " + Quoted(spec);
}

std::string FishQuoted(const std::string& text) { return "'" + Escaped(text, "'\\", "\\") + "'"; }

std::string FishOption(const CommandHelp& command, const ArgumentHelp& option) {
  const bool one_letter = option.name.size() == 2;
  std::string line = "complete -c backstay -n '__fish_seen_subcommand_from " + command.name + "' " +
                     (one_letter ? "-s " : "-o ") + option.name.substr(1);
  if (!option.choices.empty()) {
    line += " -x -a " + FishQuoted(Join(option.choices, " "));
  } else if (option.takes_value) {
    line += " -r";
  }
  return line + " -d " + FishQuoted(option.help) + "\n";
}

}  // namespace

std::string BashCompletion(const std::vector<CommandHelp>& commands) {
  std::string options;
  for (const CommandHelp& command : commands) {
    options += "    " + command.name + ") words=\"" + Join(OptionsOf(command), " ") + "\" ;;\n";
  }
  return std::string(kMade) + R"(_backstay() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]}
  local words="" files="" dash="" i
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    mapfile -t COMPREPLY < <(compgen -W ")" +
         Join(NamesOf(commands), " ") + R"(" -- "$word")
    return
  fi
  # Behind "--" stand a program and its arguments.
  for ((i = 2; i < COMP_CWORD; i++)); do
    [[ ${COMP_WORDS[i]} == -- ]] || continue
    if ((i == COMP_CWORD - 1)); then
      mapfile -t COMPREPLY < <(compgen -c -- "$word")
    fi
    compopt -o default 2>/dev/null
    return
  done
  case "$command ${before/#--/-}" in
)" + BashValues(commands) +
         R"(  esac
  if [[ -n $words ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
    return
  fi
  if [[ -n $files || $word != -* ]]; then
    compopt -o default 2>/dev/null
    return
  fi
  case $command in
)" + options +
         R"(  esac
  # One dash or two, as it was begun.
  [[ $word == --* ]] && dash=-
  mapfile -t COMPREPLY < <(compgen -P "$dash" -W "$words" -- "${word#"$dash"}")
}
complete -F _backstay backstay
)";
}

std::string ZshCompletion(const std::vector<CommandHelp>& commands) {
  std::string names;
  std::string options;
  for (const CommandHelp& command : commands) {
    const std::string summary = Escaped(FirstSentence(command.what), ":", "\\");
    names += "    " + Quoted(command.name + ":" + summary) + "\n";
    options += "    " + command.name + ")\n      _arguments \\\n";
    for (const ArgumentHelp& option : command.options) options += ZshOption(option) + " \\\n";
    options += "        '*:file:_files' ;;\n";
  }
  return "#compdef backstay\n" + std::string(kMade) + R"(_backstay() {
  local -a commands
  commands=(
)" + names +
         R"(  )
  if ((CURRENT == 2)); then
    _describe command commands
    return
  fi
  # Behind "--" stand a program and its arguments.
  local at=${words[(i)--]}
  if ((at < CURRENT)); then
    shift $at words
    ((CURRENT -= at))
    _normal
    return
  fi
  local command=$words[2]
  shift words
  ((CURRENT--))
  case $command in
)" + options +
         R"(  esac
}
_backstay "$@"
)";
}

std::string FishCompletion(const std::vector<CommandHelp>& commands) {
  std::string out = kMade;
  for (const CommandHelp& command : commands) {
    out += "complete -c backstay -n __fish_use_subcommand -f -a " + command.name + " -d " +
           FishQuoted(FirstSentence(command.what)) + "\n";
    for (const ArgumentHelp& option : command.options) out += FishOption(command, option);
  }
  return out;
}

}  // namespace backstay
