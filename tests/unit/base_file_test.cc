#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <filesystem>

#include "tests/support/catch.h"
#include "tests/support/temp_folder.h"
#include "uploader/base/file.h"

namespace backstay {
namespace {

size_t FilesIn(const std::string& folder) {
  const std::filesystem::directory_iterator files(folder);
  return static_cast<size_t>(std::distance(begin(files), end(files)));
}

// From now on nobody in this process can ask what a descriptor is. False: the system refuses that,
// as emulated ones do.
bool RefuseStat(uint32_t error) {
  const sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fstat, 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_newfstatat, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program = {sizeof code / sizeof *code, const_cast<sock_filter*>(code)};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

constexpr int kNotHere = 77;

// The exit status of a child that does this.
template <typename Body>
int InChild(Body body) {
  const pid_t child = fork();
  if (child == 0) _exit(body());
  int status = -1;
  return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

TEST_CASE("a descriptor whose file system fails for a moment is not lost") {
  TempFolder folder;
  const std::string path = folder / "x";
  const int failed = InChild([&path] {
    Fd fd = OpenFile(path, O_RDWR | O_CREAT).value();
    const int number = fd.get();
    if (!RefuseStat(EIO)) return kNotHere;
    if (fd.get() != number || Fd::lost() != 0) return 2;
    fd.Close();
    return fcntl(number, F_GETFD) == -1 && Fd::lost() == 0 ? 0 : 3;
  });
  if (failed == kNotHere) {
    WARN("no filter of system calls can be had here: not tested");
    return;
  }
  CHECK(failed == 0);
}

TEST_CASE("a descriptor that was closed or is another file's by now is lost") {
  TempFolder folder;
  const std::string path = folder / "x";
  const int failed = InChild([&path] {
    Fd closed = OpenFile(path, O_RDWR | O_CREAT).value();
    close(closed.get());
    if (closed.get() != -1 || Fd::lost() != 1) return 1;
    Fd other = OpenFile(path, O_RDWR).value();
    const int number = other.get();
    Fd taker = OpenFile(path + "2", O_RDWR | O_CREAT).value();
    dup2(taker.get(), number);
    other.Close();
    return Fd::lost() == 2 && fcntl(number, F_GETFD) != -1 ? 0 : 2;
  });
  CHECK(failed == 0);
}

TEST_CASE("a descriptor is closed once, by its last owner") {
  TempFolder folder;
  int number = -1;
  {
    Fd first = OpenFile(folder / "x", O_RDWR | O_CREAT).value();
    number = first.get();
    CHECK((fcntl(number, F_GETFD) & FD_CLOEXEC) != 0);
    Fd second = std::move(first);
    CHECK_FALSE(first.valid());  // NOLINT: moved from on purpose
    CHECK(second.get() == number);
    Fd third = OpenFile(folder / "x", O_RDONLY).value();
    const int other = third.get();
    third = std::move(second);
    CHECK(third.get() == number);
    CHECK(fcntl(other, F_GETFD) == -1);
    CHECK(fcntl(number, F_GETFD) != -1);
  }
  CHECK(fcntl(number, F_GETFD) == -1);
}

TEST_CASE("an error names the file and the reason") {
  TempFolder folder;
  Status missing = OpenFile(folder / "missing", O_RDONLY).status();
  CHECK(missing.code() == Code::kNotFound);
  CHECK(missing.message().find(folder / "missing") != std::string::npos);
  CHECK(OpenFile(folder / "x", O_RDWR | O_CREAT).ok());
  CHECK(OpenFile(folder / "x", O_RDWR | O_CREAT | O_EXCL).status().code() == Code::kExists);
  CHECK(ReadFile(folder / "missing", 10).status().code() == Code::kNotFound);
  CHECK(SyncFolder(folder / "missing").code() == Code::kNotFound);
  CHECK(WriteFileAtomic(folder / "missing/x", "data", true).code() == Code::kNotFound);
}

TEST_CASE("reads at the end of a file are short, writes are whole") {
  TempFolder folder;
  Fd fd = OpenFile(folder / "x", O_RDWR | O_CREAT).value();
  REQUIRE(WriteAt(fd, AsBytes("world"), 6).ok());
  REQUIRE(WriteAt(fd, AsBytes("hello "), 0).ok());
  CHECK(FileSize(fd).value() == 11);
  uint8_t buffer[20] = {};
  CHECK(ReadAt(fd, buffer, sizeof buffer, 0).value() == 11);
  CHECK(AsString(Bytes(buffer, 11)) == "hello world");
  CHECK(ReadAt(fd, buffer, 3, 6).value() == 3);
  CHECK(ReadAt(fd, buffer, 3, 100).value() == 0);
  Fd closed;
  CHECK(ReadAt(closed, buffer, 3, 0).status().code() == Code::kIo);
  CHECK(WriteAt(closed, AsBytes("x"), 0).code() == Code::kIo);
  CHECK(FileSize(closed).status().code() == Code::kIo);
}

TEST_CASE("a whole file is read up to a limit") {
  TempFolder folder;
  REQUIRE(WriteFileAtomic(folder / "x", "0123456789", false).ok());
  CHECK(ReadFile(folder / "x", 10).value() == "0123456789");
  Status over = ReadFile(folder / "x", 9).status();
  CHECK(over.code() == Code::kInvalid);
  CHECK(over.message().find(folder / "x") != std::string::npos);
}

TEST_CASE("only a file is read, and nobody is waited for") {
  TempFolder folder;
  REQUIRE(mkfifo((folder / "pipe").c_str(), 0600) == 0);
  CHECK(ReadFile(folder / "pipe", 10).status().code() == Code::kInvalid);
  CHECK(OpenFile(folder / "pipe", O_RDONLY).ok());
  CHECK(OpenFile(folder / "pipe", O_WRONLY).status().code() != Code::kOk);
  CHECK(ReadFile(folder.path(), 10).status().code() == Code::kInvalid);
}

TEST_CASE("an atomic write replaces the file and leaves nothing else") {
  TempFolder folder;
  for (bool durable : {false, true}) {
    REQUIRE(WriteFileAtomic(folder / "x", "first", durable).ok());
    REQUIRE(WriteFileAtomic(folder / "x", "second", durable).ok());
    CHECK(ReadFile(folder / "x", 100).value() == "second");
    CHECK(FilesIn(folder.path()) == 1);
  }
  // A folder stands where the file should go: the write fails and cleans up.
  REQUIRE(mkdir((folder / "taken").c_str(), 0700) == 0);
  REQUIRE(mkdir((folder / "taken/inner").c_str(), 0700) == 0);
  CHECK_FALSE(WriteFileAtomic(folder / "taken", "data", true).ok());
  CHECK(FilesIn(folder.path()) == 2);
}

TEST_CASE("paths split into folder and name") {
  CHECK(FolderOf("/a/b/c.db") == "/a/b");
  CHECK(FolderOf("/c.db") == "/");
  CHECK(FolderOf("c.db") == ".");
  CHECK(NameOf("/a/b/c.db") == "c.db");
  CHECK(NameOf("c.db") == "c.db");
}

}  // namespace backstay
