// sim_test [--seed N] [--lives N] [--seconds N] [--worlds N] [--tell 1] [--go-on 1] [--at-once N]
// [--without 1]
//
// Plays histories from the seed on, each of so many lives, until the time is over. Exit 1 and the
// whole history if a promise was broken; the same seed plays it again. --go-on: plays on behind it,
// and says of each history no more than what was broken. --at-once: most processes that live at the
// same time. --without: the same without Backstay, to see whether SQLite alone does that.

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>

#include "tests/sim/history.h"

namespace {

struct Options {
  backstay::sim::History::Options history;
  int lives = 10;
  int64_t seconds = 10;
  uint64_t worlds = UINT64_MAX;
  bool go_on = false;
  bool tell = false;  // the whole history, also of one in which nothing is wrong
};

Options Parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    const int64_t value = std::strtoll(argv[i + 1], nullptr, 10);
    if (name == "--seed") options.history.seed = static_cast<uint64_t>(value);
    if (name == "--lives") options.lives = static_cast<int>(value);
    if (name == "--seconds") options.seconds = value;
    if (name == "--go-on") options.go_on = value != 0;
    if (name == "--without") options.history.without = value != 0;
    if (name == "--at-once") options.history.at_once = static_cast<size_t>(value);
    if (name == "--tell") options.tell = value != 0;
    if (name == "--worlds") options.worlds = static_cast<uint64_t>(value);
  }
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace backstay::sim;  // NOLINT: the whole program is about it
  Options options = Parse(argc, argv);
  const char* base = std::getenv("TMPDIR");
  const auto folder = std::filesystem::path(base != nullptr ? base : "/tmp") /
                      ("backstay-sim-" + std::to_string(getpid()));
  const auto start = std::chrono::steady_clock::now();
  double seconds = 0;
  uint64_t lives = 0, points = 0, actions = 0, synced = 0, restores = 0, failed = 0, worlds = 0;
  for (; worlds < options.worlds && (failed == 0 || options.go_on);
       ++options.history.seed, ++worlds) {
    seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (seconds > static_cast<double>(options.seconds)) break;
    History history(options.history, folder);
    const bool kept = history.Run(options.lives);
    failed += kept ? 0 : 1;
    if (options.tell || (!kept && !options.go_on)) history.Tell();
    if (!kept && options.go_on) history.TellShortly();
    lives += history.lives();
    points += world->points;
    actions += world->actions;
    synced += history.referee().synced();
    restores += history.referee().restores();
  }
  seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const auto a_minute = [&](uint64_t n) { return static_cast<double>(n) * 60 / seconds; };
  printf(
      "sim: %llu histories, %llu lives (%.0f a minute), %.0f actions and %.0f points a minute, "
      "%llu synced, %llu restores\n",
      static_cast<unsigned long long>(worlds), static_cast<unsigned long long>(lives),
      a_minute(lives), a_minute(actions), a_minute(points), static_cast<unsigned long long>(synced),
      static_cast<unsigned long long>(restores));
  return failed == 0 ? 0 : 1;
}
