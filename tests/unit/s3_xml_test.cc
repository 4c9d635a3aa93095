// S3's XML: shapes as AWS documents them, and bytes that are none of it.

#include "uploader/storage/s3_xml.h"

#include <string>
#include <vector>

#include "tests/support/catch.h"

namespace backstay {

TEST_CASE("a list of objects") {
  Result<S3ListPage> page = ParseS3List(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
      "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name>"
      "<EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
      "<NextContinuationToken>1+2/==</NextContinuationToken>"
      "<Contents><Key>a+b%2Bc%25%C3%A4</Key><Size>18446744073709551615</Size></Contents>"
      "<Contents><Key>x%zz%4</Key><Size>nonsense</Size></Contents>"
      "<CommonPrefixes><Prefix>log/</Prefix></CommonPrefixes></ListBucketResult>");
  REQUIRE(page.ok());
  REQUIRE(page->objects.size() == 2);
  CHECK(page->objects[0].key == "a b+c%ä");
  CHECK(page->objects[0].size == UINT64_MAX);
  CHECK(page->objects[1].key == "x%zz%4");
  CHECK(page->objects[1].size == 0);
  CHECK(page->folders == std::vector<std::string>{"log/"});
  CHECK(page->truncated);
  CHECK(page->next_token == "1+2/==");
}

TEST_CASE("without EncodingType keys are as they stand") {
  Result<S3ListPage> page = ParseS3List(
      "<ListBucketResult><Contents><Key> a+b%20&amp;</Key><Size>1</Size></Contents>"
      "</ListBucketResult>");
  REQUIRE(page.ok());
  CHECK(page->objects.at(0).key == " a+b%20&");
  CHECK_FALSE(page->truncated);
}

TEST_CASE("errors, upload ids and delete results") {
  S3ErrorBody error = ParseS3Error(
      "<Error><Code>NoSuchKey</Code><Message>m</Message><Key>k</Key><Region>r</Region></Error>");
  CHECK(error.code == "NoSuchKey");
  CHECK(error.message == "m");
  CHECK(error.region == "r");
  CHECK(*ParseS3UploadId("<InitiateMultipartUploadResult><UploadId>u</UploadId>"
                         "</InitiateMultipartUploadResult>") == "u");
  // As rclone says it.
  CHECK(*ParseS3UploadId("<InitiateMultipartUpload><UploadId>u</UploadId>"
                         "</InitiateMultipartUpload>") == "u");
  auto errors = ParseS3DeleteResult(
      "<DeleteResult><Deleted><Key>a</Key></Deleted><Error><Key>b</Key><Code>AccessDenied</Code>"
      "</Error></DeleteResult>");
  REQUIRE(errors.ok());
  REQUIRE(errors->size() == 1);
  CHECK(errors->at(0).key == "b");
  CHECK(errors->at(0).code == "AccessDenied");
}

TEST_CASE("anything else is refused, never a crash") {
  for (const std::string& bytes :
       {std::string(), std::string("no xml"), std::string("<html></html>"),
        std::string("<ListBucketResult><Contents>"), std::string("\0<a>", 4),
        std::string("<Error><Code>"), std::string(100000, '<')}) {
    CHECK(ParseS3List(bytes).status().retryable());
    CHECK(ParseS3UploadId(bytes).status().code() == Code::kUnavailable);
    CHECK(ParseS3DeleteResult(bytes).status().code() == Code::kUnavailable);
    CHECK(ParseS3Error(bytes).code.empty());
  }
}

TEST_CASE("a deeply nested answer does not exhaust the stack") {
  std::string deep = "<ListBucketResult>";
  for (int i = 0; i < 1000000; i++) deep += "<a>";
  CHECK_FALSE(ParseS3List(deep).ok());
  for (int i = 0; i < 1000000; i++) deep += "</a>";
  CHECK(ParseS3List(deep + "</ListBucketResult>").ok());
}

TEST_CASE("which keys fit in XML") {
  for (const char* key : {"", "a/b", "ä€😀", "<&>\"'", "\xef\xbf\xbd"}) CHECK(FitsInXml(key));
  for (const char* key : {"\x01", "a\n", "\x7f", "\xff", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80",
                          "\xf5\x80\x80\x80", "\xc3", "\xef\xbf\xbf"}) {
    CHECK_FALSE(FitsInXml(key));
  }
}

}  // namespace backstay
