// Status and Result: how every fallible function of the uploader reports.
//
// Owns: a code, a message for people (it names the input and the remedy), and whether trying again
// can help. Called from any thread; values are copied, never shared. Nothing here throws.

#ifndef BACKSTAY_UPLOADER_BASE_STATUS_H_
#define BACKSTAY_UPLOADER_BASE_STATUS_H_

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace backstay {

enum class Code {
  kOk,
  kInvalid,      // bad input or configuration; the caller must change it
  kNotFound,     // the thing named does not exist
  kNoBucket,     // nor does the bucket that it would be in: that is no empty replica
  kExists,       // create-only target is there already (HTTP 412, EEXIST)
  kCorrupt,      // bytes that fail their checksum or break their format
  kNewer,        // written by a newer format version than this build reads
  kDenied,       // credentials refused (HTTP 401/403), EACCES
  kUnavailable,  // network, 5xx, time-out: the other side may recover
  kUnsupported,  // the other side does not implement it (HTTP 501)
  kIo,           // local file system error
  kFenced,       // a newer writer owns the log
  kForeign,      // the replica belongs to another database
  kContended,    // another writer may be taking the log over
  kCancelled,    // shutdown was asked for
};

// Short upper-case name of a code, for logs ("CORRUPT").
const char* CodeName(Code code);

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Code code, std::string message, bool retryable = false)
      : code_(code), retryable_(retryable), message_(std::move(message)) {}

  static Status Ok() { return {}; }
  // "context: strerror(errnum)"; ENOENT, EACCES, EEXIST get their own codes. Retryable if the
  // process ran out of file descriptors or memory.
  static Status Errno(const std::string& context, int errnum);

  bool ok() const { return code_ == Code::kOk; }
  Code code() const { return code_; }
  bool retryable() const { return retryable_; }
  const std::string& message() const { return message_; }

  // The same error with "context: " before the message.
  Status Wrap(const std::string& context) const;
  // "CODE: message", or "OK".
  std::string ToString() const;

 private:
  Code code_ = Code::kOk;
  bool retryable_ = false;
  std::string message_;
};

template <typename T>
class [[nodiscard]] Result : public tl::expected<T, Status> {
 public:
  using Base = tl::expected<T, Status>;
  Result(T value) : Base(std::move(value)) {}  // NOLINT: implicit by design
  Result(Status status) : Base(tl::unexpected<Status>(std::move(status))) {}  // NOLINT: likewise

  bool ok() const { return this->has_value(); }
  // Ok when there is a value.
  Status status() const { return ok() ? Status::Ok() : this->error(); }
};

// Returns from the enclosing function when `expr` is not ok.
#define BACKSTAY_TRY(expr)                                                           \
  do {                                                                               \
    if (::backstay::Status try_status = (expr); !try_status.ok()) return try_status; \
  } while (0)

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_BASE_STATUS_H_
