// backstay adopt: makes a database file the source of a replica that was another file's.

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cinttypes>
#include <cstdio>

#include "tools/arguments.h"
#include "tools/command.h"
#include "tools/json_output.h"
#include "tools/source.h"
#include "uploader/base/clock.h"
#include "uploader/base/file.h"
#include "uploader/capture/file_look.h"
#include "uploader/replica/absence.h"
#include "uploader/replica/log_rest.h"
#include "uploader/replica/restore.h"
#include "uploader/replica/sound_state.h"
#include "uploader/state/database_mark.h"
#include "uploader/state/database_origin.h"
#include "uploader/state/replica_place.h"
#include "uploader/state/state_folder.h"

namespace backstay {
namespace {

// Read in a process that has the database not open, so no lock of SQLite's can be lost.
Status CheckDatabase(const std::string& database) {
  Result<Fd> fd = OpenFile(database, O_RDONLY);
  if (!fd.ok()) return {Code::kInvalid, fd.status().message()};
  std::array<uint8_t, 100> header{};
  Result<size_t> got = ReadAt(*fd, header.data(), header.size(), 0);
  if (!got.ok()) return {Code::kInvalid, got.status().Wrap(database).message()};
  if (PageSizeOfHeader(Bytes(header.data(), *got)) != 0) return Status::Ok();
  return {Code::kInvalid, database + " is not a SQLite database"};
}

struct ReplicaEnd {
  Identity identity;
  uint64_t epoch = 0;
  uint64_t txid = 0;   // of the newest state that stays restorable; 0: there is none
  std::string damage;  // behind which it goes on; empty: none
};

struct Adopted {
  std::string replica;
  bool anew = false;  // it begins there
  ReplicaEnd end;
};

// Who adopts it goes on behind all of it.
Result<ReplicaEnd> EndOfDamaged(const ReplicaReader& reader, const Status& damage) {
  Result<Catalogue> catalogue = LoadCatalogue(reader, 1);
  if (!catalogue.ok()) return catalogue.status();
  Result<LogRest> rest = RestOfLog(reader, *catalogue);
  if (!rest.ok()) return rest.status();
  Result<RestorePoint> sound = LastSoundState(reader, {});
  const Code code = sound.status().code();
  if (!sound.ok() && code != Code::kCorrupt && code != Code::kNotFound) return sound.status();
  return ReplicaEnd{catalogue->identity, rest->epoch, sound.ok() ? sound->txid : 0,
                    damage.message()};
}

Result<ReplicaEnd> EndOfReplica(const ReplicaReader& reader) {
  Result<RestorePlan> plan = PlanFromReplica(reader, {}, {});
  if (plan.ok()) return ReplicaEnd{plan->identity, plan->epoch, plan->txid, ""};
  if (plan.status().code() == Code::kCorrupt) return EndOfDamaged(reader, plan.status());
  if (plan.status().code() != Code::kNotFound) return plan.status();
  Result<Catalogue> catalogue = LoadCatalogue(reader, 1);
  if (!catalogue.ok()) return catalogue.status();
  Result<bool> unfinished = FirstSnapshotUnfinished(reader, *catalogue);
  if (!unfinished.ok()) return unfinished.status();
  if (!*unfinished) return plan.status();
  Result<LogPlan> log = PlanLog(reader, *catalogue, {}, {});
  if (!log.ok()) return log.status();
  return ReplicaEnd{catalogue->identity, std::max<uint64_t>(log->epoch, 1), 0, ""};
}

// What the state folder says of another file, or of an earlier owner of the replica, must not count
// at the next start.
Status ForgetState(const std::string& folder, const std::string& database) {
  Result<FolderLock> lock = FolderLock::Take(folder, database, nullptr);
  if (lock.status().code() == Code::kExists) {
    return {Code::kInvalid, lock.status().message() + ": end it first"};
  }
  if (!lock.ok()) return lock.status();
  for (const char* name : {"/index", "/outbox"}) {
    const std::string path = folder + name;
    if (unlink(path.c_str()) != 0 && errno != ENOENT) return Status::Errno("remove " + path, errno);
  }
  return Status::Ok();
}

// On another file system than the one that its replica was on.
Result<Adopted> BeginAnew(const std::string& database, const std::string& folder,
                          const ReplicaReader& reader) {
  BACKSTAY_TRY(ForgetState(folder, database));
  ForgetPlace(folder);
  return Adopted{reader.Describe(), true, {}};
}

Result<Adopted> Adopt(const std::string& database, size_t i, const Source& source) {
  ReplicaReader reader(source.replicas[i].get(), source.retry);
  const std::string folder = StateFolderOf(database, reader.Describe(), i);
  Result<ReplicaEnd> end = EndOfReplica(reader);
  if (end.status().code() == Code::kNotFound &&
      IsOtherPlace(folder, reader.Describe(), source.replicas[i]->PlaceMark())) {
    return BeginAnew(database, folder, reader);
  }
  if (!end.ok()) return end.status();
  const Identity& identity = end->identity;
  BACKSTAY_TRY(MakeStateFolder(StateFolderOf(database), database));
  BACKSTAY_TRY(MakeStateFolder(folder, database));
  BACKSTAY_TRY(ForgetState(folder, database));
  if (!OriginalOf(database).empty()) ForgetOrigin(database);
  BACKSTAY_TRY(WriteHome(database));
  if (identity.family != DatabaseId{}) {
    BACKSTAY_TRY(WriteFamily(database, {identity.family, RealClock()->WallMs()}));
  }
  BACKSTAY_TRY(WriteMark({database, folder}, identity.id, end->epoch));
  BACKSTAY_TRY(NoteAdopted(folder, identity.id));
  return Adopted{reader.Describe(), false, *end};
}

Json ToJson(const Adopted& adopted) {
  return {{"replica", adopted.replica},
          {"error", Json()},
          {"anew", adopted.anew},
          {"damage", adopted.end.damage.empty() ? Json() : Json(adopted.end.damage)},
          {"last_txid", adopted.end.txid == 0 ? Json() : Json(adopted.end.txid)}};
}

void Print(const std::string& database, const Adopted& adopted) {
  if (adopted.anew) {
    printf("%s begins a replica at %s with its next start\n", database.c_str(),
           adopted.replica.c_str());
    return;
  }
  if (!adopted.end.damage.empty()) {
    PrintWarning(adopted.end.damage);
    printf(
        "%s is the source of %s from its next start on, which goes on behind the damage with a new "
        "first snapshot; nothing is deleted, and transactions up to %" PRIu64 " stay restorable\n",
        database.c_str(), adopted.replica.c_str(), adopted.end.txid);
    return;
  }
  printf(
      "%s is the source of %s from its next start on, which ships the difference; "
      "transactions up to %" PRIu64 " stay restorable\n",
      database.c_str(), adopted.replica.c_str(), adopted.end.txid);
}

int Fail(const Status& status) {
  PrintError("adopt: " + status.message());
  return ExitCodeOf(status);
}

}  // namespace

int RunAdopt(const std::vector<std::string>& arguments) {
  std::string database;
  std::string url;
  SourceOptions options;
  bool json = false;
  Arguments app("adopt", "Makes a database the source of its replica, which was another file's.");
  options.Bind(&app);
  app.Flag("--json", &json, "as JSON");
  app.Operand("database", &database, true, "DB", "database path");
  app.Operand("replica", &url, false, "URL", "replica URL, if the settings do not name it");
  int exit_code = kExitDone;
  if (!app.Parse(arguments, &exit_code)) return exit_code;
  if (!url.empty() && !IsUrl(url)) {
    return Fail({Code::kInvalid, url + " is no replica URL, like s3://bucket/path"});
  }
  database = DatabasePath(database);
  if (Status checked = CheckDatabase(database); !checked.ok()) return Fail(checked);
  Result<Source> source = OpenSource(url.empty() ? database : url, options, NameOf(database));
  if (!source.ok()) return Fail(source.status());
  Json all = Json::array();
  for (size_t i = 0; i < source->replicas.size(); ++i) {
    Result<Adopted> adopted = Adopt(database, i, *source);
    if (!adopted.ok()) {
      exit_code = WorseOf(exit_code, Fail(adopted.status()));
      all.push_back(
          {{"replica", source->replicas[i]->Describe()}, {"error", adopted.status().message()}});
      continue;
    }
    all.push_back(ToJson(*adopted));
    if (!json) Print(database, *adopted);
  }
  if (json) PrintJson({{"db", database}, {"replicas", all}});
  return exit_code;
}

}  // namespace backstay
