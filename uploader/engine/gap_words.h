// GapWords: what the log says of a gap that a newer snapshot has left behind, once for each, and
// when it passes.
//
// Called by the packer and by retention, on the job thread. Takes no lock. Cannot fail: what the
// state folder does not take is said again by the next process.

#ifndef BACKSTAY_UPLOADER_ENGINE_GAP_WORDS_H_
#define BACKSTAY_UPLOADER_ENGINE_GAP_WORDS_H_

#include <cstdint>

#include "uploader/engine/core.h"
#include "uploader/replica/log_gap.h"

namespace backstay {

void TellGap(Core* core, const LogGap& gap);
// Retention has deleted what lay before this log number.
void TellGapsGone(Core* core, uint64_t below);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_ENGINE_GAP_WORDS_H_
