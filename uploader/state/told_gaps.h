// Which gaps of a replica's log somebody has been told of: the file `gaps` of the state folder, so
// that the next process does not say them again.
//
// Called by engine/ (job thread). Without the file nothing was told; one that cannot be written is
// no error, the gap is told again then.

#ifndef BACKSTAY_UPLOADER_STATE_TOLD_GAPS_H_
#define BACKSTAY_UPLOADER_STATE_TOLD_GAPS_H_

#include <cstdint>
#include <string>

namespace backstay {

// False: it was told before. `number`: of the first object that is missing.
bool NoteGap(const std::string& folder, uint64_t number);
// Those below this number are gone with what lay around them. False: there was none.
bool ForgetGaps(const std::string& folder, uint64_t below);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STATE_TOLD_GAPS_H_
