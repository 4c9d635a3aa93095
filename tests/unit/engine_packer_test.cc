// Packer: what goes into packs, what that costs, and into how many of them a log comes.

#include "tests/unit/log_writer_bench.h"
#include "uploader/engine/packer.h"

namespace backstay {
namespace {

class PackBench : public Bench {
 public:
  PackBench() { core.shipped.Open(core.identity.id); }

  void Ship(uint64_t objects) {
    for (uint64_t i = 0; i < objects; ++i) {
      Commit(1 + static_cast<uint32_t>(i % 5));
      REQUIRE(log.Append().ok());
    }
  }
  void ShipLarge(int objects) {
    for (int i = 0; i < objects; ++i) {
      CommitRandom(600);
      REQUIRE(log.Append().ok());
    }
  }
  bool Due() {
    std::lock_guard<std::mutex> lock(core.mutex);
    return packer.DueLocked();
  }
  bool Run() {
    bool packed = false;
    Status done = packer.Run(&packed);
    INFO(done.ToString());
    REQUIRE(done.ok());
    return packed;
  }
  // Ships and packs what is due, object by object.
  void ShipAndPack(uint64_t objects) {
    for (uint64_t i = 0; i < objects; ++i) {
      Ship(1);
      if (Due()) REQUIRE(Run());
    }
  }
  std::vector<std::string> Keys(const char* prefix) {
    std::vector<std::string> keys;
    ListOptions options;
    options.prefix = prefix;
    const auto listed = client.List(options);
    REQUIRE(listed.ok());
    for (const ObjectInfo& info : *listed) keys.push_back(info.key);
    return keys;
  }
  void Forget() { client.puts = client.gets = client.lists = client.deletes = 0; }

