#include "vfs/adoption.h"

#include <cstring>
#include <string>
#include <vector>

#include "vfs/shim_vfs.h"

namespace backstay {
namespace {

using Api = const sqlite3_api_routines*;

// Finalized however it is left: the application could not close its connection otherwise.
class Statement {
 public:
  Statement(Api api, sqlite3* db, const char* sql) : sqlite3_api(api) {
    if (sqlite3_prepare_v2(db, sql, -1, &statement_, nullptr) != SQLITE_OK) statement_ = nullptr;
  }
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  bool Step() { return statement_ != nullptr && sqlite3_step(statement_) == SQLITE_ROW; }
  std::string Text(int column) {
    const unsigned char* text = sqlite3_column_text(statement_, column);
    return text != nullptr ? reinterpret_cast<const char*>(text) : "";
  }

 private:
  const Api sqlite3_api;
  sqlite3_stmt* statement_ = nullptr;
};

std::vector<std::string> Query(Api sqlite3_api, sqlite3* db, const char* sql, int column) {
  std::vector<std::string> values;
  Statement statement(sqlite3_api, db, sql);
  while (statement.Step()) values.push_back(statement.Text(column));
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
  const std::vector<std::string> mode = Query(sqlite3_api, db, sql.c_str(), 0);
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

}  // namespace

void AdoptConnection(sqlite3* db, const sqlite3_api_routines* api, const SqliteCopy* copy) {
  for (const std::string& schema : Query(api, db, "PRAGMA database_list", 1)) {
    AdoptDatabase(api, db, schema, copy);
  }
}

}  // namespace backstay
