#include "uploader/state/process_id.h"

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <sstream>
#include <thread>

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

// Nothing of a zombie runs, whoever has not asked for its end yet.
bool IsOver(char state) { return state == 'Z' || state == 'X' || state == 'x'; }

struct Stat {
  char state = 0;
  uint64_t start = 0;  // 0: there is no such process
};

// proc(5): the 3rd and the 22nd field of /proc/PID/stat. The second one is a name in parentheses,
// which may hold anything.
Stat StatOf(int64_t pid) {
  constexpr int kFieldsBetween = 18;
  const std::string text = ReadProc("/proc/" + std::to_string(pid) + "/stat");
  const size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return {};
  std::istringstream fields(text.substr(name_end + 1));
  Stat stat;
  fields >> stat.state;
  std::string skipped;
  for (int i = 0; i < kFieldsBetween; ++i) fields >> skipped;
  return fields >> stat.start ? stat : Stat{};
}

// How often its first thread has been scheduled, as proc(5) says it.
std::string SwitchesOf(int64_t pid) {
  const std::string text = ReadProc("/proc/" + std::to_string(pid) + "/status");
  const size_t at = text.find("voluntary_ctxt_switches");
  return at == std::string::npos ? "" : text.substr(at);
}

std::string Boot() {
  std::string id = ReadProc("/proc/sys/kernel/random/boot_id");
  return id.substr(0, id.find('\n'));
}

}  // namespace

bool ProcessId::Lives() const {
  if (started == 0 || boot.empty() || boot != Boot()) return false;
  const Stat stat = StatOf(pid);
  return stat.start == started && !IsOver(stat.state);
}

// One that is traced (strace) stands still for moments only, and has been scheduled in between.
bool ProcessId::Held() const {
  constexpr int kLooks = 10;
  constexpr auto kPause = std::chrono::milliseconds(20);
  if (!Lives()) return false;
  const std::string switches = SwitchesOf(pid);
  for (int i = 0; i < kLooks; ++i) {
    const Stat stat = StatOf(pid);
    if (stat.start != started || (stat.state != 'T' && stat.state != 't')) return false;
    if (SwitchesOf(pid) != switches) return false;
    if (i + 1 < kLooks) std::this_thread::sleep_for(kPause);
  }
  return true;
}

ProcessId ThisProcess() { return {getpid(), StatOf(getpid()).start, Boot()}; }

}  // namespace backstay
