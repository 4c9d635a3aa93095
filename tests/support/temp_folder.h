// A folder under TMPDIR that is removed with everything in it at the end of the scope.

#ifndef BACKSTAY_TESTS_SUPPORT_TEMP_FOLDER_H_
#define BACKSTAY_TESTS_SUPPORT_TEMP_FOLDER_H_

#include <cstdlib>
#include <filesystem>
#include <string>

namespace backstay {

class TempFolder {
 public:
  TempFolder() {
    std::string name = Place() + "/backstay-test-XXXXXX";
    path_ = mkdtemp(name.data());
  }
  ~TempFolder() { std::filesystem::remove_all(path_); }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  // Where they lie.
  static std::string Place() {
    const char* base = std::getenv("TMPDIR");
    return base != nullptr ? base : "/tmp";
  }
  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace backstay

#endif  // BACKSTAY_TESTS_SUPPORT_TEMP_FOLDER_H_
