#include "tests/bench/workload.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace backstay {
namespace {

constexpr const char* kSchema = R"(
CREATE TABLE device(id INTEGER PRIMARY KEY, uuid TEXT UNIQUE, name TEXT, room TEXT, state TEXT, seen INTEGER);
CREATE INDEX device_room ON device(room); CREATE INDEX device_seen ON device(seen);
CREATE TABLE event(id INTEGER PRIMARY KEY, device INTEGER, at INTEGER, kind TEXT, detail TEXT);
CREATE INDEX event_device ON event(device, at); CREATE INDEX event_at ON event(at);
CREATE INDEX event_kind ON event(kind, at);
CREATE TABLE note(id INTEGER PRIMARY KEY, title TEXT, body TEXT, changed INTEGER, tag TEXT);
CREATE INDEX note_changed ON note(changed); CREATE INDEX note_tag ON note(tag, changed);
CREATE TABLE bookmark(id INTEGER PRIMARY KEY, url TEXT UNIQUE, title TEXT, added INTEGER, visits INTEGER);
CREATE INDEX bookmark_added ON bookmark(added); CREATE INDEX bookmark_visits ON bookmark(visits);
CREATE TABLE task(id INTEGER PRIMARY KEY, owner INTEGER, title TEXT, due INTEGER, done INTEGER);
CREATE INDEX task_owner ON task(owner, done); CREATE INDEX task_due ON task(due);
CREATE TABLE session(id INTEGER PRIMARY KEY, token TEXT, user INTEGER, started INTEGER, agent TEXT);
CREATE INDEX session_token ON session(token); CREATE INDEX session_user ON session(user, started);
CREATE TABLE media(id INTEGER PRIMARY KEY, path TEXT, size INTEGER, taken INTEGER, meta TEXT);
CREATE INDEX media_path ON media(path); CREATE INDEX media_taken ON media(taken);
CREATE TABLE audit(id INTEGER PRIMARY KEY, at INTEGER, user INTEGER, action TEXT, object TEXT);
CREATE INDEX audit_at ON audit(at); CREATE INDEX audit_user ON audit(user, at);
)";

constexpr const char* kStatements[] = {
    "INSERT INTO event(device,at,kind,detail) VALUES(?,?,?,?)",
    "UPDATE device SET state=? WHERE id=?",
    "INSERT INTO note(title,body,changed,tag) VALUES(?,?,?,?)",
    "UPDATE note SET body=? WHERE id=?",
    "INSERT OR IGNORE INTO bookmark(url,title,added,visits) VALUES(?,?,?,?)",
    "INSERT INTO task(owner,title,due,done) VALUES(?,?,?,?)",
    "UPDATE task SET done=1 WHERE id=?",
    "INSERT INTO session(token,user,started,agent) VALUES(?,?,?,?)",
    "INSERT INTO media(path,size,taken,meta) VALUES(?,?,?,?)",
    "INSERT INTO audit(at,user,action,object) VALUES(?,?,?,?)",
    "INSERT INTO device(uuid,name,room,state,seen) VALUES(?,?,?,?,?)",
};

void Check(sqlite3* db, int rc, int expected) {
  if (rc != expected) throw std::runtime_error(sqlite3_errmsg(db));
}

}  // namespace

void Exec(sqlite3* db, const std::string& sql) {
  Check(db, sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK);
}

std::string Query(sqlite3* db, const std::string& sql) {
  sqlite3_stmt* statement = nullptr;
  Check(db, sqlite3_prepare_v2(db, sql.c_str(), -1, &statement, nullptr), SQLITE_OK);
  std::string value;
  if (sqlite3_step(statement) == SQLITE_ROW) {
    const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, 0));
    value = text != nullptr ? text : "";
  }
  sqlite3_finalize(statement);
  return value;
}

// English as it lies on every Debian machine; what follows what is learned from it.
Workload::Workload(uint64_t seed) : random_(seed) {
  std::vector<std::filesystem::path> files;
  for (const auto& file : std::filesystem::directory_iterator("/usr/share/common-licenses")) {
    if (file.is_regular_file() && !file.is_symlink()) files.push_back(file.path());
  }
  std::sort(files.begin(), files.end());
  for (const auto& file : files) {
    std::ifstream in(file);
    for (std::string word, last; in >> word; last = word) {
      if (!last.empty()) next_[last].push_back(word);
      words_.push_back(word);
    }
  }
  if (words_.empty()) throw std::runtime_error("/usr/share/common-licenses: no text there");
  for (const char* sql : kStatements) statements_.push_back({sql, nullptr});
}

