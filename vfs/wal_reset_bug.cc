#include "vfs/wal_reset_bug.h"

namespace backstay {

std::string DescribeWalResetBug(int version) {
  const auto part = [version](int unit) { return std::to_string(version / unit % 1000); };
  return "SQLite " + part(1000000) + "." + part(1000) + "." + part(1) +
         " has the WAL-reset bug: it may lose commits when two connections checkpoint at once "
         "(sqlite.org/wal.html, 11); remedy: SQLite 3.51.3 or later, 3.50.7 or 3.44.6";
}

}  // namespace backstay
