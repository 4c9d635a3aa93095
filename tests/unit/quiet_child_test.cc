// A program run inside somebody else's process: what it gives, and what the process notices of it.

#include "uploader/storage/quiet_child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <thread>

#include "tests/support/catch.h"
#include "tests/support/temp_folder.h"
#include "uploader/base/file.h"

namespace backstay {
namespace {

std::atomic<bool> never{false};
std::atomic<int> children{0};

void OnChild(int) { ++children; }

Result<std::string> Run(const std::string& command, int64_t limit_ms = 30000) {
  return RunQuietly({.command = command,
                     .environment = {"PATH=/usr/bin:/bin", "GIVEN=a b"},
                     .limit_ms = limit_ms,
                     .most = 100},
                    never);
}

}  // namespace

TEST_CASE("what the program writes is given, with the environment that it was given") {
  CHECK(Run("printf '%s|' \"$GIVEN\" \"$HOME\"; echo dropped >&2").value() == "a b||");
  CHECK(Run("cat").value().empty());  // its standard input is empty
  CHECK(Run("(sleep 0.05; echo late) & echo soon; wait").value() == "soon\nlate\n");
}

TEST_CASE("a program that fails, or says too much") {
  CHECK_THAT(Run("echo x; exit 3").status().message(), Catch::Contains("exit status 3"));
  CHECK_THAT(Run("kill -9 $$").status().message(), Catch::Contains("signal 9"));
  CHECK_THAT(Run("/no/such/program").status().message(), Catch::Contains("exit status 127"));
  CHECK(Run("yes").status().code() == Code::kInvalid);
  CHECK(Run("printf '%0100d' 1").value().size() == 100);
}

TEST_CASE("one that hangs is killed with what it has started") {
  const TempFolder folder;
  const std::string pid_file = folder.path() + "/pid";
  const Status hung =
      Run("sleep 1000 & echo $! >" + pid_file + "; trap '' TERM; wait", 300).status();
  CHECK_THAT(hung.message(), Catch::Contains("longer"));
  CHECK(hung.retryable());
  const int pid = std::stoi(ReadFile(pid_file, 100).value());
  // Whoever reaps it now.
  for (int i = 0; i < 500 && kill(pid, 0) == 0; ++i) {
    Result<std::string> stat = ReadFile("/proc/" + std::to_string(pid) + "/stat", 4096);
    if (!stat.ok() || stat->find(") Z") != std::string::npos) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    CHECK(i < 499);
  }
}

TEST_CASE("what it leaves running does not keep the caller") {
  CHECK(Run("sleep 3 & echo done").value() == "done\n");
}

TEST_CASE("a cancelled call ends the program") {
  std::atomic<bool> cancelled{false};
  std::thread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    cancelled = true;
  });
  CHECK(RunQuietly({.command = "exec sleep 1000", .environment = {"PATH=/usr/bin:/bin"}}, cancelled)
            .status()
            .code() == Code::kCancelled);
  later.join();
}

TEST_CASE("the process does not see it: no SIGCHLD, nothing to wait for, no descriptor") {
  struct sigaction on_child {};
  on_child.sa_handler = OnChild;
  struct sigaction before {};
  sigaction(SIGCHLD, &on_child, &before);
  Fd open = OpenFile("/dev/null", O_RDONLY).value();
  const int inherited = fcntl(open.get(), F_DUPFD, 100);  // not closed by exec
  // Another thread waits for any child all the while, as a supervisor does.
  std::atomic<bool> stop{false};
  std::atomic<int> seen{0};
  std::thread supervisor([&] {
    while (!stop) {
      if (waitpid(-1, nullptr, WNOHANG) != -1 || errno != ECHILD) ++seen;
      std::this_thread::yield();
    }
  });
  for (int i = 0; i < 20; ++i) {
    CHECK(Run("ls /proc/self/fd | tr '\\n' ' '").value() == "0 1 2 3 ");
  }
  CHECK(Run("exit 1").status().code() == Code::kUnavailable);
  stop = true;
  supervisor.join();
  CHECK(seen == 0);
  CHECK(children == 0);
  CHECK(fcntl(inherited, F_GETFD) >= 0);
  close(inherited);
  sigaction(SIGCHLD, &before, nullptr);
  CHECK(waitpid(-1, nullptr, __WALL) == -1);
}

TEST_CASE("what the process does with signals is not the program's") {
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  struct sigaction before {};
  sigaction(SIGUSR1, &ignore, &before);
  sigset_t all, mask;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &mask);
  const Result<std::string> said =
      Run("grep -E 'Sig(Blk|Ign)' /proc/self/status | tr -d ' \\t\\n'");
  sigset_t now;
  pthread_sigmask(SIG_SETMASK, &mask, &now);
  sigaction(SIGUSR1, &before, nullptr);
  CHECK(said.value() == "SigBlk:0000000000000000SigIgn:0000000000000000");
  CHECK(sigismember(&now, SIGUSR2) == 1);
}

}  // namespace backstay
