// SoundState: the last state that a replica with a damaged log can still give.
//
// Called by the tool, one thread; requests overlap inside. Unlike a plan it reads the log's objects
// themselves, from the newest usable snapshot on, since a pack does not show by its index that a
// body is damaged. Fails as PlanRestore does, kNotFound when no state is left.

#ifndef BACKSTAY_UPLOADER_REPLICA_SOUND_STATE_H_
#define BACKSTAY_UPLOADER_REPLICA_SOUND_STATE_H_

#include <cstdint>
#include <vector>

#include "uploader/replica/reader.h"
#include "uploader/replica/restore_plan.h"

namespace backstay {

// `avoid`: snapshots (by next log number) that have proven to be damaged; their frames are not
// read.
Result<RestorePoint> LastSoundState(const ReplicaReader& reader,
                                    const std::vector<uint64_t>& avoid);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_REPLICA_SOUND_STATE_H_
