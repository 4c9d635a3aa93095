// FollowState: where a copy that follows a replica stands.
//
// A value; a FollowFile saves it durably before the copy's commit, with the point before and the
// one after: the copy's own counter then tells which of them it is at, whenever it was killed.

#ifndef BACKSTAY_TOOLS_FOLLOW_STATE_H_
#define BACKSTAY_TOOLS_FOLLOW_STATE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "tools/copy_file.h"
#include "uploader/replica/restore.h"

namespace backstay {

struct FollowPoint {
  uint32_t counter = 0;  // of the copy's commit
  uint32_t page_size = 0;
  CopyFile::Head head{};
  LogStart next;          // from where the log goes on
  uint64_t checksum = 0;  // of the database
};

// From where the log goes on behind the state that a plan leads to; without the last segment's
// hash.
LogStart BehindPlan(const RestorePlan& plan);
// Of what was just restored, for the commit `counter`.
FollowPoint PointOf(const RestoreOutcome& outcome, uint32_t counter, const CopyFile::Head& head);

struct FollowState {
  std::string replica;  // which one is followed
  std::string id;       // its identity's
  std::vector<FollowPoint> points;

  // kInvalid: it is none.
  static Result<FollowState> Parse(const std::string& text);
  std::string Text() const;
};

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_FOLLOW_STATE_H_
