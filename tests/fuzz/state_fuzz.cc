// The engine on state folders, WALs and databases that anybody may have damaged, before it starts
// and while it runs, with a host that says whatever it likes of its WAL: it ends in time, and what
// could be restored from the replica before still can.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <mutex>
#include <string>
#include <vector>

#include "tests/fuzz/fixup.h"
#include "tests/fuzz/linked_engine.h"
#include "tests/fuzz/world.h"

namespace backstay {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kMaxOps = 24;
constexpr auto kCallBound = std::chrono::seconds(60);  // as quick_time.cc counts them

// What the shim is to the engine.
class FalseHost {
 public:
  explicit FalseHost(const Folder& folder)
      : path_(folder.Database()), url_("file://" + (folder / "replica")) {}
  // REQUIRES: the engine has ended.
  ~FalseHost() {
    if (fd_ >= 0) close(fd_);
  }

  void Open() {
    if (db_ != nullptr) return;
    if (fd_ < 0) fd_ = open(path_.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat info {};
    if (fd_ < 0 || fstat(fd_, &info) != 0) return;
    char error[200] = "";
    BackstayOpen options{};
    options.path = path_.c_str();
    options.device = info.st_dev;
    options.inode = info.st_ino;
    options.replica_url = url_.c_str();
    options.host = Host();
    if (LinkedEngine()->open(&options, &db_, error, sizeof error) != 0) db_ = nullptr;
  }
  void Close() {
    if (db_ == nullptr) return;
    LinkedEngine()->close(db_);
    LinkedEngine()->closed(db_);
    db_ = nullptr;
  }
  BackstayDb* db() { return db_; }

  // As the first frames of the WAL in the folder, or anything.
  void SetPosition(Input* input) {
    BackstayWalPosition position{};
    uint8_t head[32] = {};
    const int wal = open((path_ + "-wal").c_str(), O_RDONLY | O_CLOEXEC);
    const bool read = wal >= 0 && pread(wal, head, sizeof head, 0) == sizeof head;
    if (wal >= 0) close(wal);
    const uint8_t how = input->Byte();
    if (read) position.salt1 = LoadBe32(head + 16) + (how & 1);
    if (read) position.salt2 = LoadBe32(head + 20);
    position.max_frame = (how & 2) != 0 ? input->Number() : input->Byte();
    position.pages = (how & 4) != 0 ? input->Number() : input->Byte();
    position.change = input->Byte();
    position.exclusive = (how & 8) != 0 ? 1 : 0;
    std::lock_guard lock(mutex_);
    position_ = position;
    mapped_ = (how & 16) != 0;
  }
  BackstayWalPosition position() {
    std::lock_guard lock(mutex_);
    return position_;
  }

 private:
  BackstayHost Host() {
    return {this,
            [](void* self, void* buf, int64_t n, int64_t at) -> int64_t {
              return pread(static_cast<FalseHost*>(self)->fd_, buf, static_cast<size_t>(n), at);
            },
            [](void* self) -> int64_t {
              struct stat info {};
              return fstat(static_cast<FalseHost*>(self)->fd_, &info) == 0 ? info.st_size : -1;
            },
            [](void* self, BackstayWalPosition* position) {
              auto* host = static_cast<FalseHost*>(self);
              std::lock_guard lock(host->mutex_);
              *position = host->position_;
              return host->mapped_ ? 1 : 0;
            },
            [](void*) { return 1; },
            [](void*) -> uint64_t { return 0; },
            [](void*) { return 0; },
            [](void*) {},
            [](void*) {}};
  }

  const std::string path_;
  const std::string url_;
  int fd_ = -1;
  BackstayDb* db_ = nullptr;
  std::mutex mutex_;
  BackstayWalPosition position_{};  // guarded by mutex_
  bool mapped_ = false;             // guarded by mutex_
};

// A transaction in a rollback-journal mode; its buffers are as large as it says, as the shim's
// always are.
void Write(FalseHost* host, Input* input) {
  const uint8_t how = input->Byte();
  BackstayWrites writes{};
  writes.committed = how & 1;
  writes.complete = (how & 2) != 0 ? 1 : 0;
  writes.page_size = 512U << (how >> 4) % 8;
  std::vector<uint32_t> pgnos;
  for (uint32_t n = input->Byte() % 8, pgno = 0; n > 0; n--) {
    const uint32_t step = 1 + ((how & 8) != 0 ? input->Number() >> 4 : input->Byte());
    pgnos.push_back(pgno += step);
  }
  std::vector<uint8_t> images(pgnos.size() * writes.page_size, input->Byte());
  std::vector<uint8_t> old(images.size());
  writes.count = static_cast<uint32_t>(pgnos.size());
  writes.pgnos = pgnos.data();
  if ((how & 4) == 0 && !images.empty()) writes.images = images.data(), writes.old = old.data();
  LinkedEngine()->writing(host->db());
  LinkedEngine()->written(host->db(), &writes);
}

void Call(FalseHost* host, uint8_t what, Input* input) {
  const BackstayEngine* engine = LinkedEngine();
  if (what % 10 == 0) return host->Close();
  host->Open();
  if (host->db() == nullptr) return;
  switch (what % 10) {
    case 1: return host->SetPosition(input);
    case 2:
    case 3: {
      host->SetPosition(input);
      const BackstayWalPosition position = host->position();
      return engine->committed(host->db(), &position);
    }
    case 4: return (void)engine->finish_wal(host->db(), 1000, 1);
    case 5: return engine->checkpoint(host->db());
    case 6: return engine->wal_gone(host->db());
    case 7: return (void)engine->sync(host->db(), 1000);
    case 8: return engine->free_text(engine->status(host->db()));
    default: return Write(host, input);
  }
}

void Try(Input* input) {
  const World& world = Worlds()[input->Byte() % Worlds().size()];
  Folder folder("app");
  folder.Fill(world);
  bool replica_is_whole = true;
  {
    FalseHost host(folder);
    for (size_t i = 0; i < kMaxOps && input->more(); i++) {
      const uint8_t code = input->Byte();
      const auto start = Clock::now();
      if (code < 0x80) {
        const Damage damage = Damage::From(input, static_cast<Damage::Kind>(code % 8));
        replica_is_whole = replica_is_whole && !damage.IsOfReplica();
        damage.Do(folder);
      } else {
        Call(&host, code, input);
      }
      Require(Clock::now() - start < kCallBound);
    }
    if (host.db() != nullptr) (void)LinkedEngine()->sync(host.db(), 2000);
    EndEngine();
  }
  if (replica_is_whole) Require(Restored(folder, world.txid) == world.image);
}

}  // namespace
}  // namespace backstay

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  backstay::Input input(data, size);
  backstay::Try(&input);
  return 0;
}
