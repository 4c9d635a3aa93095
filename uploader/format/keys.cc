#include "uploader/format/keys.h"

#include <nlohmann/json.hpp>

#include "uploader/base/json_text.h"
#include "uploader/format/checks.h"

namespace backstay {
namespace {

constexpr size_t kMaxIdentityBytes = 64 << 10;
constexpr std::string_view kLogFolder = "log/";
constexpr std::string_view kPackFolder = "pack/";
constexpr std::string_view kSnapshotFolder = "snapshot/";
constexpr std::string_view kManifestName = "/manifest";

std::string Hex(uint64_t value, int digits) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text(static_cast<size_t>(digits), '0');
  for (auto digit = text.rbegin(); digit != text.rend(); ++digit, value >>= 4) {
    *digit = kDigits[value & 15];
  }
  return text;
}

bool Consume(std::string_view* text, std::string_view head) {
  if (!text->starts_with(head)) return false;
  text->remove_prefix(head.size());
  return true;
}

std::optional<uint64_t> ConsumeHex(std::string_view* text, size_t digits) {
  if (text->size() < digits) return std::nullopt;
  uint64_t value = 0;
  for (char c : text->substr(0, digits)) {
    bool decimal = c >= '0' && c <= '9';
    if (!decimal && (c < 'a' || c > 'f')) return std::nullopt;
    value = value << 4 | static_cast<uint64_t>(decimal ? c - '0' : c - 'a' + 10);
  }
  text->remove_prefix(digits);
  return value;
}

// A number of the log: 16 digits, dense from 1.
std::optional<uint64_t> ConsumeNumber(std::string_view* text) {
  std::optional<uint64_t> number = ConsumeHex(text, 16);
  return number == 0u ? std::nullopt : number;
}

Status BadIdentity(const std::string& detail) { return Corrupt(kIdentityKey, detail); }

// Takes the members that an identity has; everything else is passed over. No tree is built: see
// base/json_text.h.
class IdentityReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool null() override { return Other(); }
  bool boolean(bool) override { return Other(); }
  bool number_integer(number_integer_t) override { return Other(); }
  bool number_unsigned(number_unsigned_t value) override {
    Other();
    if (depth_ == 1 && key_ == "format") format = value;
    if (depth_ == 1 && key_ == "page-size") page_size = value;
    return true;
  }
  bool number_float(number_float_t, const string_t&) override { return Other(); }
  bool string(string_t& value) override {
    Other();
    if (depth_ == 1 && key_ == "id") id = value;
    if (depth_ == 1 && key_ == "family") family = value;
    return true;
  }
  bool binary(binary_t&) override { return Other(); }
  bool start_object(size_t) override {
    if (depth_ == 0) is_object = true;
    return Other(), ++depth_, true;
  }
  bool key(string_t& value) override {
    if (depth_ == 1) key_ = value;
    return true;
  }
  bool end_object() override { return --depth_, true; }
  bool start_array(size_t) override { return Other(), ++depth_, true; }
  bool end_array() override { return --depth_, true; }
  bool parse_error(size_t, const std::string&, const nlohmann::json::exception&) override {
    return false;
  }

  bool is_object = false;
  std::optional<uint64_t> format;
  std::optional<uint64_t> page_size;
  std::optional<std::string> id;
  std::optional<std::string> family;

 private:
  // The last member of a name counts.
  bool Other() {
    if (depth_ != 1) return true;
    if (key_ == "format") format.reset();
    if (key_ == "page-size") page_size.reset();
    if (key_ == "id") id.reset();
    if (key_ == "family") family.reset();
    return true;
  }

  int depth_ = 0;
  std::string key_;
};

}  // namespace

std::string LogKey(uint64_t number) { return std::string(kLogFolder) + Hex(number, 16); }

std::string PackKey(uint64_t first, uint64_t last) {
  return std::string(kPackFolder) + Hex(first, 16) + "-" + Hex(last, 16);
}

