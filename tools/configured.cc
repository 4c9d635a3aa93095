#include "tools/configured.h"

#include <fnmatch.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "tools/command.h"
#include "uploader/replica/reader.h"
#include "uploader/storage/client_factory.h"

namespace backstay {
namespace {

constexpr const char* kName = "{name}";
constexpr const char* kWildcards = "*?[";
constexpr int64_t kPatienceMs = 30000;

Status Invalid(const std::string& message) { return {Code::kInvalid, message}; }

// "app/db-{name}-x/more": in "app" folders are named "db-" NAME "-x".
struct NamedFolders {
  std::string root;
  std::string before;
  std::string after;
};

std::optional<NamedFolders> Split(const std::string& path) {
  const size_t at = path.find(kName);
  if (at == std::string::npos) return std::nullopt;
  const size_t slash = path.rfind('/', at);
  const size_t first = slash == std::string::npos ? 0 : slash + 1;
  const std::string rest = path.substr(at + std::string(kName).size());
  return NamedFolders{path.substr(0, slash == std::string::npos ? 0 : slash),
                      path.substr(first, at - first), rest.substr(0, rest.find('/'))};
}

// The names of the databases whose replicas lie where `replica` says.
Result<std::vector<std::string>> NamesAt(ReplicaSettings replica) {
  const std::optional<NamedFolders> folders = Split(replica.path);
  if (!folders || (replica.type == "file" && folders->root.empty())) {
    return Invalid(replica.Describe() +
                   ": which databases it holds cannot be listed; put {name} "
                   "into its path, below a folder, or name each database");
  }
  replica.path = folders->root;
  Result<std::unique_ptr<ReplicaClient>> client = MakeReplicaClient(
      replica, {.silence = {.begins = PrintWarning, .ends = PrintRecovered, .notes = PrintNote},
                .patience_ms = kPatienceMs});
  if (!client.ok()) return client.status();
  RetryOptions retry;
  retry.patience_ms = kPatienceMs;
  const ReplicaReader reader(client->get(), retry);
  ListOptions options;
  options.prefix = folders->before;
  options.folders = true;
  Result<std::vector<ObjectInfo>> listed = reader.List(options);
  if (!listed.ok()) return listed.status();
  if (listed->empty()) BACKSTAY_TRY((*client)->ProvePlace());
  std::vector<std::string> names;
  for (const ObjectInfo& folder : *listed) {
    std::string name = folder.key.substr(folders->before.size());
    const std::string end = folders->after + "/";
    if (name.size() <= end.size() || !name.ends_with(end)) continue;
    names.push_back(name.substr(0, name.size() - end.size()));
  }
  return names;
}

// Of each replica that answers; one is enough.
Result<std::vector<std::string>> NamesOf(const DatabaseRule& rule) {
  std::vector<std::string> names;
  Status failed;
  bool answered = false;
  for (const ReplicaSettings& replica : rule.settings.replicas) {
    Result<std::vector<std::string>> found = NamesAt(replica);
    if (found.ok()) {
      answered = true;
      names.insert(names.end(), found->begin(), found->end());
    } else {
      failed = found.status();
      PrintWarning(failed.message());
    }
  }
  if (!answered) return failed;
  return names;
}

Result<std::vector<std::string>> DatabasesOf(const DatabaseRule& rule) {
  const std::string& pattern = rule.pattern;
  const bool glob = pattern.find_first_of(kWildcards) != std::string::npos;
  if (!glob || access(pattern.c_str(), F_OK) == 0) return std::vector<std::string>{pattern};
  const size_t slash = pattern.rfind('/');
  const std::string folder = pattern.substr(0, slash + 1);
  if (folder.find_first_of(kWildcards) != std::string::npos) {
    return Invalid("the databases of " + pattern +
                   " cannot be known before they are there: a folder in it is a wildcard; name "
                   "each folder, or each database");
  }
  Result<std::vector<std::string>> names = NamesOf(rule);
  if (!names.ok()) return names.status();
  std::vector<std::string> databases;
  for (const std::string& name : *names) {
    const bool fits = fnmatch(pattern.c_str() + slash + 1, name.c_str(), FNM_PATHNAME) == 0;
    if (fits) databases.push_back(folder + name);
  }
  return databases;
}

}  // namespace

Result<std::vector<std::string>> ConfiguredDatabases(const Settings& settings) {
  std::vector<std::string> databases;
  for (const DatabaseRule& rule : settings.rules) {
    if (rule.pattern.empty()) continue;
    Result<std::vector<std::string>> found = DatabasesOf(rule);
    if (!found.ok()) return found.status();
    for (std::string& path : *found) {
      const bool known = std::find(databases.begin(), databases.end(), path) != databases.end();
      if (!known) databases.push_back(std::move(path));
    }
  }
  return databases;
}

}  // namespace backstay
