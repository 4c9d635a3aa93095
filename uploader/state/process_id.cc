#include "uploader/state/process_id.h"

#include <fcntl.h>
#include <unistd.h>

#include <sstream>

#include "uploader/base/file.h"

namespace backstay {
namespace {

// The files of /proc have no size that could be asked for.
std::string ReadProc(const std::string& path) {
  std::string text(4096, '\0');
  Result<Fd> fd = OpenFile(path, O_RDONLY);
  if (!fd.ok()) return "";
  Result<size_t> got = ReadAt(*fd, reinterpret_cast<uint8_t*>(text.data()), text.size(), 0);
  text.resize(got.ok() ? *got : 0);
  return text;
}

// proc(5): the 22nd field of /proc/PID/stat. The second one is a name in parentheses, which may
// hold anything; 0: there is no such process.
uint64_t StartOf(int64_t pid) {
  constexpr int kFieldsBetween = 19;
  const std::string stat = ReadProc("/proc/" + std::to_string(pid) + "/stat");
  const size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) return 0;
  std::istringstream fields(stat.substr(name_end + 1));
  std::string skipped;
  for (int i = 0; i < kFieldsBetween; ++i) fields >> skipped;
  uint64_t start = 0;
  return fields >> start ? start : 0;
}

std::string Boot() {
  std::string id = ReadProc("/proc/sys/kernel/random/boot_id");
  return id.substr(0, id.find('\n'));
}

}  // namespace

bool ProcessId::Lives() const {
  return started != 0 && !boot.empty() && boot == Boot() && started == StartOf(pid);
}

ProcessId ThisProcess() { return {getpid(), StartOf(getpid()), Boot()}; }

}  // namespace backstay