std::string SnapshotFrameKey(uint64_t number, uint64_t nonce, uint32_t frame) {
  return std::string(kSnapshotFolder) + Hex(number, 16) + "/" + Hex(nonce, 16) + "-" +
         Hex(frame, 8);
}

std::string SnapshotManifestKey(uint64_t number) {
  return std::string(kSnapshotFolder) + Hex(number, 16) + std::string(kManifestName);
}

std::optional<uint64_t> ParseLogKey(std::string_view key) {
  if (!Consume(&key, kLogFolder)) return std::nullopt;
  std::optional<uint64_t> number = ConsumeNumber(&key);
  return key.empty() ? number : std::nullopt;
}

std::optional<std::pair<uint64_t, uint64_t>> ParsePackKey(std::string_view key) {
  if (!Consume(&key, kPackFolder)) return std::nullopt;
  std::optional<uint64_t> first = ConsumeNumber(&key);
  if (!first || !Consume(&key, "-")) return std::nullopt;
  std::optional<uint64_t> last = ConsumeNumber(&key);
  if (!last || *first > *last || !key.empty()) return std::nullopt;
  return std::pair(*first, *last);
}

std::optional<uint64_t> ParseSnapshotManifestKey(std::string_view key) {
  if (!Consume(&key, kSnapshotFolder)) return std::nullopt;
  std::optional<uint64_t> number = ConsumeNumber(&key);
  return key == kManifestName ? number : std::nullopt;
}

std::string FormatDatabaseId(const DatabaseId& id) {
  std::string text;
  for (uint8_t byte : id) text += Hex(byte, 2);
  return text;
}

std::optional<DatabaseId> ParseDatabaseId(std::string_view text) {
  DatabaseId id{};
  for (uint8_t& byte : id) {
    const std::optional<uint64_t> value = ConsumeHex(&text, 2);
    if (!value) return std::nullopt;
    byte = static_cast<uint8_t>(*value);
  }
  if (!text.empty()) return std::nullopt;
  return id;
}

std::string EncodeIdentity(const Identity& identity) {
  JsonText json(-1);
  json.Open('{');
  json.Add("format", kFirstFormatVersion);
  json.Add("id", FormatDatabaseId(identity.id));
  json.Add("page-size", identity.page_size);
  if (identity.family != DatabaseId{}) json.Add("family", FormatDatabaseId(identity.family));
  json.Close('}');
  return json.Take() + "\n";
}

Result<Identity> ParseIdentity(std::string_view text) {
  if (text.size() > kMaxIdentityBytes) return BadIdentity("too long");
  IdentityReader json;
  if (!nlohmann::json::sax_parse(text, &json) || !json.is_object) {
    return BadIdentity("not a JSON object");
  }
  if (!json.format) return BadIdentity("no format");
  BACKSTAY_TRY(CheckVersion(kIdentityKey, *json.format));
  if (!json.id) return BadIdentity("no id");
  if (!json.page_size || *json.page_size > 65536 ||
      !ValidPageSize(static_cast<uint32_t>(*json.page_size))) {
    return BadIdentity("no page size of SQLite's");
  }
  Identity identity;
  identity.page_size = static_cast<uint32_t>(*json.page_size);
  const std::optional<DatabaseId> id = ParseDatabaseId(*json.id);
  if (!id) return BadIdentity("the id is not 32 hex digits");
  identity.id = *id;
  if (!json.family) return identity;
  const std::optional<DatabaseId> family = ParseDatabaseId(*json.family);
  if (!family) return BadIdentity("the family is not 32 hex digits");
  identity.family = *family;
  return identity;
}

std::string EncodeAnnouncement(const Announcement& announcement) {
  return Hex(announcement.writer, 16) + " " + Hex(announcement.process, 16) + "\n";
}

Announcement ParseAnnouncement(std::string_view text) {
  std::optional<uint64_t> writer = ConsumeHex(&text, 16);
  if (!writer || !Consume(&text, " ")) return {};
  std::optional<uint64_t> process = ConsumeHex(&text, 16);
  return process && text == "\n" ? Announcement{*writer, *process} : Announcement{};
}

}  // namespace backstay
