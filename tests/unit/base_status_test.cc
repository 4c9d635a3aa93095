#include <cerrno>
#include <memory>
#include <set>

#include "tests/support/catch.h"
#include "uploader/base/clock.h"
#include "uploader/base/status.h"

namespace backstay {
namespace {

Status Twice(const Status& first, int* ran) {
  BACKSTAY_TRY(first);
  ++*ran;
  return Status::Ok();
}

}  // namespace

TEST_CASE("a status says its code, its message, and whether to try again") {
  CHECK(Status().ok());
  CHECK(Status::Ok().ToString() == "OK");
  Status status(Code::kUnavailable, "bucket: no answer", true);
  CHECK_FALSE(status.ok());
  CHECK(status.retryable());
  CHECK(status.ToString() == "UNAVAILABLE: bucket: no answer");
}

TEST_CASE("wrapping adds context and changes nothing else") {
  Status wrapped = Status(Code::kUnavailable, "no answer", true).Wrap("log/1");
  CHECK(wrapped.code() == Code::kUnavailable);
  CHECK(wrapped.retryable());
  CHECK(wrapped.message() == "log/1: no answer");
  CHECK(Status::Ok().Wrap("log/1").ToString() == "OK");
}

TEST_CASE("errno becomes a code and its text") {
  CHECK(Status::Errno("open /x", ENOENT).code() == Code::kNotFound);
  CHECK(Status::Errno("open /x", EEXIST).code() == Code::kExists);
  CHECK(Status::Errno("open /x", EACCES).code() == Code::kDenied);
  CHECK(Status::Errno("open /x", EPERM).code() == Code::kDenied);
  CHECK(Status::Errno("open /x", EROFS).code() == Code::kDenied);
  CHECK(Status::Errno("open /x", ENOSPC).code() == Code::kIo);
  CHECK(Status::Errno("open /x", ENOENT).message() == "open /x: No such file or directory");
}

TEST_CASE("every code has a name of its own") {
  std::set<std::string> names;
  for (int code = 0; code <= static_cast<int>(Code::kCancelled); ++code) {
    names.insert(CodeName(static_cast<Code>(code)));
  }
  CHECK(names.size() == static_cast<size_t>(Code::kCancelled) + 1);
  CHECK(names.count("UNKNOWN") == 0);
}

TEST_CASE("BACKSTAY_TRY returns the first error") {
  int ran = 0;
  CHECK(Twice(Status::Ok(), &ran).ok());
  CHECK(Twice(Status(Code::kIo, "x"), &ran).code() == Code::kIo);
  CHECK(ran == 1);
}

TEST_CASE("a result holds a value or a status") {
  Result<std::unique_ptr<int>> value = std::make_unique<int>(5);
  CHECK(value.ok());
  CHECK(value.status().ok());
  CHECK(**value == 5);
  Result<int> error = Status(Code::kInvalid, "bad");
  CHECK_FALSE(error.ok());
  CHECK(error.status().message() == "bad");
}

TEST_CASE("times are RFC 3339 in UTC, with milliseconds") {
  CHECK(FormatRfc3339(0) == "1970-01-01T00:00:00.000Z");
  CHECK(FormatRfc3339(1700000000009) == "2023-11-14T22:13:20.009Z");
}

TEST_CASE("the real clock does not go back") {
  const int64_t before = RealClock()->MonotonicMs();
  CHECK(RealClock()->MonotonicMs() >= before);
  CHECK(RealClock()->WallMs() > 1700000000000);
}

}  // namespace backstay
