#include "tests/sim/referee.h"

#include <sqlite3.h>
#include <unistd.h>

#include <algorithm>
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
  violations.push_back(what);
  lines.push_back("VIOLATION " + what);
}

std::optional<size_t> Referee::PlaceOf(const std::string& digest) const {
  if (digest == pending_ && !pending_.empty()) return history_.size();
  for (size_t i = history_.size(); i-- > 0;) {
    if (history_[i] == digest) return i;
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

void Referee::Synced(const std::string& digest, const std::string& image) {
  synced_++;
  const std::optional<size_t> place = PlaceOf(digest);
  if (!place) return Violation("the simulation has lost track of the database: " + digest);
  shipped_ = std::max(shipped_, *place);
  restorable_ = true;
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
  history_.push_back(digest);
}

void Referee::Found(const std::string& digest) {
  if (!older_.empty() && digest == older_) {
    history_.push_back(digest);
  } else if (!pending_.empty() && digest == pending_) {
    history_.push_back(digest);
  } else if (digest != history_.back() && bare_ && PlaceOf(digest).value_or(0) >= *bare_) {
    history_.push_back(digest);
  } else if (digest != history_.back() && history_.size() > 1) {
    Violation("the database is not what was committed last: " + digest);
  } else if (history_.size() == 1) {
    history_.push_back(digest);
  }
  pending_.clear();
  older_.clear();
  bare_.reset();
}

void Referee::Take(Kind kind, const std::string& key, const std::string& value) {
  switch (kind) {
    case Kind::kPut: objects_[key] = std::make_shared<const std::string>(value); break;
    case Kind::kDelete: objects_.erase(key); break;
    case Kind::kBegins: pending_ = key; break;
    case Kind::kCommitted:
      pending_.clear();
      if (!value.empty() && !bare_) bare_ = history_.size() - 1;
      history_.push_back(key);
      break;
    case Kind::kFound: Found(key); break;
    case Kind::kSynced: Synced(key, value); break;
    case Kind::kSays: lines.push_back(key + value); break;
    case Kind::kViolation: Violation(key); break;
  }
  if (lines.size() > kMostLines) lines.pop_front();
}

void Referee::TakeUp() {
  std::array<char, 9> head{};
  while (pread(world->journal, head.data(), head.size(), read_) ==
         static_cast<ssize_t>(head.size())) {
    std::array<uint32_t, 2> sizes{};
    std::memcpy(sizes.data(), head.data() + 1, sizeof sizes);
    std::string both(sizes[0] + size_t{sizes[1]}, 0);
    const auto at = read_ + static_cast<int64_t>(head.size());
    if (pread(world->journal, both.data(), both.size(), at) != static_cast<ssize_t>(both.size()))
      break;
    read_ = at + static_cast<int64_t>(both.size());
    Take(static_cast<Kind>(head[0]), both.substr(0, sizes[0]), both.substr(sizes[0]));
  }
}

}  // namespace backstay::sim
