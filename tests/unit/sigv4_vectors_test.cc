// AWS's own suite of signing cases, stage by stage, in headers and in the query. The data are not
// part of this project: BACKSTAY_SIGV4_VECTORS names the folder that holds one folder per case
// (tests/aws-signing-test-suite/v4 of awslabs/aws-c-auth); without it the suite is skipped.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "tests/support/catch.h"
#include "uploader/base/file.h"
#include "uploader/storage/sigv4.h"

namespace backstay::sigv4 {
namespace {

// These expect a normalised path, which S3 forbids: our signature must differ.
const std::set<std::string> kNormalising = {"get-relative-normalized",
                                            "get-relative-relative-normalized",
                                            "get-slash-dot-slash-normalized",
                                            "get-slash-normalized",
                                            "get-slash-pointless-dot-normalized",
                                            "get-slashes-normalized"};

struct Vector {
  std::string folder;
  Credentials credentials;
  Scope scope;
  Request request;  // payload_hash set
  bool sign_body = false;
  bool omit_token = false;
  int expires_s = 0;

  std::string Expected(const std::string& file) const {
    Result<std::string> text = ReadFile(folder + "/" + file, 1 << 20);
    REQUIRE(text.ok());
    return *text;
  }
};

std::string PercentDecode(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); i++) {
    if (text[i] == '%') {
      out.push_back(static_cast<char>(std::stoi(text.substr(i + 1, 2), nullptr, 16)));
      i += 2;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

Pairs ParseQuery(const std::string& text) {
  Pairs query;
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(text.find('&', at), text.size());
    std::string part = text.substr(at, end - at);
    size_t equals = std::min(part.find('='), part.size());
    std::string value = equals < part.size() ? part.substr(equals + 1) : "";
    query.emplace_back(PercentDecode(part.substr(0, equals)), PercentDecode(value));
    at = end + 1;
  }
  return query;
}

// "Name:value" lines; a line that begins with a space goes on with the value before it.
Pairs ParseHeaders(const std::string& text) {
  Pairs headers;
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    at = end + 1;
    if (line.empty()) continue;
    if (line[0] == ' ') {
      headers.back().second += "\n" + line;
      continue;
    }
    size_t colon = line.find(':');
    headers.emplace_back(line.substr(0, colon), line.substr(colon + 1));
  }
  return headers;
}

// The file holds raw HTTP whose target may contain spaces.
void ParseRequest(const std::string& text, Vector* vector) {
  std::string line = text.substr(0, text.find('\n'));
  size_t first = line.find(' ');
  std::string target = line.substr(first + 1, line.rfind(' ') - first - 1);
  size_t mark = std::min(target.find('?'), target.size());
  size_t blank = std::min(text.find("\n\n"), text.size());
  std::string body = blank + 2 <= text.size() ? text.substr(blank + 2) : "";
  size_t head = line.size() + 1;
  vector->request = {.method = line.substr(0, first),
                     .path = target.substr(0, mark),
                     .query = ParseQuery(mark < target.size() ? target.substr(mark + 1) : ""),
                     .headers = ParseHeaders(blank > head ? text.substr(head, blank - head) : ""),
                     .payload_hash = Sha256Hex(AsBytes(vector->sign_body ? body : ""))};
}

Vector Load(const std::string& folder) {
  Vector vector;
  vector.folder = folder;
  nlohmann::json context = nlohmann::json::parse(vector.Expected("context.json"), nullptr, false);
  REQUIRE(context.is_object());
  std::string time = context["timestamp"];
  time.erase(std::remove_if(time.begin(), time.end(), [](char c) { return c == '-' || c == ':'; }),
             time.end());
  vector.scope = {time, context["region"], context["service"]};
  vector.credentials = {context["credentials"]["access_key_id"],
                        context["credentials"]["secret_access_key"],
                        context["credentials"].value("token", "")};
  vector.sign_body = context["sign_body"];
  vector.omit_token = context.value("omit_session_token", false);
  vector.expires_s = context["expiration_in_seconds"];
  ParseRequest(vector.Expected("request.txt"), &vector);
  return vector;
}

Request InHeaders(const Vector& vector) {
  Request request = vector.request;
  request.headers.emplace_back("X-Amz-Date", vector.scope.time);
  if (vector.sign_body) request.headers.emplace_back("x-amz-content-sha256", request.payload_hash);
  if (!vector.credentials.session_token.empty() && !vector.omit_token) {
    request.headers.emplace_back("X-Amz-Security-Token", vector.credentials.session_token);
  }
  return request;
}

Request InQuery(const Vector& vector) {
  Request request = vector.request;
  Pairs& query = request.query;
  query.emplace_back("X-Amz-Algorithm", "AWS4-HMAC-SHA256");
  query.emplace_back("X-Amz-Credential",
                     vector.credentials.access_key_id + "/" + ScopeText(vector.scope));
  query.emplace_back("X-Amz-Date", vector.scope.time);
  query.emplace_back("X-Amz-Expires", std::to_string(vector.expires_s));
  query.emplace_back("X-Amz-SignedHeaders", SignedHeaders(request.headers));
  if (!vector.credentials.session_token.empty() && !vector.omit_token) {
    query.emplace_back("X-Amz-Security-Token", vector.credentials.session_token);
  }
  return request;
}

// `form` is "header" or "query". In order, so that a failure names its stage.
void CheckStages(const Vector& vector, const Request& request, const std::string& form) {
  std::string canonical = CanonicalRequest(request);
  std::string to_sign = StringToSign(vector.scope, canonical);
  if (kNormalising.count(vector.folder.substr(vector.folder.rfind('/') + 1)) > 0) {
    CHECK(canonical != vector.Expected(form + "-canonical-request.txt"));
    return;
  }
  CHECK(canonical == vector.Expected(form + "-canonical-request.txt"));
  CHECK(to_sign == vector.Expected(form + "-string-to-sign.txt"));
  CHECK(Signature(vector.credentials, vector.scope, to_sign) ==
        vector.Expected(form + "-signature.txt"));
}

}  // namespace

TEST_CASE("AWS's signing suite") {
  const char* root = std::getenv("BACKSTAY_SIGV4_VECTORS");
  if (root == nullptr) {
    fprintf(stderr, "skipped: AWS's signing suite (BACKSTAY_SIGV4_VECTORS names no folder)\n");
    return;
  }
  int cases = 0;
  for (const auto& entry : std::filesystem::directory_iterator(root)) {
    if (!entry.is_directory()) continue;
    cases++;
    INFO(entry.path().filename().string());
    Vector vector = Load(entry.path().string());
    CheckStages(vector, InHeaders(vector), "header");
    CheckStages(vector, InQuery(vector), "query");
  }
  CHECK(cases == 38);
}

}  // namespace backstay::sigv4
