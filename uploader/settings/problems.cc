#include "uploader/settings/problems.h"

#include <algorithm>

namespace backstay {
namespace {

constexpr size_t kMostShown = 20;

}  // namespace

void Problems::Add(const Status& status, const std::string& place) {
  if (status.ok()) return;
  const Status placed = place.empty() ? status : status.Wrap(place);
  if (placed.retryable() && passing_.ok()) passing_ = placed;
  if (std::find(found_.begin(), found_.end(), placed.message()) != found_.end()) return;
  found_.push_back(placed.message());
}

Status Problems::Sum() const {
  if (!passing_.ok()) return passing_;
  if (found_.empty()) return {};
  if (found_.size() == 1) return {Code::kInvalid, found_[0]};
  std::string all = std::to_string(found_.size()) + " problems:";
  for (size_t i = 0; i < std::min(found_.size(), kMostShown); ++i) {
    all += (i == 0 ? " (" : "; (") + std::to_string(i + 1) + ") " + found_[i];
  }
  if (found_.size() > kMostShown) all += "; …";
  return {Code::kInvalid, all};
}

}  // namespace backstay
