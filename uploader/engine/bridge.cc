#include "uploader/engine/bridge.h"

#include <memory>

namespace backstay {

TrailPlace PlaceOf(const FileLook& look) {
  TrailPlace place;
  place.file = look.stamp;
  place.change = look.change;
  return place;
}

TrailPlace PlaceOf(const FileStamp& stamp) {
  TrailPlace place;
  place.file = stamp;
  return place;
}

TrailPlace PlaceOf(const WalTarget& end) {
  TrailPlace place;
  place.salt1 = end.salt1;
  place.salt2 = end.salt2;
  place.frame = end.max_frame;
  return place;
}

std::vector<TransactionPtr> TransactionsOf(const std::vector<TrailStep>& steps, int64_t time_ms) {
  std::vector<TransactionPtr> transactions;
  for (const TrailStep& step : steps) {
    if (step.pgnos.empty()) continue;
    auto made = std::make_shared<Transaction>();
    made->committed = true;
    made->page_size = step.page_size;
    made->pages = step.pages;
    made->time_ms = time_ms;
    made->pgnos = step.pgnos;
    transactions.push_back(std::move(made));
  }
  return transactions;
}

}  // namespace backstay
