#include "uploader/engine/fence.h"

#include <chrono>

#include "uploader/base/hash.h"
#include "uploader/format/keys.h"
#include "uploader/format/log_object.h"

namespace backstay {
namespace {

// What another writer had under way when this one announced itself has arrived by then.
constexpr auto kStill = std::chrono::seconds(3);
// So old may the answer be on which an upload begins; a part of the time above.
constexpr int64_t kFreshMs = 1000;
// A writer that has announced itself has taken over by then, or died.
constexpr int64_t kPatienceMs = 20000;
constexpr int64_t kLookMs = 15000;
constexpr uint64_t kEndBytes = 8;  // every log object ends with a hash

uint64_t PlaceHash(const ReplicaClient& client) {
  const std::string place = client.Place();
  return Hash(AsBytes(place)) | 1;
}

bool IsTakeover(Bytes body) {
  size_t used = 0;
  Result<LogHeader> header = ParseLogHeader(body, &used);
  return header.ok() && IsTakeover(header->kind);
}

// kNotFound: nobody has.
Result<Announcement> ReadAnnouncement(ReplicaClient* client) {
  GetOptions options;
  options.length = kMaxAnnouncementBytes;
  Result<std::string> got = client->Get(kWriterKey, options);
  if (!got.ok()) return got.status();
  return ParseAnnouncement(*got);
}

}  // namespace

uint64_t Fence::Writer() const {
  std::lock_guard<std::mutex> lock(core_->mutex);
  return core_->ship.writer_id;
}

// Twice: the identity may have been deleted just now.
Status Fence::Probe() {
  ReplicaClient* client = core_->options.client;
  {
    std::lock_guard<std::mutex> lock(core_->mutex);
    if (core_->ship.refusing_store == PlaceHash(*client)) return Status::Ok();
  }
  if (!refuses_) return Status::Ok();
  Result<std::string> identity = client->Get(kIdentityKey);
  if (identity.status().code() == Code::kNotFound) {
    return {Code::kUnavailable, identity.status().message(), true};
  }
  if (!identity.ok()) return identity.status();
  for (int i = 0; i < 2; ++i) {
    Status put = client->PutIfAbsent(kIdentityKey, AsBytes(*identity));
    if (put.code() == Code::kExists) return Refuses(), Status::Ok();
    if (put.code() == Code::kUnsupported) return RefusesNot(put.message()), Status::Ok();
    BACKSTAY_TRY(put);
  }
  RefusesNot("it ignores If-None-Match");
  return Status::Ok();
}

void Fence::Refuses() {
  std::lock_guard<std::mutex> lock(core_->mutex);
  core_->ship.refusing_store = PlaceHash(*core_->options.client);
  core_->SaveShipLocked();
}

void Fence::RefusesNot(const std::string& why) {
  refuses_ = false;
  core_->Log(Level::kWarn,
             core_->options.client->Place() +
                 ": this store does not refuse to create an object that exists (" + why +
                 "). Two writers on one replica are told apart by looking instead: 2 or 3 more "
                 "requests for each upload, 9 more every 15 s of activity, and a takeover takes "
                 "3 s. One that hangs in the middle of an upload for longer than that may still "
                 "overwrite an object of the other, which is then made good. A store with "
                 "conditional writes (If-None-Match) has none of this");
  std::lock_guard<std::mutex> lock(core_->mutex);
  core_->ship.refusing_store = 0;
}

Status Fence::Create(const std::string& key, Bytes body) {
  if (refuses_) {
    Status put = core_->options.client->PutIfAbsent(key, body);
    if (put.code() != Code::kUnsupported) return put;
    RefusesNot(put.message());
  }
  return CreateByLooking(key, body);
}

// Who finds the log taken announces nothing: it would stop the writer that has it.
Status Fence::CreateByLooking(const std::string& key, Bytes body) {
  ReplicaClient* client = core_->options.client;
  if (key == kIdentityKey) {
    BACKSTAY_TRY(IsFree(key));
    return client->Put(key, body);
  }
  const bool takeover = IsTakeover(body);
  const bool announced = announced_ != 0 && announced_ == Writer();
  const bool hold = stranger_since_ms_ ? !(takeover && WaitedEnough()) : announced;
  if (!hold) BACKSTAY_TRY(IsFree(key));
  Status held = hold ? HoldLately() : Announce(takeover);
  BACKSTAY_TRY(IsFree(key));
  BACKSTAY_TRY(held);
  // To look may have taken long.
  BACKSTAY_TRY(HoldLately());
  if (!put_ms_) put_ms_ = core_->options.clock->MonotonicMs();
  BACKSTAY_TRY(client->Put(key, body));
  BACKSTAY_TRY(Hold());
  Remember(key, body);
  return Status::Ok();
}

Status Fence::IsFree(const std::string& key) {
  GetOptions peek;
  peek.length = 1;
  Result<std::string> got = core_->options.client->Get(key, peek);
  if (got.ok()) return {Code::kExists, key + " exists"};
  return got.status().code() == Code::kNotFound ? Status::Ok() : got.status();
}

// A writer that says it has the log announces itself only where nobody else has: it may have been
// away for longer than a takeover takes, and would stop the one that has the log.
Status Fence::Announce(bool takeover) {
  ReplicaClient* client = core_->options.client;
  const uint64_t writer = Writer();
  if (process_ == 0) process_ = core_->options.random() | 1;
  Result<Announcement> before = ReadAnnouncement(client);
  if (!before.ok() && before.status().code() != Code::kNotFound) return before.status();
  const bool other = before.ok() && before->process != process_ && before->writer != writer;
  if (other && !takeover) return Wait();
  const std::string text = EncodeAnnouncement({writer, process_});
  BACKSTAY_TRY(client->Put(kWriterKey, AsBytes(text)));
  announced_ = writer;
  core_->announced = process_;
  stranger_since_ms_.reset();
  if (other) {
    std::unique_lock<std::mutex> lock(core_->mutex);
    core_->ship_work.wait_for(lock, kStill, [this] { return core_->life.stops(); });
    if (core_->life.stops()) return {Code::kCancelled, "replication is ending"};
  }
  return Hold();
}

Status Fence::HoldLately() {
  const bool lately = core_->options.clock->MonotonicMs() - held_ms_ < kFreshMs;
  return lately && !stranger_since_ms_ ? Status::Ok() : Hold();
}

Status Fence::Hold() {
  if (refuses_) return Status::Ok();
  if (announced_ == 0) return Announce(/*takeover=*/false);
  const int64_t now = core_->options.clock->MonotonicMs();
  Result<Announcement> there = ReadAnnouncement(core_->options.client);
  if (there.status().code() == Code::kNotFound) {
    announced_ = 0;
    return {Code::kUnavailable, there.status().message(), true};
  }
  if (!there.ok()) return there.status();
  if (there->process == process_) {
    held_ms_ = now;
    stranger_since_ms_.reset();
    return Status::Ok();
  }
  return Wait();
}

Status Fence::Wait() {
  if (!stranger_since_ms_) stranger_since_ms_ = core_->options.clock->MonotonicMs();
  return {Code::kContended,
          "another writer has announced itself in " + std::string(kWriterKey) +
              "; nothing is written until it has taken the log over, or 20 s have passed",
          true};
}

bool Fence::WaitedEnough() const {
  return stranger_since_ms_ &&
         core_->options.clock->MonotonicMs() - *stranger_since_ms_ >= kPatienceMs;
}

Result<bool> Fence::HasStranger() {
  if (refuses_) return false;
  Result<Announcement> there = ReadAnnouncement(core_->options.client);
  if (there.status().code() == Code::kNotFound) return false;
  if (!there.ok()) return there.status();
  return there->writer != Writer();
}

void Fence::Remember(const std::string& key, Bytes body) {
  if (IsTakeover(body)) {
    ends_.clear();
  } else if (ends_.size() > 1) {
    ends_.erase(std::prev(ends_.end()));  // numbers rise, and so do their names
  }
  const Bytes end = body.subspan(body.size() - std::min<size_t>(body.size(), kEndBytes));
  ends_[key].assign(end.begin(), end.end());
}

Status Fence::Ask(Core* core) {
  uint64_t writer = 0;
  {
    std::lock_guard<std::mutex> lock(core->mutex);
    if (core->ship.refusing_store == PlaceHash(*core->options.client)) return Status::Ok();
    writer = core->ship.writer_id;
  }
  Result<Announcement> there = ReadAnnouncement(core->options.client);
  if (there.status().code() == Code::kNotFound) return Status::Ok();
  if (!there.ok()) return there.status();
  const uint64_t process = core->announced;
  const bool ours = process != 0 ? there->process == process : there->writer == writer;
  if (ours) return Status::Ok();
  return {Code::kContended, "another writer has announced itself in " + std::string(kWriterKey) +
                                "; nothing is packed"};
}

bool Fence::LookDue() const {
  return !refuses_ && put_ms_ && core_->options.clock->MonotonicMs() - *put_ms_ >= kLookMs;
}

Result<uint64_t> Fence::NewerWriter(Core* core) {
  uint64_t number = 0;
  {
    std::lock_guard<std::mutex> lock(core->mutex);
    number = core->ship.next_log_number;
  }
  Result<std::string> got = core->options.client->Get(LogKey(number));
  if (got.status().code() == Code::kNotFound) return uint64_t{0};
  if (!got.ok()) return got.status();
  size_t used = 0;
  Result<LogHeader> header = ParseLogHeader(AsBytes(*got), &used);
  if (!header.ok()) return uint64_t{0};
  Result<LogObject> object = ParseLogObject(AsBytes(*got), number);
  // As it is by now: a takeover has its number before it has its answer.
  std::lock_guard<std::mutex> lock(core->mutex);
  const bool own =
      object.ok() && IsTakeover(header->kind) && object->takeover.writer_id == core->ship.writer_id;
  return own || header->epoch <= core->ship.epoch ? uint64_t{0} : number;
}

// One that is not there has been packed, or is missing, which others look for.
Result<bool> Fence::Intact() {
  GetOptions end;
  end.offset = -static_cast<int64_t>(kEndBytes);
  end.length = kEndBytes;
  for (const auto& [key, expected] : ends_) {
    Result<std::string> got = core_->options.client->Get(key, end);
    if (got.status().code() == Code::kNotFound) continue;
    if (!got.ok()) return got.status();
    if (*got == expected) continue;
    ends_.clear();
    return false;
  }
  put_ms_.reset();
  return true;
}

}  // namespace backstay
