// backstay prune: deletes from a replica what is older than the retention, for replicas whose
// application may not delete, or does not run.

#include <cinttypes>
#include <cstdio>

#include "tools/arguments.h"
#include "tools/command.h"
#include "tools/json_output.h"
#include "tools/source.h"
#include "tools/way_out.h"
#include "uploader/base/clock.h"
#include "uploader/replica/retention.h"
#include "uploader/settings/settings.h"

namespace backstay {
namespace {

constexpr size_t kParallelism = 8;

struct Options {
  std::string from;
  SourceOptions source;
  std::string retention;
  bool dry_run = false;
  bool json = false;
};

Json ToJson(const ReplicaReader& reader, const RetentionPlan& plan, bool dry_run) {
  Json json{{"replica", reader.Describe()}, {"error", Json()},
            {"dry_run", dry_run},           {"deleted", !dry_run && plan.objects > 0},
            {"objects", plan.objects},      {"bytes", plan.bytes}};
  json["first_txid"] = plan.base ? Json(plan.base->consistent_txid) : Json();
  json["first_time"] = plan.base ? JsonTime(plan.base->consistent_time_ms) : Json();
  return json;
}

void Print(const ReplicaReader& reader, const RetentionPlan& plan, bool dry_run) {
  if (!plan.base) {
    printf("%s: no snapshot is older than that; nothing to delete\n", reader.Describe().c_str());
    return;
  }
  printf("%s: %s %" PRIu64 " objects, %s; states from transaction %" PRIu64
         ", %s, on can be restored\n",
         reader.Describe().c_str(), dry_run ? "would delete" : "deleted", plan.objects,
         FormatBytes(plan.bytes).c_str(), plan.base->consistent_txid,
         FormatRfc3339(plan.base->consistent_time_ms).c_str());
}

// What is missing passes by itself, and has no other remedy.
Status NothingYet(const ReplicaReader& reader, const LogGap& gap, int64_t retention_ms) {
  return {Code::kCorrupt, reader.Describe() + ": nothing is deleted before " +
                              FormatRfc3339(gap.to_ms + retention_ms) + ": " + gap.Told()};
}

// *passes: what is damaged will be older than what is kept, and nothing has to be done.
Status PruneOne(ReplicaClient* client, const RetryOptions& retry, int64_t retention_ms,
                const Options& options, Json* all, bool* passes) {
  const ReplicaReader reader(client, retry);
  const int64_t keep_after_ms = RealClock()->WallMs() - retention_ms;
  Result<RetentionPlan> plan = LookAtReplica(reader, kParallelism, [&](const Catalogue& catalogue) {
    return PlanRetention(reader, catalogue, keep_after_ms);
  });
  if (!plan.ok()) return plan.status();
  *passes = plan->gap.has_value();
  if (plan->gap) return NothingYet(reader, *plan->gap, retention_ms);
  for (const std::vector<std::string>& keys : plan->batches) {
    if (options.dry_run) continue;
    Status deleted = client->Delete(keys);
    if (deleted.ok()) continue;
    return deleted.Wrap(
        "not all old objects can be deleted; states inside the retention are untouched");
  }
  if (options.json) {
    all->push_back(ToJson(reader, *plan, options.dry_run));
  } else {
    Print(reader, *plan, options.dry_run);
  }
  return Status::Ok();
}

// What the command line says, else what the settings say of the database; of a URL the
// environment's alone.
Result<int64_t> RetentionMs(const Options& options, const Source& source) {
  if (options.retention.empty() && !IsUrl(options.from)) return source.retention_ms;
  if (options.retention.empty()) {
    Result<DatabaseSettings> settings = EnvironmentSettings(ProcessSources());
    if (!settings.ok()) return settings.status();
    return settings->retention_ms;
  }
  Result<int64_t> retention = ParseDurationMs(options.retention);
  if (!retention.ok()) return retention.status().Wrap("-retention");
  if (*retention == 0) {
    return Status(Code::kInvalid, "-retention " + options.retention +
                                      ": would delete every state but the newest ones; give a time "
                                      "to keep, like 7d");
  }
  return retention;
}

int Fail(const Status& status) {
  PrintError("prune: " + status.message());
  return ExitCodeOf(status);
}

}  // namespace

int RunPrune(const std::vector<std::string>& arguments) {
  Options options;
  Arguments app("prune", "Deletes what is older than the retention from a replica.");
  options.source.Bind(&app);
  app.Text("--retention", &options.retention,
           "how far back states stay restorable, like 30d (default: of the database's "
           "settings; with a URL, BACKSTAY_RETENTION)");
  app.Flag("--dry-run", &options.dry_run, "only say what would be deleted");
  app.Flag("--json", &options.json, "as JSON");
  app.Operand("from", &options.from, true, "DB|URL", "database path, or replica URL");
  int exit_code = kExitDone;
  if (!app.Parse(arguments, &exit_code)) return exit_code;
  Result<Source> source = OpenSource(options.from, options.source, "");
  if (!source.ok()) return Fail(source.status());
  Result<int64_t> retention_ms = RetentionMs(options, *source);
  if (!retention_ms.ok()) return Fail(retention_ms.status());
  if (*retention_ms == 0) {
    return Fail(
        {Code::kInvalid, "retention is off for " + options.from + "; give one with -retention"});
  }
  Json all = Json::array();
  for (const std::unique_ptr<ReplicaClient>& client : source->replicas) {
    bool passes = false;
    Status pruned = PruneOne(client.get(), source->retry, *retention_ms, options, &all, &passes);
    if (pruned.ok()) continue;
    exit_code = WorseOf(exit_code, Fail(pruned));
    if (pruned.code() == Code::kCorrupt && !passes) {
      TellRemedy("prune", ReplicaReader(client.get(), source->retry));
    }
    all.push_back({{"replica", client->Describe()}, {"error", pruned.message()}});
  }
  if (options.json) PrintJson({{"replicas", all}});
  return exit_code;
}

}  // namespace backstay
