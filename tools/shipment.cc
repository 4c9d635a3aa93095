#include "tools/shipment.h"

#include <sqlite3.h>

#include <memory>
#include <utility>

#include "tools/library.h"
#include "uploader/state/state_folder.h"

namespace backstay {
namespace {

constexpr int kBusyMs = 5000;

constexpr const char* kRead = "SELECT count(*) FROM sqlite_master";

using Statement = std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)>;

Status Failed(sqlite3* db, const std::string& what) {
  const int error = sqlite3_errcode(db) & 0xff;
  const bool damaged = error == SQLITE_CORRUPT || error == SQLITE_NOTADB;
  return {damaged ? Code::kCorrupt : Code::kIo, what + ": " + sqlite3_errmsg(db)};
}

// The first column of the only row.
Result<std::string> Ask(sqlite3* db, const std::string& sql) {
  sqlite3_stmt* prepared = nullptr;
  const int ready = sqlite3_prepare_v2(db, sql.c_str(), -1, &prepared, nullptr);
  Statement statement(prepared, &sqlite3_finalize);
  if (ready != SQLITE_OK || sqlite3_step(prepared) != SQLITE_ROW) return Failed(db, sql);
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(prepared, 0));
  return std::string(text != nullptr ? text : "");
}

// Makes its VFS the default of this process.
Status LoadExtension() {
  Result<std::string> library = FindLibrary("backstay.so", "", "");
  if (!library.ok()) return library.status();
  BACKSTAY_TRY(CheckEngine(*library));
  sqlite3* raw = nullptr;
  const int opened = sqlite3_open(":memory:", &raw);
  const std::unique_ptr<sqlite3, int (*)(sqlite3*)> loader(raw, &sqlite3_close);
  if (opened != SQLITE_OK) return Failed(raw, "open SQLite");
  sqlite3_db_config(raw, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 1, nullptr);
  char* error = nullptr;
  const int loaded = sqlite3_load_extension(raw, library->c_str(), nullptr, &error);
  const std::unique_ptr<char, void (*)(void*)> text(error, &sqlite3_free);
  if (loaded == SQLITE_OK) return Status::Ok();
  return {Code::kInvalid, "load " + *library + ": " + (error != nullptr ? error : "out of memory")};
}

}  // namespace

Result<Shipment> Shipment::Open(const std::string& database) {
  if (StampOf(database).size <= 0) {
    return Status(Code::kInvalid, database + " is not there, or empty");
  }
  BACKSTAY_TRY(LoadExtension());
  sqlite3* raw = nullptr;
  const int opened = sqlite3_open_v2(database.c_str(), &raw, SQLITE_OPEN_READWRITE, nullptr);
  Shipment shipment(raw);
  if (opened != SQLITE_OK) return Failed(raw, "open " + database);
  sqlite3_busy_timeout(raw, kBusyMs);
  // What a process that was killed has left is settled by the first read.
  Result<std::string> read = Ask(raw, kRead);
  if (!read.ok()) return read.status().Wrap(database);
  sqlite3_busy_timeout(raw, 0);
  return shipment;
}

Shipment::Shipment(Shipment&& other) noexcept : db_(std::exchange(other.db_, nullptr)) {}

Shipment::~Shipment() { sqlite3_close(db_); }

bool Shipment::Sync(int64_t timeout_ms) {
  Result<std::string> done = Ask(db_, "SELECT backstay_sync(" + std::to_string(timeout_ms) + ")");
  return done.ok() && *done == "1";
}

Status Shipment::Look() { return Ask(db_, kRead).status(); }

std::string Shipment::StatusJson() {
  Result<std::string> status = Ask(db_, "SELECT backstay_status()");
  return status.ok() ? *status : "";
}

}  // namespace backstay
