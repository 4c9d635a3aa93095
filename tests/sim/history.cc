#include "tests/sim/history.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <utility>

#include "tests/sim/application.h"
#include "tests/sim/power.h"
#include "tests/sim/product.h"
#include "tests/sim/scheduler.h"
#include "tests/sim/turns.h"
#include "uploader/state/restored.h"

extern "C" const BackstayEngine* backstay_engine(uint32_t version);

namespace backstay::sim {
namespace fs = std::filesystem;

namespace {

const char* const kBesides[] = {"-wal", "-shm", "-journal"};
constexpr unsigned kRealSeconds = 300;  // a life that takes longer hangs

std::string Pick(Random* random, std::initializer_list<const char*> from) {
  return *(from.begin() + random->Below(from.size()));
}

// The restored state as the tool writes it.
RestoredState StateOf(const RestoreOutcome& outcome) {
  RestoredState state;
  state.identity = outcome.plan.identity;
  state.identity.page_size = outcome.result.page_size;
  state.replica = "file:///simulated";
  state.epoch = outcome.plan.epoch;
  state.void_below = outcome.plan.void_below;
  state.next_log_number = outcome.plan.next_log_number;
  state.segment_number = outcome.result.segment_number;
  state.segment_hash = outcome.result.segment_hash;
  state.txid = outcome.plan.txid;
  state.time_ms = outcome.plan.time_ms;
  state.restored_ms = (kEpochNs + world->now_ns) / kNsPerMs;
  state.page_hashes = outcome.result.page_hashes;
  state.at_end = outcome.plan.at_end;
  state.base = outcome.plan.snapshot.base;
  if (const auto& left = outcome.plan.left) {
    state.new_base = true;
    state.segment_number = left->segment_number;
    state.segment_hash = left->segment_hash;
    state.txid = left->txid;
  }
  return state;
}

void TouchFile(const fs::path& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) == 0) world->Touch(info.st_ino);
}

// All but sockets.
void CopyFiles(const fs::path& from, const fs::path& to) {
  if (!fs::exists(from)) return;
  fs::create_directory(to);
  fs::permissions(to, fs::perms::owner_all);
  for (const fs::directory_entry& entry : fs::directory_iterator(from)) {
    if (entry.is_regular_file()) fs::copy_file(entry.path(), to / entry.path().filename());
  }
}

}  // namespace

History::History(const Options& options, fs::path folder)
    : options_(options), folder_(std::move(folder)), random_(options.seed), habits_(&random_) {
  fs::remove_all(folder_);
  fs::create_directories(folder_);
  MakeWorld(folder_ / "journal");
  folder_.string().copy(world->folder.data(), world->folder.size() - 1);
  Settle();
}

