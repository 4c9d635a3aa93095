// The chain of credentials against a world that is made up: what counts before what, what each
// source asks and understands, and how keys are kept and renewed.

#include "uploader/storage/credentials.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/catch.h"
#include "tests/unit/s3_fake_transport.h"
#include "tests/unit/stepped_clock.h"
#include "uploader/storage/aws_profile.h"
#include "uploader/storage/shared_credentials.h"

namespace backstay {
namespace {

constexpr int64_t kMinute = 60000;

// Of files, variables and servers; whatever is not there is not.
struct World {
  World() {
    world.getenv = [this](const std::string& name) -> std::optional<std::string> {
      const auto at = variables.find(name);
      return at == variables.end() ? std::nullopt : std::optional(at->second);
    };
    world.read_file = [this](const std::string& path) -> Result<std::string> {
      const auto at = files.find(path);
      if (at == files.end()) return Status(Code::kNotFound, path + ": No such file or directory");
      return at->second;
    };
    world.send = [this](const HttpRequest& request, Reach reach) -> Result<HttpResponse> {
      asked.push_back(request.method + " " + request.url + (reach == Reach::kNear ? " near" : ""));
      requests.push_back(request);
      bodies.emplace_back(AsString(request.body));
      if (answers.empty()) return Status(Code::kUnavailable, "no answer", true);
      HttpResponse answer = answers.front();
      answers.erase(answers.begin());
      return answer;
    };
    world.run = [this](const std::string& command) -> Result<std::string> {
      asked.push_back("run " + command);
      return said;
    };
    world.clock = &clock;
    variables["HOME"] = "/home/x";
  }

  void Answer(int status, const std::string& body) { answers.push_back({status, {}, body}); }
  std::string Name() const {
    Result<CredentialSource> source = FindCredentials(world);
    return source.ok() ? source->name : source.status().message();
  }
  Result<ExpiringKeys> Fetch() const {
    Result<CredentialSource> source = FindCredentials(world);
    if (!source.ok()) return source.status();
    return source->fetch();
  }
  std::string FetchedId() const {
    Result<ExpiringKeys> keys = Fetch();
    return keys.ok() ? keys->keys.access_key_id : keys.status().ToString();
  }
  std::string Header(size_t request, const std::string& name) const {
    for (const auto& [key, value] : requests.at(request).headers) {
      if (key == name) return value;
    }
    return "";
  }

  SteppedClock clock;
  std::map<std::string, std::string> variables;
  std::map<std::string, std::string> files;
  std::vector<HttpResponse> answers;
  std::string said;
  std::vector<std::string> asked;
  std::vector<std::string> bodies;
  std::vector<HttpRequest> requests;
  CredentialWorld world;
};

std::string Json(const std::string& id, const std::string& expires = "2013-05-24T01:00:00Z") {
  return R"({"AccessKeyId":")" + id + R"(","SecretAccessKey":"secret-of-)" + id +
         R"(","Token":"token-of-)" + id + R"(","Expiration":")" + expires + "\"}";
}

std::string Sts(const std::string& id) {
  return "<R xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><X><Credentials><AccessKeyId>" +
         id + "</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>" +
         "<Expiration>2013-05-24T01:00:00.000Z</Expiration></Credentials></X></R>";
}

constexpr char kCredentials[] = "/home/x/.aws/credentials";
constexpr char kConfig[] = "/home/x/.aws/config";

}  // namespace

TEST_CASE("where nothing is, all that was looked at is named and nobody is asked") {
  World w;
  const std::string said = w.Name();
  for (const char* name :
       {"AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "profile `default`", kCredentials,
        kConfig, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "EC2 instance"}) {
    CHECK_THAT(said, Catch::Contains(name));
  }
  CHECK(FindCredentials(w.world).status().code() == Code::kInvalid);
  CHECK(w.asked.empty());
}

