#include "tools/transcript.h"

#include <atomic>

namespace backstay {
namespace {

std::atomic<Transcript*> current{nullptr};

// From the beginning of a line on, unless there is only one.
std::string Tail(const std::string& text, size_t bytes) {
  if (text.size() <= bytes) return text;
  const size_t line = text.find('\n', text.size() - bytes);
  const bool whole = line != std::string::npos && line + 1 < text.size();
  return text.substr(whole ? line + 1 : text.size() - bytes);
}

}  // namespace

Transcript::Transcript() { current = this; }
Transcript::~Transcript() { current = nullptr; }

void Transcript::Note(const std::string& line) {
  if (Transcript* transcript = current) transcript->Add(line);
}

void Transcript::Add(const std::string& line) {
  std::lock_guard lock(mutex_);
  text_ += line + "\n";
  if (text_.size() > 2 * kMostBytes) text_ = Tail(text_, kMostBytes);
}

std::string Transcript::Text() {
  std::lock_guard lock(mutex_);
  return Tail(text_, kMostBytes);
}

}  // namespace backstay
