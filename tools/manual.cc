#include "tools/manual.h"

#include "uploader/settings/table.h"

namespace backstay {
namespace {

std::string Replaced(std::string text, const std::string& from, const std::string& to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

// Text for roff: nothing of it is a request or an escape, and `code` is bold.
std::string Roff(const std::string& text) {
  std::string out;
  bool code = false;
  for (char c : text) {
    switch (c) {
      case '\\': out += "\\e"; break;
      case '-': out += "\\-"; break;
      case '`':
        code = !code;
        out += code ? "\\fB" : "\\fR";
        break;
      default: out += c;
    }
  }
  out = Replaced(out, "…", "...");
  return out.starts_with('.') || out.starts_with('\'') ? "\\&" + out : out;
}

std::string Bold(const std::string& text) { return "\\fB" + Roff(text) + "\\fR"; }

std::string Heading(const char* name, const char* section) {
  return std::string(".TH ") + name + " " + section + " \"\" \"Backstay " BACKSTAY_VERSION "\"\n";
}

std::string Section(const char* name, const std::string& text) {
  return std::string(".SH ") + name + "\n" + text + (text.ends_with('\n') ? "" : "\n");
}

std::string Entry(const std::string& tag, const std::string& text) {
  return ".TP\n" + tag + "\n" + Roff(text) + "\n";
}

std::string OptionTag(const ArgumentHelp& option) {
  std::string tag = Bold(option.name);
  if (!option.takes_value) return tag;
  if (option.choices.empty()) return tag + " \\fIVALUE\\fR";
  std::string choices;
  for (const std::string& choice : option.choices) choices += (choices.empty() ? "" : "|") + choice;
  return tag + " " + Roff(choices);
}

std::string CommandSection(const CommandHelp& command) {
  std::string usage = Bold("backstay " + command.name) + " [options]";
  for (const ArgumentHelp& operand : command.operands) {
    const std::string name = "\\fI" + Roff(operand.name) + "\\fR";
    usage += operand.required ? " " + name : " [" + name + "]";
  }
  std::string out = ".SS " + command.name + "\n" + usage + "\n.PP\n" + Roff(command.what) + "\n";
  for (const ArgumentHelp& operand : command.operands) {
    out += Entry("\\fI" + Roff(operand.name) + "\\fR", operand.help);
  }
  for (const ArgumentHelp& option : command.options) out += Entry(OptionTag(option), option.help);
  return out;
}

std::string SettingEntry(const Setting& setting) {
  std::string names;
  const auto add = [&](const std::string& name) {
    names += (names.empty() ? "" : ", ") + Bold(name);
  };
  if (const std::string place = JsonPlace(setting); !place.empty()) add(place);
  for (const char* variable : setting.variables) add(variable);
  if (*setting.parameter != '\0') add(std::string("file:…?") + setting.parameter + "=");
  std::string help = setting.help;
  if (*setting.standard != '\0') help += std::string("; default: `") + setting.standard + "`";
  return Entry(names, help);
}

}  // namespace

std::string CommandManual(const std::vector<CommandHelp>& commands, const std::string& exit_codes) {
  std::string sections;
  for (const CommandHelp& command : commands) sections += CommandSection(command);
  return Heading("BACKSTAY", "1") +
         Section("NAME", "backstay \\- replicate SQLite databases to S3, and restore them") +
         Section("SYNOPSIS", ".B backstay\n.I COMMAND\n[options] ...") +
         Section("DESCRIPTION",
                 "A library that a program loads replicates the databases which the settings "
                 "select;\n.B backstay\nrestores them, and says how replication stands. Which "
                 "settings there are, says\n.BR backstay.json (5).\n.PP\nOptions may be written "
                 "with one dash or with two. Results go to standard output, all else to standard "
                 "error.") +
         ".SH COMMANDS\n" + sections + Section("EXIT STATUS", Roff(exit_codes)) +
         Section("FILES", Entry(Bold("/etc/backstay.json"),
                                "the settings, where nothing names another file") +
                              Entry("\\fIDATABASE\\fR" + Bold("-backstay"),
                                    "folder with what waits to be shipped, and the status")) +
         Section("SEE ALSO", ".BR backstay.json (5),\n.BR sqlite3 (1)");
}

std::string SettingsManual() {
  std::string rows;
  for (const Setting& setting : AllSettings()) rows += SettingEntry(setting);
  return Heading("BACKSTAY.JSON", "5") + Section("NAME", "backstay.json \\- settings of Backstay") +
         Section("DESCRIPTION",
                 Roff("What the file says counts more than a default, the environment more than "
                      "the file, and a parameter of SQLite's URI more than the environment. The "
                      "file holds one JSON object; `null` is as good as a key that is left out. In "
                      "texts `$NAME` and `${NAME}` are variables of the environment, `$$NAME` is a "
                      "text that begins with `$`.")) +
         Section("SETTINGS", rows) +
         Section("EXAMPLE", ".nf\n" + Roff(R"({"dbs": [{"path": "/data/app.db",
          "replicas": [{"url": "s3://bucket/app"}]}]})") +
                                "\n.fi") +
         Section("SEE ALSO", ".BR backstay (1)");
}

}  // namespace backstay
