// A libbackstay_engine.so that replicates nothing and writes down every call, for tests of the shim
// alone: order and positions can be asserted without a replica.
//
// RECORDING_ENGINE_LOG names the file; each call appends one JSON object a line with one write(2),
// with what the test needs to judge the moment of the call: the size of the WAL on disk, and at
// finish_wal() the salts in its header, at committed() whether the WAL write lock is held.
// RECORDING_ENGINE_FAIL makes open() fail with that message; while the file that
// RECORDING_ENGINE_LOSES names is there, the engine has let go of every handle;
// RECORDING_ENGINE_SYNC=1 means durability=sync. status() describes the file through the host's
// callbacks. Any thread; the state of a database is guarded by one mutex.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "uploader/engine_api.h"

struct BackstayDb {
  std::string path;
  BackstayHost host;
  int number;  // 1: the first one of this process
};

namespace {

using Json = nlohmann::ordered_json;

void Record(Json line) {
  const char* log = std::getenv("RECORDING_ENGINE_LOG");
  const int fd = log != nullptr ? open(log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
  if (fd < 0) return;
  line["pid"] = getpid();
  const std::string text = line.dump() + "\n";
  if (write(fd, text.data(), text.size()) < 0) std::abort();
  close(fd);
}

int64_t FileSize(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 ? info.st_size : -1;
}

// Salts in the header of the WAL on disk, in hexadecimal; empty without a WAL.
std::string WalSalts(const std::string& path) {
  unsigned char header[32];
  const int fd = open((path + "-wal").c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return "";
  const ssize_t n = pread(fd, header, sizeof header, 0);
  close(fd);
  if (n != sizeof header) return "";
  char text[20];
  snprintf(text, sizeof text, "%02x%02x%02x%02x-%02x%02x%02x%02x", header[16], header[17],
           header[18], header[19], header[20], header[21], header[22], header[23]);
  return text;
}

// Whether this process holds the WAL write lock: byte 120 of the -shm file. By way of /proc, since
// a descriptor of our own on that file would drop the lock when it closes.
bool WriteLocked(const std::string& path) {
  struct stat info;
  if (stat((path + "-shm").c_str(), &info) != 0) return false;
  std::ifstream locks("/proc/locks");
  std::string line, number, kind, how, mode, file, end;
  long pid, start;
  while (std::getline(locks, line)) {
    // Whoever waits for a lock has a line of another form.
    std::istringstream words(line);
    if (!(words >> number >> kind >> how >> mode >> pid >> file >> start >> end)) continue;
    const bool here = file.ends_with(":" + std::to_string(info.st_ino)) && pid == getpid();
    if (here && mode == "WRITE" && start <= 120 && std::atol(end.c_str()) >= 120) return true;
  }
  return false;
}

Json Call(const char* name, const BackstayDb* db) {
  return {{"call", name}, {"db", db->path}, {"wal", FileSize(db->path + "-wal")}};
}

Json Position(const BackstayWalPosition& pos) {
  char salts[20];
  snprintf(salts, sizeof salts, "%08x-%08x", pos.salt1, pos.salt2);
  return {{"salts", salts},
          {"max_frame", pos.max_frame},
          {"pages", pos.pages},
          {"change", pos.change},
          {"exclusive", pos.exclusive}};
}

void Start(const char* const*) {}

int Open(const BackstayOpen* options, BackstayDb** db, char* error, size_t n) {
  Json line = {{"call", "open"},
               {"db", options->path},
               {"replica", options->replica_url != nullptr ? options->replica_url : ""},
               {"size", options->host.size(options->host.ctx)}};
  for (int i = 0; i < options->nparam; i++) {
    line["params"][options->params[2 * i]] = options->params[2 * i + 1];
  }
  Record(line);
  if (const char* fail = std::getenv("RECORDING_ENGINE_FAIL")) {
    snprintf(error, n, "%s", fail);
    return 1;
  }
  static std::atomic<int> opened = 0;
  *db = new BackstayDb{options->path, options->host, ++opened};
  return 0;
}

void Close(BackstayDb* db) {
  Json line = Call("close", db);
  line["in_use"] = db->host.in_use(db->host.ctx);
  line["size"] = db->host.size(db->host.ctx);
  Record(line);
  db->host.release(db->host.ctx);
  Record({{"call", "released"}, {"db", db->path}});
  delete db;
}

int Holds(BackstayDb*, int) {
  const char* loses = std::getenv("RECORDING_ENGINE_LOSES");
  return loses != nullptr && access(loses, F_OK) == 0 ? 0 : 1;
}

int GiveBack() { return 0; }

// Nothing is behind the handle any more. Only for tests that ask for it: the others look at what
// the engine is told of a database that is there.
void Closed(BackstayDb*) {
  if (std::getenv("RECORDING_ENGINE_CLOSED") != nullptr) Record({{"call", "closed"}});
}

void Committed(BackstayDb* db, const BackstayWalPosition* pos) {
  Json line = Call("committed", db);
  line.update(Position(*pos));
  line["write_locked"] = WriteLocked(db->path);
  Record(line);
}

int FinishWal(BackstayDb* db, int timeout_ms, int commit_waits) {
  Json line = Call("finish_wal", db);
  line["timeout_ms"] = timeout_ms;
  line["commit_waits"] = commit_waits;
  line["disk_salts"] = WalSalts(db->path);
  Record(line);
  return 1;
}

void Checkpoint(BackstayDb* db) {
  Json line = Call("checkpoint", db);
  line["size"] = db->host.size(db->host.ctx);
  Record(line);
}

void WalGone(BackstayDb* db) { Record(Call("wal_gone", db)); }

void Writing(BackstayDb* db) {
  Json line = Call("writing", db);
  line["handle"] = db->number;
  line["size"] = db->host.size(db->host.ctx);
  Record(line);
}

void Written(BackstayDb* db, const BackstayWrites* writes) {
  Json line = Call("written", db);
  line["handle"] = db->number;
  const size_t n = writes->page_size;
  size_t changed = 0;
  bool in_file = true;
  for (size_t i = 0; i < writes->count && writes->images != nullptr; i++) {
    const uint8_t* image = writes->images + i * n;
    changed += memcmp(image, writes->old + i * n, n) != 0 ? 1 : 0;
    std::vector<uint8_t> page(n);
    const auto at = static_cast<int64_t>((writes->pgnos[i] - 1) * n);
    db->host.read(db->host.ctx, page.data(), static_cast<int64_t>(n), at);
    in_file = in_file && memcmp(image, page.data(), n) == 0;
  }
  line["committed"] = writes->committed != 0;
  line["complete"] = writes->complete != 0;
  line["page_size"] = n;
  line["pgnos"] = std::vector<uint32_t>(writes->pgnos, writes->pgnos + writes->count);
  line["images"] = writes->images != nullptr;
  line["changed"] = changed;
  line["in_file"] = in_file;
  line["size"] = db->host.size(db->host.ctx);
  Record(line);
}

int Sync(BackstayDb* db, int timeout_ms) {
  Json line = Call("sync", db);
  line["timeout_ms"] = timeout_ms;
  Record(line);
  return 1;
}

uint32_t Sum(const std::vector<unsigned char>& bytes) {
  uint32_t sum = 0;
  for (unsigned char byte : bytes) sum = sum * 31 + byte;
  return sum;
}

char* Status(BackstayDb* db) {
  const BackstayHost& host = db->host;
  const int64_t size = host.size(host.ctx);
  std::vector<unsigned char> bytes(size > 0 ? static_cast<size_t>(size) + 100 : 100);
  const int64_t read = host.read(host.ctx, bytes.data(), static_cast<int64_t>(bytes.size()), 0);
  bytes.resize(read > 0 ? static_cast<size_t>(read) : 0);
  Json json = {{"state", "recording"}, {"size", size}, {"read", read}, {"sum", Sum(bytes)}};
  BackstayWalPosition pos;
  if (host.wal_position(host.ctx, &pos) == 1) json["position"] = Position(pos);
  json["in_use"] = host.in_use(host.ctx);
  json["writing"] = host.writing(host.ctx);
  json["untold"] = host.untold(host.ctx);
  return strdup(json.dump().c_str());
}

void FreeText(char* text) { std::free(text); }

int IsSync(BackstayDb*) {
  const char* sync = std::getenv("RECORDING_ENGINE_SYNC");
  return sync != nullptr && *sync == '1' ? 1 : 0;
}

void Log(int level, const char* path, const char* message) {
  Record({{"call", "log"},
          {"level", level},
          {"db", path != nullptr ? path : ""},
          {"message", message}});
}

void Drain() { Record({{"call", "drain"}}); }

void Forked() { Record({{"call", "forked"}}); }

const BackstayEngine kEngine = {
    BACKSTAY_ENGINE_API_VERSION,
    Start,
    Open,
    Holds,
    GiveBack,
    Close,
    Closed,
    Committed,
    FinishWal,
    Checkpoint,
    WalGone,
    Writing,
    Written,
    Sync,
    Status,
    FreeText,
    IsSync,
    Log,
    Drain,
    Forked,
};

}  // namespace

extern "C" __attribute__((visibility("default"))) const BackstayEngine* backstay_engine(
    uint32_t version) {
  return version == BACKSTAY_ENGINE_API_VERSION ? &kEngine : nullptr;
}
