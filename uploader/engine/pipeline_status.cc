// Pipeline, the part that says how it stands.

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "uploader/engine/leader_status.h"
#include "uploader/engine/pipeline.h"
#include "uploader/format/keys.h"
#include "uploader/state/state_folder.h"

namespace backstay {
namespace {

// Longer than a commit usually waits until it is encoded, ms.
constexpr int64_t kUsualMs = 3000;

}  // namespace

const char* Pipeline::StateLocked() const {
  if (core_.life.why().code() == Code::kFenced) return "fenced";
  if (core_.life.ended()) return "error";
  if (core_.life.stops()) return "ended";
  if (!core_.local_error.ok() || !core_.thread_error.ok()) return "error";
  if (core_.life.follows()) return "passive";
  if (!core_.last_error.ok() || !client_->Silence().empty()) return "retrying";
  if (!core_.connected) return "starting";
  if (!core_.life.whole()) return "repairing";
  return core_.ship.restorable ? "replicating" : "snapshotting";
}

// Not known before somebody has looked: the state folder may tell of a bucket that was emptied.
nlohmann::json Pipeline::RestorableLocked() const {
  if (core_.ship.restorable ? core_.proven_ms != 0 : core_.connected) return core_.ship.restorable;
  return nullptr;
}

// Wall clock; 0: nothing waits.
int64_t Pipeline::WaitsSinceLocked() {
  const int64_t noted = core_.board.NotTaken().first_ms;
  const int64_t since = core_.lag.since_ms();
  return since == 0 || (noted != 0 && noted < since) ? noted : since;
}

Proof Pipeline::ProofSince(int64_t since_ms, int64_t lag_ms) {
  std::lock_guard<std::mutex> lock(core_.mutex);
  Proof proof = JudgeLocked(since_ms, lag_ms);
  if (!proof.why.empty()) {
    proof.why = core_.options.settings.path + " to " + core_.options.replica + ": " + proof.why;
  }
  return proof;
}

Proof Pipeline::JudgeLocked(int64_t since_ms, int64_t lag_ms) {
  if (core_.life.follows() && !core_.life.ended()) return {};
  if (const Status& error = ErrorLocked(); !error.ok()) return {Proof::kBad, error.message()};
  if (std::string silence = client_->Silence(); !silence.empty()) {
    return {Proof::kAwaited, std::move(silence)};
  }
  if (!core_.connected) return {Proof::kAwaited, "the replica was not reached so far"};
  if (!core_.ship.restorable) {
    return {Proof::kAwaited, "the first snapshot is not finished: nothing could be restored"};
  }
  const int64_t waits = WaitsSinceLocked();
  if (waits != 0 && core_.options.clock->WallMs() - waits > lag_ms) {
    return {Proof::kBad, "what was committed at " + FormatRfc3339(waits) + " is not in it"};
  }
  if (core_.looks.ProvedSince(since_ms)) return {Proof::kGood, {}};
  if (!core_.looks.proof_wanted()) core_.looks.WantProof(core_.options.clock->MonotonicMs());
  core_.ship_work.notify_all();
  return {Proof::kAwaited, "it does not answer"};
}

// The number is known while all that waits is in segments, the time from the first moment on.
void Pipeline::AddLagLocked(JsonText* out) {
  const NoteBoard::Noted noted = core_.board.NotTaken();
  const int64_t now = core_.options.clock->WallMs();
  const bool watched = !core_.life.ended() && core_.local_error.ok();
  const bool late = noted.first_ms != 0 && now - noted.first_ms > kUsualMs;
  const bool counted =
      watched && !late && core_.life.open() && core_.life.whole() && core_.ship.restorable;
  nlohmann::json transactions;
  if (counted) {
    const uint64_t txid = core_.capture->encoder()->head().txid;
    transactions = txid - std::min(txid, core_.ship.shipped.txid) + noted.count;
  }
  const int64_t since = WaitsSinceLocked();
  nlohmann::json ms;
  if (since != 0) {
    ms = std::max<int64_t>(0, now - since);
  } else if (watched) {
    ms = 0;
  }
  out->Add("lag_transactions", transactions);
  out->Add("lag_ms", ms);
  out->Add("waiting_since_ms", MsOrNull(since));
}

// What the process that ships says, unless it has not seen what this one has committed.
void Pipeline::AddLeadersLag(JsonText* out) {
  const auto leader =
      LeaderStatus::Read(StateFolderOf(core_.options.settings.path), core_.options.replica);
  const int64_t last = core_.board.NotTaken().last_ms;
  const int64_t now = core_.options.clock->WallMs();
  nlohmann::json transactions;
  nlohmann::json ms;
  int64_t since = 0;
  if (leader && leader->lag_ms) {
    since = *leader->lag_ms == 0 ? 0 : leader->written_ms - *leader->lag_ms;
    const bool unseen = last > leader->written_ms && now - last > kUsualMs;
    if (unseen && since == 0) since = last;
    ms = since == 0 ? 0 : std::max<int64_t>(0, now - since);
    if (!unseen && leader->lag_transactions) transactions = *leader->lag_transactions;
  }
  out->Add("shipped_by", leader ? nlohmann::json(leader->pid) : nlohmann::json());
  out->Add("lag_transactions", transactions);
  out->Add("lag_ms", ms);
  out->Add("waiting_since_ms", MsOrNull(since));
}

// Of a day's share, as of now: it grows while nothing is sent. In steps, for what changes is
// written.
int64_t Pipeline::BudgetLeftLocked() const {
  RequestBudget budget = core_.budget;
  budget.Spend(0, core_.options.clock->WallMs());
  return static_cast<int64_t>(std::floor(budget.left_share() * 100));
}

void Pipeline::AddRequests(JsonText* out) {
  JsonText& j = *out;
  ClientCounters counters = client_->Counters();
  j.Add("requests", counters.requests);
  j.Add("bytes_sent", counters.bytes_sent);
  j.Add("bytes_received", counters.bytes_received);
  j.Open('[', "requests_by");
  for (const RequestCount& each : counters.by_kind) {
    j.Open('{');
    j.Add("kind", NameOf(each.kind));
    j.Add("code", each.code);
    j.Add("requests", each.requests);
    j.Close('}');
  }
  j.Close(']');
}

void Pipeline::AddStatus(JsonText* out) {
  std::lock_guard<std::mutex> lock(core_.mutex);
  JsonText& j = *out;
  const ShipState& ship = core_.ship;
  LogHead head = core_.life.open() ? core_.capture->encoder()->head() : ship.shipped;
  uint64_t outbox = core_.life.open() ? core_.outbox->pending_bytes() : 0;
  std::string error = ErrorLocked().message();
  if (error.empty()) error = client_->Silence();
  j.Open('{');
  j.Add("replica", core_.options.replica);
  j.Add("state", StateLocked());
  j.Add("error", error.empty() ? nlohmann::json(nullptr) : nlohmann::json(error));
  j.Add("database_id", FormatDatabaseId(core_.identity.id));
  j.Add("txid", head.txid);
  j.Add("replicated_txid", ship.shipped.txid);
  core_.life.follows() ? AddLeadersLag(out) : AddLagLocked(out);
  j.Add("last_acknowledged", TimeOrNull(core_.last_ack_ms));
  j.Add("last_acknowledged_ms", MsOrNull(core_.last_ack_ms));
  j.Add("epoch", ship.epoch);
  j.Add("log_number", ship.next_log_number - 1);
  j.Add("segment_number", ship.shipped.segment_number);
  j.Add("restorable", RestorableLocked());
  j.Add("restorable_proven", TimeOrNull(core_.proven_ms));
  j.Add("snapshot_number", ship.snapshot_number);
  j.Add("snapshot_bytes", ship.snapshot_bytes);
  j.Add("snapshot_ms", MsOrNull(ship.restorable ? core_.snapshot_ms : 0));
  j.Add("log_bytes_since_snapshot", ship.log_bytes);
  j.Add("outbox_bytes", outbox);
  j.Add("outbox_file_bytes", core_.life.open() ? core_.outbox->file_bytes() : 0);
  j.Add("outbox_in_memory", core_.life.open() && core_.outbox->resting());
  j.Add("outbox_limit_bytes", core_.options.settings.outbox_limit);
  j.Add("thread_failures", core_.thread_failures);
  AddRequests(out);
  j.Add("retries", core_.retries);
  j.Add("upload_interval_ms", core_.upload_interval_ms.load());
  j.Add("max_requests", core_.options.settings.max_requests);
  j.Add("budget_left_percent", BudgetLeftLocked());
  j.Add("pages_encoded", core_.life.open() ? core_.capture->encoder()->pages_encoded() : 0);
  j.Add("pages_based", core_.life.open() ? core_.capture->encoder()->pages_based() : 0);
  j.Close('}');
}

}  // namespace backstay
