#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/temp_folder.h"
#include "uploader/base/file.h"
#include "uploader/base/log.h"

namespace backstay {
namespace {

class StepClock : public Clock {
 public:
  int64_t WallMs() override { return 1700000000009 + now_ms; }
  int64_t MonotonicMs() override { return now_ms; }
  int64_t now_ms = 5;
};

struct Captured {
  Captured(Level level, bool json) : logger(Options(level, json)) {}

  LogOptions Options(Level level, bool json) {
    LogOptions options;
    options.level = level;
    options.json = json;
    options.clock = &clock;
    options.sink = [this](std::string_view line) { lines.emplace_back(line); };
    return options;
  }

  StepClock clock;
  std::vector<std::string> lines;
  Logger logger;
};

// Standard error goes elsewhere while it lives.
class Stderr {
 public:
  explicit Stderr(int fd) : before_(dup(STDERR_FILENO)) { dup2(fd, STDERR_FILENO); }
  ~Stderr() {
    dup2(before_, STDERR_FILENO);
    close(before_);
  }

 private:
  const int before_;
};

std::vector<nlohmann::json> LinesOf(const std::string& path) {
  std::istringstream stream(ReadFile(path, 1 << 20).value());
  std::vector<nlohmann::json> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

}  // namespace

TEST_CASE("a JSON line has its fixed members first, level in capitals") {
  Captured log(Level::kDebug, true);
  log.logger.Log(Level::kWarn, "S3 does not answer",
                 {{"db", std::string("a.db")}, {"lag_ms", int64_t{12}}, {"ratio", 0.5}});
  REQUIRE(log.lines.size() == 1);
  CHECK(log.lines[0] ==
        "{\"time\":\"2023-11-14T22:13:20.014Z\",\"level\":\"WARN\",\"logger\":\"backstay\","
        "\"msg\":\"S3 does not answer\",\"db\":\"a.db\",\"lag_ms\":12,\"ratio\":0.5}\n");
}

TEST_CASE("whatever bytes a field has, a JSON line is one line of JSON") {
  Captured log(Level::kDebug, true);
  const std::string nasty = std::string("a\nb\"c\\\xff\xfe\x01") + '\0' + "z";
  log.logger.Log(Level::kError, nasty, {{"db", nasty}});
  REQUIRE(log.lines.size() == 1);
  CHECK(log.lines[0].find('\n') == log.lines[0].size() - 1);
  const auto line = nlohmann::json::parse(log.lines[0], nullptr, false);
  REQUIRE(line.is_object());
  CHECK(line["level"] == "ERROR");
  CHECK(line["db"].get<std::string>().substr(0, 6) == "a\nb\"c\\");
}

TEST_CASE("a text line is readable and stays one line") {
  Captured log(Level::kDebug, false);
  log.logger.Log(Level::kInfo, "shipped", {{"db", std::string("a b\n.db")}, {"n", int64_t{3}}});
  REQUIRE(log.lines.size() == 1);
  CHECK(log.lines[0] == "2023-11-14T22:13:20.014Z INFO backstay: shipped db=\"a b\\n.db\" n=3\n");
}

TEST_CASE("lines below the level are not written") {
  Captured log(Level::kWarn, true);
  log.logger.Log(Level::kDebug, "no");
  log.logger.Log(Level::kInfo, "no");
  log.logger.Log(Level::kWarn, "yes");
  log.logger.Log(Level::kError, "yes");
  CHECK(log.lines.size() == 2);
  CHECK_FALSE(log.logger.Enabled(Level::kInfo));
  CHECK(log.logger.Enabled(Level::kError));
}

TEST_CASE("a log file is appended to, line by whole line, from any thread") {
  TempFolder folder;
  LogOptions options;
  options.file = folder / "log";
  REQUIRE(WriteFileAtomic(options.file, "before\n", false).ok());
  {
    Logger logger(options);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 50; ++i) logger.Log(Level::kInfo, std::string(300, 'm'));
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  const std::string text = ReadFile(options.file, 1 << 20).value();
  std::istringstream stream(text);
  std::string line;
  size_t lines = 0;
  REQUIRE(std::getline(stream, line));
  CHECK(line == "before");
  while (std::getline(stream, line)) {
    ++lines;
    CHECK(nlohmann::json::accept(line));
  }
  CHECK(lines == 200);
}

TEST_CASE("what the log file does not take goes to standard error, until it takes it again") {
  TempFolder folder;
  const std::string place = folder / "place";
  LogOptions options;
  options.file = place + "/log";
  Logger logger(options);
  Result<Fd> err = OpenFile(folder / "stderr", O_RDWR | O_CREAT, 0600);
  REQUIRE(err.ok());
  {
    Stderr redirected(err->get());
    logger.Log(Level::kError, "no folder");
    std::filesystem::create_directory(place);
    logger.Log(Level::kInfo, "in the file");
    std::filesystem::remove_all(place);
    std::filesystem::create_directory(place);
    std::filesystem::create_symlink("/dev/full", options.file);
    for (int i = 0; i < 3; ++i) logger.Log(Level::kError, "no room");
    std::filesystem::remove(options.file);
    logger.Log(Level::kInfo, "in a new file");
  }
  const auto said = LinesOf(folder / "stderr");
  REQUIRE(said.size() == 6);
  CHECK(said[0]["msg"] == "no folder");
  CHECK(said[1]["level"] == "ERROR");
  CHECK(said[1]["msg"].get<std::string>().find("(No such file or directory)") != std::string::npos);
  CHECK(said[2]["msg"] == "no room");
  CHECK(said[3]["msg"].get<std::string>().find("(No space left on device)") != std::string::npos);
  CHECK(said[5]["msg"] == "no room");
  const auto written = LinesOf(options.file);
  REQUIRE(written.size() == 2);
  CHECK(written[0]["msg"] == "in a new file");
  CHECK(written[1]["msg"] == "the log file can be written again");
  CHECK(written[1]["event"] == "recovered");
}

TEST_CASE("a long line does not wait for who reads the pipe") {
  int pipe[2];
  REQUIRE(pipe2(pipe, O_CLOEXEC | O_NONBLOCK) == 0);
  char page[4096] = {};
  while (write(pipe[1], page, sizeof page) > 0) continue;
  REQUIRE(read(pipe[0], page, sizeof page) == sizeof page);
  REQUIRE(fcntl(pipe[1], F_SETFL, 0) == 0);
  {
    Stderr redirected(pipe[1]);
    Logger(LogOptions{}).Log(Level::kError, std::string(20000, 'm'));
  }
  close(pipe[0]);
  close(pipe[1]);
}

TEST_CASE("a lasting problem is logged at once, then every 30 s, and when it is over") {
  Captured log(Level::kDebug, false);
  LastingProblem problem(&log.logger, &log.clock, Level::kError);
  problem.Recovered("works again", {});
  CHECK(log.lines.empty());
  for (int i = 0; i < 61; ++i) {
    problem.Failed("down", {});
    log.clock.now_ms += 1000;
  }
  REQUIRE(log.lines.size() == 3);
  CHECK(log.lines[0].find("ERROR backstay: down\n") != std::string::npos);
  CHECK(log.lines[1].find("down (29 more since the last line)") != std::string::npos);
  CHECK(log.lines[2].find("down (29 more since the last line)") != std::string::npos);
  problem.Recovered("works again", {{"db", std::string("a")}});
  problem.Recovered("works again", {});
  REQUIRE(log.lines.size() == 4);
  CHECK(log.lines[3].find("INFO backstay: works again db=\"a\" event=\"recovered\"\n") !=
        std::string::npos);
  log.clock.now_ms += 30000;
  problem.Failed("down", {});
  CHECK(log.lines.size() == 5);
}

TEST_CASE("a state that lasts is said at once, after 5 minutes, then every hour, and since when") {
  Captured log(Level::kDebug, false);
  const auto remind = [&](const char* text, int minutes) {
    const size_t before = log.lines.size();
    for (int i = 0; i < minutes; ++i) {
      log.logger.Remind(Level::kError, text, {{"db", std::string("a")}});
      log.clock.now_ms += 60000;
    }
    return log.lines.size() - before;
  };
  CHECK(remind("stopped", 5) == 1);
  CHECK(log.lines.back().find("ERROR backstay: stopped db=\"a\"") != std::string::npos);
  CHECK(remind("stopped", 60) == 1);
  CHECK(log.lines.back().find("stopped (since 2023-11-14T22:13:20.014Z) db=\"a\"") !=
        std::string::npos);
  CHECK(remind("stopped", 120) == 2);
  CHECK(remind("stopped otherwise", 4) == 1);
  CHECK(log.lines.back().find("since") == std::string::npos);
  log.logger.Remind(Level::kError, "stopped otherwise", {{"db", std::string("b")}});
  CHECK(log.lines.back().find("db=\"b\"") != std::string::npos);
  log.logger.Over("replicated again", {{"db", std::string("a")}});
  CHECK(log.lines.back().find("INFO backstay: replicated again db=\"a\" event=\"recovered\"") !=
        std::string::npos);
  CHECK(remind("stopped otherwise", 1) == 1);
}

TEST_CASE(
    "a problem that comes and goes is told twice in the time in which one that stays is once") {
  Captured log(Level::kDebug, false);
  LastingProblem problem(&log.logger, &log.clock, Level::kError);
  for (int i = 0; i < 60; ++i) {
    problem.Failed("down", {});
    CHECK(problem.failing());
    problem.Recovered("works again", {});
    CHECK_FALSE(problem.failing());
    log.clock.now_ms += 1000;
  }
  REQUIRE(log.lines.size() == 8);
  CHECK(log.lines[2].find("down") != std::string::npos);
  CHECK(log.lines[4].find("down (28 more since the last line)") != std::string::npos);
}

TEST_CASE(
    "a problem of another kind is told at once, one that changes all the time twice in 30 s") {
  Captured log(Level::kDebug, false);
  LastingProblem problem(&log.logger, &log.clock, Level::kError);
  const auto fail = [&](const char* text, Code kind, int seconds) {
    for (int i = 0; i < seconds; ++i) {
      problem.Failed(text, {}, kind);
      log.clock.now_ms += 1000;
    }
  };
  fail("status 503", Code::kUnavailable, 5);
  REQUIRE(log.lines.size() == 1);
  fail("status 403", Code::kDenied, 5);
  REQUIRE(log.lines.size() == 2);
  CHECK(log.lines[1].find("status 403 (4 more since the last line)") != std::string::npos);
  fail("status 503", Code::kUnavailable, 5);
  CHECK(log.lines.size() == 2);
  // The kind that it has by then, when the time is over.
  fail("status 503", Code::kUnavailable, 16);
  REQUIRE(log.lines.size() == 3);
  CHECK(log.lines[2].find("status 503 (") != std::string::npos);
  log.clock.now_ms += 30000;
  for (int i = 0; i < 60; ++i) {
    fail("status 403", Code::kDenied, 1);
    fail("status 503", Code::kUnavailable, 1);
  }
  CHECK(log.lines.size() <= 3 + 2 * 4);
  problem.Recovered("works again", {});
  CHECK(log.lines.back().find("works again") != std::string::npos);
}

TEST_CASE("a problem that stays is told once in 30 s, however often it had come before") {
  Captured log(Level::kDebug, false);
  LastingProblem problem(&log.logger, &log.clock, Level::kError);
  problem.Failed("down", {});
  problem.Recovered("works again", {});
  for (int i = 0; i < 60; ++i) {
    problem.Failed("down", {});
    log.clock.now_ms += 1000;
  }
  REQUIRE(log.lines.size() == 4);
}

}  // namespace backstay
