// Verification: one replica restored to a scratch folder, and what that proves.
//
// Main thread; downloads overlap on threads of the call. What is wrong with the replica is part of
// the outcome, not an error of the call. Nothing but the scratch folder is written to.

#ifndef BACKSTAY_TOOLS_VERIFICATION_H_
#define BACKSTAY_TOOLS_VERIFICATION_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tools/integrity.h"
#include "tools/scratch_folder.h"
#include "uploader/replica/restore.h"

namespace backstay {

struct VerifyOptions {
  std::string scratch;           // folder; empty: the usual one
  int64_t live_wait_ms = 30000;  // for the replica to hold what is compared
  std::string live;              // database to compare with; empty: none
  int64_t max_age_ms = 0;        // 0: any
  IntegrityCheck integrity = IntegrityCheck::kFull;
  bool foreign_keys = true;
  StopCheck stop;  // asked between and during the steps
  size_t parallelism = 8;
};

// One line for people.
struct VerifyProblem {
  int exit_code = 0;  // kExitDone: it is only to be known
  std::string text;
};

class Verification {
 public:
  Verification(const ReplicaReader& reader, const VerifyOptions& options)
      : reader_(reader), options_(options) {}

  void Run();
  // As of a command: kExitDone when nothing is wrong.
  int exit_code() const { return exit_code_; }
  // One line for people each; the outcome, and what is wrong.
  std::string Summary() const;
  const std::vector<VerifyProblem>& problems() const { return problems_; }
  nlohmann::ordered_json ToJson() const;

 private:
  void Prove();
  Result<RestoreOutcome> Restore(const ScratchFolder& scratch, const RestoreTarget& target);
  void Compare(const ScratchFolder& scratch);
  void CheckDatabase(const std::string& path);
  void CheckAge();
  void Wrong(const Status& status);
  void Wrong(int exit_code, const std::string& problem);
  void Damaged(const std::string& problem);
  uint64_t DatabaseBytes() const;
  bool ChecksumProven() const;

  const ReplicaReader& reader_;
  const VerifyOptions& options_;
  std::optional<RestoreOutcome> restored_;  // without the page hashes
  int64_t restore_ms_ = 0;
  int64_t age_ms_ = 0;     // of the newest transaction, when the verification began
  std::string integrity_;  // "ok", "failed" or "none"
  std::optional<uint64_t> violations_;
  std::optional<uint64_t> compared_;  // the transaction in which it is equal to the live database
  int exit_code_ = 0;
  std::vector<VerifyProblem> problems_;
  std::string remedy_;  // where the replica is damaged
};

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_VERIFICATION_H_
