#include "uploader/settings/object_settings.h"

#include <algorithm>
#include <string_view>

#include "uploader/settings/units.h"

namespace backstay {
namespace {

Status Invalid(std::string message) { return {Code::kInvalid, std::move(message)}; }

bool IsLetter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// Of 32 bytes.
bool IsBase64Key(std::string_view text) {
  return text.size() == 44 && text.back() == '=' && text[42] != '=' &&
         std::all_of(text.begin(), text.end() - 1,
                     [](char c) { return IsLetter(c) || c == '+' || c == '/'; });
}

Status CheckStorageClass(const std::string& name) {
  if (name == "GLACIER" || name == "DEEP_ARCHIVE") {
    return Invalid(
        "storage-class " + name +
        " cannot be read at once, as replication and restore do; take one that can, such "
        "as GLACIER_IR or STANDARD_IA");
  }
  const bool good = std::all_of(name.begin(), name.end(),
                                [](char c) { return IsLetter(c) || c == '_' || c == '-'; });
  return good ? Status()
              : Invalid("storage-class " + Quote(name) + " is no name such as STANDARD_IA");
}

Status CheckTags(const std::string& tags) {
  std::string_view rest = tags;
  for (int count = 1; !rest.empty(); ++count) {
    const std::string_view pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), pair.size() + 1));
    const size_t equals = pair.find('=');
    if (equals == 0 || equals == std::string_view::npos || pair.find('%') != pair.npos) {
      return Invalid("tags " + Quote(tags) +
                     " must look like team=data&stage=prod, with nothing "
                     "percent-encoded");
    }
    if (count > 10) return Invalid("tags: an object may have 10");
  }
  return HasControlCharacter(tags) ? Invalid("tags: a control character") : Status();
}

Status CheckEncryption(const std::string& endpoint, const ObjectSettings& objects) {
  const std::string& id = objects.sse_kms_key_id;
  if (!objects.sse.empty() && objects.sse != "AES256" && objects.sse != "aws:kms") {
    return Invalid("sse " + Quote(objects.sse) + " is not a choice; write AES256 or aws:kms");
  }
  if (!id.empty() && objects.sse != "aws:kms") {
    return Invalid("sse-kms-key-id goes with sse aws:kms, not with " + objects.sse);
  }
  if (std::any_of(id.begin(), id.end(), [](char c) { return c <= 0x20 || c > 0x7e; })) {
    return Invalid("sse-kms-key-id holds what no key's id does");
  }
  if (objects.sse_c_key.empty()) return {};
  if (!objects.sse.empty()) {
    return Invalid("sse-c-key and sse exclude each other; keep one of them");
  }
  if (!IsBase64Key(objects.sse_c_key)) {
    return Invalid("sse-c-key must be 32 bytes in Base64, as `openssl rand -base64 32` makes them");
  }
  if (endpoint.starts_with("http://")) {
    return Invalid("sse-c-key is sent with each request, and goes to an https:// endpoint alone; " +
                   Quote(endpoint) + " is none");
  }
  return {};
}

}  // namespace

bool IsEncrypted(const ObjectSettings& objects) {
  return !objects.sse.empty() || !objects.sse_kms_key_id.empty() || !objects.sse_c_key.empty();
}

Status FinishObjects(const std::string& endpoint, ObjectSettings* objects) {
  if (!objects->sse_kms_key_id.empty() && objects->sse.empty()) objects->sse = "aws:kms";
  BACKSTAY_TRY(CheckStorageClass(objects->storage_class));
  BACKSTAY_TRY(CheckEncryption(endpoint, *objects));
  BACKSTAY_TRY(CheckTags(objects->tags));
  if (objects->request_payer.empty() || objects->request_payer == "requester") return {};
  return Invalid("request-payer " + Quote(objects->request_payer) +
                 " is not a choice; write requester, or leave it out");
}

}  // namespace backstay
