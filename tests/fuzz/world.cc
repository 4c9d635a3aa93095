#include "tests/fuzz/world.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "tests/fuzz/fixup.h"
#include "tests/fuzz/linked_engine.h"
#include "uploader/base/file.h"
#include "uploader/capture/page_buffer.h"
#include "uploader/replica/restore.h"
#include "uploader/state/index_file.h"
#include "uploader/storage/file_client.h"

namespace backstay {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxFile = 64 << 20;

void Write(const std::string& path, const std::string& content) {
  fs::create_directories(fs::path(path).parent_path());
  Result<Fd> fd = OpenFile(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  // Something else may be in its place.
  if (fd.ok()) Require(WriteAt(*fd, AsBytes(content), 0).ok());
}

// ---- Checksums ---------------------------------------------------------------------------------

void FixRecords(const Folder& folder, std::string* text) {
  const Files files = folder.Read();
  const auto index = files.find("app.db-backstay/index");
  uint32_t owner = 0;
  if (index != files.end()) {
    const Result<IndexFile> parsed = ParseIndexFile(AsBytes(index->second));
    if (parsed.ok()) owner = static_cast<uint32_t>(Hash(parsed->identity.id));
  }
  for (size_t begin = 0; begin + 9 <= text->size();) {
    const uint64_t length = LoadLe32(MutableBytes(text) + begin);
    const uint64_t end = begin + 5 + length + 4;
    if (end > text->size()) return;
    const uint64_t hash = Hash(AsBytes(*text).subspan(begin + 4, 1 + length));
    StoreLe32(MutableBytes(text) + end - 4, static_cast<uint32_t>(hash) ^ owner);
    begin = end;
  }
}

struct WalSums {
  uint32_t s1 = 0;
  uint32_t s2 = 0;

  void Add(const uint8_t* data, size_t n, bool big_endian) {
    for (size_t i = 0; i + 8 <= n; i += 8) {
      s1 += (big_endian ? LoadBe32(data + i) : LoadLe32(data + i)) + s2;
      s2 += (big_endian ? LoadBe32(data + i + 4) : LoadLe32(data + i + 4)) + s1;
    }
  }
  void Store(uint8_t* out) const {
    StoreLe32(out, __builtin_bswap32(s1));
    StoreLe32(out + 4, __builtin_bswap32(s2));
  }
};

// Every frame belongs to the WAL that the header names (sqlite.org/fileformat2.html, 4.1).
void FixWal(std::string* wal) {
  constexpr size_t kHeader = 32;
  constexpr size_t kFrameHeader = 24;
  if (wal->size() < kHeader) return;
  uint8_t* const head = MutableBytes(wal);
  const bool big_endian = (LoadBe32(head) & 1) != 0;
  WalSums sums;
  sums.Add(head, 24, big_endian);
  sums.Store(head + 24);
  const uint32_t page_size = LoadBe32(head + 8);
  if (!IsPageSize(page_size)) return;
  const size_t whole = kFrameHeader + page_size;
  for (size_t at = kHeader; at + whole <= wal->size(); at += whole) {
    uint8_t* frame = head + at;
    std::copy(head + 16, head + 24, frame + 8);
    sums.Add(frame, 8, big_endian);
    sums.Add(frame + kFrameHeader, page_size, big_endian);
    sums.Store(frame + 16);
  }
}

void Fix(const Folder& folder, const std::string& name, std::string* content) {
  if (name == "app.db-backstay/index") FixHash(content, 0, content->size());
  if (name == "app.db-backstay/outbox") FixRecords(folder, content);
  if (name == "app.db-wal") FixWal(content);
}

// ---- Making worlds -----------------------------------------------------------------------------

struct Recipe {
  const char* begin;    // before the first table
  const char* later;    // not shipped
  const char* unended;  // a transaction that is cut off
};
constexpr Recipe kRecipes[] = {
    {"PRAGMA page_size=1024; PRAGMA journal_mode=wal; PRAGMA wal_autocheckpoint=0", "", ""},
    {"PRAGMA page_size=4096; PRAGMA journal_mode=wal; PRAGMA wal_autocheckpoint=0",
     "DELETE FROM t WHERE id%2=0; PRAGMA wal_checkpoint; INSERT INTO t(text) VALUES('late')", ""},
    {"PRAGMA page_size=512; PRAGMA journal_mode=wal", "PRAGMA wal_checkpoint(TRUNCATE)", ""},
    {"PRAGMA page_size=65536; PRAGMA journal_mode=wal", "", ""},
    {"PRAGMA page_size=1024; PRAGMA journal_mode=delete", "", ""},
    {"PRAGMA page_size=512; PRAGMA journal_mode=persist; PRAGMA cache_size=1", "",
     "BEGIN; UPDATE t SET text=upper(text)||'!'; DELETE FROM t WHERE id>3"}};

class Application {
 public:
  explicit Application(const std::string& uri) {
    Require(sqlite3_open_v2(uri.c_str(), &db_,
                            SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_URI,
                            ShimVfs()) == SQLITE_OK);
  }
  ~Application() { sqlite3_close(db_); }
  void Sql(const char* sql) {
    Require(sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) == SQLITE_OK);
  }
  std::string Ask(const char* sql) {
    std::string answer;
    sqlite3_stmt* statement = nullptr;
    Require(sqlite3_prepare_v2(db_, sql, -1, &statement, nullptr) == SQLITE_OK);
    if (sqlite3_step(statement) == SQLITE_ROW) {
      answer = reinterpret_cast<const char*>(sqlite3_column_text(statement, 0));
    }
    sqlite3_finalize(statement);
    return answer;
  }
  void Sync() { Require(Ask("PRAGMA backstay_sync(60000)") == "1"); }

 private:
  sqlite3* db_ = nullptr;
};

Files MarksOf(const std::string& path) {
  char names[4096];
  char value[4096];
  Files marks;
  const ssize_t n = listxattr(path.c_str(), names, sizeof names);
  for (ssize_t at = 0; at < n; at += static_cast<ssize_t>(strlen(names + at)) + 1) {
    const ssize_t size = getxattr(path.c_str(), names + at, value, sizeof value);
    if (size >= 0) marks[names + at] = std::string(value, static_cast<size_t>(size));
  }
  return marks;
}

uint64_t NewestTxid(const Folder& folder) {
  auto client = FileReplicaClient::Make(folder / "replica").value();
  return PlanFromReplica(ReplicaReader(client.get()), {}, {}).value().txid;
}

constexpr const char* kRows =
    "INSERT INTO t(text) WITH n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i<12)"
    " SELECT printf('%.*c', 40*i, char(96+i)) FROM n";

// REQUIRES: the folder is still there when the engine ends.
World MakeIn(const Folder& folder, const Recipe& recipe) {
  World world;
  Application application(folder.Uri());
  application.Sql(recipe.begin);
  application.Sql("CREATE TABLE t(id INTEGER PRIMARY KEY, text); CREATE INDEX i ON t(text)");
  application.Sql(kRows);
  application.Sync();
  application.Sql("UPDATE t SET text=text||id WHERE id<5");
  application.Sync();
  world.txid = NewestTxid(folder);
  world.image = Restored(folder, world.txid);
  Require(!world.image.empty());
  // The replica is away: what comes now stays in the outbox.
  const std::string replica = folder / "replica";
  fs::rename(replica, replica + ".away");
  Write(replica, "");
  application.Sql(kRows);
  application.Sql(recipe.later);
  Require(application.Ask("PRAGMA backstay_sync(100)") == "0");
  application.Sql(recipe.unended);
  world.files = folder.Read();
  world.marks = MarksOf(folder.Database());
  world.files.erase("replica");
  for (const auto& entry : fs::recursive_directory_iterator(replica + ".away")) {
    const std::string name = entry.path().string().substr(replica.size() + strlen(".away"));
    if (entry.is_regular_file()) {
      world.files["replica" + name] = ReadFile(entry.path(), kMaxFile).value();
    }
  }
  return world;
}

std::vector<World> MakeAll() {
  std::vector<World> worlds;
  for (const Recipe& recipe : kRecipes) {
    const Folder folder("app");  // a state folder knows the path of its replica
    worlds.push_back(MakeIn(folder, recipe));
    EndEngine();
  }
  return worlds;
}

// ---- Damage ------------------------------------------------------------------------------------

std::vector<std::string> MakeNames() {
  std::vector<std::string> names;
  for (const char* end : {"", "-wal", "-shm", "-journal"})
    names.push_back(std::string("app.db") + end);
  for (const char* name : {"index", "outbox", "mark", "lock", "shared", "status.json"}) {
    names.push_back(std::string("app.db-backstay/") + name);
  }
  for (const auto& [name, content] : Worlds()[0].files) {
    if (name.rfind("replica/", 0) == 0) names.push_back(name);
  }
  return names;
}

std::string ReadIfThere(const Folder& folder, const std::string& name) {
  // A socket is opened by nobody, and a name of another world's replica need not be there.
  struct stat info {};
  const std::string path = folder / name;
  if (lstat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return {};
  return ReadFile(path, kMaxFile).value_or("");
}

std::string Telling(uint8_t choice, bool big_endian) {
  constexpr uint32_t kNumbers[] = {0,          1,          2,         512,        1024,
                                   4096,       65536,      131072,    0x7fffffff, 0x80000000,
                                   0xfffffffe, UINT32_MAX, 0x40000000};
  const uint32_t number = kNumbers[choice % std::size(kNumbers)];
  std::string bytes(4, '\0');
  StoreLe32(MutableBytes(&bytes), big_endian ? __builtin_bswap32(number) : number);
  return bytes;
}

// Small places are near the beginning, large ones near the end.
size_t PlaceIn(const std::string& content, uint32_t at) {
  const size_t distance = std::min<size_t>(at & 0x7fff, content.size());
  return (at & 0x8000) != 0 ? content.size() - distance : distance;
}

}  // namespace

const std::vector<World>& Worlds() {
  static const auto* worlds = new std::vector<World>(MakeAll());
  return *worlds;
}

Folder::Folder(const std::string& name)
    : path_("/dev/shm/backstay-fuzz-" + std::to_string(getpid()) + "-" + name) {
  fs::remove_all(path_);
  fs::create_directory(path_);
}

Folder::~Folder() { fs::remove_all(path_); }

std::string Folder::Uri() const {
  return "file:" + Database() + "?replica=file://" + *this / "replica";
}

void Folder::Fill(const World& world) const {
  for (const auto& [name, content] : world.files) Write(*this / name, content);
  for (const auto& [name, value] : world.marks) {
    (void)setxattr(Database().c_str(), name.c_str(), value.data(), value.size(), 0);
  }
}

Files Folder::Read() const {
  Files files;
  for (const auto& entry : fs::recursive_directory_iterator(path_)) {
    const std::string name = entry.path().string().substr(path_.size() + 1);
    if (entry.is_regular_file()) files[name] = ReadIfThere(*this, name);
  }
  return files;
}

const std::vector<std::string>& Damage::Names() {
  static const auto* names = new std::vector<std::string>(MakeNames());
  return *names;
}

Damage Damage::From(Input* input, Kind kind) {
  Damage damage{};
  damage.kind = kind;
  damage.name = Names()[input->Byte() % Names().size()];
  if (kind == kWrite || kind == kNumber || kind == kCut) {
    const uint32_t low = input->Byte();
    damage.at = low | uint32_t{input->Byte()} << 8;
  }
  if (kind == kWrite || kind == kAppend) damage.bytes = input->Text(1 + input->Byte() % 32);
  if (kind == kNumber) {
    const uint8_t choice = input->Byte();
    damage.bytes = Telling(choice & 0x7f, choice < 0x80);
  }
  if (kind == kExchange) damage.from = input->Byte() % Worlds().size();
  if (kind == kCopy) damage.from = input->Byte() % Names().size();
  return damage;
}

void Damage::Do(const Folder& folder) const {
  std::string content = ReadIfThere(folder, name);
  const size_t place = PlaceIn(content, at);
  if (kind == kWrite || kind == kNumber) content.replace(place, bytes.size(), bytes);
  if (kind == kCut) content.resize(place);
  if (kind == kAppend) content += bytes;
  if (kind == kCopy) content = ReadIfThere(folder, Names()[from]);
  if (kind == kExchange) {
    const Files& files = Worlds()[from].files;
    const auto other = files.find(name);
    content = other != files.end() ? other->second : std::string();
  }
  if (kind == kRepair) Fix(folder, name, &content);
  const std::string path = folder / name;
  if (kind == kRemove) {
    (void)unlink(path.c_str());
  } else {
    Write(path, content);
  }
}

std::string Restored(const Folder& folder, uint64_t txid) {
  const std::string path = folder / "restored";
  Result<Fd> fd = OpenFile(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
  Require(fd.ok());
  FilePageStore store(*fd, path);
  auto client = FileReplicaClient::Make(folder / "replica").value();
  RetryOptions retry;
  retry.attempts = 1;
  RestoreOptions options;
  options.replay.parallelism = 1;
  if (txid != 0) {
    options.target.kind = RestoreTarget::Kind::kTxid;
    options.target.txid = txid;
  }
  Result<RestoreOutcome> restored =
      RestoreInto(ReplicaReader(client.get(), retry), options, &store);
  if (!restored.ok()) fprintf(stderr, "restore: %s\n", restored.status().ToString().c_str());
  return restored.ok() ? ReadFile(path, kMaxFile).value_or("") : std::string();
}

}  // namespace backstay