void Workload::CreateSchema(sqlite3* db) { Exec(db, kSchema); }

std::string Workload::Words(int n) {
  std::string word = words_[random_() % words_.size()];
  std::string text = word;
  for (int i = 1; i < n; ++i) {
    auto after = next_.find(word);
    word = after == next_.end() ? words_[random_() % words_.size()]
                                : after->second[random_() % after->second.size()];
    text += " " + word;
  }
  return text;
}

std::string Workload::Uuid() {
  char text[40];
  snprintf(text, sizeof text, "%08x-%04x-4%03x-%04x-%012llx", static_cast<unsigned>(random_()),
           static_cast<unsigned>(random_() & 0xffff), static_cast<unsigned>(random_() & 0xfff),
           static_cast<unsigned>(random_() & 0xffff),
           static_cast<unsigned long long>(random_() & 0xffffffffffffULL));
  return text;
}

std::string Workload::Url() {
  return "https://www." + Words(1) + ".example/" + Words(1) + "/" + Number(100000) +
         "?ref=" + Words(1);
}

std::string Workload::Json() {
  return R"({"temperature":)" + Number(400) + R"(,"humidity":)" + Number(100) + R"(,"battery":)" +
         Number(100) + R"(,"firmware":"1.)" + Number(9) + R"(","mode":")" + Words(1) + "\"}";
}

void Workload::Run(sqlite3* db, size_t index, const std::vector<std::string>& values) {
  Statement& statement = statements_[index];
  if (statement.handle == nullptr) {
    Check(db, sqlite3_prepare_v2(db, statement.sql.c_str(), -1, &statement.handle, nullptr),
          SQLITE_OK);
  }
  for (size_t i = 0; i < values.size(); ++i) {
    bound_bytes_ += values[i].size();
    sqlite3_bind_text(statement.handle, static_cast<int>(i) + 1, values[i].c_str(), -1,
                      SQLITE_TRANSIENT);
  }
  Check(db, sqlite3_step(statement.handle), SQLITE_DONE);
  sqlite3_reset(statement.handle);
}

void Workload::Row(sqlite3* db, int kind) {
  std::string now = std::to_string(clock_ += random_() % 5);
  switch (kind) {
    case 0: return Run(db, 0, {Number(500), now, Words(1), Json()});
    case 1: return Run(db, 1, {Json(), Number(500)});
    case 2: return Run(db, 2, {Words(4), Words(41), now, Words(1)});
    case 3: return Run(db, 3, {Words(41), Number(20000)});
    case 4: return Run(db, 4, {Url(), Words(6), now, Number(50)});
    case 5: return Run(db, 5, {Number(20), Words(6), now, "0"});
    case 6: return Run(db, 6, {Number(20000)});
    case 7: return Run(db, 7, {Uuid(), Number(20), now, Words(5)});
    case 8:
      return Run(
          db, 8,
          {"/media/" + Words(2) + "/" + Number(99999) + ".jpg", Number(9000000), now, Json()});
    default: return Run(db, 9, {now, Number(20), Words(1), Words(3)});
  }
}

// Which table comes how often; with the lengths of the texts it makes the 259 bytes and 5.3 frames
// a transaction that the figures of the format were chosen with.
int Workload::AnyKind() {
  constexpr int kKinds[] = {0, 0, 1, 2, 3, 3, 3, 3, 4, 5, 6, 7, 8, 9, 9};
  return kKinds[random_() % std::size(kKinds)];
}

void Workload::Preload(sqlite3* db, int megabytes) {
  Exec(db, "BEGIN");
  for (int i = 0; i < 500; ++i) Run(db, 10, {Uuid(), Words(2), Words(1), Json(), Number(1000)});
  Exec(db, "COMMIT");
  for (;;) {
    Exec(db, "BEGIN");
    for (int i = 0; i < 5000; ++i) Row(db, AnyKind());
    Exec(db, "COMMIT");
    double pages = std::stod(Query(db, "PRAGMA page_count"));
    if (pages * std::stod(Query(db, "PRAGMA page_size")) >= megabytes * 1048576.0) return;
  }
}

void Workload::Transaction(sqlite3* db) {
  uint64_t rows = 1 + random_() % 3;
  if (rows > 1) Exec(db, "BEGIN");
  for (uint64_t i = 0; i < rows; ++i) Row(db, AnyKind());
  if (rows > 1) Exec(db, "COMMIT");
}

void Workload::Finalize() {
  for (Statement& statement : statements_) {
    sqlite3_finalize(statement.handle);
    statement.handle = nullptr;
  }
}

}  // namespace backstay
