#include "vfs/sql_functions.h"

#include <array>
#include <mutex>
#include <type_traits>

#include "vfs/adoption.h"
#include "vfs/query.h"

namespace backstay {
namespace {

// One SQLite copy's API. A function is called without a word on which copy calls, and the copy's
// own functions are needed to ask: so each copy gets its own instance of every function.
constexpr size_t kCopies = 4;

using Api = const sqlite3_api_routines*;

struct Apis {
  std::mutex mutex;
  std::array<Api, kCopies> entries = {};
};

static_assert(std::is_trivially_destructible_v<Apis>);

Apis& TheApis() {
  static Apis apis;  // without a destructor: used until the process is gone
  return apis;
}

// Index of the copy, or kCopies when there are too many.
size_t SlotOf(Api api) {
  Apis& apis = TheApis();
  std::lock_guard lock(apis.mutex);
  size_t slot = 0;
  while (slot < kCopies && apis.entries[slot] != api && apis.entries[slot] != nullptr) slot++;
  // Written once, before the copy knows our functions: these read it without the mutex.
  if (slot < kCopies && apis.entries[slot] == nullptr) apis.entries[slot] = api;
  return slot;
}

bool Ask(Api sqlite3_api, sqlite3_context* context, Query* query) {
  sqlite3* db = sqlite3_context_db_handle(context);
  return sqlite3_file_control(db, "main", kQueryControl, query) == SQLITE_OK;
}

void Status(Api sqlite3_api, sqlite3_context* context) {
  Query query;
  query.kind = QueryKind::kStatus;
  if (!Ask(sqlite3_api, context, &query)) {
    const char* off =
        "{\"state\":\"off\",\"reason\":\"no configuration selects this database, or the "
        "connection is left alone: read-only, immutable, in memory, or of another VFS\"}";
    return sqlite3_result_text(context, off, -1, SQLITE_STATIC);
  }
  if (query.text == nullptr) return sqlite3_result_error_nomem(context);
  sqlite3_result_text(context, query.text, -1, SQLITE_TRANSIENT);
  query.free_text(query.text);
}

void Sync(Api sqlite3_api, sqlite3_context* context, int argc, sqlite3_value** argv) {
  Query query;
  query.kind = QueryKind::kSync;
  if (argc > 0) query.timeout_ms = sqlite3_value_int(argv[0]);
  sqlite3_result_int(context, Ask(sqlite3_api, context, &query) ? query.done : 0);
}

template <size_t kSlot>
struct Functions {
  static Api Copy() { return TheApis().entries[kSlot]; }

  static void Version(sqlite3_context* context, int, sqlite3_value**) noexcept {
    Api sqlite3_api = Copy();
    sqlite3_result_text(context, BACKSTAY_VERSION, -1, SQLITE_STATIC);
  }
  static void Status(sqlite3_context* context, int, sqlite3_value**) noexcept {
    backstay::Status(Copy(), context);
  }
  static void Sync(sqlite3_context* context, int argc, sqlite3_value** argv) noexcept {
    backstay::Sync(Copy(), context, argc, argv);
  }

  static int Register(sqlite3* db) {
    Api sqlite3_api = Copy();
    int flags = SQLITE_UTF8;
    // Not from inside a schema that somebody else wrote: sync waits.
    if (sqlite3_libversion_number() >= 3030000) flags |= SQLITE_DIRECTONLY;
    auto add = [&](const char* name, int argc, auto function) {
      return sqlite3_create_function(db, name, argc, flags, nullptr, function, nullptr, nullptr);
    };
    int rc = add("backstay_version", 0, &Version);
    if (rc == SQLITE_OK) rc = add("backstay_status", 0, &Status);
    if (rc == SQLITE_OK) rc = add("backstay_sync", 0, &Sync);
    if (rc == SQLITE_OK) rc = add("backstay_sync", 1, &Sync);
    return rc;
  }
};

}  // namespace

int RegisterFunctions(sqlite3* db, const sqlite3_api_routines* api) noexcept {
  switch (SlotOf(api)) {
    case 0: return Functions<0>::Register(db);
    case 1: return Functions<1>::Register(db);
    case 2: return Functions<2>::Register(db);
    case 3: return Functions<3>::Register(db);
    default: return SQLITE_OK;  // a fifth copy goes without functions
  }
}

int AutoRegister(sqlite3* db, char**, const sqlite3_api_routines* api) noexcept {
  // An error here would make the application's sqlite3_open() fail.
  static_cast<void>(RegisterFunctions(db, api));
  TellOfConnection(db, api);
  return SQLITE_OK;
}

}  // namespace backstay
