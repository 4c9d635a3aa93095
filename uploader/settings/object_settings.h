// How the objects of an s3 replica are stored: the keys of ObjectSettings, what they may say, and
// where they come from when the replica does not say.
//
// Pure, any thread; called by the parsers of this folder. kInvalid names the key and the remedy,
// never the value of the secret one.

#ifndef BACKSTAY_UPLOADER_SETTINGS_OBJECT_SETTINGS_H_
#define BACKSTAY_UPLOADER_SETTINGS_OBJECT_SETTINGS_H_

#include <string>

#include "uploader/base/status.h"
#include "uploader/settings/settings.h"

namespace backstay {

struct ObjectKey {
  const char* key;
  std::string ObjectSettings::*member;
  bool
      encrypts;  // these go together: a replica that says one of them takes no other from elsewhere
};
inline constexpr ObjectKey kObjectKeys[] = {
    {"storage-class", &ObjectSettings::storage_class, false},
    {"sse", &ObjectSettings::sse, true},
    {"sse-kms-key-id", &ObjectSettings::sse_kms_key_id, true},
    {"sse-c-key", &ObjectSettings::sse_c_key, true},
    {"tags", &ObjectSettings::tags, false},
    {"request-payer", &ObjectSettings::request_payer, false},
};

bool IsEncrypted(const ObjectSettings& objects);
// Adds what follows from what is said, and checks that against the endpoint, too.
Status FinishObjects(const std::string& endpoint, ObjectSettings* objects);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_SETTINGS_OBJECT_SETTINGS_H_