History::~History() {
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

void History::Settle() {
  conditions_ = random_.Chance(750);
  if (random_.Chance(300)) world->cuts = random_.Chance(500) ? World::kStrict : World::kLoose;
  foreign_per_mille_ = random_.Chance(700) ? 200 : 500;
  settings_ = {
      {"BACKSTAY_REPLICA_URL", "file:///simulated"},
      {"BACKSTAY_LOG_FILE", folder_ / "log"},
      {"BACKSTAY_LOG_FORMAT", "text"},
      {"BACKSTAY_MAX_REQUESTS", "off"},
      {"BACKSTAY_MIN_INTERVAL", Pick(&random_, {"0ms", "20ms", "250ms"})},
      {"BACKSTAY_OUTBOX_LIMIT", Pick(&random_, {"64KiB", "1MiB", "64MiB"})},
      {"BACKSTAY_PAGE_CACHE", Pick(&random_, {"0", "64KiB", "8MiB"})},
      {"BACKSTAY_SNAPSHOT_INTERVAL", Pick(&random_, {"off", "10s", "1m"})},
      {"BACKSTAY_RETENTION", Pick(&random_, {"7d", "1h", "1m"})},
      {"BACKSTAY_SYNC_WAL", Pick(&random_, {"true", "false"})},
  };
  if (random_.Chance(250)) {
    settings_["BACKSTAY_DURABILITY"] = "sync";
    settings_["BACKSTAY_SYNC_TIMEOUT"] = Pick(&random_, {"50ms", "1s", "5s"});
  }
  // Else the replica may hold what the disk has lost.
  if (world->cuts != World::kNone) settings_["BACKSTAY_SYNC_WAL"] = "true";
}

History::Life History::DrawLife() {
  Life life;
  life.seed = random_.Next();
  life.steps = static_cast<int>(random_.Between(3, several_ ? 40 : 80));
  life.foreign = several_ && random_.Chance(foreign_per_mille_);
  if (several_) life.begins_ns = world->now_ns + random_.Between(0, 2000) * kNsPerMs;
  if (random_.Chance(700)) life.die_at = 1 + random_.Below(uint64_t{1} << random_.Between(8, 15));
  life.switch_per_mille = uint64_t{1} << random_.Between(3, 9);
  const bool bad = random_.Chance(500);
  life.faults.refused = bad ? random_.Below(150) : 0;
  life.faults.lost_answer = bad ? random_.Below(150) : 0;
  life.faults.outage = bad ? random_.Below(20) : 0;
  life.faults.late_list = random_.Chance(300) ? 300 : 0;
  life.faults.latency_ms = random_.Between(0, 60);
  life.faults.conditions = conditions_;
  return life;
}

bool History::Run(int lives) {
  for (int i = 0; i < lives; ++i) {
    const bool ended = RunLives();
    referee_.TakeUp();
    if (referee_.ruined) return referee_.violations.empty();
    if (!ended) referee_.violations.emplace_back("the process ended by itself");
    if (referee_.violations.empty()) referee_.CheckReplica(&random_);
    if (!referee_.violations.empty()) return false;
    Between();
    referee_.TakeUp();
    if (!referee_.violations.empty()) return false;
  }
  return true;
}

pid_t History::Begin(size_t slot) {
  lives_++;
  const Life life = DrawLife();
  World::Slot& mine = world->slots[slot];
  mine.until_ns = life.begins_ns;
  mine.turn = 0;
  mine.lives = true;
  Say("life %llu, %c%s: %d steps, dies at %llu", static_cast<unsigned long long>(lives_),
      static_cast<char>('A' + slot), life.foreign ? ", foreign" : "", life.steps,
      static_cast<unsigned long long>(life.die_at));
  const pid_t child = fork();
  if (child < 0) abort();
  if (child == 0) Live(slot, life);
  return child;
}

bool History::Ended(int status) {
  if (WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == kDied)) return true;
  Say("ended: exit %d, signal %d", WIFEXITED(status) ? WEXITSTATUS(status) : -1,
      WIFSIGNALED(status) ? WTERMSIG(status) : 0);
  return false;
}

bool History::RunLives() {
  std::map<pid_t, size_t> living;
  uint64_t more = random_.Below(4);  // that take the place of one that has ended
  const bool alone = options_.at_once < 2 || random_.Chance(500);
  const size_t at_once = alone ? 1 : 2 + random_.Below(options_.at_once - 1);
  several_ = at_once > 1;
  const bool cut = world->cuts != World::kNone && random_.Chance(600);
  if (world->cuts != World::kNone) KeepDisk(folder_);
  referee_.ExpectFlushed();
  for (size_t slot = 0; slot < at_once; ++slot) living[Begin(slot)] = slot;
  bool well = true;
  bool dark = false;
  while (!living.empty()) {
    if (well && !dark) GiveTurn(&random_);
    int status = 0;
    const pid_t pid = waitpid(-1, &status, 0);
    const auto ended = living.find(pid);
    if (ended == living.end()) abort();
    const size_t slot = ended->second;
    living.erase(ended);
    world->slots[slot].lives = false;
    world->slots[slot].statements += 2 + world->slots[slot].statements % 2;
    const bool failed = well && !dark && !Ended(status);
    dark = dark || (cut && WIFEXITED(status) && WEXITSTATUS(status) == kDied);
    if (failed || dark) {
      well = well && !failed;
      for (const auto& [other, unused] : living) kill(other, SIGKILL);
    }
    if (!well || dark || !several_ || living.empty() || more == 0) continue;
    --more;
    living[Begin(slot)] = slot;
  }
  if (well && cut) CutPower(folder_, &random_);
  return well;
}

void History::Live(size_t slot, const Life& life) {
  alarm(kRealSeconds);
  for (const auto& [name, value] : settings_) setenv(name.c_str(), value.c_str(), 1);
  Random random(life.seed);
  UseBucket(referee_.objects(), referee_.read(), life.faults, random.Next());
  sqlite3_test_control(SQLITE_TESTCTRL_PRNG_SEED, static_cast<int>(random.Next() | 1), nullptr);
  sim::Begin(slot, {random.Next(), life.switch_per_mille, life.die_at});
  if (!life.foreign && !options_.without) BringProductIn(&backstay_engine);
  Application application(Database(), habits_, life.foreign, random.Next());
  application.Run(life.steps);
  const bool closes = random.Chance(700);
  if (closes) application.Close();
  Say(closes ? "the process ends, all closed" : "the process ends with the database open");
  exit(0);
}

