#include "tools/live_comparison.h"

#include <unistd.h>

#include <chrono>
#include <thread>

#include "uploader/base/clock.h"

namespace backstay {
namespace {

constexpr int kCopies = 3;
constexpr auto kLookEvery = std::chrono::milliseconds(500);

std::string Names(const PageDifferences& differences) {
  std::string names;
  for (const uint32_t pgno : differences.first) {
    names += (names.empty() ? "" : ", ") + std::to_string(pgno);
  }
  return std::to_string(differences.pages) + " pages (" + names +
         (differences.pages > differences.first.size() ? ", …)" : ")");
}

}  // namespace

Status LiveComparison::Run(const std::string& path, const RestoreOutcome& restored,
                           uint64_t* txid) {
  txid_ = restored.plan.txid;
  page_size_ = restored.result.page_size;
  bool equal = false;
  for (int i = 0; i < kCopies && !equal; ++i) BACKSTAY_TRY(Once(path, &equal));
  *txid = txid_;
  if (equal) return Status::Ok();
  return {Code::kUnavailable,
          "differs from " + database_ + " in " + Names(differences_) + " at transaction " +
              std::to_string(txid_) +
              "; if that is written to many times a second, try again when it is quiet"};
}

Status LiveComparison::Once(const std::string& path, bool* equal) {
  const std::string to = scratch_.path() + "/live";
  unlink(to.c_str());
  Result<LiveCopy> live = CopyLive(database_, to, stop_);
  if (!live.ok()) return live.status();
  const int64_t until = RealClock()->MonotonicMs() + wait_ms_;
  for (bool passed = false; !passed;) {
    BACKSTAY_TRY(Against(path, *live, equal, &passed));
    if (*equal || passed) return Status::Ok();
    if (!Pause()) return {Code::kCancelled, "cancelled"};
    if (RealClock()->MonotonicMs() > until) {
      return {Code::kUnavailable, "differs from " + database_ + " in " + Names(differences_) +
                                      ", and nothing newer than transaction " +
                                      std::to_string(txid_) + " came in " +
                                      std::to_string(wait_ms_ / 1000) +
                                      " s; see with `backstay status` whether that is replicated"};
    }
  }
  return Status::Ok();
}

// `*passed`: the replica goes on behind the moment of the copy, so that its state of then is final.
Status LiveComparison::Against(const std::string& path, const LiveCopy& live, bool* equal,
                               bool* passed) {
  const RestoreTarget then{RestoreTarget::Kind::kTime, 0, live.at_ms};
  Result<RestorePlan> newest = PlanFromReplica(reader_, {}, {});
  if (!newest.ok()) return newest.status();
  *passed = newest->time_ms > live.at_ms;
  if (Result<RestorePlan> plan = PlanFromReplica(reader_, then, {});
      plan.ok() && plan->txid != txid_) {
    Result<RestoreOutcome> outcome = restore_(then);
    if (!outcome.ok()) return outcome.status();
    txid_ = outcome->plan.txid;
    page_size_ = outcome->result.page_size;
  }
  Result<PageDifferences> compared = ComparePages(path, live, page_size_);
  if (!compared.ok()) return compared.status();
  differences_ = *compared;
  *equal = differences_.pages == 0;
  return Status::Ok();
}

bool LiveComparison::Pause() {
  std::this_thread::sleep_for(kLookEvery);
  return !stop_ || !stop_();
}

}  // namespace backstay
