#include "uploader/engine/life.h"

#include <algorithm>

namespace backstay {

void Life::On(const Event& event) {
  std::visit([this](const auto& what) { Apply(what); }, event);
}

// Who has read the state folder has its lock, and keeps it.
void Life::Apply(const Follows&) {
  if (stage_ == Stage::kStarts) stage_ = Stage::kFollows;
}

void Life::Apply(const Leads&) {
  if (stage_ == Stage::kFollows) stage_ = Stage::kStarts;
}

// What is unknown stays so until it is compared, also where everything is read again.
void Life::Close() {
  if (stage_ == Stage::kOpen) stage_ = Stage::kStarts;
}

void Life::Apply(const Freed&) {
  Close();
  ++generation_;
}

void Life::Apply(const Lacks& lacks) { need_ = std::max(need_, lacks.need); }

// The first reason is the one that counts, and one that came to an end in good order has none.
void Life::Apply(const GivesUp& event) {
  if (!over()) why_ = event.why;
}

void Life::Apply(const LetsGo& event) {
  let_go_ = true;
  if (!over()) why_ = event.why;
}

void Life::Apply(const Failed&) {
  if (wish_ == Wish::kLeave) wish_ = Wish::kFailed;
}

// Asked again, it is tried again.
void Life::Apply(const Leaves&) {
  if (!stops()) wish_ = Wish::kLeave;
}

}  // namespace backstay
