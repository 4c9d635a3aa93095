#include <algorithm>
#include <set>

#include "tests/support/catch.h"
#include "tests/unit/format_support.h"
#include "uploader/base/hash.h"

namespace backstay {
namespace {

SegmentHeader Header(uint32_t page_size, uint8_t flags = 0) {
  SegmentHeader header;
  header.flags = flags;
  header.page_size = page_size;
  header.number = 7;
  header.first_txid = 41;
  header.previous_hash = 0x1122334455667788;
  header.checksum = (flags & kSegmentChecksum) != 0 ? 99 : 0;
  return header;
}

// A random segment with the pages before and after, and what its reader must see.
struct Scenario {
  std::string bytes;
  SegmentHeader header;
  std::vector<SegmentStep> steps;
  Pages before;
  std::vector<AppliedPage> images;
};

class Generator {
 public:
  explicit Generator(uint64_t seed) : random_(seed) {}

  Scenario Make() {
    const uint32_t page_size = 512u << Pick(&random_, 8);
    scenario_.header = Header(page_size, static_cast<uint8_t>(Pick(&random_, 8)));
    if ((scenario_.header.flags & kSegmentChecksum) != 0)
      scenario_.header.checksum = random_();
    else
      scenario_.header.checksum = 0;
    size_ = 1 + static_cast<uint32_t>(Pick(&random_, 40));
    for (uint32_t pgno = 1; pgno <= size_; ++pgno) {
      scenario_.before.pages[pgno] = RandomPage(&random_, page_size);
    }
    now_ = scenario_.before.pages;
    writer_.Begin(page_size);
    const uint64_t steps = 1 + Pick(&random_, 12);
    for (uint64_t i = 0; i < steps; ++i) Step(i, i + 1 == steps);
    Result<std::string> bytes = writer_.Finish(scenario_.header);
    REQUIRE(bytes.status().ToString() == "OK");
    scenario_.bytes = *bytes;
    return std::move(scenario_);
  }

 private:
  void Step(size_t index, bool last) {
    const bool unfinished = last && (scenario_.header.flags & kSegmentMore) != 0;
    SegmentStep step;
    step.transactions = unfinished ? 0 : 1 + Pick(&random_, 3);
    time_ms_ += static_cast<int64_t>(Pick(&random_, 100000));
    step.time_ms = time_ms_;
    writer_.BeginStep(step.transactions, step.time_ms);
    std::set<uint32_t> touched;
    for (uint64_t n = Pick(&random_, 30); n > 0; --n) {
      touched.insert(1 + static_cast<uint32_t>(Pick(&random_, size_ + 5)));
    }
    for (uint32_t pgno : touched) {
      if (writer_.Room() > 0) step.entries.push_back(Entry(index, pgno));
    }
    size_ = std::max<uint32_t>(3, size_ + static_cast<uint32_t>(Pick(&random_, 6))) - 2;
    step.pages = size_;
    writer_.EndStep(size_);
    scenario_.steps.push_back(step);
  }

  SegmentEntry Entry(size_t index, uint32_t pgno) {
    auto known = now_.find(pgno);
    const bool offered = known != now_.end() && Pick(&random_, 8) != 0;
    Page image = known != now_.end() ? ChangedPage(&random_, known->second)
                                     : RandomPage(&random_, scenario_.header.page_size);
    Status added = writer_.Add(pgno, Version(pgno, image),
                               offered ? Version(pgno, known->second) : PageVersion{});
    REQUIRE(added.ToString() == "OK");
    scenario_.images.push_back({index, pgno, image});
    now_[pgno] = std::move(image);
    return {pgno};
  }

  Random random_;
  SegmentWriter writer_;
  Scenario scenario_;
  std::map<uint32_t, Page> now_;
  uint32_t size_ = 1;
  int64_t time_ms_ = 1700000000000;
};

void CheckSame(const Segment& segment, const Scenario& scenario) {
  CHECK(segment.header().flags == scenario.header.flags);
  CHECK(segment.header().page_size == scenario.header.page_size);
  CHECK(segment.header().number == scenario.header.number);
  CHECK(segment.header().first_txid == scenario.header.first_txid);
  CHECK(segment.header().previous_hash == scenario.header.previous_hash);
  CHECK(segment.header().checksum == scenario.header.checksum);
  REQUIRE(segment.steps().size() == scenario.steps.size());
  uint64_t transactions = 0;
  for (size_t i = 0; i < scenario.steps.size(); ++i) {
    const SegmentStep& got = segment.steps()[i];
    const SegmentStep& want = scenario.steps[i];
    CHECK(got.transactions == want.transactions);
    CHECK(got.time_ms == want.time_ms);
    CHECK(got.pages == want.pages);
    REQUIRE(got.entries.size() == want.entries.size());
    for (size_t e = 0; e < want.entries.size(); ++e) {
      CHECK(got.entries[e].pgno == want.entries[e].pgno);
    }
    transactions += want.transactions;
  }
  CHECK(segment.transactions() == transactions);
  CHECK(segment.last_txid() == scenario.header.first_txid + transactions - 1);
}

}  // namespace

TEST_CASE("a segment gives back every step and every image") {
  for (uint64_t seed = 0; seed < 150; ++seed) {
    INFO("seed " << seed);
    Scenario scenario = Generator(seed).Make();
    size_t consumed = 0;
    std::string followed = scenario.bytes + "next";
    Result<Segment> segment = Segment::Parse(AsBytes(followed), &consumed);
    REQUIRE(segment.status().ToString() == "OK");
    CHECK(consumed == scenario.bytes.size());
    CheckSame(*segment, scenario);
    std::vector<AppliedPage> images;
    REQUIRE(scenario.before.Apply(*segment, &images).ToString() == "OK");
    CHECK((images == scenario.images));
  }
}

}  // namespace backstay
