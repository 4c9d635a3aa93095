#include "tools/restore_request.h"

#include "tools/moment.h"
#include "uploader/base/clock.h"
#include "uploader/settings/settings.h"

namespace backstay {
namespace {

Result<mode_t> ParseMode(const std::string& text) {
  const bool octal = text.size() <= 4 && text.find_first_not_of("01234567") == std::string::npos;
  const mode_t mode = octal ? static_cast<mode_t>(std::stoul(text, nullptr, 8)) : 0;
  if ((mode & 0600) == 0600 && (mode & ~mode_t{0666}) == 0) return mode;
  return Status(Code::kInvalid,
                "-mode " + text + ": write it in octal, with at least 600 and at most 666");
}

Status ReadTarget(const RestoreFlags& flags, RestoreRequest* request) {
  if (flags.timestamp && flags.txid) return {Code::kInvalid, "give -timestamp or -txid, not both"};
  if (flags.txid) request->target = {RestoreTarget::Kind::kTxid, *flags.txid, 0};
  if (!flags.timestamp) return Status::Ok();
  const Zone zone = LocalZone();
  const int64_t now_ms = RealClock()->WallMs();
  Result<int64_t> time_ms = ParseMoment(*flags.timestamp, now_ms, zone);
  if (!time_ms.ok()) return time_ms.status().Wrap("-timestamp");
  request->target = {RestoreTarget::Kind::kTime, 0, *time_ms};
  request->local_time = FormatLocal(*time_ms, zone);
  if (*time_ms > now_ms) request->local_time += ", which is yet to come";
  return Status::Ok();
}

}  // namespace

void RestoreFlags::Bind(Arguments* app) {
  app->Text("-o,--o", &output, "restore to this file");
  source.Bind(app);
  app->Flag("--if-db-not-exists", &if_db_not_exists,
            "do nothing, successfully, when the database exists");
  app->Flag("--if-replica-exists", &if_replica_exists,
            "do nothing, successfully, when there is no replica");
  app->Text(
      "--timestamp", &timestamp,
      "the state at this time: 2026-11-22T20:59:01Z, or local \"2026-11-22 21:59\", \"yesterday "
      "14:05\", \"today 9:00\"; or so long ago: -90m, -2d");
  app->Transaction("--txid", &txid, "the state after this transaction");
  app->Flag("--force", &force, "replace an existing database, unless it is open");
  app->Flag("--copy", &copy,
            "a copy to look at: it never goes on with the replica, and gets no state folder");
  app->Flag("-f,--f", &follow, "a copy that follows the replica, until it is stopped");
  app->Text("--follow-interval", &follow_interval,
            "how often -f asks for what is new (default 1s; less often while nothing comes)");
  app->Text("--mode", &mode,
            "permissions of the file, like 660 (default: as the umask and a set-group-id folder "
            "say)");
  app->Flag("--dry-run", &dry_run, "say what would be done");
  app->Flag("--json", &json, "the result as JSON on stdout");
  app->Choice("--integrity-check", &integrity, IntegrityCheckNames(),
              "none, quick or full (default none)");
  app->Number("--parallelism", &parallelism, 1, 64,
              "requests at a time at most (default 64); of large objects memory allows for fewer");
  app->Operand("from", &from, true, "DB|URL", "database path, or replica URL");
}

RestoreOptions RestoreRequest::Options() const {
  RestoreOptions restore;
  restore.target = target;
  restore.plan.log.parallelism = flags.parallelism;
  restore.replay.parallelism = flags.parallelism;
  return restore;
}

Result<RestoreRequest> ReadRequest(const RestoreFlags& flags) {
  RestoreRequest request;
  request.flags = flags;
  BACKSTAY_TRY(ReadTarget(flags, &request));
  request.file.force = flags.force;
  request.integrity = IntegrityCheckNamed(flags.integrity);
  if (!flags.mode.empty()) {
    Result<mode_t> mode = ParseMode(flags.mode);
    if (!mode.ok()) return mode.status();
    request.file.mode = *mode;
  }
  if (IsUrl(flags.from) && flags.output.empty()) {
    return Status(Code::kInvalid, "with a replica URL, -o must say where to restore to");
  }
  if ((flags.copy || flags.follow) && flags.output.empty()) {
    return Status(Code::kInvalid, "-copy, -f: -o must say where to put it");
  }
  if (flags.follow && (request.target.kind != RestoreTarget::Kind::kLatest || flags.dry_run)) {
    return Status(Code::kInvalid,
                  "-f follows the newest state: without -timestamp, -txid, -dry-run");
  }
  if (flags.follow_interval && !flags.follow) {
    return Status(Code::kInvalid, "-follow-interval is of -f, which follows the replica: add that");
  }
  Result<int64_t> interval = ParseDurationMs(flags.follow_interval.value_or("1s"));
  if (!interval.ok() || *interval < 100) {
    return Status(Code::kInvalid, "-follow-interval: give a time of at least 100ms");
  }
  request.follow_interval_ms = *interval;
  request.output = DatabasePath(flags.output.empty() ? flags.from : flags.output);
  return request;
}

}  // namespace backstay
