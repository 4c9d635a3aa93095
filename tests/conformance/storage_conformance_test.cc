// What every ReplicaClient promises (replica_client.h), asked of a folder and of a real S3 server.

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "tests/conformance/storage_backend.h"
#include "tests/support/catch.h"

namespace backstay {
namespace {

std::vector<std::string> Keys(ReplicaClient* client, const ListOptions& options = {}) {
  Result<std::vector<ObjectInfo>> list = client->List(options);
  INFO(list.status().ToString());
  REQUIRE(list.ok());
  std::vector<std::string> keys;
  for (const ObjectInfo& object : *list) keys.push_back(object.key);
  return keys;
}

std::string GetOk(ReplicaClient* client, const std::string& key, const GetOptions& options = {}) {
  Result<std::string> body = client->Get(key, options);
  INFO(body.status().ToString());
  REQUIRE(body.ok());
  return *body;
}

void PutOk(ReplicaClient* client, const std::string& key, const std::string& body) {
  Status put = client->Put(key, AsBytes(body));
  INFO(put.ToString());
  REQUIRE(put.ok());
}

bool HasConditionalPut(ReplicaClient* client) {
  Status put = client->PutIfAbsent("probe", AsBytes("x"));
  INFO(put.ToString());
  REQUIRE((put.ok() || put.code() == Code::kUnsupported));
  return put.ok();
}

using Strings = std::vector<std::string>;

}  // namespace

TEST_CASE("an object is read back as it was written") {
  Backend backend;
  auto client = backend.Client();
  std::string body;
  for (int i = 0; i < 70000; i++) body.push_back(static_cast<char>(i * 7));
  PutOk(client.get(), "log/0001", body);
  CHECK(GetOk(client.get(), "log/0001") == body);
  PutOk(client.get(), "log/0001", "shorter");
  CHECK(GetOk(client.get(), "log/0001") == "shorter");
  PutOk(client.get(), "empty", "");
  CHECK(GetOk(client.get(), "empty").empty());
}

TEST_CASE("a missing object is kNotFound") {
  Backend backend;
  auto client = backend.Client();
  Result<std::string> body = client->Get("log/0001");
  CHECK(body.status().code() == Code::kNotFound);
  CHECK_FALSE(body.status().retryable());
  CHECK_THAT(body.status().message(), Catch::Contains("log/0001"));
  PutOk(client.get(), "log/0001", "x");
  CHECK(client->Get("log").status().code() == Code::kNotFound);
  CHECK(client->Get("log/0001/x").status().code() == Code::kNotFound);
}

TEST_CASE("a replica that does not exist is an empty list") {
  Backend backend;
  CHECK(Keys(backend.Client().get()).empty());
  CHECK(Keys(backend.Client().get(), {.prefix = "log/", .folders = true}).empty());
}

TEST_CASE("ranges") {
  Backend backend;
  auto client = backend.Client();
  PutOk(client.get(), "k", "0123456789");
  PutOk(client.get(), "empty", "");
  CHECK(GetOk(client.get(), "k", {.offset = 0, .length = 1}) == "0");
  CHECK(GetOk(client.get(), "k", {.offset = 3, .length = 4}) == "3456");
  CHECK(GetOk(client.get(), "k", {.offset = 8, .length = 100}) == "89");
  CHECK(GetOk(client.get(), "k", {.offset = -3, .length = 3}) == "789");
  CHECK(GetOk(client.get(), "k", {.offset = -3, .length = 2}) == "78");
  CHECK(GetOk(client.get(), "k", {.offset = -100, .length = 100}) == "0123456789");
  CHECK(GetOk(client.get(), "empty", {.offset = 0, .length = 5}).empty());
  CHECK(GetOk(client.get(), "empty", {.offset = -5, .length = 5}).empty());
  CHECK(GetOk(client.get(), "k", {.offset = 10, .length = 1}).empty());
  CHECK(client->Get("gone", {.offset = 0, .length = 1}).status().code() == Code::kNotFound);
}

TEST_CASE("a body over the limit is refused") {
  Backend backend;
  auto client = backend.Client();
  PutOk(client.get(), "k", std::string(100000, 'x'));
  GetOptions limit{.offset = 0, .length = 0, .max_bytes = 100000};
  CHECK(GetOk(client.get(), "k", limit).size() == 100000);
  limit.max_bytes = 99999;
  Result<std::string> body = client->Get("k", limit);
  CHECK(body.status().code() == Code::kInvalid);
  CHECK_THAT(body.status().message(), Catch::Contains("99999"));
  CHECK(GetOk(client.get(), "k", {.offset = 5, .length = 10, .max_bytes = 10}).size() == 10);
}

TEST_CASE("odd keys") {
  Backend backend;
  auto client = backend.Client();
  Strings keys = {"a b",     "a%20b", "a%b", "a&b=c", "a+b", "a.b", "a/b", "a;b",
                  "a<b>\"'", "a=b",   "a?b", "a\\b",  "a~b", "aä€", "a😀b", ".hidden/..x"};
  std::sort(keys.begin(), keys.end());
  for (const std::string& key : keys) PutOk(client.get(), key, "body of " + key);
  CHECK(Keys(client.get()) == keys);
  for (const std::string& key : keys) CHECK(GetOk(client.get(), key) == "body of " + key);
  CHECK(client->Delete(keys).ok());
  CHECK(Keys(client.get()).empty());
}

TEST_CASE("a list of more keys than fit in one answer") {
  Backend backend;
  auto client = backend.Client();
  Strings keys;
  for (int i = 0; i < 1200; i++) {
    char key[32];
    snprintf(key, sizeof key, "log/%016x", i);
    keys.push_back(key);
  }
  std::atomic<size_t> next{0};
  std::atomic<int> failed{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; t++) {
    threads.emplace_back([&] {
      for (size_t i = next++; i < keys.size(); i = next++) {
        if (!client->Put(keys[i], AsBytes("x")).ok()) failed++;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  REQUIRE(failed == 0);
  CHECK(Keys(client.get(), {.prefix = "log/"}) == keys);
  Strings tail(keys.begin() + 1100, keys.end());
  CHECK(Keys(client.get(), {.prefix = "log/", .start_after = keys[1099]}) == tail);
  CHECK(client->Delete(keys).ok());
  CHECK(Keys(client.get()).empty());
}

TEST_CASE("prefix, start_after and folders select from the list") {
  Backend backend;
  auto client = backend.Client();
  for (const char* key : {"backstay.json", "log/1", "log/2", "log/3", "log-x", "log.y",
                          "snapshot/1/a", "snapshot/1/b", "snapshot/2/a", "snapshot/file"}) {
    PutOk(client.get(), key, key);
  }
  CHECK(Keys(client.get()) == Strings{"backstay.json", "log-x", "log.y", "log/1", "log/2", "log/3",
                                      "snapshot/1/a", "snapshot/1/b", "snapshot/2/a",
                                      "snapshot/file"});
  CHECK(Keys(client.get(), {.prefix = "log"}) ==
        Strings{"log-x", "log.y", "log/1", "log/2", "log/3"});
  CHECK(Keys(client.get(), {.prefix = "log/"}) == Strings{"log/1", "log/2", "log/3"});
  CHECK(Keys(client.get(), {.prefix = "log/", .start_after = "log/1"}) ==
        Strings{"log/2", "log/3"});
  CHECK(Keys(client.get(), {.prefix = "log/", .start_after = "log/15"}) ==
        Strings{"log/2", "log/3"});
  CHECK(Keys(client.get(), {.prefix = "log/", .start_after = "log/3"}).empty());
  CHECK(Keys(client.get(), {.start_after = "log.y"}).front() == "log/1");
  CHECK(Keys(client.get(), {.folders = true}) == Strings{"log/", "snapshot/"});
  CHECK(Keys(client.get(), {.prefix = "snapshot/", .folders = true}) ==
        Strings{"snapshot/1/", "snapshot/2/"});
  CHECK(
      Keys(client.get(), {.prefix = "snapshot/", .start_after = "snapshot/1/", .folders = true}) ==
      Strings{"snapshot/2/"});
  Result<std::vector<ObjectInfo>> list = client->List({.prefix = "log-"});
  REQUIRE(list.ok());
  REQUIRE(list->size() == 1);
  CHECK(list->front().size == 5);
}

TEST_CASE("one replica does not see another") {
  Backend one, two;
  PutOk(one.Client().get(), "k", "1");
  CHECK(Keys(two.Client().get()).empty());
  CHECK(two.Client()->Get("k").status().code() == Code::kNotFound);
}

TEST_CASE("put if absent creates, and never replaces") {
  Backend backend;
  auto client = backend.Client();
  if (!HasConditionalPut(client.get())) {
    CHECK(client->Get("probe").status().code() == Code::kNotFound);
    return;
  }
  Status again = client->PutIfAbsent("probe", AsBytes("second"));
  CHECK(again.code() == Code::kExists);
  CHECK_THAT(again.message(), Catch::Contains("probe"));
  CHECK(GetOk(client.get(), "probe") == "x");
  PutOk(client.get(), "other", "1");
  CHECK(client->PutIfAbsent("other", AsBytes("2")).code() == Code::kExists);
  CHECK(client->Delete({"probe"}).ok());
  CHECK(client->PutIfAbsent("probe", AsBytes("third")).ok());
  CHECK(GetOk(client.get(), "probe") == "third");
  CHECK(Keys(client.get()) == Strings{"other", "probe"});
}

TEST_CASE("of eight writers that race for one key exactly one wins") {
  Backend backend;
  auto shared = backend.Client();
  if (!HasConditionalPut(shared.get())) return;
  for (int round = 0; round < 10; round++) {
    std::string key = "log/" + std::to_string(round);
    std::vector<Status> results(8);
    std::atomic<int> waiting{0};
    std::vector<std::thread> threads;
    for (size_t t = 0; t < results.size(); t++) {
      threads.emplace_back([&, t] {
        // Every second writer is a client of its own, as another process would be.
        auto own = backend.Client();
        ReplicaClient* client = t % 2 == 0 ? own.get() : shared.get();
        std::string body = "writer " + std::to_string(t);
        waiting++;
        while (waiting < static_cast<int>(results.size())) std::this_thread::yield();
        results[t] = client->PutIfAbsent(key, AsBytes(body));
      });
    }
    for (std::thread& thread : threads) thread.join();
    int winners = 0;
    std::string winner;
    for (size_t t = 0; t < results.size(); t++) {
      INFO(results[t].ToString());
      CHECK((results[t].ok() || results[t].code() == Code::kExists));
      if (results[t].ok()) winner = "writer " + std::to_string(t);
      winners += results[t].ok() ? 1 : 0;
    }
    CHECK(winners == 1);
    CHECK(GetOk(shared.get(), key) == winner);
  }
}

TEST_CASE("delete") {
  Backend backend;
  auto client = backend.Client();
  for (const char* key : {"a", "b/c", "b/d", "e"}) PutOk(client.get(), key, key);
  CHECK(client->Delete({}).ok());
  CHECK(client->Delete({"never/was", "nor this", "a", "b/c"}).ok());
  CHECK(client->Delete({"e"}).ok());
  CHECK(client->Delete({"e"}).ok());
  CHECK(Keys(client.get()) == Strings{"b/d"});
  CHECK(client->Delete({"b/d"}).ok());
  CHECK(Keys(client.get(), {.folders = true}).empty());
  PutOk(client.get(), "b/d", "again");
  CHECK(GetOk(client.get(), "b/d") == "again");
}

TEST_CASE("counters count bodies and requests") {
  Backend backend;
  auto client = backend.Client();
  CHECK(client->Counters().requests == 0);
  PutOk(client.get(), "k", "0123456789");
  CHECK(client->Counters().requests == 1);
  CHECK(client->Counters().bytes_sent == 10);
  GetOk(client.get(), "k", {.offset = 0, .length = 4});
  CHECK(client->Counters().bytes_received == 4);
  CHECK(client->RetryAfterMs() == 0);
}

TEST_CASE("after Cancel every call is kCancelled") {
  Backend backend;
  auto client = backend.Client();
  PutOk(client.get(), "k", "x");
  client->Cancel();
  CHECK(client->Put("k", AsBytes("y")).code() == Code::kCancelled);
  CHECK(client->PutIfAbsent("l", AsBytes("y")).code() == Code::kCancelled);
  CHECK(client->Get("k").status().code() == Code::kCancelled);
  CHECK(client->List({}).status().code() == Code::kCancelled);
  CHECK(client->Delete({"k"}).code() == Code::kCancelled);
  CHECK(GetOk(backend.Client().get(), "k") == "x");
}

}  // namespace backstay
