// Where a pipeline stands, event by event.

#include <string>
#include <vector>

#include "tests/support/catch.h"
#include "uploader/engine/life.h"

namespace backstay {
namespace {

const Status kFenced(Code::kFenced, "a newer writer");
const Status kIo(Code::kIo, "the disk is gone");

// What may be asked, as one text: who ships, what is to be repaired, whether it goes on.
std::string Told(const Life& life) {
  std::string told = life.follows() ? "follows" : life.open() ? "open" : "starts";
  static const char* const kNeeds[] = {"", " some", " unknown", " all"};
  told += kNeeds[static_cast<int>(life.need())];
  if (life.ended()) told += " ended:" + life.why().message();
  if (!life.holds()) told += " let-go";
  if (life.hurries()) told += " hurries";
  if (life.failed_to_leave()) told += " failed";
  if (life.stops()) told += " stops";
  if (life.over()) told += " over";
  return told + " g" + std::to_string(life.generation());
}

std::string After(const std::vector<Life::Event>& events) {
  Life life;
  for (const Life::Event& event : events) life.On(event);
  return Told(life);
}

constexpr Life::Lacks kSome{RepairNeed::kSome};
constexpr Life::Lacks kUnknown{RepairNeed::kUnknown};
constexpr Life::Lacks kAll{RepairNeed::kAll};

}  // namespace

TEST_CASE("life: one process ships, and what it needs is read", "[life]") {
  CHECK(After({}) == "starts g0");
  CHECK(After({Life::Follows{}}) == "follows g0");
  CHECK(After({Life::Follows{}, Life::Follows{}, Life::Leads{}}) == "starts g0");
  CHECK(After({Life::Leads{}, Life::Opened{}}) == "open g0");
  CHECK(After({Life::Follows{}, Life::Leads{}, Life::Opened{}}) == "open g0");
  // The lock is kept by who has read the state folder.
  CHECK(After({Life::Opened{}, Life::Follows{}}) == "open g0");
  CHECK(After({Life::Opened{}, Life::Leads{}}) == "open g0");
  CHECK(After({Life::Opened{}, Life::Distrusts{}}) == "starts g0");
  CHECK(After({Life::Opened{}, Life::Distrusts{}, Life::Opened{}}) == "open g0");
  CHECK(After({Life::Follows{}, Life::Distrusts{}}) == "follows g0");
  // What was begun with what is given back is void.
  CHECK(After({Life::Opened{}, Life::Freed{}}) == "starts g1");
}

TEST_CASE("life: doubt only grows, until all is compared", "[life]") {
  CHECK(After({kSome}) == "starts some g0");
  CHECK(After({kSome, kAll, kUnknown}) == "starts all g0");
  CHECK(After({kUnknown, kSome}) == "starts unknown g0");
  CHECK(After({kAll, Life::Compared{}}) == "starts g0");
  CHECK(After({kAll, Life::Compared{}, kSome}) == "starts some g0");
  // Neither reading everything again nor an end compares anything.
  CHECK(After({Life::Opened{}, kUnknown, Life::Distrusts{}}) == "starts unknown g0");
  CHECK(After({kUnknown, Life::Opened{}}) == "open unknown g0");
  CHECK(After({kSome, Life::Drops{}, Life::Drops{}}) == "starts some g2");
  CHECK(After({kSome, Life::GivesUp{kIo}}) == "starts some ended:the disk is gone over g0");
}

TEST_CASE("life: there is one end, and its first reason counts", "[life]") {
  CHECK(After({Life::GivesUp{kFenced}}) == "starts ended:a newer writer over g0");
  CHECK(After({Life::GivesUp{kFenced}, Life::GivesUp{kIo}}) ==
        "starts ended:a newer writer over g0");
  CHECK(After({Life::Opened{}, Life::LetsGo{kIo}}) == "open ended:the disk is gone let-go over g0");
  CHECK(After({Life::GivesUp{kFenced}, Life::LetsGo{kIo}}) ==
        "starts ended:a newer writer let-go over g0");
  // In good order: there is nothing to tell of.
  CHECK(After({Life::Stops{}, Life::GivesUp{kIo}}) == "starts stops over g0");
  CHECK(After({Life::Stops{}, Life::LetsGo{kIo}}) == "starts let-go stops over g0");
  CHECK(After({Life::GivesUp{kIo}, Life::Stops{}}) ==
        "starts ended:the disk is gone stops over g0");
  // What is in memory is used until it is given back.
  CHECK(After({Life::Opened{}, Life::GivesUp{kIo}}) == "open ended:the disk is gone over g0");
  CHECK(After({Life::Opened{}, Life::GivesUp{kIo}, Life::Freed{}}) ==
        "starts ended:the disk is gone over g1");
}

TEST_CASE("life: a process that leaves tries, and one that stops does nothing more", "[life]") {
  CHECK(After({Life::Leaves{}}) == "starts hurries g0");
  CHECK(After({Life::Failed{}}) == "starts g0");
  CHECK(After({Life::Leaves{}, Life::Failed{}}) == "starts failed g0");
  CHECK(After({Life::Leaves{}, Life::Failed{}, Life::Leaves{}}) == "starts hurries g0");
  CHECK(After({Life::Leaves{}, Life::Stops{}}) == "starts stops over g0");
  CHECK(After({Life::Stops{}, Life::Leaves{}, Life::Failed{}}) == "starts stops over g0");
  Life life;
  CHECK(!life.leaves());
  life.On(Life::Leaves{});
  CHECK(life.leaves());
  life.On(Life::Failed{});
  CHECK(life.leaves());
}

}  // namespace backstay
