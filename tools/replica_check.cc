#include "tools/replica_check.h"

#include <unistd.h>

#include <algorithm>
#include <memory>
#include <random>
#include <utility>

#include "tools/command.h"
#include "tools/interrupt.h"
#include "uploader/base/clock.h"
#include "uploader/storage/client_factory.h"
#include "uploader/storage/shared_credentials.h"

namespace backstay {
namespace {

constexpr char kCredentials[] = "credentials";
constexpr char kServer[] = "server";
constexpr char kTls[] = "tls";
constexpr char kClock[] = "clock";
constexpr char kBucket[] = "bucket";
constexpr char kList[] = "list";
constexpr char kPut[] = "put";
constexpr char kGet[] = "get";
constexpr char kCreateOnly[] = "create-only put";
constexpr char kDelete[] = "delete";

std::string RandomKey() {
  std::random_device random;
  std::string key = "check-";
  for (int i = 0; i < 16; ++i) key += "0123456789abcdef"[random() % 16];
  return key;
}

bool Says(const Status& error, std::initializer_list<const char*> words) {
  return std::any_of(words.begin(), words.end(), [&](const char* word) {
    return error.message().find(word) != std::string::npos;
  });
}

// The right that a step needs, as a policy names it.
std::string WithRight(const Status& error, const char* right) {
  if (error.code() != Code::kDenied) return error.message();
  return error.message() + "; let the access key have " + right;
}

class Check {
 public:
  Check(const ReplicaSettings& replica, const CheckOptions& options)
      : replica_(replica), options_(options) {
    out_.replica = out_.place = replica.Describe();
    for (const char* name :
         {kCredentials, kServer, kTls, kClock, kBucket, kList, kPut, kGet, kCreateOnly, kDelete}) {
      const bool of_s3 = name != kList && name != kPut && name != kGet && name != kCreateOnly &&
                         name != kDelete && name != kServer;
      if (replica.type == "s3" || !of_s3) out_.steps.push_back({name});
    }
  }

  ReplicaChecked Run() {
    if (OpenClient() && Reach()) TryRights();
    return std::move(out_);
  }

 private:
  CheckStep& Step(const char* name) {
    const auto at = std::find_if(out_.steps.begin(), out_.steps.end(),
                                 [name](const CheckStep& step) { return step.name == name; });
    return at != out_.steps.end() ? *at : unused_;
  }
  void Ok(const char* name, std::string text = "") {
    Step(name) = {name, CheckResult::kOk, std::move(text)};
  }
  void Warn(const char* name, std::string text) {
    Step(name) = {name, CheckResult::kWarning, std::move(text)};
  }
  bool Fail(const char* name, const Status& error, const std::string& text) {
    if (error.code() == Code::kCancelled) {
      Step(name) = {name, CheckResult::kSkipped, "interrupted"};
      return false;
    }
    Step(name) = {name, CheckResult::kFailed, text, error};
    return false;
  }
  bool Fail(const char* name, const Status& error) { return Fail(name, error, error.message()); }

  Result<std::unique_ptr<ReplicaClient>> Client() {
    const auto begins = [this](const std::string& text) {
      if (!text.starts_with("this machine's clock")) return PrintWarning(text);
      clock_said_ = text;
    };
    return MakeReplicaClient(
        replica_, {.silence = {.begins = begins, .ends = PrintRecovered, .notes = PrintNote},
                   .patience_ms = options_.patience_ms});
  }

  bool OpenClient() {
    Result<std::string> source = std::string();
    if (replica_.type == "s3") {
      source = SharedCredentials::NameOf(replica_);
      if (!source.ok()) return Fail(kCredentials, source.status());
      SharedCredentials keys(replica_, RealClock());
      const Status fetched = keys.Get().status();
      if (!fetched.ok()) return Fail(kCredentials, fetched);
    }
    Result<std::unique_ptr<ReplicaClient>> made = Client();
    if (!made.ok()) return Fail(kServer, made.status());
    client_ = std::move(*made);
    out_.place = client_->Place();
    Ok(kCredentials, *source);
    return true;
  }

  // The first request tells of everything between here and the bucket.
  bool Reach() {
    Result<std::vector<ObjectInfo>> listed =
        client_->List({.prefix = key_, .folders = false, .most = 1});
    if (listed.ok() && listed->empty()) {
      if (const Status place = client_->ProvePlace(); !place.ok()) return Fail(kServer, place);
    }
    const Status error = listed.status();
    const bool tls = Says(error, {"certificate", "TLS", "SSL"});
    if (tls && error.code() != Code::kDenied) return Fail(kTls, error);
    const bool answered = client_->Reached();
    if (!answered || error.code() == Code::kUnavailable) return Fail(kServer, error);
    Ok(kServer, replica_.type == "s3" ? "it answers" : "");
    SayTls();
    if (Says(error, {"RequestTimeTooSkewed"})) return Fail(kClock, error);
    if (Says(error, {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken",
                     "InvalidClientTokenId"})) {
      return Fail(kCredentials, error);
    }
    clock_said_.empty() ? Ok(kClock, "near enough to the server's") : Warn(kClock, clock_said_);
    const bool denied = error.code() == Code::kDenied;
    if (!error.ok() && !denied) return Fail(kBucket, error);
    if (denied) {
      Fail(kList, error, WithRight(error, "s3:ListBucket on the bucket"));
      // One that does not exist is denied as well to who may not list.
      Warn(kBucket, "not known: it may not be listed");
    } else {
      Ok(kBucket, "it is there");
      Ok(kList);
    }
    return true;
  }

