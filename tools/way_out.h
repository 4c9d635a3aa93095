// WayOut: what leads on from a damaged replica: commands, ready to be run, where `restore` has
// found the damage, and a sentence for the commands that only tell of it.
//
// Main thread; reads the replica. Empty where that does not answer, or where backstay.json cannot
// be read, whose error names its own remedy.

#ifndef BACKSTAY_TOOLS_WAY_OUT_H_
#define BACKSTAY_TOOLS_WAY_OUT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "tools/restore_request.h"
#include "uploader/replica/reader.h"

namespace backstay {

std::string DamageRemedy(const ReplicaReader& reader);
// Prints it as a line of `command`.
void TellRemedy(const std::string& command, const ReplicaReader& reader);
// Lines to print; those of a replica from which something can be restored end with a command.
// `avoid`: snapshots that the restore has found to be damaged.
std::vector<std::string> WayOut(const ReplicaReader& reader, const RestoreRequest& request,
                                const std::vector<uint64_t>& avoid);

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_WAY_OUT_H_
