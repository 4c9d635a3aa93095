// Any bytes in place of S3's XML: the parsers give a value or an error, and keys that fit in XML
// come back from a request body as they went in.

#include <cstdint>
#include <string>
#include <string_view>

#include "uploader/storage/s3_xml.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace backstay;
  std::string_view xml(reinterpret_cast<const char*>(data), size);
  (void)ParseS3Error(xml);
  (void)ParseS3List(xml).ok();
  (void)ParseS3UploadId(xml).ok();
  (void)ParseS3DeleteResult(xml).ok();
  if (!FitsInXml(xml)) return 0;
  // A delete's result repeats the keys as the request wrote them.
  std::string body = S3DeleteBody({std::string(xml)});
  size_t first = body.find("<Key>");
  size_t last = body.rfind("</Key>");
  if (first == std::string::npos || last == std::string::npos)
    return size == 0 ? 0 : (__builtin_trap(), 0);
  std::string answer =
      "<DeleteResult><Error>" + body.substr(first, last + 6 - first) + "</Error></DeleteResult>";
  Result<std::vector<S3ErrorBody>> errors = ParseS3DeleteResult(answer);
  if (!errors.ok() || errors->size() != 1 || errors->front().key != xml) __builtin_trap();
  return 0;
}
