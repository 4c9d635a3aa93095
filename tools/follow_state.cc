#include "tools/follow_state.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

namespace backstay {
namespace {

using Json = nlohmann::ordered_json;

Json JsonOf(const FollowPoint& point) {
  return {{"counter", point.counter},
          {"page-size", point.page_size},
          {"head", point.head},
          {"next-log-number", point.next.number},
          {"epoch", point.next.epoch},
          {"segment", point.next.segment_number},
          {"segment-hash", point.next.segment_hash},
          {"txid", point.next.txid},
          {"checksum", point.checksum}};
}

FollowPoint PointFrom(const Json& json) {
  FollowPoint point;
  point.counter = json.at("counter");
  point.page_size = json.at("page-size");
  point.head = json.at("head");
  point.next = {json.at("next-log-number"), json.at("epoch"), json.at("segment"),
                json.at("segment-hash"), json.at("txid")};
  point.checksum = json.at("checksum");
  return point;
}

}  // namespace

LogStart BehindPlan(const RestorePlan& plan) {
  LogStart start{plan.next_log_number, plan.void_below,
                 std::max(plan.last_segment, plan.snapshot.segment_number), 0, plan.txid};
  if (plan.left) {
    // The log has gone on with another page size: its next snapshot shows there.
    const bool empty = plan.entries.empty();
    start.number = empty ? plan.snapshot.next_log_number : plan.entries.back().header.number + 1;
    start.epoch = empty ? plan.snapshot.epoch : plan.entries.back().header.epoch;
  }
  return start;
}

FollowPoint PointOf(const RestoreOutcome& outcome, uint32_t counter, const CopyFile::Head& head) {
  const std::vector<uint64_t>& hashes = outcome.result.page_hashes;
  FollowPoint point;
  point.counter = counter;
  point.page_size = outcome.result.page_size;
  point.head = head;
  point.next = BehindPlan(outcome.plan);
  point.next.segment_number = outcome.result.segment_number;
  point.next.segment_hash = outcome.result.segment_hash;
  point.checksum = std::accumulate(hashes.begin(), hashes.end(), uint64_t{0});
  return point;
}

Result<FollowState> FollowState::Parse(const std::string& text) {
  FollowState state;
  try {
    const Json json = Json::parse(text);
    state.replica = json.at("replica");
    state.id = json.at("database");
    for (const Json& point : json.at("points")) state.points.push_back(PointFrom(point));
  } catch (const Json::exception& error) {
    return Status(Code::kInvalid, error.what());
  }
  return state;
}

std::string FollowState::Text() const {
  Json json{{"replica", replica}, {"database", id}, {"points", Json::array()}};
  for (const FollowPoint& point : points) json["points"].push_back(JsonOf(point));
  return json.dump() + "\n";
}

}  // namespace backstay
