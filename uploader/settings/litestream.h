// TranslateLitestream(): a converted litestream.yml, said in Backstay's words.
//
// Called by the reader of the JSON file before it looks at a key; any thread, no state. Works on
// the tree alone. Three kinds of keys: those that have a counterpart move to it (and remember where
// they stood), those that steer what Backstay does not have are taken out and named in one warning,
// those without which data would lie elsewhere or otherwise than the operator thinks are problems.
// A key that Backstay has itself is left alone. Throws std::bad_alloc alone.

#ifndef BACKSTAY_UPLOADER_SETTINGS_LITESTREAM_H_
#define BACKSTAY_UPLOADER_SETTINGS_LITESTREAM_H_

#include <string>
#include <vector>

#include "uploader/settings/json_tree.h"
#include "uploader/settings/problems.h"

namespace backstay {

// `root`: an object. Warnings are whole sentences, with the remedy.
void TranslateLitestream(JsonValue* root, std::vector<std::string>* warnings, Problems* problems);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_SETTINGS_LITESTREAM_H_
