#include "uploader/storage/request_counts.h"

namespace backstay {
namespace {

int HttpCodeOf(const Status& outcome) {
  switch (outcome.code()) {
    case Code::kOk: return 200;
    case Code::kDenied: return 403;
    case Code::kNotFound: return 404;
    case Code::kExists: return 412;
    case Code::kUnavailable: return 503;
    default: return 500;
  }
}

}  // namespace

const char* NameOf(RequestKind kind) {
  switch (kind) {
    case RequestKind::kPut: return "put";
    case RequestKind::kGet: return "get";
    case RequestKind::kList: return "list";
    case RequestKind::kDelete: return "delete";
  }
  return "";
}

void RequestCounts::Add(RequestKind kind, int code) {
  std::lock_guard<std::mutex> lock(mutex_);
  ++counts_[{kind, code}];
}

void RequestCounts::Add(RequestKind kind, const Status& outcome) {
  if (outcome.code() != Code::kCancelled) Add(kind, HttpCodeOf(outcome));
}

std::vector<RequestCount> RequestCounts::All() const {
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<RequestCount> all;
  all.reserve(counts_.size());
  for (const auto& [key, requests] : counts_) all.push_back({key.first, key.second, requests});
  return all;
}

uint64_t RequestCounts::Of(RequestKind kind) const {
  std::lock_guard<std::mutex> lock(mutex_);
  uint64_t requests = 0;
  for (const auto& [key, each] : counts_) requests += key.first == kind ? each : 0;
  return requests;
}

}  // namespace backstay
