#include "uploader/engine/pipeline.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <utility>

#include "uploader/base/caught.h"
#include "uploader/engine/threads.h"
#include "uploader/format/keys.h"

namespace backstay {
namespace {

constexpr auto kRestartPause = std::chrono::milliseconds(250);

CoreOptions WithClient(CoreOptions options, ReplicaClient* client) {
  options.client = client;
  return options;
}

nlohmann::json TimeOrNull(int64_t ms) {
  return ms == 0 ? nlohmann::json(nullptr) : nlohmann::json(FormatRfc3339(ms));
}

}  // namespace

Pipeline::Pipeline(CoreOptions options, std::unique_ptr<ReplicaClient> client,
                   std::function<void()> tick)
    : client_(std::move(client)),
      core_(WithClient(std::move(options), client_.get())),
      jobs_(&core_),
      loop_(&core_, std::move(tick)),
      shipper_(&core_, &jobs_) {}

bool Pipeline::Start() {
  const auto runs = [](const char* name, const std::function<void()>& body, std::thread* thread) {
    return thread->joinable() || StartThread(name, body, thread);
  };
  return runs(
             "backstay-capt", [this] { Keep("capture", [this] { loop_.Run(); }); },
             &capture_thread_) &&
         runs(
             "backstay-ship", [this] { Keep("ship", [this] { shipper_.Run(); }); }, &ship_thread_);
}

void Pipeline::Keep(const char* name, const std::function<void()>& body) {
  for (;;) {
    Status ended = Caught([&] { return body(), Status::Ok(); });
    if (ended.ok()) return;
    {
      std::lock_guard<std::mutex> lock(core_.mutex);
      ++core_.thread_failures;
    }
    // Perhaps there is no memory for the report either.
    bool reported = false;
    while (!reported) {
      reported = Caught([&] { return ReportFailure(name, ended), Status::Ok(); }).ok();
      std::unique_lock<std::mutex> lock(core_.mutex);
      core_.ship_work.wait_for(lock, kRestartPause, [this] { return core_.stopping; });
      if (core_.stopping) return;
    }
  }
}

void Pipeline::ReportFailure(const char* name, const Status& failure) {
  {
    std::lock_guard<std::mutex> lock(core_.mutex);
    core_.thread_error = failure;
  }
  core_.threads.Failed(
      std::string("the ") + name + " thread failed and starts over: " + failure.message(),
      {{"db", core_.options.settings.path}, {"replica", core_.options.replica}});
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
  if (core_.passive) return core_.neighbours.Problem();
  return ErrorLocked().message();
}

const Status& Pipeline::ErrorLocked() const {
  if (!core_.stopped.ok()) return core_.stopped;
  if (!core_.thread_error.ok()) return core_.thread_error;
  return core_.local_error.ok() ? core_.last_error : core_.local_error;
}

void Pipeline::Retire() {
  {
    std::lock_guard<std::mutex> lock(core_.mutex);
    core_.RetireLocked();
  }
  core_.board.Poke();
}

void Pipeline::RequestStop() {
  {
    std::lock_guard<std::mutex> lock(core_.mutex);
    core_.stopping = true;
  }
  client_->Cancel();
  core_.board.Stop();
  core_.neighbours.RequestStop();
  core_.ship_work.notify_all();
}

void Pipeline::Stop() {
  RequestStop();
  if (ship_thread_.joinable()) ship_thread_.join();
  jobs_.Stop();
  if (capture_thread_.joinable()) capture_thread_.join();
  core_.neighbours.Stop();
}

const char* Pipeline::StateLocked() const {
  if (core_.stopped.code() == Code::kFenced) return "fenced";
  if (!core_.stopped.ok() || !core_.local_error.ok() || !core_.thread_error.ok()) return "error";
  if (core_.passive) return "passive";
  if (!core_.last_error.ok()) return "retrying";
  if (!core_.connected) return "starting";
  if (core_.repair != RepairNeed::kNone) return "repairing";
  return core_.ship.restorable ? "replicating" : "snapshotting";
}

std::string Pipeline::State() {
  std::lock_guard<std::mutex> lock(core_.mutex);
  return StateLocked();
}

void Pipeline::AddStatus(JsonText* out) {
  std::lock_guard<std::mutex> lock(core_.mutex);
  JsonText& j = *out;
  const ShipState& ship = core_.ship;
  LogHead head = core_.ReadyLocked() ? core_.capture->encoder()->head() : LogHead{};
  uint64_t outbox = core_.ReadyLocked() ? core_.outbox->pending_bytes() : 0;
  int64_t now = core_.options.clock->WallMs();
  int64_t oldest = core_.first_unshipped_ms;
  const Status& error = ErrorLocked();
  j.Open('{');
  j.Add("replica", core_.options.replica);
  j.Add("state", StateLocked());
  j.Add("error", error.ok() ? nlohmann::json(nullptr) : nlohmann::json(error.message()));
  j.Add("database_id", FormatDatabaseId(core_.identity.id));
  j.Add("txid", head.txid);
  j.Add("replicated_txid", ship.shipped.txid);
  j.Add("lag_transactions", head.txid - std::min(head.txid, ship.shipped.txid));
  j.Add("lag_ms", oldest == 0 ? 0 : std::max<int64_t>(0, now - oldest));
  j.Add("last_acknowledged", TimeOrNull(core_.last_ack_ms));
  j.Add("epoch", ship.epoch);
  j.Add("log_number", ship.next_log_number - 1);
  j.Add("segment_number", ship.shipped.segment_number);
  j.Add("restorable", ship.restorable);
  j.Add("snapshot_number", ship.snapshot_number);
  j.Add("snapshot_bytes", ship.snapshot_bytes);
  j.Add("log_bytes_since_snapshot", ship.log_bytes);
  j.Add("outbox_bytes", outbox);
  j.Add("thread_failures", core_.thread_failures);
  ClientCounters counters = client_->Counters();
  j.Add("requests", counters.requests);
  j.Add("bytes_sent", counters.bytes_sent);
  j.Add("bytes_received", counters.bytes_received);
  j.Add("pages_encoded", core_.ReadyLocked() ? core_.capture->encoder()->pages_encoded() : 0);
  j.Add("pages_based", core_.ReadyLocked() ? core_.capture->encoder()->pages_based() : 0);
  j.Close('}');
}

}  // namespace backstay