  Packer packer{&core, [](const std::function<Status()>& attempt) { return attempt(); }};
};

}  // namespace

TEST_CASE("a pack costs one PUT, one list and the deletes", "[engine]") {
  PackBench bench;
  bench.Ship(PackTiers::kObjects - 1);
  CHECK(!bench.Due());
  bench.Ship(1);
  REQUIRE(bench.Due());
  bench.Forget();
  REQUIRE(bench.Run());
  CHECK(bench.client.gets == 2);  // of the identity, before the pack and before the deletes
  CHECK(bench.client.puts == 1);
  CHECK(bench.client.lists == 2);  // the first of a process learns what is there
  CHECK(bench.client.deletes == 1);
  for (int i = 0; i < 8; ++i) {
    bench.Ship(PackTiers::kObjects);
    bench.Forget();
    REQUIRE(bench.Run());
    CHECK(bench.client.gets == 2);
    CHECK(bench.client.puts == 1);
    CHECK(bench.client.lists == 1);
    CHECK(bench.client.deletes == 1);
  }
  CHECK(bench.Keys("log/").empty());
  CHECK(bench.Keys("pack/") ==
        std::vector<std::string>{PackKey(1, 128), PackKey(129, 256), PackKey(257, 288)});
}

TEST_CASE("what was not kept is read back once, singles and packs alike", "[engine]") {
  PackBench bench;
  bench.ShipAndPack(96);
  bench.Ship(32);
  bench.core.shipped.Clear();
  bench.Forget();
  REQUIRE(bench.Run());
  CHECK(bench.client.gets == 32 + 3 + 2);
  CHECK(bench.Keys("pack/") == std::vector<std::string>{PackKey(1, 128)});
  const std::string body = *bench.client.Get(PackKey(1, 128));
  const uint64_t offset = *PackIndexOffset(AsBytes(body), body.size());
  const auto index = ParsePackIndex(AsBytes(body).subspan(offset), body.size());
  REQUIRE(index.ok());
  CHECK(index->size() == 128);
  for (const PackedObject& object : *index) {
    const Bytes bytes = AsBytes(body).subspan(object.offset, object.length);
    CHECK(ParseLogObject(bytes, object.header.number).ok());
  }
}

TEST_CASE("a pack that is gone or damaged is merged with nothing", "[engine]") {
  PackBench bench;
  bench.ShipAndPack(96);
  bench.Ship(32);
  bench.core.shipped.Clear();
  SECTION("gone") { REQUIRE(bench.client.Delete({PackKey(33, 64)}).ok()); }
  SECTION("damaged") { REQUIRE(bench.client.Put(PackKey(33, 64), AsBytes("damage")).ok()); }
  REQUIRE(bench.Run());
  CHECK(bench.Keys("pack/").back() == PackKey(97, 128));
  CHECK(bench.Keys("pack/").front() == PackKey(1, 32));
}

TEST_CASE("a gap behind a newer snapshot is told once, and what is around it is packed",
          "[engine]") {
  PackBench bench;
  const uint64_t kept = GENERATE(3, 12);  // objects before it: too few for a pack, and enough
  bench.Ship(48);
  bench.PutSnapshot(46);
  bench.core.ship.snapshot_number = 46;
  bench.core.retention_ms = 7LL * 24 * 3600 * 1000;
  bench.core.shipped.Clear();
  REQUIRE(bench.client.Delete({LogKey(kept + 1), LogKey(kept + 2)}).ok());
  for (int i = 0; i < 3; ++i) bench.Run();
  CHECK(bench.core.ship.packed_through == 48);
  std::vector<std::string> packs{PackKey(kept + 3, 48)};
  if (kept == 12) packs.insert(packs.begin(), PackKey(1, kept));
  CHECK(bench.Keys("pack/") == packs);
  CHECK(bench.Keys("log/").size() == (kept == 12 ? 0 : kept));
  const std::string lost = LogKey(kept + 1) + " to " + LogKey(kept + 2) + " are missing";
  CHECK(bench.logged.find(lost) != std::string::npos);
  CHECK(bench.logged.find("it passes on ") != std::string::npos);
  // Another process, that does not know how far this one had come.
  bench.logged.clear();
  bench.core.ship.packed_through = kept;
  REQUIRE(bench.client.Delete(packs).ok());
  bench.Run();
  CHECK(bench.core.ship.packed_through == 45);
  CHECK(bench.logged.empty());
}

TEST_CASE("an object that is missing behind the newest snapshot is an error of the job",
          "[engine]") {
  PackBench bench;
  bench.Ship(40);
  bench.core.shipped.Clear();
  REQUIRE(bench.client.Delete({LogKey(7)}).ok());
  bool packed = false;
  const Status done = bench.packer.Run(&packed);
  CHECK(done.code() == Code::kNotFound);
  CHECK(done.message().find(LogKey(7) + " is missing") != std::string::npos);
  CHECK(bench.core.ship.packed_through == 0);
}

TEST_CASE("where another database has begun nothing is packed and nothing deleted", "[engine]") {
  PackBench bench;
  bench.Ship(PackTiers::kObjects);
  Identity other = bench.core.identity;
  other.id[0] ^= 1;
  REQUIRE(bench.client.Put(kIdentityKey, AsBytes(EncodeIdentity(other))).ok());
  bool packed = false;
  CHECK(bench.packer.Run(&packed).code() == Code::kForeign);
  CHECK(bench.Keys("pack/").empty());
  CHECK(bench.Keys("log/").size() == PackTiers::kObjects);
}

TEST_CASE("large objects stay single, and few between two of them", "[engine]") {
  PackBench bench;
  bench.Ship(8);
  bench.ShipLarge(1);
  bench.Ship(3);
  bench.ShipLarge(1);
  bench.Ship(30);
  REQUIRE(bench.Run());
  REQUIRE(bench.Run());
  CHECK(bench.Keys("pack/") == std::vector<std::string>{PackKey(1, 8), PackKey(14, 43)});
  CHECK(bench.Keys("log/").size() == 5);
  CHECK(!bench.Due());
}

TEST_CASE("of nothing but large objects one in 32 is packed, to tell where the log is",
          "[engine]") {
  PackBench bench;
  bench.ShipLarge(31);
  CHECK(!bench.Due());
  bench.ShipLarge(1);
  REQUIRE(bench.Run());
  CHECK(bench.Keys("pack/") == std::vector<std::string>{PackKey(32, 32)});
  CHECK(bench.Keys("log/").size() == 31);
}

TEST_CASE("a few objects are no pack, however old", "[engine]") {
  PackBench bench;
  bench.Ship(PackTiers::kLeastObjects - 1);
  bench.core.ship.unpacked_since_ms = 1;
  CHECK(!bench.Due());
  bench.Ship(1);
  CHECK(bench.Due());
  REQUIRE(bench.Run());
  CHECK(bench.Keys("pack/") == std::vector<std::string>{PackKey(1, 8)});
}

TEST_CASE("a long log lies in few packs", "[engine]") {
  const uint64_t object_bytes = GENERATE(150, 1000, 20000);
  std::vector<PackTiers::Pack> packs;
  size_t open = 0;
  uint64_t sent = 0;
  for (uint64_t first = 1; first < 40000; first += PackTiers::kObjects) {
    PackTiers::Pack next{first, first + PackTiers::kObjects - 1,
                         object_bytes * PackTiers::kObjects};
    for (size_t merged = PackTiers::Merged(packs, next); merged > 0; --merged) {
      next = {packs.back().first, next.last, packs.back().bytes + next.bytes};
      packs.pop_back();
    }
    REQUIRE(next.bytes <= PackTiers::kFullBytes);
    sent += next.bytes;
    packs.push_back(next);
    const auto is_open = [](const PackTiers::Pack& pack) { return pack.bytes < 1 << 20; };
    open = std::max(open, static_cast<size_t>(std::count_if(packs.begin(), packs.end(), is_open)));
  }
  CHECK(open <= 16);
  CHECK(sent < 6 * 40000 * object_bytes);
}

}  // namespace backstay
