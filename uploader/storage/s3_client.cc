#include "uploader/storage/s3_client.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "uploader/base/caught.h"
#include "uploader/base/url_text.h"
#include "uploader/storage/content_md5.h"
#include "uploader/storage/s3_answer.h"
#include "uploader/storage/s3_list.h"
#include "uploader/storage/s3_range.h"

namespace backstay {
namespace {

constexpr size_t kDeleteBatch = 1000;  // S3's limit
constexpr int kMaxMoves = 3;           // of one call, to where the server says
constexpr int kMaxEmptyPages = 100;    // in a row: a list that does not get on

RequestKind KindOf(const std::string& method, const sigv4::Pairs& query) {
  const auto asks = [&](const char* name) {
    return std::any_of(query.begin(), query.end(),
                       [name](const auto& each) { return each.first == name; });
  };
  if (method == "GET") return asks("list-type") ? RequestKind::kList : RequestKind::kGet;
  const bool deletes = method == "DELETE" || asks("delete");
  return deletes ? RequestKind::kDelete : RequestKind::kPut;
}

}  // namespace

Result<std::unique_ptr<ReplicaClient>> S3ReplicaClient::Make(S3ClientOptions options) {
  Result<S3Endpoint> endpoint = ResolveS3Endpoint(options.replica);
  if (!endpoint.ok()) return endpoint.status();
  Result<ObjectHeaders> objects = ObjectHeaders::Make(options.replica.objects);
  if (!objects.ok()) return objects.status();
  if (!options.replica.objects.sse_c_key.empty() && endpoint->scheme != "https") {
    return Status(Code::kInvalid, "sse-c-key goes to an https:// endpoint alone");
  }
  if (options.world == nullptr) {
    BACKSTAY_TRY(SharedCredentials::Check(options.replica).Wrap("s3://" + options.replica.bucket));
  }
  if (options.transport == nullptr) {
    CurlOptions curl{.skip_verify = options.replica.skip_verify,
                     .ca_file = options.replica.ca_file};
    if (options.patience_ms > 0) {
      curl.connect_timeout_ms = std::min(curl.connect_timeout_ms, options.patience_ms);
      curl.stall_timeout_ms = std::min(curl.stall_timeout_ms, options.patience_ms);
      curl.silence_ms = std::min(curl.silence_ms, options.patience_ms / 2);
    }
    options.transport = std::make_unique<CurlTransport>(std::move(curl));
  }
  if (options.retries == nullptr) options.retries = std::make_shared<RetryBuckets>(options.clock);
  return std::unique_ptr<ReplicaClient>(
      new S3ReplicaClient(std::move(options), std::move(*endpoint), std::move(*objects)));
}

S3ReplicaClient::S3ReplicaClient(S3ClientOptions options, S3Endpoint endpoint,
                                 ObjectHeaders objects)
    : options_(std::move(options)),
      objects_(std::move(objects)),
      place_(options_.replica, std::move(endpoint), options_.silence.notes),
      credentials_(options_.replica, options_.clock, options_.world),
      prefix_(options_.replica.path.empty() ? "" : options_.replica.path + "/"),
      retry_bucket_(options_.retries->Of(place_.Now().endpoint.display)),
      server_clock_(options_.clock, options_.silence),
      silence_(options_.clock, options_.silence) {}

std::string S3ReplicaClient::Describe() const {
  std::string out = "s3://" + options_.replica.bucket;
  return options_.replica.path.empty() ? out : out + "/" + UrlText(options_.replica.path);
}

std::string S3ReplicaClient::Place() const {
  return Describe() + " at " + place_.Now().endpoint.display;
}

std::string S3ReplicaClient::FullKey(const std::string& key) const { return prefix_ + key; }

void S3ReplicaClient::Cancel() {
  options_.transport->Cancel();
  credentials_.Cancel();
}

ClientCounters S3ReplicaClient::Counters() const {
  return {.requests = requests_,
          .bytes_sent = bytes_sent_,
          .bytes_received = bytes_received_,
          .by_kind = counts_.All()};
}

S3Call S3ReplicaClient::Describe(const Request& request) const {
  const BucketPlace place = place_.Now();
  std::string target = "s3://" + options_.replica.bucket;
  if (!request.key.empty()) target += "/" + request.key;
  std::string verb = request.method;
  std::vector<std::string> secrets = credentials_.Secrets();
  secrets.push_back(options_.replica.objects.sse_c_key);
  for (const auto& [name, value] : request.query) {
    if (name != "prefix") continue;
    verb = "list";
    target += "/" + value;
  }
  return {.what = verb + " " + target + " at " + place.endpoint.display,
          .bucket = options_.replica.bucket,
          .endpoint = place.endpoint.display,
          .region = place.region,
          .secrets = std::move(secrets)};
}

HttpRequest S3ReplicaClient::Signed(const Request& request, const BucketPlace& place,
                                    const sigv4::Credentials& keys) const {
  const S3Endpoint& endpoint = place.endpoint;
  sigv4::Request out{.method = request.method,
                     .path = endpoint.path + "/" + request.key,
                     .query = request.query,
                     .headers = request.headers,
                     .payload_hash = sigv4::Sha256Hex(request.body)};
  objects_.AddTo(request.method, request.key, request.query, &out.headers);
  out.headers.emplace_back("host", endpoint.host);
  out.headers.emplace_back("x-amz-content-sha256", out.payload_hash);
  sigv4::Sign(
      keys,
      {.time = sigv4::FormatTime(server_clock_.WallMs()), .region = place.region, .service = "s3"},
      &out);
  std::string url =
      endpoint.scheme + "://" + endpoint.host + sigv4::UriEncode(out.path, /*encode_slash=*/false);
  if (!out.query.empty()) url += "?" + sigv4::CanonicalQuery(out.query);
  return {.method = request.method,
          .url = std::move(url),
          .headers = std::move(out.headers),
          .body = request.body,
          .max_response = request.max_response,
          .resend = request.resend,
          .trickles = request.trickles};
}

Result<HttpResponse> S3ReplicaClient::Send(const Request& request, const BucketPlace& place) {
  Result<sigv4::Credentials> keys = credentials_.Get();
  if (!keys.ok()) return keys.status();
  HttpRequest http = Signed(request, place, *keys);
  HttpResponse cut_off;
  http.partial = request.partial != nullptr ? request.partial : &cut_off;
  bool silent = false;
  http.on_silence = [&](const HttpSilence& silence) {
    silent =
        Caught([&] { return silence_.Begins(Describe(request).what, silence), Status::Ok(); }).ok();
  };
  const auto ends = [&](bool answered) {
    if (!std::exchange(silent, false)) return;
    (void)Caught([&] { return silence_.Ends(answered), Status::Ok(); });
  };
  uint64_t counted = 0;
  http.on_movement = [&](uint64_t received) {
    if (received > 0) received_ms_ = options_.clock->MonotonicMs();
    bytes_received_ += received;
    counted += received;
    ends(true);
  };
  Result<HttpResponse> response = options_.transport->Send(http);
  ends(response.ok());
  // Whose connections break is well, as far as it gets on.
  if (!response.ok() && !http.partial->body.empty()) retry_bucket_->Answered();
  // What came last, or all of a small one.
  if (response.ok())
    bytes_received_ += response->body.size() - std::min<uint64_t>(counted, response->body.size());
  Status ours = IsOfS3(response.ok() ? *response : *http.partial);
  if (ours.ok()) return response;
  *http.partial = {};
  return ours;
}

Result<HttpResponse> S3ReplicaClient::Ask(const Request& request, const BucketPlace& place) {
  requests_++;
  bytes_sent_ += request.body.size();
  Result<HttpResponse> response = Send(request, place);
  reached_ = response.ok();
  if (response.status().code() != Code::kCancelled) {
    counts_.Add(KindOf(request.method, request.query), response.ok() ? response->status : 0);
  }
  return response;
}

Result<HttpResponse> S3ReplicaClient::Answer(const Request& request) {
  BucketPlace place = place_.Now();
  Result<HttpResponse> response = Ask(request, place);
  for (int moves = 0; moves < kMaxMoves && response.ok(); ++moves) {
    Result<bool> moved = place_.Follows(*response, request.key, &place);
    if (!moved.ok()) return moved.status().Wrap(Describe(request).what);
    if (!*moved) break;
    response = Ask(request, place);
  }
  // Refused before anything was done.
  if (response.ok() && (server_clock_.Corrects(*response) || credentials_.Replaces(*response))) {
    response = Ask(request, place);
  }
  if (!response.ok()) {
    // What a server asked for before it went away is over.
    retry_after_ms_ = 0;
    return response.status().Wrap(Describe(request).what);
  }
  const bool well = response->status < 500 || response->status == 501;
  if (well && response->status != 429) retry_bucket_->Answered();
  bool slow_down = response->status == 503 || response->status == 429;
  retry_after_ms_ =
      slow_down ? ParseRetryAfterMs(response->Header("retry-after"), server_clock_.WallMs()) : 0;
  return response;
}

Result<HttpResponse> S3ReplicaClient::Call(const Request& request) {
  return Success(request, Answer(request));
}

Result<HttpResponse> S3ReplicaClient::Success(const Request& request,
                                              Result<HttpResponse> response) const {
  if (!response.ok()) return response;
  if (response->status < 200 || response->status > 299) {
    return S3Failure(Describe(request), *response);
  }
  // S3 sends the 200 before it has put the parts of an upload together; others do so at any time.
  S3ErrorBody inside = ErrorInside(*response);
  return inside.code.empty() ? response : S3Failure(Describe(request), 500, inside);
}

Status S3ReplicaClient::Put(const std::string& key, Bytes body) {
  if (body.size() > options_.multipart_threshold) return PutInParts(FullKey(key), body);
  Request request{.method = "PUT", .key = FullKey(key), .body = body};
  return NeverNotFound("a PUT", Call(request).status());
}

Status S3ReplicaClient::PutIfAbsent(const std::string& key, Bytes body) {
  // A second sending would meet the object that the first one made.
  Request request{.method = "PUT",
                  .key = FullKey(key),
                  .headers = {{"if-none-match", "*"}},
                  .body = body,
                  .resend = false};
  return NeverNotFound("a PUT", Call(request).status());
}

Result<std::string> S3ReplicaClient::Get(const std::string& key, const GetOptions& options) {
  Request request{.method = "GET", .key = FullKey(key), .max_response = options.max_bytes};
  bool ranged = options.length > 0;
  HttpResponse partial;
  if (options.part != nullptr) request.partial = &partial;
  if (ranged) request.headers.emplace_back("range", RangeHeader(options));
  Result<HttpResponse> response = Answer(request);
  if (options.part != nullptr) {
    if (!response.ok() && !HoldsObject(options, partial).ok()) partial = {};
    CutToRange(options, &partial);
    *options.part = {std::move(partial.body),
                     BareEtag((response.ok() ? *response : partial).Header("etag"))};
  }
  // There is no byte to give: the range lies behind the end, or the object is empty.
  if (ranged && response.ok() && response->status == 416) {
    if (MayBeShorter(options, *response)) return GetShort(key, options);
    BACKSTAY_TRY(EndsBefore(options, *response).Wrap(Describe(request).what));
    return std::string();
  }
  response = Success(request, std::move(response));
  if (!response.ok()) return response.status();
  BACKSTAY_TRY(HoldsObject(options, *response).Wrap(Describe(request).what));
  if (ranged) CutToRange(options, &*response);
  return std::move(response->body);
}

// The end of an object that is shorter than what was asked for is all of it; some servers refuse
// that.
Result<std::string> S3ReplicaClient::GetShort(const std::string& key, const GetOptions& options) {
  Result<std::string> whole =
      Get(key, {.max_bytes = std::min<uint64_t>(options.max_bytes,
                                                0 - static_cast<uint64_t>(options.offset))});
  if (whole.ok() && whole->size() > options.length) whole->resize(options.length);
  return whole;
}

Result<S3ListPage> S3ReplicaClient::ListPage(const ListOptions& options, const std::string& token) {
  Request request{
      .method = "GET",
      .query = {{"list-type", "2"}, {"encoding-type", "url"}, {"prefix", FullKey(options.prefix)}}};
  if (options.folders) request.query.emplace_back("delimiter", "/");
  if (!token.empty()) {
    request.query.emplace_back("continuation-token", token);
  } else if (!options.start_after.empty()) {
    request.query.emplace_back("start-after", FullKey(options.start_after));
  }
  Result<HttpResponse> response = Call(request);
  if (!response.ok()) return NeverNotFound("a list", response.status());
  Result<S3ListPage> page = ParseS3List(response->body);
  if (!page.ok()) return page.status().Wrap(Describe(request).what);
  return page;
}

std::vector<ObjectInfo> S3ReplicaClient::Relative(const ListOptions& options,
                                                  const std::vector<ObjectInfo>& listed) const {
  std::vector<ObjectInfo> out;
  for (const ObjectInfo& object : listed) {
    std::string key = object.key.substr(prefix_.size());
    // An object with the prefix for its name is how a console shows an empty folder.
    if (!key.empty() && key > options.start_after) out.push_back({std::move(key), object.size});
  }
  // Directory buckets, and some other servers, list in an order of their own.
  std::sort(out.begin(), out.end(), [](auto& a, auto& b) { return a.key < b.key; });
  auto same = [](auto& a, auto& b) { return a.key == b.key; };
  out.erase(std::unique(out.begin(), out.end(), same), out.end());
  return out;
}

Result<std::vector<ObjectInfo>> S3ReplicaClient::List(const ListOptions& options) {
  const S3ListQuestion question{FullKey(options.prefix), options.folders};
  const std::string what = "list s3://" + options_.replica.bucket + "/" + question.prefix + " at " +
                           place_.Now().endpoint.display;
  std::vector<ObjectInfo> listed;
  std::set<std::string> tokens;
  std::string token;
  for (int empty = 0; empty < kMaxEmptyPages;) {
    Result<S3ListPage> page = ListPage(options, token);
    if (!page.ok()) return page.status();
    const size_t before = listed.size();
    const bool truncated = page->truncated;
    token = page->next_token;
    BACKSTAY_TRY(TakeListPage(question, std::move(*page), &listed).Wrap(what));
    const bool enough = options.most > 0 && listed.size() >= options.most;
    if (!truncated || enough) return Relative(options, listed);
    empty = listed.size() == before ? empty + 1 : 0;
    if (token.empty() || !tokens.insert(token).second) break;
  }
  return Status(Code::kUnavailable, what + ": the list is cut off, without a way to go on", true);
}

Status S3ReplicaClient::DeleteOne(const std::string& full_key) {
  Status deleted = Call({.method = "DELETE", .key = full_key}).status();
  return deleted.code() == Code::kNotFound ? Status::Ok() : deleted;
}

Status S3ReplicaClient::DeleteBatch(const std::vector<std::string>& full_keys) {
  std::string body = S3DeleteBody(full_keys);
  std::optional<std::string> md5 = ContentMd5(AsBytes(body));
  if (!md5) return {Code::kUnsupported, "MD5 is not available"};
  Request request{.method = "POST",
                  .key = "",
                  .query = {{"delete", ""}},
                  .headers = {{"content-md5", *md5}},
                  .body = AsBytes(body)};
  Result<HttpResponse> response = Call(request);
  if (!response.ok()) return NeverNotFound("a POST", response.status());
  Result<std::vector<S3ErrorBody>> errors = ParseS3DeleteResult(response->body);
  if (!errors.ok()) return errors.status().Wrap(Describe(request).what);
  for (S3ErrorBody& error : *errors) {
    if (error.code == "NoSuchKey") continue;
    request.key = error.key;
    request.method = "DELETE";
    error.request_id = RequestIdOf(*response);
    return S3Failure(Describe(request), 200, error);
  }
  return Status::Ok();
}

Status S3ReplicaClient::Delete(const std::vector<std::string>& keys) {
  std::vector<std::string> batch;
  auto flush = [&]() -> Status {
    std::vector<std::string> full_keys = std::exchange(batch, {});
    if (full_keys.size() > 1 && !no_batch_delete_) {
      Status deleted = DeleteBatch(full_keys);
      if (deleted.code() != Code::kUnsupported) return deleted;
      no_batch_delete_ = true;
    }
    for (const std::string& full_key : full_keys) BACKSTAY_TRY(DeleteOne(full_key));
    return Status::Ok();
  };
  for (const std::string& key : keys) {
    if (!FitsInXml(FullKey(key))) {
      BACKSTAY_TRY(DeleteOne(FullKey(key)));
      continue;
    }
    batch.push_back(FullKey(key));
    if (batch.size() == kDeleteBatch) BACKSTAY_TRY(flush());
  }
  return flush();
}

}  // namespace backstay
