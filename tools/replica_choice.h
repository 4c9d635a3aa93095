// Which of several replicas a restore reads first: the one that goes furthest.
//
// Pure functions over what a look at each replica has told; main thread.

#ifndef BACKSTAY_TOOLS_REPLICA_CHOICE_H_
#define BACKSTAY_TOOLS_REPLICA_CHOICE_H_

#include <cstddef>
#include <string>
#include <vector>

#include "uploader/replica/restore_plan.h"
#include "uploader/storage/replica_client.h"

namespace backstay {

// A replica that answered, and the state that it would give.
struct Candidate {
  ReplicaClient* client = nullptr;
  size_t number = 0;  // its place among the replicas of the database, from 0
  // Of which txid counts in this replica alone.
  RestorePlan plan;
};

// By the time of the last transaction, which alone means the same in all; else in their order.
void NewestFirst(std::vector<Candidate>* candidates);
// One line on how `other` stands to `chosen`.
std::string Compare(const Candidate& chosen, const Candidate& other);

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_REPLICA_CHOICE_H_
