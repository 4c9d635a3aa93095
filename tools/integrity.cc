#include "tools/integrity.h"

#include <sqlite3.h>

#include <array>
#include <cstdio>
#include <memory>

namespace backstay {
namespace {

using Connection = std::unique_ptr<sqlite3, int (*)(sqlite3*)>;
using Statement = std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)>;

constexpr int kMaxFindings = 3;

// A path inside a URI filename (sqlite.org/uri.html, 3.1).
std::string UriOf(const std::string& path) {
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

Status Failed(sqlite3* db, const std::string& path) {
  return {Code::kIo, "the integrity check of " + path + " could not be run: " + sqlite3_errmsg(db)};
}

}  // namespace

Status CheckIntegrity(const std::string& path, IntegrityCheck check) {
  if (check == IntegrityCheck::kNone) return Status::Ok();
  sqlite3* raw = nullptr;
  const int opened =
      sqlite3_open_v2(UriOf(path).c_str(), &raw, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, "unix");
  Connection db(raw, &sqlite3_close);
  if (opened != SQLITE_OK) return Failed(db.get(), path);
  const char* sql =
      check == IntegrityCheck::kQuick ? "PRAGMA quick_check" : "PRAGMA integrity_check";
  sqlite3_stmt* prepared = nullptr;
  const int ready = sqlite3_prepare_v2(db.get(), sql, -1, &prepared, nullptr);
  Statement statement(prepared, &sqlite3_finalize);
  std::string findings;
  int step = ready;
  for (int rows = 0; ready == SQLITE_OK && (step = sqlite3_step(prepared)) == SQLITE_ROW; ++rows) {
    const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(prepared, 0));
    const std::string finding = text != nullptr ? text : "";
    if (finding == "ok" || rows >= kMaxFindings) continue;
    findings += (findings.empty() ? "" : "; ") + finding;
  }
  const int error = step & 0xff;
  if (error == SQLITE_CORRUPT || error == SQLITE_NOTADB) findings += sqlite3_errmsg(db.get());
  if (!findings.empty()) return {Code::kCorrupt, "the integrity check failed: " + findings};
  return step == SQLITE_DONE ? Status::Ok() : Failed(db.get(), path);
}

}  // namespace backstay
