#include "uploader/format/keys.h"

#include <nlohmann/json.hpp>

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

std::string EncodeIdentity(const Identity& identity) {
  nlohmann::ordered_json json;
  json["format"] = kFormatVersion;
  json["id"] = FormatDatabaseId(identity.id);
  json["page-size"] = identity.page_size;
  return json.dump() + "\n";
}

Result<Identity> ParseIdentity(std::string_view text) {
  if (text.size() > kMaxIdentityBytes) return BadIdentity("too long");
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return BadIdentity("not a JSON object");
  auto format = json.find("format");
  if (format == json.end() || !format->is_number_unsigned()) return BadIdentity("no format");
  BACKSTAY_TRY(CheckVersion(kIdentityKey, format->get<uint64_t>()));
  auto id = json.find("id");
  auto page_size = json.find("page-size");
  if (id == json.end() || !id->is_string()) return BadIdentity("no id");
  if (page_size == json.end() || !page_size->is_number_unsigned() ||
      page_size->get<uint64_t>() > 65536 || !ValidPageSize(page_size->get<uint32_t>())) {
    return BadIdentity("no page size of SQLite's");
  }
  Identity identity;
  identity.page_size = page_size->get<uint32_t>();
  std::string_view digits = id->get_ref<const std::string&>();
  for (uint8_t& byte : identity.id) {
    std::optional<uint64_t> value = ConsumeHex(&digits, 2);
    if (!value) return BadIdentity("the id is not 32 hex digits");
    byte = static_cast<uint8_t>(*value);
  }
  if (!digits.empty()) return BadIdentity("the id is not 32 hex digits");
  return identity;
}

}  // namespace backstay
