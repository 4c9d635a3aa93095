// FollowFile: `<copy>-follow`, the file beside a copy that says where it stands.
//
// Whoever has one follows into the copy alone: it is locked (flock), and each Save() puts a file in
// its place that was locked before. So other processes are kept out, also those of another
// container, nobody else's file is needed, and a reader of the copy sees nothing of it. Main
// thread. Errors: kNotFound when there is none, kExists when another process has it, kInvalid when
// it cannot be read, kIo, kDenied.

#ifndef BACKSTAY_TOOLS_FOLLOW_FILE_H_
#define BACKSTAY_TOOLS_FOLLOW_FILE_H_

#include <string>
#include <string_view>

#include "tools/follow_state.h"
#include "uploader/base/file.h"

namespace backstay {

class FollowFile {
 public:
  // Of a copy that is being made: it comes with the first Save().
  explicit FollowFile(const std::string& copy) : copy_(copy), path_(copy + "-follow") {}
  // Of one that was followed before.
  static Result<FollowFile> Open(const std::string& copy);

  Result<FollowState> Load() const;
  // Durably.
  Status Save(const FollowState& state);

 private:
  Status Lock();
  Result<bool> IsNamed() const;
  Result<Fd> Write(const std::string& path, std::string_view text) const;

  std::string copy_;
  std::string path_;
  Fd locked_;
};

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_FOLLOW_FILE_H_
