#include "uploader/state/metrics_text.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <string_view>

#include "uploader/state/exposition.h"

namespace backstay {
namespace {

using Values = std::map<std::string, std::string>;

struct ReplicaValues {
  Values own;
  std::vector<Values> requests;
};

struct DatabaseValues {
  Values own;
  std::vector<ReplicaValues> replicas;
  bool up = false;
};

// The scalars of the objects that count. Nothing is built of the rest: nlohmann's objects allocate
// in their destructors.
class StatusReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit StatusReader(DatabaseValues* out) : out_(out) {}

  bool null() override { return true; }
  bool boolean(bool value) override { return Take(value ? "1" : "0"); }
  bool number_integer(number_integer_t value) override { return Take(std::to_string(value)); }
  bool number_unsigned(number_unsigned_t value) override { return Take(std::to_string(value)); }
  bool number_float(number_float_t, const string_t& text) override { return Take(text); }
  bool string(string_t& value) override { return Take(value); }
  bool binary(binary_t&) override { return true; }
  bool start_object(size_t) override {
    Begin();
    if (place() == "/replicas/") out_->replicas.emplace_back();
    const bool within = !out_->replicas.empty();
    if (within && place() == kRequest) out_->replicas.back().requests.emplace_back();
    return true;
  }
  bool key(string_t& value) override {
    key_ = value;
    return true;
  }
  bool end_object() override { return End(); }
  bool start_array(size_t) override { return Begin(); }
  bool end_array() override { return End(); }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception&) override {
    return false;
  }

 private:
  static constexpr size_t kMostDepth = 8;
  static constexpr std::string_view kRequest = "/replicas//requests_by/";

  // Keys on the way here; a member of an array has none.
  const std::string& place() const { return places_.back(); }
  // Each place is as long as those above it together.
  bool Begin() {
    if (places_.size() == kMostDepth) return false;
    places_.push_back(places_.empty() ? "" : place() + "/" + key_);
    key_.clear();
    return true;
  }
  bool End() {
    places_.pop_back();
    key_.clear();
    return true;
  }
  bool Take(std::string value) {
    if (places_.empty() || key_.empty()) return true;
    Values* values = nullptr;
    if (place().empty()) values = &out_->own;
    if (place() == "/replicas/") values = &out_->replicas.back().own;
    if (place() == kRequest && !out_->replicas.empty()) {
      values = &out_->replicas.back().requests.back();
    }
    if (values != nullptr) (*values)[key_] = std::move(value);
    return true;
  }

  DatabaseValues* const out_;
  std::vector<std::string> places_;
  std::string key_;
};

enum class Unit { kOne, kMs, kPercent };

struct Metric {
  const char* name;
  const char* type;
  const char* key;
  Unit unit;
  const char* help;
};

// clang-format off
constexpr std::array kOfDatabase = {
    Metric{"backstay_status_timestamp_seconds", "gauge", "written_ms", Unit::kMs,
           "When backstay_up was last known to be 1."},
    Metric{"backstay_late_commits_total", "counter", "late_commits", Unit::kOne,
           "Commits with durability sync that returned before every replica had them."},
    Metric{"backstay_heartbeat_timestamp_seconds", "gauge", "heartbeat_ms", Unit::kMs,
           "When the monitor last took from this process that all is replicated."},
    Metric{"backstay_heartbeat_failures_total", "counter", "heartbeat_failures", Unit::kOne,
           "Heartbeats of this process that told failure, or that the monitor did not take."},
    Metric{"backstay_late", "gauge", "late", Unit::kOne,
           "1: the last commits with durability sync are not in every replica."},
};
constexpr std::array kOfReplica = {
    Metric{"backstay_lag_seconds", "gauge", "lag_ms", Unit::kMs,
           "Age of the first commit that is not in the replica, when the status was written."},
    Metric{"backstay_waiting_since_timestamp_seconds", "gauge", "waiting_since_ms", Unit::kMs,
           "When the first commit that is not in the replica was made; absent when none waits."},
    Metric{"backstay_lag_transactions", "gauge", "lag_transactions", Unit::kOne,
           "Transactions that are not in the replica; absent when the number is not known."},
    Metric{"backstay_lag_bytes", "gauge", "outbox_bytes", Unit::kOne,
           "Encoded bytes that wait for the replica."},
    Metric{"backstay_transaction", "gauge", "txid", Unit::kOne,
           "Number of the last transaction that was encoded."},
    Metric{"backstay_replicated_transaction", "gauge", "replicated_txid", Unit::kOne,
           "Number of the last transaction that the replica has acknowledged."},
    Metric{"backstay_last_acknowledged_timestamp_seconds", "gauge", "last_acknowledged_ms", Unit::kMs,
           "When the replica last acknowledged a write of this process."},
    Metric{"backstay_outbox_bytes", "gauge", "outbox_file_bytes", Unit::kOne,
           "Size of the outbox on the local disk."},
    Metric{"backstay_outbox_in_memory", "gauge", "outbox_in_memory", Unit::kOne,
           "1: the disk does not take what waits, so that it is in memory alone."},
    Metric{"backstay_outbox_limit_bytes", "gauge", "outbox_limit_bytes", Unit::kOne,
           "The setting outbox-limit."},
    Metric{"backstay_restorable", "gauge", "restorable", Unit::kOne,
           "1: the replica holds a snapshot; absent before somebody has looked."},
    Metric{"backstay_snapshot_timestamp_seconds", "gauge", "snapshot_ms", Unit::kMs,
           "Of which moment the state in the newest snapshot is."},
    Metric{"backstay_snapshot_bytes", "gauge", "snapshot_bytes", Unit::kOne,
           "Size of the newest snapshot, compressed."},
    Metric{"backstay_log_since_snapshot_bytes", "gauge", "log_bytes_since_snapshot", Unit::kOne,
           "Log that was shipped since the newest snapshot began."},
    Metric{"backstay_retries_total", "counter", "retries", Unit::kOne,
           "Tries to reach the replica that failed, of this process."},
    Metric{"backstay_upload_interval_seconds", "gauge", "upload_interval_ms", Unit::kMs,
           "Least time between two uploads: min-interval, or more to keep to max-requests."},
    Metric{"backstay_max_requests", "gauge", "max_requests", Unit::kOne,
           "The setting max-requests; 0: off."},
    Metric{"backstay_request_budget_left_ratio", "gauge", "budget_left_percent", Unit::kPercent,
           "What is left of a day's share of max-requests, 1: all; below 0: more than that was sent."},
    Metric{"backstay_sent_bytes_total", "counter", "bytes_sent", Unit::kOne,
           "Bytes of objects that this process has sent."},
    Metric{"backstay_received_bytes_total", "counter", "bytes_received", Unit::kOne,
           "Bytes of objects and lists that this process has received."},
    Metric{"backstay_thread_failures_total", "counter", "thread_failures", Unit::kOne,
           "Threads of this process that had to start over."},
};
constexpr std::array kStates = {"replicating", "starting", "snapshotting", "repairing", "passive", "retrying",
                                "error", "fenced", "ended", "stale", "gone", "unopened"};
