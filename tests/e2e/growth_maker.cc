// Puts a log object behind the end of a replica that says that the database has a number of pages.
//
//   growth_maker REPLICA-FOLDER PAGES
//
// Not a test. The last object of the log must hold segments. Ends with 1 when it does not.

#include <algorithm>
#include <cstdlib>
#include <string>

#include "uploader/format/keys.h"
#include "uploader/format/log_object.h"
#include "uploader/format/segment.h"
#include "uploader/storage/file_client.h"

namespace backstay {
namespace {

Status Extend(const std::string& folder, uint32_t pages) {
  Result<std::unique_ptr<ReplicaClient>> client = FileReplicaClient::Make(folder);
  if (!client.ok()) return client.status();
  Result<std::vector<ObjectInfo>> log = (*client)->List({.prefix = "log/"});
  if (!log.ok()) return log.status();
  uint64_t number = 0;
  for (const ObjectInfo& info : *log) number = std::max(number, ParseLogKey(info.key).value_or(0));
  Result<std::string> bytes = (*client)->Get(LogKey(number));
  if (!bytes.ok()) return bytes.status();
  Result<LogObject> last = ParseLogObject(AsBytes(*bytes), number);
  if (!last.ok()) return last.status();
  if (last->segments.empty()) return {Code::kInvalid, "the log ends with a takeover"};
  const Segment& end = last->segments.back();
  SegmentWriter writer;
  writer.Begin(end.header().page_size);
  writer.BeginStep(1, end.steps().back().time_ms + 1);
  writer.EndStep(pages);
  Result<std::string> segment = writer.Finish({.page_size = end.header().page_size,
                                               .number = end.header().number + 1,
                                               .first_txid = end.last_txid() + 1,
                                               .previous_hash = end.hash()});
  if (!segment.ok()) return segment.status();
  const std::string object =
      EncodeLogHeader({LogKind::kSegments, last->header.epoch, number + 1, 1}) + *segment;
  return (*client)->Put(LogKey(number + 1), AsBytes(object));
}

}  // namespace
}  // namespace backstay

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  return backstay::Extend(argv[1], static_cast<uint32_t>(std::atoll(argv[2]))).ok() ? 0 : 1;
}
