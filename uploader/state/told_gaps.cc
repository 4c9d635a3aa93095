#include "uploader/state/told_gaps.h"

#include <unistd.h>

#include <charconv>
#include <set>

#include "uploader/base/file.h"

namespace backstay {
namespace {

constexpr char kName[] = "/gaps";
constexpr size_t kMaxBytes = 64 << 10;
constexpr size_t kMost = 1000;

// One number a line; from anything else on nothing is taken.
std::set<uint64_t> Load(const std::string& folder) {
  std::set<uint64_t> numbers;
  const Result<std::string> text = ReadFile(folder + kName, kMaxBytes);
  if (!text.ok()) return numbers;
  const char* at = text->data();
  const char* end = at + text->size();
  while (at != end) {
    uint64_t number = 0;
    const auto [behind, error] = std::from_chars(at, end, number);
    if (error != std::errc() || behind == end || *behind != '\n') break;
    numbers.insert(number);
    at = behind + 1;
  }
  return numbers;
}

void Save(const std::string& folder, const std::set<uint64_t>& numbers) {
  const std::string path = folder + kName;
  std::string text;
  for (uint64_t number : numbers) text += std::to_string(number) + "\n";
  if (text.empty()) {
    (void)unlink(path.c_str());
  } else {
    (void)WriteFileAtomic(path, text, /*durable=*/false);
  }
}

}  // namespace

bool NoteGap(const std::string& folder, uint64_t number) {
  std::set<uint64_t> numbers = Load(folder);
  if (!numbers.insert(number).second) return false;
  if (numbers.size() > kMost) numbers.erase(numbers.begin());
  Save(folder, numbers);
  return true;
}

bool ForgetGaps(const std::string& folder, uint64_t below) {
  std::set<uint64_t> numbers = Load(folder);
  const auto end = numbers.lower_bound(below);
  if (end == numbers.begin()) return false;
  numbers.erase(numbers.begin(), end);
  Save(folder, numbers);
  return true;
}

}  // namespace backstay
