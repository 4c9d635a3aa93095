#include "uploader/state/metrics_folder.h"

#include <sys/stat.h>

#include <cerrno>
#include <cinttypes>
#include <cstdio>

#include "uploader/base/bytes.h"
#include "uploader/base/file.h"
#include "uploader/base/hash.h"
#include "uploader/base/own_folder.h"

namespace backstay {
namespace {

constexpr mode_t kForEverybody = 0644;

bool IsPlain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

}  // namespace

std::string MetricsFileName(const std::string& kind, const std::string& subject) {
  constexpr size_t kMostBytes = 100;
  std::string name = NameOf(subject).substr(0, kMostBytes);
  for (char& c : name) c = IsPlain(c) ? c : '_';
  char hash[17];
  snprintf(hash, sizeof hash, "%016" PRIx64, Hash(AsBytes(subject)));
  return kind + "-" + name + "-" + hash + ".prom";
}

// Under a name that node_exporter does not read, first.
Status ReplaceMetricsFile(const std::string& folder_path, const std::string& name,
                          const std::string& text) {
  Result<OwnFolder> folder = OwnFolder::Open(folder_path);
  if (!folder.ok()) return folder.status();
  const std::string temporary = name + ".tmp";
  folder->Remove(temporary);
  Status done = [&]() -> Status {
    Result<Fd> fd = folder->MakeFile(temporary);
    if (!fd.ok()) return fd.status();
    BACKSTAY_TRY(WriteAt(*fd, AsBytes(text), 0).Wrap(folder_path + "/" + temporary));
    if (fchmod(fd->get(), kForEverybody) != 0) return Status::Errno("chmod " + temporary, errno);
    return folder->Rename(temporary, name);
  }();
  if (!done.ok()) folder->Remove(temporary);
  return done;
}

}  // namespace backstay
