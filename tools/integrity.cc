#include "tools/integrity.h"

#include <sqlite3.h>

#include <array>
#include <cstdio>
#include <memory>

namespace backstay {
namespace {

using Connection = std::unique_ptr<sqlite3, int (*)(sqlite3*)>;
using Statement = std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)>;
using Row = std::function<void(sqlite3_stmt* row)>;

constexpr uint64_t kMaxFindings = 3;
constexpr uint64_t kMaxViolations = 20;
constexpr int kStopSteps = 10000;  // of SQLite's machine, between two questions

std::string TextOf(sqlite3_stmt* row, int column) {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(row, column));
  return text != nullptr ? text : "";
}

Status Failed(sqlite3* db, const std::string& path, const char* check) {
  return {Code::kIo, "the " + std::string(check) + " check of " + path +
                         " could not be run: " + sqlite3_errmsg(db)};
}

// Calls `row` for each. `check`: for people.
Status Query(const std::string& path, const char* check, const char* sql, const StopCheck& stop,
             const Row& row) {
  sqlite3* raw = nullptr;
  const int opened = sqlite3_open_v2(ImmutableUri(path).c_str(), &raw,
                                     SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, "unix");
  Connection db(raw, &sqlite3_close);
  if (opened != SQLITE_OK) return Failed(db.get(), path, check);
  const auto asks = [](void* asked) { return (*static_cast<const StopCheck*>(asked))() ? 1 : 0; };
  if (stop) sqlite3_progress_handler(raw, kStopSteps, asks, const_cast<StopCheck*>(&stop));
  sqlite3_stmt* prepared = nullptr;
  int step = sqlite3_prepare_v2(db.get(), sql, -1, &prepared, nullptr);
  Statement statement(prepared, &sqlite3_finalize);
  while (step == SQLITE_OK || step == SQLITE_ROW) {
    step = sqlite3_step(prepared);
    if (step == SQLITE_ROW) row(prepared);
  }
  const int error = step & 0xff;
  if (error == SQLITE_INTERRUPT) return {Code::kCancelled, "cancelled"};
  if (error == SQLITE_CORRUPT || error == SQLITE_NOTADB) {
    return {Code::kCorrupt, sqlite3_errmsg(db.get())};
  }
  return step == SQLITE_DONE ? Status::Ok() : Failed(db.get(), path, check);
}

}  // namespace

std::vector<std::string> IntegrityCheckNames() { return {"none", "quick", "full"}; }

IntegrityCheck IntegrityCheckNamed(const std::string& name) {
  if (name == "full") return IntegrityCheck::kFull;
  return name == "quick" ? IntegrityCheck::kQuick : IntegrityCheck::kNone;
}

// A path inside a URI filename (sqlite.org/uri.html, 3.1).
std::string ImmutableUri(const std::string& path) {
  std::string uri = "file:";
  for (unsigned char c : path) {
    if (c == '%' || c == '?' || c == '#') {
      std::array<char, 4> escaped{};
      snprintf(escaped.data(), escaped.size(), "%%%02x", c);
      uri += escaped.data();
    } else {
      uri += static_cast<char>(c);
    }
  }
  return uri + "?immutable=1";
}

Status CheckIntegrity(const std::string& path, IntegrityCheck check, const StopCheck& stop) {
  if (check == IntegrityCheck::kNone) return Status::Ok();
  const char* sql =
      check == IntegrityCheck::kQuick ? "PRAGMA quick_check" : "PRAGMA integrity_check";
  std::string findings;
  uint64_t rows = 0;
  Status run = Query(path, "integrity", sql, stop, [&](sqlite3_stmt* row) {
    const std::string finding = TextOf(row, 0);
    if (finding == "ok" || ++rows > kMaxFindings) return;
    findings += (findings.empty() ? "" : "; ") + finding;
  });
  if (run.code() == Code::kCorrupt) findings += (findings.empty() ? "" : "; ") + run.message();
  if (!findings.empty()) return {Code::kCorrupt, "the integrity check failed: " + findings};
  return run;
}

Result<ForeignKeys> CheckForeignKeys(const std::string& path, const StopCheck& stop) {
  ForeignKeys found;
  Status run = Query(path, "foreign key", "PRAGMA foreign_key_check", stop, [&](sqlite3_stmt* row) {
    if (++found.violations > kMaxViolations) return;
    const bool has_rowid = sqlite3_column_type(row, 1) != SQLITE_NULL;
    found.first.push_back(TextOf(row, 0) + (has_rowid ? " row " + TextOf(row, 1) : "") +
                          " refers to a row of " + TextOf(row, 2) + " that is not there");
  });
  if (!run.ok()) return run;
  return found;
}

}  // namespace backstay
