#include "vfs/adoption.h"

#include <cstring>
#include <exception>
#include <new>
#include <string>
#include <vector>

#include "vfs/process.h"
#include "vfs/query.h"
#include "vfs/shim_vfs.h"

namespace backstay {
namespace {

using Api = const sqlite3_api_routines*;

// Finalized however it is left: the application could not close its connection otherwise.
class Statement {
 public:
  Statement(Api api, sqlite3* db, const char* sql) : sqlite3_api(api) {
    rc_ = sqlite3_prepare_v2(db, sql, -1, &statement_, nullptr);
  }
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  // False behind the last row, or if something went wrong: see failed().
  bool Step() {
    if (rc_ == SQLITE_OK || rc_ == SQLITE_ROW) rc_ = sqlite3_step(statement_);
    return rc_ == SQLITE_ROW;
  }
  bool failed() const { return rc_ != SQLITE_DONE; }
  std::string Text(int column) {
    const unsigned char* text = sqlite3_column_text(statement_, column);
    if (text == nullptr) throw std::bad_alloc();
    return reinterpret_cast<const char*>(text);
  }

 private:
  const Api sqlite3_api;
  sqlite3_stmt* statement_ = nullptr;
  int rc_;
};

std::vector<std::string> Rows(Api sqlite3_api, sqlite3* db, const char* sql, int column) {
  std::vector<std::string> values;
  Statement statement(sqlite3_api, db, sql);
  while (statement.Step()) values.push_back(statement.Text(column));
  if (statement.failed()) {
    Process::Current()->Say(Repeat::kNever, BACKSTAY_ERROR, {},
                            std::string("the connection that loads the extension refuses ") + sql +
                                ": " + sqlite3_errmsg(db) +
                                "; it may not be replicated: load again, or before opening");
  }
  return values;
}

sqlite3_file* FileOf(Api sqlite3_api, sqlite3* db, const std::string& schema, int op) {
  sqlite3_file* file = nullptr;
  const int rc = sqlite3_file_control(db, schema.c_str(), op, &file);
  return rc == SQLITE_OK && file != nullptr && file->pMethods != nullptr ? file : nullptr;
}

std::string Quoted(const std::string& name) {
  std::string quoted = "\"";
  for (char c : name) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + "\"";
}

// The file behind JOURNAL_POINTER is the WAL if the connection is in WAL mode, else the rollback
// journal. Only asked when it is open, so that no first read of the database is forced on the
// application (an encrypted one may still wait for its key).
sqlite3_file* OpenWal(Api sqlite3_api, sqlite3* db, const std::string& schema) {
  if (FileOf(sqlite3_api, db, schema, SQLITE_FCNTL_JOURNAL_POINTER) == nullptr) return nullptr;
  const std::string sql = "PRAGMA " + Quoted(schema) + ".journal_mode";
  const std::vector<std::string> mode = Rows(sqlite3_api, db, sql.c_str(), 0);
  if (mode.size() != 1 || mode[0] != "wal") return nullptr;
  return FileOf(sqlite3_api, db, schema, SQLITE_FCNTL_JOURNAL_POINTER);
}

void AdoptDatabase(Api sqlite3_api, sqlite3* db, const std::string& schema,
                   const SqliteCopy* copy) {
  sqlite3_vfs* vfs = nullptr;
  sqlite3_file_control(db, schema.c_str(), SQLITE_FCNTL_VFS_POINTER, &vfs);
  const char* name = sqlite3_db_filename(db, schema.c_str());
  sqlite3_file* file = FileOf(sqlite3_api, db, schema, SQLITE_FCNTL_FILE_POINTER);
  if (vfs == nullptr || std::strcmp(vfs->zName, "memdb") == 0) return;
  HookVfs(vfs, copy);
  if (file == nullptr || name == nullptr || *name == '\0') return;
  const InnerVfs inner = Unhooked(vfs, copy);
  const int flags = sqlite3_db_readonly(db, schema.c_str()) == 0 ? 0 : SQLITE_OPEN_READONLY;
  // The pager's copy of the name always carries the parameters.
  ShimOpened(inner, name, file, flags | SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_URI, 0);
  sqlite3_file* wal = OpenWal(sqlite3_api, db, schema);
  const std::string wal_name = std::string(name) + "-wal";
  if (wal != nullptr) ShimOpened(inner, wal_name.c_str(), wal, SQLITE_OPEN_WAL, 0);
}

void TellOfOtherVfs(Api sqlite3_api, sqlite3* db) {
  const Process* process = Process::Current();
  sqlite3_vfs* vfs = nullptr;
  Query query;
  if (sqlite3_file_control(db, "main", kQueryControl, &query) == SQLITE_OK) return;
  sqlite3_file_control(db, "main", SQLITE_FCNTL_VFS_POINTER, &vfs);
  const char* path = sqlite3_db_filename(db, "main");
  if (process == nullptr || vfs == nullptr || path == nullptr || *path == '\0') return;
  if (IsOurs(vfs) || sqlite3_db_readonly(db, "main") != 0) return;
  if (!process->selection().Selects(path)) return;
  // It may load the extension next, and is adopted then.
  Process::Current()->Say(
      Repeat::kWhileItLasts, BACKSTAY_INFO, path,
      std::string("a connection is opened with the VFS \"") + vfs->zName +
          "\", past Backstay, and counts as a program without it unless it loads the extension; "
          "remedy: do so, leave vfs= out of the URI, or use the preload library");
}

}  // namespace

void TellOfConnection(sqlite3* db, const sqlite3_api_routines* api) noexcept {
  try {
    TellOfOtherVfs(api, db);
  } catch (const std::exception&) {
    // A log line is not worth more.
  }
}

void AdoptConnection(sqlite3* db, const sqlite3_api_routines* api, const SqliteCopy* copy) {
  for (const std::string& schema : Rows(api, db, "PRAGMA database_list", 1)) {
    AdoptDatabase(api, db, schema, copy);
  }
}

}  // namespace backstay
