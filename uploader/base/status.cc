#include "uploader/base/status.h"

#include <cerrno>
#include <system_error>

namespace backstay {

const char* CodeName(Code code) {
  switch (code) {
    case Code::kOk: return "OK";
    case Code::kInvalid: return "INVALID";
    case Code::kNotFound: return "NOT_FOUND";
    case Code::kNoBucket: return "NO_BUCKET";
    case Code::kExists: return "EXISTS";
    case Code::kCorrupt: return "CORRUPT";
    case Code::kNewer: return "NEWER_VERSION";
    case Code::kDenied: return "DENIED";
    case Code::kUnavailable: return "UNAVAILABLE";
    case Code::kUnsupported: return "UNSUPPORTED";
    case Code::kIo: return "IO";
    case Code::kFenced: return "FENCED";
    case Code::kForeign: return "FOREIGN";
    case Code::kContended: return "CONTENDED";
    case Code::kCancelled: return "CANCELLED";
  }
  return "UNKNOWN";
}

Status Status::Errno(const std::string& context, int errnum) {
  Code code = Code::kIo;
  if (errnum == ENOENT) code = Code::kNotFound;
  if (errnum == EEXIST) code = Code::kExists;
  if (errnum == EACCES || errnum == EPERM || errnum == EROFS) code = Code::kDenied;
  const bool ran_out = errnum == EMFILE || errnum == ENFILE || errnum == ENOMEM;
  return {code, context + ": " + std::generic_category().message(errnum), ran_out};
}

Status Status::Wrap(const std::string& context) const {
  if (ok()) return *this;
  return {code_, context + ": " + message_, retryable_};
}

std::string Status::ToString() const {
  return ok() ? "OK" : std::string(CodeName(code_)) + ": " + message_;
}

}  // namespace backstay
