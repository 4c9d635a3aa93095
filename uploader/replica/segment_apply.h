// SegmentApply: log objects, in order, onto a DatabaseImage that holds the plan's snapshot.
//
// Belongs to one replay, one thread. Checks the chain of segments, stops at the plan's last step,
// and compares the database checksum wherever one is known. Fails with kCorrupt, or the image's
// error; the image is then rubbish.

#ifndef BACKSTAY_UPLOADER_REPLICA_SEGMENT_APPLY_H_
#define BACKSTAY_UPLOADER_REPLICA_SEGMENT_APPLY_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

#include "uploader/format/frame_codec.h"
#include "uploader/format/log_object.h"
#include "uploader/replica/page_store.h"
#include "uploader/replica/restore_plan.h"

namespace backstay {

class SegmentApply {
 public:
  SegmentApply(const RestorePlan& plan, DatabaseImage* image);

  Status Apply(const LogObject& object);
  // Everything that was planned has been applied, or kCorrupt.
  Status Finish() const;

  uint64_t segment_number() const { return number_; }
  uint64_t segment_hash() const { return hash_; }
  bool checksum_proven() const { return proven_; }

 private:
  Status CheckChain(const Segment& segment) const;
  Status ApplySegment(const Segment& segment);
  Status ApplyPages(const Segment& segment, size_t stop);
  Status CheckChecksum(const Segment& segment);
  Status CheckTakeover(const Takeover& takeover) const;

  const RestorePlan& plan_;
  DatabaseImage* const image_;
  FrameDecoder decoder_;
  uint64_t number_;  // last segment
  uint64_t hash_;
  uint64_t txid_ = 0;  // last transaction that is in the image
  bool proven_ = false;
  bool stopped_ = false;  // inside a segment
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_REPLICA_SEGMENT_APPLY_H_