TEST_CASE("sources count in the order of what they cost") {
  World w;
  w.files["/sys/class/dmi/id/sys_vendor"] = "Amazon EC2\n";
  CHECK(w.Name() == "the role of the EC2 instance");
  w.variables["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = "/v2/credentials/x";
  CHECK(w.Name() == "the container's credentials");
  w.files[kCredentials] = "[default]\naws_access_key_id=A\naws_secret_access_key=S\n";
  CHECK(w.Name() == "profile `default`");
  w.variables["AWS_WEB_IDENTITY_TOKEN_FILE"] = "/token";
  CHECK(w.Name() == "profile `default`");
  w.variables["AWS_ROLE_ARN"] = "arn:aws:iam::1:role/r";
  CHECK_THAT(w.Name(), Catch::Contains("web identity"));
  w.files[kConfig] = "[profile named]\naws_access_key_id=B\naws_secret_access_key=S\n";
  w.world.profile = "named";
  CHECK(w.Name() == "profile `named`");
  CHECK(w.asked.empty());
}

TEST_CASE("an instance is asked only where there is reason to") {
  World w;
  w.files["/sys/class/dmi/id/sys_vendor"] = "QEMU\n";
  CHECK_THAT(w.Name(), Catch::Contains("this machine is none"));
  w.files["/sys/class/dmi/id/sys_vendor"] = "Amazon EC2\n";
  w.variables["AWS_EC2_METADATA_DISABLED"] = "true";
  CHECK_THAT(w.Name(), Catch::Contains("AWS_EC2_METADATA_DISABLED"));
  w.variables.erase("AWS_EC2_METADATA_DISABLED");
  w.Answer(200, "metadata-token");
  w.Answer(200, "the-role\n");
  w.Answer(200, Json("AI"));
  Result<ExpiringKeys> keys = w.Fetch();
  REQUIRE(keys.ok());
  CHECK(keys->keys.session_token == "token-of-AI");
  CHECK(keys->expires_ms == w.clock.WallMs() + 60 * kMinute);
  const std::string role = "http://169.254.169.254/latest/meta-data/iam/security-credentials/";
  CHECK(w.asked == std::vector<std::string>{"PUT http://169.254.169.254/latest/api/token near",
                                            "GET " + role + " near",
                                            "GET " + role + "the-role near"});
  CHECK(w.Header(0, "x-aws-ec2-metadata-token-ttl-seconds") == "21600");
  CHECK(w.Header(2, "x-aws-ec2-metadata-token") == "metadata-token");
}

TEST_CASE("an instance without a role, and one that does not answer") {
  World w;
  w.variables["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = "http://127.0.0.1:1/";
  w.Answer(200, "t");
  w.Answer(404, "");
  CHECK_THAT(w.FetchedId(), Catch::Contains("no role is attached"));
  CHECK(w.Fetch().status().retryable());
}

TEST_CASE("a profile's keys, and what is missing of them") {
  World w;
  w.files[kCredentials] =
      "# of the team\n[default]\naws_access_key_id = ID\r\naws_secret_access_key = a+b/c=  # mine\n"
      "aws_session_token=T\n[half]\naws_access_key_id=X\n";
  Result<ExpiringKeys> keys = w.Fetch();
  REQUIRE(keys.ok());
  CHECK(keys->keys.access_key_id == "ID");
  CHECK(keys->keys.secret_access_key == "a+b/c=");
  CHECK(keys->keys.session_token == "T");
  CHECK(keys->expires_ms == 0);
  w.variables["AWS_PROFILE"] = "half";
  CHECK(w.FetchedId() ==
        "INVALID: profile `half` has aws_access_key_id without aws_secret_access_key; write both");
  w.variables["AWS_PROFILE"] = "none";
  CHECK_THAT(w.Name(), Catch::Contains("profile `none` in /home/x/.aws/credentials"));
  w.variables["AWS_SHARED_CREDENTIALS_FILE"] = "/elsewhere";
  w.files["/elsewhere"] = "[none]\naws_access_key_id=E\naws_secret_access_key=S\n";
  CHECK(w.FetchedId() == "E");
}

TEST_CASE("the shared files are read as others read them") {
  const AwsSections all = ParseAwsFile(
      "stray=1\n[profile   a b]\nS3 = \n  addressing_style = path\nREGION=eu\n; x=y\n[ c ]\nk=1=2\n"
      "no equals\n[open\nz=1");
  CHECK(all.at("profile a b") == AwsSection{{"s3", ""}, {"region", "eu"}});
  CHECK(all.at("c") == AwsSection{{"k", "1=2"}});
  CHECK(ParseAwsFile("").empty());
}

TEST_CASE("a role that a profile takes on with the keys of another") {
  World w;
  w.files[kCredentials] = "[base]\naws_access_key_id=BASE\naws_secret_access_key=S\n";
  w.files[kConfig] =
      "[default]\nrole_arn=arn:aws:iam::1:role/a b\nsource_profile=base\nregion=eu-west-1\n"
      "external_id=e/1\n";
  w.Answer(200, Sts("ROLE"));
  Result<ExpiringKeys> keys = w.Fetch();
  REQUIRE(keys.ok());
  CHECK(keys->keys.access_key_id == "ROLE");
  CHECK(keys->expires_ms == w.clock.WallMs() + 60 * kMinute);
  CHECK(w.asked == std::vector<std::string>{"POST https://sts.eu-west-1.amazonaws.com/"});
  CHECK(w.bodies.at(0) ==
        "Action=AssumeRole&ExternalId=e%2F1&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fa%20b&"
        "RoleSessionName=backstay&Version=2011-06-15");
  CHECK_THAT(w.Header(0, "authorization"),
             Catch::Contains("Credential=BASE/20130524/eu-west-1/sts/aws4_request"));
  CHECK(w.Header(0, "host") == "sts.eu-west-1.amazonaws.com");
  w.Answer(403, "<E><Error><Code>AccessDenied</Code><Message>no S</Message></Error></E>");
  CHECK(w.FetchedId() ==
        "DENIED: profile `default`, https://sts.eu-west-1.amazonaws.com: HTTP status 403, "
        "AccessDenied");
}

TEST_CASE("roles that lead nowhere") {
  World w;
  w.files[kConfig] =
      "[default]\nrole_arn=r\nsource_profile=a\n[profile a]\nrole_arn=r\nsource_profile=default\n"
      "[profile self]\nrole_arn=r\nsource_profile=self\n[profile none]\nrole_arn=r\n"
      "[profile code]\nrole_arn=r\nmfa_serial=m\nsource_profile=a\n";
  CHECK_THAT(w.Name(), Catch::Contains("circle"));
  for (const auto& [profile, word] :
       {std::pair("self", "circle"), std::pair("none", "source_profile"),
        std::pair("code", "mfa_serial")}) {
    w.world.profile = profile;
    CHECK(FindCredentials(w.world).status().code() == Code::kInvalid);
    CHECK_THAT(w.Name(), Catch::Contains(word));
  }
  CHECK(w.asked.empty());
}

TEST_CASE("credential_source: the role's own keys are the machine's") {
  World w;
  w.files[kConfig] = "[default]\nrole_arn=r\ncredential_source=EcsContainer\n";
  CHECK_THAT(w.Name(), Catch::Contains("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is not set"));
  w.variables["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = "/x";
  w.Answer(200, Json("MACHINE"));
  w.Answer(200, Sts("ROLE"));
  CHECK(w.FetchedId() == "ROLE");
  CHECK_THAT(w.Header(1, "authorization"), Catch::Contains("Credential=MACHINE/"));
  CHECK(w.Header(1, "x-amz-security-token") == "token-of-MACHINE");
}

TEST_CASE("web identity: the token's file is read at each fetch, and nothing is signed") {
  World w;
  w.variables["AWS_WEB_IDENTITY_TOKEN_FILE"] = "/token";
  w.variables["AWS_ROLE_ARN"] = "arn";
  w.variables["AWS_REGION"] = "cn-north-1";
  CHECK(w.Fetch().status().code() == Code::kNotFound);
  for (const char* token : {"one", "two"}) {
    w.files["/token"] = std::string(token) + "\n";
    w.Answer(200, Sts("WEB"));
    CHECK(w.FetchedId() == "WEB");
    CHECK_THAT(w.bodies.back(), Catch::EndsWith("WebIdentityToken=" + std::string(token)));
  }
  CHECK(w.asked.at(0) == "POST https://sts.cn-north-1.amazonaws.com.cn/");
  CHECK(w.Header(0, "authorization").empty());
  w.variables["AWS_ENDPOINT_URL_STS"] = "http://127.0.0.1:9/sts/";
  w.Answer(500, "");
  CHECK(w.Fetch().status().retryable());
  CHECK(w.asked.back() == "POST http://127.0.0.1:9/sts/");
}

TEST_CASE("a container's endpoint gets its token, and no other server does") {
  World w;
  w.variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://169.254.170.23/v1/credentials";
  w.variables["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = "/token";
  w.files["/token"] = "jwt\n";
  w.Answer(200, Json("POD"));
  CHECK(w.FetchedId() == "POD");
  CHECK(w.asked.at(0) == "GET http://169.254.170.23/v1/credentials near");
  CHECK(w.Header(0, "authorization") == "jwt");
  for (const char* url : {"http://example.com/x", "ftp://127.0.0.1/x", "http://127.1@h/",
                          "http://127.0.0.1.example.com/x"}) {
    w.variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = url;
    CHECK(w.Fetch().status().code() == Code::kInvalid);
  }
  CHECK(w.asked.size() == 1);
}

TEST_CASE("a program gives keys") {
  World w;
  w.files[kConfig] = "[default]\ncredential_process = helper --for 'a # b'\n";
  w.said = R"({"Version":1,"AccessKeyId":"P","SecretAccessKey":"S","SessionToken":"T"})";
  Result<ExpiringKeys> keys = w.Fetch();
  REQUIRE(keys.ok());
  CHECK(keys->keys.session_token == "T");
  CHECK(keys->expires_ms == 0);
  CHECK(w.asked.at(0) == "run helper --for 'a # b'");
  w.said = "secret-in-a-text {";
  CHECK_THAT(w.FetchedId(), Catch::Contains("credential_process"));
  CHECK_THAT(w.FetchedId(), !Catch::Contains("secret-in-a-text"));
}

TEST_CASE("single sign-on: the token that was cached, while it holds") {
  World w;
  w.files[kConfig] =
      "[default]\nsso_session=corp\nsso_account_id=123\nsso_role_name=R W\n"
      "[sso-session corp]\nsso_region=eu-west-1\nsso_start_url=https://x\n";
  CHECK_THAT(w.FetchedId(), Catch::Contains("aws sso login"));
  // SHA-1 of "corp".
  const std::string cache = "/home/x/.aws/sso/cache/ee0bfd2552fbd840c02cc48b6e823320543c450f.json";
  w.files[cache] = R"({"accessToken":"sso-token","expiresAt":"2013-05-24T08:00:00Z"})";
  w.Answer(200,
           R"({"roleCredentials":{"accessKeyId":"SSO","secretAccessKey":"s","sessionToken":"t",)"
           R"("expiration":1369357200000}})");
  Result<ExpiringKeys> keys = w.Fetch();
  INFO(keys.status().ToString());
  REQUIRE(keys.ok());
  CHECK(keys->expires_ms == 1369357200000);
  CHECK(w.asked.at(0) ==
        "GET https://portal.sso.eu-west-1.amazonaws.com/federation/credentials?account_id=123&"
        "role_name=R%20W");
  CHECK(w.Header(0, "x-amz-sso_bearer_token") == "sso-token");
  w.clock.at_ms = 9 * 60 * kMinute;
  CHECK_THAT(w.FetchedId(), Catch::Contains("aws sso login"));
  CHECK(w.asked.size() == 1);
}

}  // namespace backstay
