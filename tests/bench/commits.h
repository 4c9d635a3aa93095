// What the shim costs a commit: two processes that commit in turn, one with it and one without.
//
// One thread; forks, so it must be the first thing in its process. Throws std::runtime_error.

#ifndef BACKSTAY_TESTS_BENCH_COMMITS_H_
#define BACKSTAY_TESTS_BENCH_COMMITS_H_

#include <string>

namespace backstay {

// Prints the ratio of the CPU of the committing threads: the median of so many pairs of turns of
// `transactions`, as fast as they go or `rate` a second. `without`: "plain", or "threads" for a
// process with an idle second thread.
void Commit(const std::string& without, int transactions, int pairs, int rate);

}  // namespace backstay

#endif  // BACKSTAY_TESTS_BENCH_COMMITS_H_
