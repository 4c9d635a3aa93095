// Names of the objects of a replica, relative to its prefix, and backstay.json.
//
// Pure functions, any thread. Parsers return nullopt (keys) or an error (identity) for anything
// else.

#ifndef BACKSTAY_UPLOADER_FORMAT_KEYS_H_
#define BACKSTAY_UPLOADER_FORMAT_KEYS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "uploader/base/status.h"
#include "uploader/format/log_object.h"

namespace backstay {

inline constexpr const char* kIdentityKey = "backstay.json";
inline constexpr const char* kWriterKey = "log/writer";
inline constexpr const char* kRestorableKey = "restorable";
inline constexpr uint64_t kMaxAnnouncementBytes = 64;

std::string LogKey(uint64_t number);                 // log/<16 hex>
std::string PackKey(uint64_t first, uint64_t last);  // pack/<16 hex>-<16 hex>
std::string SnapshotFrameKey(uint64_t number, uint64_t nonce, uint32_t frame);
std::string SnapshotManifestKey(uint64_t number);

std::optional<uint64_t> ParseLogKey(std::string_view key);
std::optional<std::pair<uint64_t, uint64_t>> ParsePackKey(std::string_view key);  // first <= last
// The number, if `key` is a manifest's.
std::optional<uint64_t> ParseSnapshotManifestKey(std::string_view key);

struct Identity {
  DatabaseId id{};
  uint32_t page_size = 0;
  // The same in all replicas of one database; zeros: made before there were families.
  DatabaseId family{};
};
std::string EncodeIdentity(const Identity& identity);
Result<Identity> ParseIdentity(std::string_view text);
std::string FormatDatabaseId(const DatabaseId& id);  // 32 hex digits
std::optional<DatabaseId> ParseDatabaseId(std::string_view text);

// Who was the last to announce himself as the writer of the log (log/writer).
struct Announcement {
  uint64_t writer = 0;   // its writer id
  uint64_t process = 0;  // random
};
std::string EncodeAnnouncement(const Announcement& announcement);
// Of any other text: nobody that can be told.
Announcement ParseAnnouncement(std::string_view text);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_FORMAT_KEYS_H_
