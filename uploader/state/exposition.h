// Exposition: metrics in Prometheus's text format, family by family.
//
// One thread. Total; throws std::bad_alloc alone.

#ifndef BACKSTAY_UPLOADER_STATE_EXPOSITION_H_
#define BACKSTAY_UPLOADER_STATE_EXPOSITION_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace backstay {

class Exposition {
 public:
  // What follows are its samples; one without any is not told. The texts must outlive it.
  void Family(const char* name, const char* type, const char* help);
  // `labels`: Label()s with commas between them.
  void Sample(const std::string& labels, const std::string& value);
  std::string Take() { return std::move(text_); }

 private:
  const char* name_ = "";
  std::string head_;
  std::string text_;
};

// name="value"
std::string Label(const char* name, std::string_view value);
// A time or duration in ms, exactly.
std::string Seconds(int64_t ms);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STATE_EXPOSITION_H_
