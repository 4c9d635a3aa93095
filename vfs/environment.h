// Environment: the variables of the process, as they were when the shim came into it.
//
// Settings are read once, for everything: a host may clear its environment later (php-fpm does so
// in its workers), and the engine asks only at the first database. Taken at the first call, which
// the two ways in make as they are loaded; leaked, constant, inherited by forked children. Any
// thread. The first call may throw std::bad_alloc; the next one tries again.

#ifndef BACKSTAY_VFS_ENVIRONMENT_H_
#define BACKSTAY_VFS_ENVIRONMENT_H_

#include <string>
#include <vector>

namespace backstay {

class Environment {
 public:
  static const Environment& AtStart();

  // NULL when it is not set.
  const char* Get(const std::string& name) const noexcept;
  // Texts NAME=value, and NULL behind them.
  const char* const* entries() const noexcept { return entries_.data(); }

 private:
  Environment();

  std::vector<char> texts_;  // one behind the other, each with its NUL
  std::vector<const char*> entries_;
};

}  // namespace backstay

#endif  // BACKSTAY_VFS_ENVIRONMENT_H_
