// Power: which part of the files is on the disk, and what a power cut leaves of the rest.
//
// In a world with power cuts a process says, at the points of libc_files.cc, what it has flushed,
// removed and renamed; the simulation cuts the power between the lives, when all have died. All of
// it is kept in a folder beside the database. What fails ends the simulation.
//
// A block that was written since the file was last flushed is there, or what was there before, or
// part of it; sizes likewise. Names are lost from the last ones back, as far as nothing was flushed
// behind them: a journaling file system keeps their order. Times and attributes are kept.

#ifndef BACKSTAY_TESTS_SIM_POWER_H_
#define BACKSTAY_TESTS_SIM_POWER_H_

#include <string>

#include "tests/sim/world.h"

namespace backstay::sim {

// The simulation. From here on what lies in the folder is on the disk.
void KeepDisk(const std::string& folder);
// The processes are dead, and the power was cut when the last of them died.
void CutPower(const std::string& folder, Random* random);

// A simulated process, behind the call.
void Flushed(int fd);
// Before the call: the name is about to be another file's (`from` takes its place), or nobody's.
void Removes(int folder, const char* path);
void Renames(int from_folder, const char* from, int to_folder, const char* to);

}  // namespace backstay::sim

#endif  // BACKSTAY_TESTS_SIM_POWER_H_
