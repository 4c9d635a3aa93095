#include "uploader/engine/pipeline.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "uploader/engine/threads.h"
#include "uploader/format/keys.h"

namespace backstay {
namespace {

CoreOptions WithClient(CoreOptions options, ReplicaClient* client) {
  options.client = client;
  return options;
}

nlohmann::ordered_json TimeOrNull(int64_t ms) {
  return ms == 0 ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json(FormatRfc3339(ms));
}

}  // namespace

Pipeline::Pipeline(CoreOptions options, std::unique_ptr<ReplicaClient> client,
                   std::function<void()> tick)
    : client_(std::move(client)),
      core_(WithClient(std::move(options), client_.get())),
      jobs_(&core_),
      loop_(&core_, std::move(tick)),
      shipper_(&core_, &jobs_) {}

bool Pipeline::Start(const FileStamp& open_stamp) {
  loop_.HostOpened(open_stamp);
  return StartThread(
             "backstay-capt", [this] { loop_.Run(); }, &capture_thread_) &&
         StartThread(
             "backstay-ship", [this] { shipper_.Run(); }, &ship_thread_);
}

bool Pipeline::Sync(int64_t timeout_ms) {
  // The ship thread may be waiting out the minimum interval; the board tells it that somebody
  // waits.
  return core_.board.Sync(timeout_ms);
}

bool Pipeline::Quiet() {
  std::lock_guard<std::mutex> lock(core_.mutex);
  if (!core_.stopped.ok() || core_.passive) return true;
  if (!core_.ReadyLocked()) return false;
  return core_.outbox->pending().empty() && core_.handover.Idle() && core_.ship.restorable &&
         !core_.snapshotting && core_.repair == RepairNeed::kNone && !jobs_.running();
}

std::string Pipeline::Problem() {
  std::lock_guard<std::mutex> lock(core_.mutex);
  if (core_.passive) return "another process ships this database";
  return ErrorLocked().message();
}

const Status& Pipeline::ErrorLocked() const {
  if (!core_.stopped.ok()) return core_.stopped;
  return core_.local_error.ok() ? core_.last_error : core_.local_error;
}

void Pipeline::RequestStop() {
  {
    std::lock_guard<std::mutex> lock(core_.mutex);
    core_.stopping = true;
  }
  client_->Cancel();
  core_.board.Stop();
  core_.ship_work.notify_all();
}

void Pipeline::Stop() {
  RequestStop();
  if (ship_thread_.joinable()) ship_thread_.join();
  jobs_.Stop();
  if (capture_thread_.joinable()) capture_thread_.join();
}

const char* Pipeline::StateLocked() const {
  if (core_.stopped.code() == Code::kFenced) return "fenced";
  if (!core_.stopped.ok() || !core_.local_error.ok()) return "error";
  if (core_.passive) return "passive";
  if (!core_.last_error.ok()) return "retrying";
  if (!core_.connected) return "starting";
  if (core_.repair != RepairNeed::kNone) return "repairing";
  return core_.ship.restorable ? "replicating" : "snapshotting";
}

void Pipeline::AddStatus(nlohmann::ordered_json* out) {
  std::lock_guard<std::mutex> lock(core_.mutex);
  nlohmann::ordered_json& j = *out;
  const ShipState& ship = core_.ship;
  LogHead head = core_.ReadyLocked() ? core_.capture->encoder()->head() : LogHead{};
  uint64_t outbox = core_.ReadyLocked() ? core_.outbox->pending_bytes() : 0;
  int64_t now = core_.options.clock->WallMs();
  int64_t oldest = core_.first_unshipped_ms;
  const Status& error = ErrorLocked();
  j["replica"] = core_.options.replica;
  j["state"] = StateLocked();
  j["error"] =
      error.ok() ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json(error.message());
  j["database_id"] = FormatDatabaseId(core_.identity.id);
  j["txid"] = head.txid;
  j["replicated_txid"] = ship.shipped.txid;
  j["lag_transactions"] = head.txid - std::min(head.txid, ship.shipped.txid);
  j["lag_ms"] = oldest == 0 ? 0 : std::max<int64_t>(0, now - oldest);
  j["last_acknowledged"] = TimeOrNull(core_.last_ack_ms);
  j["epoch"] = ship.epoch;
  j["log_number"] = ship.next_log_number - 1;
  j["segment_number"] = ship.shipped.segment_number;
  j["restorable"] = ship.restorable;
  j["snapshot_number"] = ship.snapshot_number;
  j["snapshot_bytes"] = ship.snapshot_bytes;
  j["log_bytes_since_snapshot"] = ship.log_bytes;
  j["outbox_bytes"] = outbox;
  ClientCounters counters = client_->Counters();
  j["requests"] = counters.requests;
  j["bytes_sent"] = counters.bytes_sent;
  j["bytes_received"] = counters.bytes_received;
  j["pages_encoded"] = core_.ReadyLocked() ? core_.capture->encoder()->pages_encoded() : 0;
  j["pages_based"] = core_.ReadyLocked() ? core_.capture->encoder()->pages_based() : 0;
}

}  // namespace backstay
