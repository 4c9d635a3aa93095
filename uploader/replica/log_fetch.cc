#include "uploader/replica/log_fetch.h"

#include <algorithm>
#include <utility>

namespace backstay {

LogFetch::LogFetch(const ReplicaReader& reader, const std::vector<LogEntry>& entries,
                   uint64_t batch_bytes)
    : reader_(reader), entries_(entries) {
  for (size_t i = 0; i < entries.size(); ++i) {
    const LogSource& source = entries[i].sources.front();
    Batch* last = batches_.empty() ? nullptr : &batches_.back();
    const bool joins = last != nullptr && !entries[i].body && last->source.key == source.key &&
                       last->source.offset + last->source.length == source.offset &&
                       last->source.length + source.length <= batch_bytes;
    if (joins) {
      ++last->count;
      last->source.length += source.length;
    } else {
      batches_.push_back({i, 1, source});
    }
  }
}

size_t LogFetch::requests() const {
  return static_cast<size_t>(std::count_if(batches_.begin(), batches_.end(),
                                           [this](const Batch& each) { return !Kept(each); }));
}

uint64_t LogFetch::Cost(size_t batch) const {
  return Kept(batches_[batch]) ? 0 : batches_[batch].source.length;
}

Result<LogFetch::Body> LogFetch::Fetch(size_t batch) const {
  if (Kept(batches_[batch])) return entries_[batches_[batch].first].body;
  const LogSource& source = batches_[batch].source;
  Result<std::string> body = reader_.GetRange(source.key, source.offset, source.length);
  if (body.ok()) return std::make_shared<const std::string>(std::move(*body));
  const Code code = body.status().code();
  // Gone or cut short: object by object, from wherever each still is.
  if (code == Code::kNotFound || code == Code::kCorrupt || code == Code::kInvalid) {
    return std::make_shared<const std::string>();
  }
  return body.status();
}

Status LogFetch::Use(size_t batch, const std::string& body, const Taker& take) const {
  uint64_t offset = 0;
  const size_t end = batches_[batch].first + batches_[batch].count;
  for (size_t i = batches_[batch].first; i < end; ++i) {
    const LogEntry& entry = entries_[i];
    const Bytes all = AsBytes(body);
    const bool whole = offset + entry.bytes() <= all.size();
    Bytes bytes = whole ? all.subspan(offset, entry.bytes()) : Bytes();
    offset += entry.bytes();
    Body another;
    if (!whole || !CheckEntry(entry, bytes).ok()) {
      Result<Body> fetched = FetchEntry(reader_, entry);
      if (!fetched.ok()) return fetched.status();
      another = std::move(*fetched);
      bytes = AsBytes(*another);
    }
    Result<LogObject> object = ParseLogObject(bytes, entry.header.number);
    if (!object.ok()) return object.status().Wrap(entry.sources.front().key);
    BACKSTAY_TRY(take(entry, *object));
  }
  return Status::Ok();
}

}  // namespace backstay
