#include "tools/replica_choice.h"

#include <algorithm>

#include "uploader/base/clock.h"

namespace backstay {
namespace {

std::string StateOf(const Candidate& candidate) {
  return candidate.client->Describe() + " ends with transaction " +
         std::to_string(candidate.plan.txid) + " of " + FormatRfc3339(candidate.plan.time_ms);
}

// "3.250 s"
std::string Seconds(int64_t ms) {
  const std::string rest = std::to_string(1000 + ms % 1000).substr(1);
  return std::to_string(ms / 1000) + "." + rest + " s";
}

}  // namespace

void NewestFirst(std::vector<Candidate>* candidates) {
  std::stable_sort(
      candidates->begin(), candidates->end(),
      [](const Candidate& a, const Candidate& b) { return a.plan.time_ms > b.plan.time_ms; });
}

std::string Compare(const Candidate& chosen, const Candidate& other) {
  const int64_t behind_ms = chosen.plan.time_ms - other.plan.time_ms;
  return StateOf(other) + (behind_ms > 0
                               ? ", " + Seconds(behind_ms) + " before " + chosen.client->Describe()
                               : ", as new as " + chosen.client->Describe());
}

}  // namespace backstay
