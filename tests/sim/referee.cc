#include "tests/sim/referee.h"

#include <sqlite3.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "tests/sim/application.h"
#include "uploader/replica/catalogue.h"

namespace backstay::sim {
namespace {

constexpr size_t kMostLines = 20'000;

// Of an image in memory; "corrupt: …" if SQLite finds it so.
std::string DigestOfImage(std::vector<uint8_t> image) {
  if (image.size() < 100) return image.empty() ? "" : "corrupt: too short";
  // A database in memory has no WAL mode.
  image[18] = image[19] = 1;
  sqlite3* db = nullptr;
  sqlite3_open_v2(":memory:", &db, SQLITE_OPEN_READWRITE, "unix");
  const auto size = static_cast<sqlite3_int64>(image.size());
  std::string digest = "corrupt: not read";
  if (sqlite3_deserialize(db, "main", image.data(), size, size, 0) == SQLITE_OK) {
    sqlite3_stmt* check = nullptr;
    sqlite3_prepare_v2(db, "PRAGMA integrity_check(1)", -1, &check, nullptr);
    const bool answered = check != nullptr && sqlite3_step(check) == SQLITE_ROW;
    const std::string said = answered ? reinterpret_cast<const char*>(sqlite3_column_text(check, 0))
                                      : sqlite3_errmsg(db);
    sqlite3_finalize(check);
    digest = said == "ok" ? DigestOf(db) : "corrupt: " + said;
  }
  sqlite3_close(db);
  return digest;
}

std::string Difference(const std::string& wanted, const std::vector<uint8_t>& got,
                       uint32_t page_size) {
  std::string text = std::to_string(wanted.size()) + " bytes wanted, " +
                     std::to_string(got.size()) + " restored; pages";
  const size_t end = std::min(wanted.size(), got.size());
  for (size_t at = 0; at < end; at += page_size) {
    const size_t n = std::min<size_t>(page_size, end - at);
    if (std::memcmp(wanted.data() + at, got.data() + at, n) != 0)
      text += " " + std::to_string(at / page_size + 1);
  }
  return text;
}

}  // namespace

void Referee::Violation(const std::string& what) {
  if (ruined) return;
  violations.push_back(what);
  lines.push_back("VIOLATION " + what);
}

bool Referee::IsPending(const std::string& digest) const {
  return std::any_of(pending_.begin(), pending_.end(),
                     [&](const auto& one) { return one.second.digest == digest; });
}

std::optional<size_t> Referee::PlaceOf(const std::string& digest) const {
  if (IsPending(digest)) return history_.size();
  for (size_t i = history_.size(); i-- > 0;) {
    if (history_[i].digest == digest) return i;
  }
  return std::nullopt;
}

std::optional<Referee::Restored> Referee::Restore(const RestoreTarget& target, Status* why) {
  restores_++;
  Bucket bucket(&objects_, {}, 1);
  RetryOptions once;
  once.attempts = 1;
  ReplicaReader reader(&bucket, once);
  MemoryStore store;
  RestoreOptions options;
  options.target = target;
  options.replay.parallelism = 1;
  Result<RestoreOutcome> outcome = RestoreInto(reader, options, &store);
  *why = outcome.status();
  if (!outcome.ok()) return std::nullopt;
  std::string digest = DigestOfImage(store.image);
  return Restored{std::move(*outcome), std::move(store.image), std::move(digest)};
}

void Referee::CheckLatest() {
  Status why;
  std::optional<Restored> latest = Restore({}, &why);
  if (!latest) {
    if (restorable_) Violation("what was shipped cannot be restored: " + why.ToString());
    return;
  }
  restorable_ = true;
  const std::optional<size_t> place = PlaceOf(latest->digest);
  const std::string at =
      " (transaction " + std::to_string(latest->outcome.plan.txid) + ", " + latest->digest + ")";
  if (!place) return Violation("the latest state in the replica was never committed" + at);
  if (*place < shipped_) Violation("the replica is behind what was said to be shipped" + at);
}

std::vector<std::string> Referee::Transactions() {
  std::vector<std::string> said;
  Status why;
  const std::optional<Restored> latest = Restore({}, &why);
  for (uint64_t txid = 1; latest && txid <= latest->outcome.plan.txid; ++txid) {
    RestoreTarget target;
    target.kind = RestoreTarget::Kind::kTxid;
    target.txid = txid;
    const std::optional<Restored> one = Restore(target, &why);
    const std::optional<size_t> place = one ? PlaceOf(one->digest) : std::nullopt;
    said.push_back(std::to_string(txid) + ": " + (one ? one->digest : why.ToString()) +
                   (place ? ", state " + std::to_string(*place) : ""));
  }
  return said;
}

void Referee::CheckReplica(Random* random) {
  CheckLatest();
  Status why;
  std::optional<Restored> latest = Restore({}, &why);
  if (!latest || latest->outcome.plan.txid == 0) return;
  for (int i = 0; i < 2; ++i) {
    RestoreTarget target;
    target.kind = RestoreTarget::Kind::kTxid;
    target.txid = 1 + random->Below(latest->outcome.plan.txid);
    std::optional<Restored> earlier = Restore(target, &why);
    // Before the first snapshot there is nothing.
    if (!earlier && why.code() == Code::kNotFound) continue;
    const std::string name = "transaction " + std::to_string(target.txid);
    if (!earlier)
      Violation(name + " cannot be restored: " + why.ToString());
    else if (!PlaceOf(earlier->digest))
      Violation(name + " was never committed: " + earlier->digest);
  }
}

void Referee::Synced(uint8_t process, const std::string& digest, const std::string& image) {
  synced_++;
  const std::optional<size_t> place = digest.empty() ? asked_[process] : PlaceOf(digest);
  if (!place) return Violation("the simulation has lost track of the database: " + digest);
  shipped_ = std::max(shipped_, *place);
  restorable_ = restorable_ || !digest.empty();
  if (digest.empty()) return CheckLatest();
  Status why;
  std::optional<Restored> latest = Restore({}, &why);
  if (!latest) return Violation("said to be shipped, and cannot be restored: " + why.ToString());
  const bool equal = image.empty()
                         ? latest->digest == digest
                         : latest->image.size() == image.size() &&
                               std::memcmp(latest->image.data(), image.data(), image.size()) == 0;
  if (equal) return;
  Violation("said to be shipped, but the replica has " + latest->digest + " for " + digest + ": " +
            Difference(image, latest->image, latest->outcome.result.page_size));
}

void Referee::ExpectRestored(const std::string& digest) {
  pending_.clear();
  history_.push_back({digest, 0});
}

// Of those that were committing: a later one has begun since, or what holds is known.
void Referee::Settle(int64_t below) {
  std::vector<State> done;
  for (auto one = pending_.begin(); one != pending_.end();) {
    if (one->second.number < below) done.push_back(one->second);
    one = pending_.erase(one);
  }
  std::sort(done.begin(), done.end(),
            [](const State& a, const State& b) { return a.number < b.number; });
  history_.insert(history_.end(), done.begin(), done.end());
}

// Whoever is about to commit has the database to itself: what others were committing is by now.
void Referee::Begins(uint8_t process, const State& state) {
  pending_.erase(process);
  if (state.digest.empty()) return;
  Settle(state.number);
  const int64_t last = history_.back().number;
  const bool follows = last == 0 || state.number == last + 1;
  if (!follows && !bare_ && older_.empty())
    Violation("commit " + std::to_string(state.number) + " after " + std::to_string(last));
  pending_[process] = state;
}

void Referee::Committed(uint8_t process, const std::string& digest, bool bare) {
  const auto pending = pending_.find(process);
  const auto place = PlaceOf(digest);
  if (pending == pending_.end() && !place) return Violation("a commit was undone: " + digest);
  const size_t before = pending != pending_.end() ? history_.size() : *place;
  if (bare && !bare_) bare_ = before - 1;
  // With durability=sync others may have committed since.
  asked_[process] = before;
  if (pending == pending_.end()) return;
  history_.push_back(pending->second);
  pending_.erase(pending);
}

void Referee::Found(const std::string& digest) {
  const std::string& last = history_.back().digest;
  const bool older = !older_.empty() && digest == older_;
  if (!older && PlaceOf(digest).value_or(shipped_) < shipped_)
    Violation("the replica was ahead of what the database file kept: " + digest);
  const bool undone = digest != last && bare_ && PlaceOf(digest).value_or(0) >= *bare_;
  if (!older && IsPending(digest)) {
    int64_t number = 0;
    for (const auto& [process, state] : pending_) {
      if (state.digest == digest) number = state.number;
    }
    Settle(number + 1);
  } else if (older || undone || history_.size() == 1) {
    history_.push_back({digest, 0});
  } else if (digest != last) {
    Violation("the database is not what was committed last: " + digest);
  }
  pending_.clear();
  older_.clear();
  // What only a power cut can take is not safe for being found.
  if (world->cuts != World::kLoose || std::exchange(flushed_, false)) bare_.reset();
}

void Referee::Take(const Record& record) {
  const std::string& key = record.key;
  const std::string& value = record.value;
  switch (record.kind) {
    case Kind::kPut: objects_[key] = std::make_shared<const std::string>(value); break;
    case Kind::kDelete: objects_.erase(key); break;
    case Kind::kBegins: Begins(record.process, {key, std::atoll(value.c_str())}); break;
    case Kind::kCommitted: Committed(record.process, key, !value.empty()); break;
    case Kind::kFound: Found(key); break;
    case Kind::kAsks: asked_[record.process] = history_.size() - 1; break;
    case Kind::kSynced: Synced(record.process, key, value); break;
    case Kind::kSafe:
      restorable_ = true;
      Synced(record.process, "", "");
      break;
    case Kind::kRuined: ruined = true; break;
    case Kind::kSays: lines.push_back(key + value); break;
    case Kind::kViolation: Violation(key); break;
  }
  if (lines.size() > kMostLines) lines.pop_front();
}

void Referee::TakeUp() {
  for (Record record; ReadJournal(&read_, &record);) Take(record);
}

}  // namespace backstay::sim
