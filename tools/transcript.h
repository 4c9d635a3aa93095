// Transcript: what a command has said, kept to be sent along with its outcome.
//
// Made once, on the main thread, on the command's stack; while it lives every line of PrintError()
// is kept, too, from any thread. Bounded: of more than kMostBytes the end is kept. Cannot fail.

#ifndef BACKSTAY_TOOLS_TRANSCRIPT_H_
#define BACKSTAY_TOOLS_TRANSCRIPT_H_

#include <cstddef>
#include <mutex>
#include <string>

namespace backstay {

class Transcript {
 public:
  static constexpr size_t kMostBytes = 90 << 10;

  Transcript();
  ~Transcript();
  Transcript(const Transcript&) = delete;
  Transcript& operator=(const Transcript&) = delete;

  void Add(const std::string& line);
  // The last kMostBytes at most, from the beginning of a line on.
  std::string Text();
  // To the one that lives, if any.
  static void Note(const std::string& line);

 private:
  std::mutex mutex_;
  std::string text_;  // guarded by mutex_
};

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_TRANSCRIPT_H_
