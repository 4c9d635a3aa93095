#include "uploader/storage/s3_range.h"

#include <algorithm>
#include <cstdio>
#include <optional>
#include <string_view>

#include "uploader/storage/s3_xml.h"

namespace backstay {
namespace {

Status Foreign(const std::string& what) { return {Code::kUnavailable, what, true}; }

// Of "bytes 2-4/10"; nullopt: it says nothing of the kind.
struct Part {
  uint64_t first = 0;
  uint64_t last = 0;
  std::optional<uint64_t> size = {};  // of the object; "*" is not known
};
std::optional<Part> PartOf(const HttpResponse& response) {
  Part part;
  unsigned long long first = 0, last = 0, size = 0;  // NOLINT: sscanf's types
  const int n = sscanf(response.Header("content-range").c_str(), "bytes %llu-%llu/%llu", &first,
                       &last, &size);
  if (n < 2 || last < first) return std::nullopt;
  part.first = first;
  part.last = last;
  if (n == 3) part.size = size;
  return part;
}

uint64_t Distance(int64_t negative) { return 0 - static_cast<uint64_t>(negative); }

// The whole object is a range, too.
bool Fits(const GetOptions& options, const Part& part) {
  if (options.length == 0) return part.first == 0 && part.size && part.last + 1 == *part.size;
  if (options.offset >= 0) return part.first == static_cast<uint64_t>(options.offset);
  const uint64_t back = Distance(options.offset);
  return !part.size || part.first == *part.size - std::min(*part.size, back);
}

}  // namespace

std::string RangeHeader(const GetOptions& options) {
  if (options.offset < 0) return "bytes=" + std::to_string(options.offset);
  uint64_t first = static_cast<uint64_t>(options.offset);
  uint64_t last = first + std::min<uint64_t>(options.length - 1, INT64_MAX);
  return "bytes=" + std::to_string(first) + "-" + std::to_string(last);
}

// A server that ignores the range sends all of the object.
void CutToRange(const GetOptions& options, HttpResponse* response) {
  std::string& body = response->body;
  if (response->status == 200) {
    const size_t size = body.size();
    const size_t first = options.offset >= 0
                             ? std::min(size, static_cast<size_t>(options.offset))
                             : size - std::min(size, 0 - static_cast<size_t>(options.offset));
    body.erase(0, first);
  }
  if (body.size() > options.length) body.resize(options.length);
}

std::string BareEtag(std::string_view etag) {
  if (etag.starts_with("W/")) etag.remove_prefix(2);
  if (etag.size() >= 2 && etag.front() == '"' && etag.back() == '"') {
    etag = etag.substr(1, etag.size() - 2);
  }
  return std::string(etag);
}

Status HoldsObject(const GetOptions& options, const HttpResponse& response) {
  const std::string status = std::to_string(response.status);
  if (response.status == 200) return Status::Ok();
  if (response.status != 206) {
    return Foreign("HTTP status " + status + " is none with which an object comes");
  }
  const std::optional<Part> part = PartOf(response);
  // Of a range that says nothing of itself what was asked for is taken; an object is never one.
  if (!part && options.length > 0) return Status::Ok();
  if (part && Fits(options, *part)) return Status::Ok();
  return Foreign("the server sent another part of the object than was asked for (" +
                 response.Header("content-range").substr(0, 60) + ")");
}

bool MayBeShorter(const GetOptions& options, const HttpResponse& response) {
  return options.offset < 0 && response.Header("content-range").empty() &&
         ParseS3Error(response.body).code == "InvalidRange";
}

Status EndsBefore(const GetOptions& options, const HttpResponse& response) {
  unsigned long long size = 0;  // NOLINT: sscanf's type
  if (sscanf(response.Header("content-range").c_str(), "bytes */%llu", &size) == 1) {
    const bool before =
        options.offset < 0 ? size == 0 : size <= static_cast<uint64_t>(options.offset);
    if (before) return Status::Ok();
    return Foreign("the server refuses a range (416) that the object has: it is of " +
                   std::to_string(size) + " bytes");
  }
  if (ParseS3Error(response.body).code == "InvalidRange") return Status::Ok();
  return Foreign("HTTP status 416 without S3's words: the answer is not S3's");
}

}  // namespace backstay
