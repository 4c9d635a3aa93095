// Problems: all that is wrong in the settings, so that an operator mends it in one go.
//
// Owned by whoever reads settings, on one thread. What cannot be known for want of memory or
// descriptors is no problem of the settings: it comes before all else, and alone. Throws
// std::bad_alloc alone.

#ifndef BACKSTAY_UPLOADER_SETTINGS_PROBLEMS_H_
#define BACKSTAY_UPLOADER_SETTINGS_PROBLEMS_H_

#include <cstddef>
#include <string>
#include <vector>

#include "uploader/base/status.h"

namespace backstay {

class Problems {
 public:
  // "place: message"; OK, and what was added before, add nothing.
  void Add(const Status& status, const std::string& place = "");

  size_t size() const { return found_.size(); }
  const std::vector<std::string>& found() const { return found_; }
  // OK, the one there is, or "2 problems: (1) …; (2) …".
  Status Sum() const;

 private:
  std::vector<std::string> found_;
  Status passing_;  // retryable
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_SETTINGS_PROBLEMS_H_
