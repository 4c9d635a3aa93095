#include "uploader/settings/units.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>

#include "uploader/settings/settings.h"

namespace backstay {
namespace {

struct Unit {
  const char* name;
  uint64_t factor;
};

constexpr Unit kDurationUnits[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}};
constexpr Unit kByteUnits[] = {{"", 1},
                               {"B", 1},
                               {"KiB", 1ull << 10},
                               {"MiB", 1ull << 20},
                               {"GiB", 1ull << 30},
                               {"TiB", 1ull << 40}};

// Takes "<digits><letters>" off the front of *text and returns digits * unit; nullopt when either
// part is not known or the product exceeds `max`.
template <size_t n>
std::optional<uint64_t> TakeAmount(std::string_view* text, const Unit (&units)[n], uint64_t max) {
  uint64_t number = 0;
  auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), number);
  if (error != std::errc()) return std::nullopt;
  text->remove_prefix(end - text->data());
  size_t length = 0;
  while (length < text->size() && !((*text)[length] >= '0' && (*text)[length] <= '9')) ++length;
  for (const Unit& unit : units) {
    if (text->substr(0, length) != unit.name) continue;
    if (number > max / unit.factor) return std::nullopt;
    text->remove_prefix(length);
    return number * unit.factor;
  }
  return std::nullopt;
}

size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      size_t replace = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replace});
    }
  }
  return row[b.size()];
}

}  // namespace

Result<int64_t> ParseDurationMs(const std::string& text) {
  const uint64_t max = std::numeric_limits<int64_t>::max();
  std::string_view rest = text;
  uint64_t total = 0;
  bool good = !rest.empty();
  while (good && !rest.empty()) {
    std::optional<uint64_t> amount = TakeAmount(&rest, kDurationUnits, max);
    good = amount.has_value() && *amount <= max - total;
    if (good) total += *amount;
  }
  if (good) return static_cast<int64_t>(total);
  return Status(Code::kInvalid, Quote(text) +
                                    " is not a duration; write whole numbers with a unit, such as "
                                    "250ms, 5s, 1m, 1h or 7d");
}

Result<uint64_t> ParseBytes(const std::string& text) {
  std::string_view rest = text;
  std::optional<uint64_t> amount =
      TakeAmount(&rest, kByteUnits, std::numeric_limits<uint64_t>::max());
  if (amount.has_value() && rest.empty()) return *amount;
  return Status(
      Code::kInvalid,
      Quote(text) + " is not a size; write bytes, or a whole number with KiB, MiB, GiB or TiB");
}

Result<bool> ParseBool(const std::string& text) {
  const std::string word = LowerCase(text);
  if (word == "true" || word == "yes" || word == "on" || word == "1") return true;
  if (word == "false" || word == "no" || word == "off" || word == "0") return false;
  return Status(Code::kInvalid, Quote(text) + " is neither true nor false");
}

std::string LowerCase(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

bool HasControlCharacter(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

std::string Quote(std::string_view text) {
  constexpr size_t kMost = 60;
  std::string quoted = "\"";
  for (char c : text.substr(0, kMost)) {
    quoted += (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) ? '?' : c;
  }
  return quoted + (text.size() > kMost ? "…\"" : "\"");
}

std::string NearestName(std::string_view word, const std::vector<std::string>& names) {
  // Bounds the work on hostile input; a name of ours is never as long.
  if (word.size() > 100) return "";
  std::string best;
  size_t least = std::max<size_t>(2, word.size() / 3) + 1;
  for (const std::string& name : names) {
    size_t distance = EditDistance(word, name);
    if (distance < least) {
      least = distance;
      best = name;
    }
  }
  return best;
}

std::string Suggestion(std::string_view word, const std::vector<std::string>& names) {
  std::string nearest = NearestName(word, names);
  if (!nearest.empty()) return "; did you mean \"" + nearest + "\"?";
  std::string all;
  for (const std::string& name : names) all += (all.empty() ? "" : ", ") + name;
  return "; known here: " + all;
}

}  // namespace backstay