// clang-format on

std::string Get(const Values& values, const char* key) {
  const auto found = values.find(key);
  return found == values.end() ? std::string() : found->second;
}

std::string Ratio(int64_t percent) {
  constexpr int64_t kMost = 1000000;
  return Seconds(std::clamp(percent, -kMost, kMost) * 10);
}

void Add(const std::string& labels, const Values& values, const Metric& metric, Exposition* text) {
  const std::string value = Get(values, metric.key);
  if (value.empty()) return;
  const int64_t number = strtoll(value.c_str(), nullptr, 10);
  switch (metric.unit) {
    case Unit::kOne: return text->Sample(labels, value);
    case Unit::kMs: return text->Sample(labels, Seconds(number));
    case Unit::kPercent: return text->Sample(labels, Ratio(number));
  }
}

std::string LabelsOf(const DatabaseValues& database) {
  return Label("db", Get(database.own, "db"));
}

std::string LabelsOf(const DatabaseValues& database, const ReplicaValues& replica) {
  return LabelsOf(database) + "," + Label("replica", Get(replica.own, "replica"));
}

void AddStates(const std::vector<DatabaseValues>& all, Exposition* text) {
  text->Family("backstay_up", "gauge",
               "1: a process with Backstay has the database, and responds.");
  for (const DatabaseValues& each : all) text->Sample(LabelsOf(each), each.up ? "1" : "0");
  text->Family("backstay_state", "gauge", "1: the database is in this state.");
  for (const DatabaseValues& each : all) {
    for (const char* state : kStates) {
      const bool is = Get(each.own, "state") == state;
      text->Sample(LabelsOf(each) + "," + Label("state", state), is ? "1" : "0");
    }
  }
  text->Family("backstay_replica_state", "gauge",
               "1: replication to this replica is in this state.");
  for (const DatabaseValues& each : all) {
    for (const ReplicaValues& replica : each.replicas) {
      for (const char* state : kStates) {
        const bool is = Get(replica.own, "state") == state;
        text->Sample(LabelsOf(each, replica) + "," + Label("state", state), is ? "1" : "0");
      }
    }
  }
}

void AddRequests(const std::vector<DatabaseValues>& all, Exposition* text) {
  text->Family("backstay_requests_total", "counter",
               "Requests to the replica that are over, by kind and HTTP status (0: no answer).");
  for (const DatabaseValues& each : all) {
    for (const ReplicaValues& replica : each.replicas) {
      for (const Values& request : replica.requests) {
        text->Sample(LabelsOf(each, replica) + "," + Label("kind", Get(request, "kind")) + "," +
                         Label("code", Get(request, "code")),
                     Get(request, "requests"));
      }
    }
  }
}

}  // namespace

std::string MetricsText(const std::vector<DatabaseStatus>& databases) {
  std::vector<DatabaseValues> all;
  for (const DatabaseStatus& each : databases) {
    all.emplace_back().up = each.up;
    StatusReader reader(&all.back());
    if (!nlohmann::json::sax_parse(each.json, &reader)) all.pop_back();
  }
  Exposition text;
  AddStates(all, &text);
  for (const Metric& metric : kOfDatabase) {
    text.Family(metric.name, metric.type, metric.help);
    for (const DatabaseValues& each : all) Add(LabelsOf(each), each.own, metric, &text);
  }
  for (const Metric& metric : kOfReplica) {
    text.Family(metric.name, metric.type, metric.help);
    for (const DatabaseValues& each : all) {
      for (const ReplicaValues& replica : each.replicas) {
        Add(LabelsOf(each, replica), replica.own, metric, &text);
      }
    }
  }
  AddRequests(all, &text);
  return text.Take();
}

}  // namespace backstay