  void SayTls() {
    if (replica_.endpoint.starts_with("http://")) {
      return Ok(kTls, "none: the endpoint is http://");
    }
    if (replica_.skip_verify) {
      return Warn(
          kTls,
          "skip-verify is set: any certificate is accepted; name the server's CA in ca-file "
          "in place of it");
    }
    Ok(kTls, "the server's certificate is trusted");
  }

  // A signal cancels the request that is under way, and ends no command that has written something.
  void TryRights() {
    Interrupt interrupt;
    interrupt.Watch(client_.get());
    TryObject();
    interrupt.Watch(nullptr);
    if (may_be_there_) Remove();
    out_.interrupted = interrupt.interrupted();
  }

  void TryObject() {
    const std::string text = "This object is the trial of `backstay check`, and may be deleted.\n";
    const Status put = client_->Put(key_, AsBytes(text));
    // Without an answer, or with one that it failed, it may be there all the same.
    may_be_there_ = put.code() != Code::kDenied;
    if (!put.ok()) return (void)Fail(kPut, put, WithRight(put, "s3:PutObject"));
    Ok(kPut);
    if (TryGet(text)) TryCreateOnly();
    TryDelete();
  }

  // With another client: the first one may be cancelled.
  void Remove() {
    Result<std::unique_ptr<ReplicaClient>> client = Client();
    const Status removed = client.ok() ? (*client)->Delete({key_}) : client.status();
    if (!removed.ok()) {
      Fail(kDelete, removed, removed.message() + "; the trial object may be there: " + key_);
    } else if (Step(kDelete).result == CheckResult::kSkipped) {
      Step(kDelete).text = "the trial object is deleted";
    }
  }

  // False: the object has gone.
  bool TryGet(const std::string& text) {
    Result<std::string> got = client_->Get(key_);
    if (got.status().code() == Code::kNotFound) {
      return Fail(kGet, {Code::kUnavailable,
                         "what was just written is gone: the store loses it, or something else "
                         "deletes it; see the bucket's lifecycle rules"});
    }
    if (!got.ok()) {
      Fail(kGet, got.status(), WithRight(got.status(), "s3:GetObject"));
    } else if (*got != text) {
      Fail(kGet, {Code::kCorrupt,
                  "what comes back is not what was written; the store, or something "
                  "on the way, changes objects"});
    } else {
      Ok(kGet);
    }
    if (Step(kList).result != CheckResult::kOk) return true;
    Result<std::vector<ObjectInfo>> listed = client_->List({.prefix = key_});
    if (!listed.ok()) {
      Fail(kList, listed.status());
    } else if (listed->size() != 1) {
      Fail(kList, {Code::kUnavailable,
                   "what was just written is not in the list; a replica there "
                   "would look as if something was missing"});
    }
    return true;
  }

  void TryCreateOnly() {
    const Status again = client_->PutIfAbsent(key_, AsBytes("again"));
    if (again.code() == Code::kExists) return Ok(kCreateOnly, "an object that is there is kept");
    if (again.ok() || again.code() == Code::kUnsupported) {
      return Warn(
          kCreateOnly,
          std::string(again.ok() ? "the store ignores If-None-Match"
                                 : "the store has no If-None-Match") +
              ": two writers on one replica are noticed later, and each upload takes 2 or 3 "
              "requests more; let only one process write at a time");
    }
    Fail(kCreateOnly, again, WithRight(again, "s3:PutObject with If-None-Match"));
  }

  void TryDelete() {
    const Status deleted = client_->Delete({key_});
    may_be_there_ = deleted.code() == Code::kCancelled;
    if (may_be_there_) return;
    if (deleted.ok()) {
      Result<std::string> got = client_->Get(key_);
      if (!got.ok()) return Ok(kDelete);
      Fail(kDelete, {Code::kUnavailable,
                     "the store says that the object is deleted, and still has it: " + key_});
      return;
    }
    const std::string left = deleted.message() + "; the trial object stays: " + key_;
    if (!options_.deletes && deleted.code() == Code::kDenied) {
      return Warn(kDelete, left + " (retention is off, nothing else has to be deleted)");
    }
    Fail(kDelete, deleted,
         deleted.code() == Code::kDenied
             ? left + "; let the access key have s3:DeleteObject, or set retention to off"
             : left);
  }

  const ReplicaSettings& replica_;
  const CheckOptions options_;
  const std::string key_ = RandomKey();
  std::unique_ptr<ReplicaClient> client_;
  bool may_be_there_ = false;  // the trial object
  std::string clock_said_;     // of this machine's, where it is wrong
  ReplicaChecked out_;
  CheckStep unused_{""};
};

}  // namespace

ReplicaChecked CheckReplica(const ReplicaSettings& replica, const CheckOptions& options) {
  return Check(replica, options).Run();
}

const char* NameOf(CheckResult result) {
  switch (result) {
    case CheckResult::kOk: return "ok";
    case CheckResult::kWarning: return "warning";
    case CheckResult::kFailed: return "failed";
    case CheckResult::kSkipped: return "skipped";
  }
  return "";
}

}  // namespace backstay
