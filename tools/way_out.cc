#include "tools/way_out.h"

#include <initializer_list>

#include "tools/command.h"
#include "uploader/base/clock.h"
#include "uploader/format/keys.h"
#include "uploader/format/snapshot.h"
#include "uploader/replica/sound_state.h"

namespace backstay {
namespace {

// One word of a shell command.
std::string Quoted(const std::string& word) {
  constexpr const char* kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=@%+,";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) return word;
  std::string quoted = "'";
  for (char each : word) quoted += each == '\'' ? std::string("'\\''") : std::string(1, each);
  return quoted + "'";
}

std::string CommandLine(std::initializer_list<std::string> words) {
  std::string command = " backstay";
  for (const std::string& word : words) command += word.empty() ? "" : " " + Quoted(word);
  return command;
}

bool IsKnown(const ReplicaReader& reader) {
  Result<std::string> text = reader.Get(kIdentityKey);
  return text.ok() && ParseIdentity(*text).ok();
}

constexpr const char* kGoOn =
    "to go on behind the damage, with nothing deleted: end the application that has the database, "
    "`backstay adopt DB` (and the replica's URL, where no settings name it), and start it";

}  // namespace

std::string DamageRemedy(const ReplicaReader& reader) {
  if (!IsKnown(reader)) return "";
  return std::string(kGoOn) +
         "; where the database is lost, `backstay restore` says what can be had back";
}

void TellRemedy(const std::string& command, const ReplicaReader& reader) {
  const std::string remedy = DamageRemedy(reader);
  if (remedy.empty()) return;
  std::string told = command;
  told.append(": ").append(reader.Describe()).append(": ").append(remedy);
  PrintLine(Level::kInfo, told);
}

std::vector<std::string> WayOut(const ReplicaReader& reader, const RestoreRequest& request,
                                const std::vector<uint64_t>& avoid) {
  Result<RestorePoint> sound = LastSoundState(reader, avoid);
  if (sound.status().code() == Code::kCorrupt || sound.status().code() == Code::kNotFound) {
    if (!IsKnown(reader)) return {};
    return {
        "nothing can be had back from it as it is: use another replica, or undelete what is "
        "damaged or missing (versions of the bucket)",
        kGoOn};
  }
  if (!sound.ok()) return {};
  const RestoreFlags& flags = request.flags;
  const std::string config = flags.source.config.empty() ? "" : "-config";
  const bool copy = flags.copy || flags.follow;
  const bool url = IsUrl(flags.from);
  std::vector<std::string> lines;
  lines.push_back("to have back transaction " + std::to_string(sound->txid) + " of " +
                  FormatRfc3339(sound->time_ms) + ", the newest that is whole:" +
                  CommandLine({"restore", copy ? "-copy" : "", flags.force ? "-force" : "", config,
                               flags.source.config, "-txid", std::to_string(sound->txid),
                               flags.output.empty() ? "" : "-o", flags.output, flags.from}));
  if (copy) return lines;
  lines.push_back(
      "then, before an application writes on to it in the same replica:" +
      CommandLine({"adopt", config, flags.source.config, request.output, url ? flags.from : ""}));
  return lines;
}

}  // namespace backstay
