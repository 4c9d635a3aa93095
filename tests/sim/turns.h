// Turns: of the simulated processes that live at once one runs; the others sleep in the kernel,
// with the locks and descriptors that they have.
//
// The slots are in the memory of the world. Join() in a process just forked; from then on it runs
// only between two calls of Yield(), until it dies, whereupon its parent, which has seen it end and
// its locks go with it, gives the turn to another. What fails ends the process.

#ifndef BACKSTAY_TESTS_SIM_TURNS_H_
#define BACKSTAY_TESTS_SIM_TURNS_H_

#include <cstddef>
#include <cstdint>

#include "tests/sim/world.h"

namespace backstay::sim {

// In a process just forked: this is its slot. Returns when it has its turn.
void Join(size_t slot);
// Another one may go on, this one from that time on (ns of the world).
void Yield(Random* random, int64_t until_ns);
bool OthersLive();

// The parent. False: none lives.
bool GiveTurn(Random* random);

// Of this process: SQL begins or ends.
void CountStatement();
// What the others have begun and ended. Odd in `inside`: one of them is in the middle.
struct Statements {
  uint64_t count = 0;
  bool inside = false;
};
Statements OfOthers();

// What sleeps on a word of memory that processes share is woken in all of them. A number that means
// the same in each; null: the word is this process's alone.
const void* NameOfShared(const void* word);
void WakeEverywhere(const void* name);

}  // namespace backstay::sim

#endif  // BACKSTAY_TESTS_SIM_TURNS_H_
