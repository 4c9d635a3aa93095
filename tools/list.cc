// backstay list: which states replicas can give back, and what lies there.

#include <algorithm>
#include <cstdio>
#include <utility>

#include "tools/arguments.h"
#include "tools/command.h"
#include "tools/databases.h"
#include "tools/inventory.h"
#include "tools/json_output.h"
#include "tools/list_report.h"
#include "tools/moment.h"
#include "tools/source.h"
#include "tools/way_out.h"
#include "uploader/base/clock.h"

namespace backstay {
namespace {

constexpr size_t kLooks = 2;  // at a time: what is silent is waited for once

struct Options {
  std::string from;  // DB, glob or URL; empty: all databases of the settings
  SourceOptions source;
  bool json = false;
  bool points = false;
  size_t limit = 20;
  std::optional<std::string> since;
  std::optional<std::string> until;

  void Bind(Arguments* app);
  Result<PointsWanted> Points() const;
};

void Options::Bind(Arguments* app) {
  source.Bind(app);
  app->Flag("--points", &points, "the restore points: transactions and when they were committed");
  app->Text("--since", &since,
            "restore points from this time on, written as for restore -timestamp");
  app->Text("--until", &until, "restore points up to this time");
  app->Number("--limit", &limit, 1, 1000000, "restore points at most, the newest (default 20)");
  app->Flag("--json", &json, "as JSON");
  app->Operand("from", &from, false, "DB|URL",
               "database path or glob, replica URL, or URL of a place with replicas in it; without "
               "it all databases of the settings");
}

Result<PointsWanted> Options::Points() const {
  PointsWanted wanted;
  if (!points && !since && !until) return wanted;
  wanted.most = limit;
  const int64_t now_ms = RealClock()->WallMs();
  for (const auto& [text, name, ms] : {std::tuple(&since, "-since", &wanted.since_ms),
                                       std::tuple(&until, "-until", &wanted.until_ms)}) {
    if (!*text) continue;
    Result<int64_t> moment = ParseMoment(**text, now_ms, LocalZone());
    if (!moment.ok()) return moment.status().Wrap(name);
    *ms = *moment;
  }
  return wanted;
}

// Nothing leads on from damage behind which the replica has gone on already.
void TellPast(const std::string& replica) {
  PrintLine(Level::kInfo,
            "list: " + replica +
                ": what is damaged lies before the newest snapshot, and the newest state can be "
                "restored; the damage goes with what retention deletes, or with `backstay prune "
                "-retention TIME`, and until then states of that time may be missing");
}

class Lister {
 public:
  explicit Lister(const PointsWanted& points) : points_(points) {}

  void Add(const Source& source);
  // Nothing to be listed.
  void Add(const std::string& database, const std::string& replica, const Status& failed);
  int Print(bool json) const;
  const std::vector<Listed>& all() const { return all_; }

 private:
  const PointsWanted points_;
  std::vector<Listed> all_;
  int worst_ = kExitDone;
};

void Lister::Add(const Source& source) {
  for (const std::unique_ptr<ReplicaClient>& client : source.replicas) {
    const std::string name = client->Describe();
    const ReplicaReader reader(client.get(), source.retry);
    Listed listed{source.database, name, TakeInventory(reader, points_)};
    int code = ExitCodeOf(listed.inventory.status());
    if (!listed.inventory.ok()) {
      PrintError("list: " + listed.inventory.status().message());
    } else if (listed.inventory->damaged()) {
      code = kExitDamaged;
    } else if (listed.inventory->newest() == nullptr) {
      PrintError("list: " + name + ": no restore point");
      code = kExitNothing;
    }
    if (code == kExitDamaged && listed.inventory.ok() && listed.inventory->sound_at_end()) {
      TellPast(name);
    } else if (code == kExitDamaged) {
      TellRemedy("list", reader);
    }
    worst_ = WorseOf(worst_, code);
    all_.push_back(std::move(listed));
  }
}

void Lister::Add(const std::string& database, const std::string& replica, const Status& failed) {
  PrintError("list: " + failed.message());
  worst_ = WorseOf(worst_, ExitCodeOf(failed));
  all_.push_back({database, replica, failed});
}

int Lister::Print(bool json) const {
  if (json) {
    Json replicas = Json::array();
    for (const Listed& each : all_) replicas.push_back(ToJson(each));
    PrintJson({{"replicas", replicas}});
  } else if (all_.size() == 1 || points_.most > 0) {
    for (const Listed& each : all_) {
      if (!each.inventory.ok()) continue;
      const std::string text = points_.most > 0 ? DescribePoints(each, LocalZone())
                                                : DescribeInventory(each, LocalZone());
      printf("%s", text.c_str());
    }
  } else {
    printf("%s", DescribeInventories(all_).c_str());
  }
  return worst_;
}

int Fail(const Status& status) {
  PrintError("list: " + status.message());
  return ExitCodeOf(status);
}

// A place that is no replica may hold some. One that was waited for in vain is not asked again.
Status AddUrl(const Options& options, Lister* lister) {
  Result<Source> source = OpenSource(options.from, options.source, "");
  if (!source.ok()) return source.status();
  ReplicaClient* const client = source->replicas.front().get();
  const ReplicaReader reader(client, source->retry);
  const Status seen = LoadCatalogue(reader, kLooks).status();
  if (seen.code() == Code::kUnavailable) {
    lister->Add("", client->Describe(), seen);
    return Status::Ok();
  }
  if (seen.code() == Code::kNotFound || seen.code() == Code::kForeign) {
    Result<Source> under = OpenSourcesUnder(options.from, options.source);
    if (!under.ok()) return under.status();
    if (!under->replicas.empty()) source = std::move(under);
  }
  lister->Add(*source);
  return Status::Ok();
}

int List(const Options& options, const PointsWanted& points) {
  Lister lister(points);
  if (IsUrl(options.from)) {
    Status added = AddUrl(options, &lister);
    return added.ok() ? lister.Print(options.json) : Fail(added);
  }
  Result<std::vector<std::string>> databases = DatabasesOf(options.from, options.source.config);
  if (!databases.ok()) return Fail(databases.status());
  for (const std::string& database : *databases) {
    Result<Source> source = OpenSource(database, options.source, "");
    if (!source.ok() && databases->size() == 1) return Fail(source.status());
    if (source.ok()) {
      lister.Add(*source);
    } else {
      lister.Add(database, "", source.status());
    }
  }
  return lister.Print(options.json);
}

}  // namespace

int RunList(const std::vector<std::string>& arguments) {
  Options options;
  Arguments app("list", "Lists what can be restored, and what lies in replicas.");
  options.Bind(&app);
  int exit_code = kExitDone;
  if (!app.Parse(arguments, &exit_code)) return exit_code;
  Result<PointsWanted> points = options.Points();
  return points.ok() ? List(options, *points) : Fail(points.status());
}

}  // namespace backstay