void History::Between() {
  world->now_ns += random_.Between(1, random_.Chance(100) ? 90'000'000 : 20'000) * kNsPerMs;
  if (random_.Chance(150)) KeepCopy();
  if (random_.Chance(60)) LoseState();
  if (random_.Chance(60)) LoseDisk();
  if (random_.Chance(60) && !copy_digest_.empty()) PutBackCopy();
}

void History::LoseState() {
  Say("the state folder is lost");
  fs::remove_all(Database() + "-backstay");
}

// Nobody uses the files now. Those of the database, and the state folder with it.
void History::KeepCopy() {
  if (!fs::exists(Database()) || referee_.digest().empty() || referee_.uncertain()) return;
  Say("a copy is kept");
  fs::remove_all(folder_ / "copy");
  fs::create_directory(folder_ / "copy");
  for (const char* besides : {"", "-wal", "-journal"}) {
    const std::string from = Database() + besides;
    if (fs::exists(from)) fs::copy_file(from, folder_ / "copy" / (std::string("db") + besides));
  }
  CopyFiles(Database() + "-backstay", folder_ / "copy" / "db-backstay");
  copy_digest_ = referee_.digest();
}

// Over the file that is there, or as another one; with its state folder, or the newer one.
void History::PutBackCopy() {
  const bool same_file = random_.Chance(500);
  const bool with_state = random_.Chance(500);
  Say("the copy is put back%s%s", same_file ? ", into the same file" : "",
      with_state ? ", with its state" : "");
  for (const char* besides : kBesides) fs::remove(Database() + besides);
  if (!same_file) fs::remove(Database());
  for (const char* besides : {"", "-wal", "-journal"}) {
    const fs::path from = folder_ / "copy" / (std::string("db") + besides);
    if (fs::exists(from))
      fs::copy_file(from, Database() + besides, fs::copy_options::overwrite_existing);
    TouchFile(Database() + besides);
  }
  if (with_state) {
    fs::remove_all(Database() + "-backstay");
    CopyFiles(folder_ / "copy" / "db-backstay", Database() + "-backstay");
  }
  referee_.ExpectOlder(copy_digest_);
}

void History::LoseDisk() {
  Status why;
  std::optional<Referee::Restored> restored = referee_.Restore({}, &why);
  if (!restored) return;
  const bool with_state = random_.Chance(800);
  Say("the disk is lost; restored %s%s", restored->digest.c_str(),
      with_state ? "" : ", without state");
  for (const char* besides : kBesides) fs::remove(Database() + besides);
  fs::remove(Database());
  fs::remove_all(Database() + "-backstay");
  std::ofstream(Database(), std::ios::binary)
      .write(reinterpret_cast<const char*>(restored->image.data()),
             static_cast<int64_t>(restored->image.size()));
  TouchFile(Database());
  if (with_state) {
    const Status written = WriteRestoredState(Database(), StateOf(restored->outcome));
    if (!written.ok()) Say("the state is not written: %s", written.ToString().c_str());
  }
  referee_.ExpectRestored(restored->digest);
}

void History::TellShortly() const {
  printf("seed %llu, life %llu: %.300s\n", static_cast<unsigned long long>(options_.seed),
         static_cast<unsigned long long>(lives_), referee_.violations.front().c_str());
  fflush(stdout);
}

void History::Tell() {
  printf("seed %llu, life %llu\n", static_cast<unsigned long long>(options_.seed),
         static_cast<unsigned long long>(lives_));
  for (const auto& [name, value] : settings_) printf("  %s=%s\n", name.c_str(), value.c_str());
  for (const std::string& line : referee_.lines) printf("  %s\n", line.c_str());
  for (const std::string& line : referee_.Transactions())
    printf("  transaction %s\n", line.c_str());
  std::ifstream log(folder_ / "log");
  for (std::string line; std::getline(log, line);) printf("  log: %s\n", line.c_str());
  for (const std::string& what : referee_.violations) printf("violation: %s\n", what.c_str());
  fflush(stdout);
}

}  // namespace backstay::sim
