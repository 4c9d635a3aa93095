// ParallelOrdered: order, the window, errors of both sides, and memory that runs out at any
// allocation, on any of its threads.

#include <sys/prctl.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <new>
#include <string>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/failing_new.h"
#include "uploader/base/caught.h"
#include "uploader/format/frame_codec.h"
#include "uploader/replica/parallel.h"

namespace backstay {
namespace {

using Texts = ParallelOrdered<std::string>;

constexpr size_t kCount = 40;
constexpr size_t kThreads = 4;
constexpr size_t kWindow = 6;

// Longer than what std::string keeps in itself: it allocates.
std::string TextOf(size_t index) { return std::string(100, 'x') + std::to_string(index); }

Result<std::string> Produce(size_t index) { return TextOf(index); }

// Threads are named after the one that starts them; that is how failing_new knows them.
class Failing {
 public:
  explicit Failing(uint32_t n) {
    prctl(PR_GET_NAME, name_);
    prctl(PR_SET_NAME, "backstay-test");
    fail_on = "backstay-";  // those that read as well
    fail_at = n;
  }
  ~Failing() {
    fail_at = 0;
    prctl(PR_SET_NAME, name_);
  }
  bool failed() const { return fail_at == 0; }

 private:
  char name_[16] = "";
};

// Whether everything was consumed, in order; false without memory, which is no finding about the
// replica.
bool RunAll(const Texts::Produce& produce, std::vector<std::string>* consumed) {
  try {
    Status done = Texts::Run(kCount, kThreads, kWindow, produce, [&](size_t index, std::string t) {
      consumed->push_back(std::move(t));
      return index + 1 == consumed->size() ? Status::Ok() : Status(Code::kInvalid, "order");
    });
    if (done.code() == Code::kIo) return false;
    REQUIRE(done.ok());
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

}  // namespace

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_CASE("a codec for which there is no memory is not made", "[parallel]") {
  char name[16] = "";
  prctl(PR_GET_NAME, name);
  fail_on = name;
  fail_malloc = true;
  const auto refused = [](auto make) {
    fail_at = 1;
    Status status = Caught([&] { return make(), Status::Ok(); });
    fail_at = 0;
    return !status.ok();
  };
  CHECK(refused([] { FrameDecoder decoder; }));
  CHECK(refused([] { FrameEncoder encoder; }));
  fail_malloc = false;
}
#endif

TEST_CASE("results come in order, and no more than the window wait", "[parallel]") {
  std::atomic<size_t> consumed{0};
  std::atomic<size_t> furthest{0};
  Status done = Texts::Run(
      kCount, kThreads, kWindow,
      [&](size_t index) -> Result<std::string> {
        const size_t ahead = index - consumed;
        if (ahead > furthest) furthest = ahead;
        return TextOf(index);
      },
      [&](size_t index, const std::string& text) {
        REQUIRE(index == consumed);
        REQUIRE(text == TextOf(index));
        consumed = index + 1;
        return Status::Ok();
      });
  REQUIRE(done.ok());
  REQUIRE(consumed == kCount);
  REQUIRE(furthest < kWindow);
  REQUIRE(Texts::Run(0, kThreads, kWindow, Produce, [](size_t, std::string) {
            return Status(Code::kInvalid, "nothing to consume");
          }).ok());
}

TEST_CASE("the first error of either side ends it", "[parallel]") {
  size_t consumed = 0;
  const auto consume = [&](size_t, const std::string&) {
    return ++consumed == 20 ? Status(Code::kIo, "full") : Status::Ok();
  };
  REQUIRE(Texts::Run(kCount, kThreads, kWindow, Produce, consume).message() == "full");
  REQUIRE(consumed == 20);
  consumed = 0;
  const auto produce = [](size_t index) -> Result<std::string> {
    if (index == 7) return Status(Code::kNotFound, "gone");
    return TextOf(index);
  };
  REQUIRE(Texts::Run(kCount, kThreads, kWindow, produce, consume).message() == "gone");
  REQUIRE(consumed == 7);
}

TEST_CASE("memory that runs out at any allocation is an error, nothing worse", "[parallel]") {
  std::vector<std::string> consumed;
  consumed.reserve(kCount);
  uint32_t n = 1;
  for (;; ++n) {
    INFO("allocation " << n);
    consumed.clear();
    Failing failing(n);
    const bool all = RunAll(Produce, &consumed);
    if (!failing.failed()) break;
    // A thread less is no error.
    if (all) REQUIRE(consumed.size() == kCount);
    for (size_t i = 0; i < consumed.size(); ++i) REQUIRE(consumed[i] == TextOf(i));
  }
  REQUIRE(consumed.size() == kCount);
  REQUIRE(n > kCount);
}

TEST_CASE("what is made and waits for its turn takes only the room that it keeps", "[parallel]") {
  std::mutex mutex;
  std::condition_variable made;
  size_t others = 0;
  // The first is slow: it ends when three of the others are made, for which there is room one by
  // one.
  const auto produce = [&](size_t index) -> Result<std::string> {
    std::unique_lock lock(mutex);
    if (index > 0) {
      ++others;
      made.notify_all();
      return TextOf(index);
    }
    const bool all = made.wait_for(lock, std::chrono::seconds(20), [&] { return others >= 3; });
    return all ? Result<std::string>(TextOf(0)) : Status(Code::kInvalid, "the others wait");
  };
  const ParallelLimits limits{kThreads, kCount, 20, [](size_t) { return 10; },
                              [](size_t) { return 0; }};
  size_t consumed = 0;
  Status done = Texts::Run(kCount, limits, produce, [&](size_t index, const std::string&) {
    return index == consumed++ ? Status::Ok() : Status(Code::kInvalid, "order");
  });
  CHECK(done.ToString() == "OK");
  CHECK(consumed == kCount);
}

}  // namespace backstay
