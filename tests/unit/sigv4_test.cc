// Signatures against the examples that AWS publishes for S3 (keys included: they are examples, not
// secrets), and cases that neither they nor AWS's general suite cover.

#include "uploader/storage/sigv4.h"

#include <string>

#include "tests/support/catch.h"

namespace backstay::sigv4 {
namespace {

const Credentials kExample{"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", ""};
const Scope kScope{"20130524T000000Z", "us-east-1", "s3"};
const std::string kEmptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

struct Example {
  const char* name;
  std::string method, path;
  Pairs query, headers;
  std::string body;
  std::string signature;
};

Request MakeRequest(const Example& example) {
  Request request{.method = example.method,
                  .path = example.path,
                  .query = example.query,
                  .headers = example.headers,
                  .payload_hash = Sha256Hex(AsBytes(example.body))};
  request.headers.emplace_back("Host", "examplebucket.s3.amazonaws.com");
  request.headers.emplace_back("x-amz-content-sha256", request.payload_hash);
  return request;
}

std::string HeaderOf(const Request& request, const std::string& name) {
  for (const auto& [key, value] : request.headers) {
    if (key == name) return value;
  }
  return "";
}

// A request with the three headers that S3 wants, as it would be signed by Sign().
Request Dated(std::string method, std::string path, Pairs query = {}) {
  Request request =
      MakeRequest({"", std::move(method), std::move(path), std::move(query), {}, "", ""});
  request.headers.emplace_back("x-amz-date", kScope.time);
  return request;
}

std::string SignatureOf(const Request& request) {
  return Signature(kExample, kScope, StringToSign(kScope, CanonicalRequest(request)));
}

}  // namespace

TEST_CASE("S3's published examples") {
  // docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
  const Example examples[] = {
      {"get object",
       "GET",
       "/test.txt",
       {},
       {{"Range", "bytes=0-9"}},
       "",
       "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
      {"put object",
       "PUT",
       "/test$file.text",
       {},
       {{"Date", "Fri, 24 May 2013 00:00:00 GMT"}, {"x-amz-storage-class", "REDUCED_REDUNDANCY"}},
       "Welcome to Amazon S3.",
       "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
      {"bucket lifecycle",
       "GET",
       "/",
       {{"lifecycle", ""}},
       {},
       "",
       "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
      {"list objects",
       "GET",
       "/",
       {{"prefix", "J"}, {"max-keys", "2"}},
       {},
       "",
       "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
  };
  for (const Example& example : examples) {
    DYNAMIC_SECTION(example.name) {
      Request request = MakeRequest(example);
      Sign(kExample, kScope, &request);
      CHECK(HeaderOf(request, "x-amz-date") == "20130524T000000Z");
      CHECK_THAT(HeaderOf(request, "authorization"),
                 Catch::EndsWith(", Signature=" + example.signature));
    }
  }
}

TEST_CASE("the authorization header in full") {
  Request request = MakeRequest({"", "GET", "/test.txt", {}, {{"Range", "bytes=0-9"}}, "", ""});
  Sign(kExample, kScope, &request);
  CHECK(HeaderOf(request, "authorization") ==
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
        "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "
        "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

TEST_CASE("S3's published example of a signed URL") {
  // docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
  Request request{.method = "GET",
                  .path = "/test.txt",
                  .query = {{"X-Amz-Algorithm", "AWS4-HMAC-SHA256"},
                            {"X-Amz-Credential", kExample.access_key_id + "/" + ScopeText(kScope)},
                            {"X-Amz-Date", kScope.time},
                            {"X-Amz-Expires", "86400"},
                            {"X-Amz-SignedHeaders", "host"}},
                  .headers = {{"host", "examplebucket.s3.amazonaws.com"}},
                  .payload_hash = "UNSIGNED-PAYLOAD"};
  CHECK(SignatureOf(request) == "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
}

// The signatures below were computed with a signer of a few lines of Python.

TEST_CASE("a sub-resource without a value") {
  Request request = Dated("POST", "/big", {{"uploads", ""}});
  CHECK(CanonicalRequest(request) ==
        "POST\n/big\nuploads=\nhost:examplebucket.s3.amazonaws.com\nx-amz-content-sha256:" +
            kEmptyHash + "\nx-amz-date:20130524T000000Z\n\nhost;x-amz-content-sha256;x-amz-date\n" +
            kEmptyHash);
  CHECK(SignatureOf(request) == "18d093dfed82a8b3c53f72625bfe881cccde0d31d12542daa3dd9c878c193f58");
}

TEST_CASE("reserved characters in a query's values") {
  Request request = Dated(
      "GET", "/", {{"list-type", "2"}, {"continuation-token", "1/a+b=="}, {"prefix", "a/b c"}});
  CHECK(CanonicalQuery(request.query) ==
        "continuation-token=1%2Fa%2Bb%3D%3D&list-type=2&prefix=a%2Fb%20c");
  CHECK(SignatureOf(request) == "4af760f26a01a3a91a2f11a5a1ce54111ebeda4bce81e1543aeaf2dbf42055ff");
}

TEST_CASE("percent, plus, space, dots and double slashes in a key") {
  Request request = Dated("PUT", "/50% a+b//..//.");
  CHECK(UriEncode(request.path, false) == "/50%25%20a%2Bb//..//.");
  CHECK(SignatureOf(request) == "6d86c1e707ecae02dd1809c8f441a3410f8d21165c6377871e54e972d14d60c0");
}

TEST_CASE("UTF-8 in a key and in a query's value") {
  Request request = Dated("GET", "/Grüße/数据/😀");
  CHECK(UriEncode(request.path, false) == "/Gr%C3%BC%C3%9Fe/%E6%95%B0%E6%8D%AE/%F0%9F%98%80");
  CHECK(SignatureOf(request) == "cce312198e66ea3ea0444f7bc2e22311728f64fa34fdbc30f5b65e62c7b36b44");
  request = Dated("GET", "/", {{"list-type", "2"}, {"prefix", "Grüße+&=%/"}});
  CHECK(CanonicalQuery(request.query) == "list-type=2&prefix=Gr%C3%BC%C3%9Fe%2B%26%3D%25%2F");
  CHECK(SignatureOf(request) == "13c450a9747ac9fbffa3db85ac8511be2b634efff1db16b03c30ae9462c7eee7");
}

TEST_CASE("signed URLs: methods, sub-resources, a port, further headers, a token") {
  struct Url {
    const char* method;
    const char* path;
    Pairs query, headers;
    const char* signature;
  };
  const Url urls[] = {
      {"PUT",
       "/bkt/50% a+b/ü",
       {{"partNumber", "3"}, {"uploadId", "a/b+c=="}, {"X-Amz-Security-Token", "a/b+c=="}},
       {{"if-none-match", "*"}},
       "93c795a9ac0f39b816ce88295b4c2b4ece7352e37e271ca48a114530ffeb4fe7"},
      {"DELETE",
       "/bkt//a/../b",
       {},
       {},
       "0ddb0fd7972f8b3c92329480b6e837c511fcf65cd81e0269a786dc7c891a3961"},
      {"HEAD",
       "/bkt/k",
       {{"versionId", ""}},
       {},
       "c0c1b972607f5623e14c0d3c7b8f0fc65dc18c9e6fb577dba38463b63fbcee80"},
  };
  for (const Url& url : urls) {
    INFO(url.method);
    Request request{.method = url.method,
                    .path = url.path,
                    .query = url.query,
                    .headers = url.headers,
                    .payload_hash = "UNSIGNED-PAYLOAD"};
    request.headers.emplace_back("Host", "127.0.0.1:9000");
    const Pairs form = {{"X-Amz-Algorithm", "AWS4-HMAC-SHA256"},
                        {"X-Amz-Credential", kExample.access_key_id + "/" + ScopeText(kScope)},
                        {"X-Amz-Date", kScope.time},
                        {"X-Amz-Expires", "900"},
                        {"X-Amz-SignedHeaders", SignedHeaders(request.headers)}};
    request.query.insert(request.query.end(), form.begin(), form.end());
    CHECK(SignatureOf(request) == url.signature);
  }
}

TEST_CASE("a host with a port") {
  Request request = Dated("DELETE", "/bucket/key");
  request.headers[0].second = "127.0.0.1:9000";
  CHECK(SignatureOf(request) == "4ffc54dbac0fb5f5a09441b12fbf6e2732d4827613f8b74d185373d68263e06a");
}

TEST_CASE("an unsigned payload") {
  Request request = Dated("PUT", "/key");
  request.payload_hash = request.headers[1].second = "UNSIGNED-PAYLOAD";
  CHECK(SignatureOf(request) == "90fe5db70aec6c2d9195a908b66557977f5925c046578ff46ba8a29b91dc69f2");
}

TEST_CASE("HEAD") {
  CHECK(SignatureOf(Dated("HEAD", "/key")) ==
        "988f0ab82961582b6d8d730dd0b65f31966f4375546c7ce2e7aa3021a77aec22");
}

TEST_CASE("a session token is sent and signed") {
  Credentials credentials = kExample;
  credentials.session_token = "a/b+c==";
  Request request = MakeRequest({"", "GET", "/key", {}, {}, "", ""});
  Sign(credentials, kScope, &request);
  CHECK(HeaderOf(request, "x-amz-security-token") == "a/b+c==");
  CHECK_THAT(
      HeaderOf(request, "authorization"),
      Catch::Contains("SignedHeaders=host;x-amz-content-sha256;x-amz-date;"
                      "x-amz-security-token") &&
          Catch::EndsWith("722d2ccf45a5de5f25c59f706094d232fce58de9210da21824ca549b349167d7"));
}

TEST_CASE("every byte is encoded as RFC 3986 says") {
  std::string bytes;
  for (int i = 0; i < 256; i++) bytes.push_back(static_cast<char>(i));
  std::string encoded = UriEncode(bytes, true);
  CHECK_THAT(encoded, Catch::StartsWith("%00%01") && Catch::EndsWith("%FE%FF") &&
                          Catch::Contains("-.%2F0123456789%3A") && Catch::Contains("%7D~%7F"));
  CHECK(UriEncode("a/b", false) == "a/b");
}

TEST_CASE("the time of a signature") {
  CHECK(FormatTime(1369353600000) == "20130524T000000Z");
  CHECK(FormatTime(1440938160999) == "20150830T123600Z");
}

}  // namespace backstay::sigv4
