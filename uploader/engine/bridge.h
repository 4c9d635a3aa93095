// Between the trail, which neighbours leave in the state folder, and what the engine makes of a
// transaction.
//
// Plain functions on values; any thread.

#ifndef BACKSTAY_UPLOADER_ENGINE_BRIDGE_H_
#define BACKSTAY_UPLOADER_ENGINE_BRIDGE_H_

#include <cstdint>
#include <vector>

#include "uploader/capture/capture.h"
#include "uploader/capture/file_look.h"
#include "uploader/capture/transaction.h"
#include "uploader/state/trail.h"

namespace backstay {

TrailPlace PlaceOf(const FileLook& look);
TrailPlace PlaceOf(const FileStamp& stamp);
TrailPlace PlaceOf(const WalTarget& end);
// Without images: the pages are to be read again. `time_ms`: when this was found.
std::vector<TransactionPtr> TransactionsOf(const std::vector<TrailStep>& steps, int64_t time_ms);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_ENGINE_BRIDGE_H_
