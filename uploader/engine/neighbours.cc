#include "uploader/engine/neighbours.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "uploader/base/caught.h"

namespace backstay {
namespace {

// What waits looks this often whether this process is to ship by now, ms.
constexpr int64_t kSliceMs = 200;
// A commit that begins the WAL anew waits for a neighbour no longer than this, ms: reading a WAL
// takes less, and a neighbour that does not answer only costs a comparison.
constexpr int64_t kMaxReadMs = 500;
// So often a wait looks whether there is another one in the place of one that has left, ms.
constexpr int64_t kHeirMs = 5;
// That the one that ships has no page is told after this time, ms.
constexpr int64_t kMissingMs = 1000;
// So often, and with such pauses, a process that starts looks for the page of the one that ships,
// which may just have got the lock.
constexpr int kJoinTries = 20;
constexpr auto kJoinPause = std::chrono::milliseconds(5);

// Names a commit; never 0.
uint64_t NameOf(const WalTarget& target) { return uint64_t{target.salt1} << 32 | target.max_frame; }

}  // namespace

Neighbours::PagePtr Neighbours::Page() {
  std::lock_guard<std::mutex> lock(mutex_);
  return page_;
}

void Neighbours::Committed(const WalTarget& target) {
  options_.board->Committed(target);
  ++commits_;
  PagePtr page = Page();
  if (page == nullptr) return;
  role_ == Role::kFollows ? page->Note(NameOf(target)) : page->Know(NameOf(target));
}

void Neighbours::Changed() {
  ++commits_;
  PagePtr page = Page();
  if (page != nullptr && role_ == Role::kFollows) page->Note(0);
}

// Waits until the lock was tried.
Neighbours::Role Neighbours::RoleBy(int64_t deadline_ms) {
  std::unique_lock<std::mutex> lock(mutex_);
  auto left =
      std::chrono::milliseconds(std::max<int64_t>(0, deadline_ms - options_.clock->MonotonicMs()));
  changed_.wait_for(lock, left, [this] { return stop_ || role_ != Role::kUnknown; });
  return role_;
}

bool Neighbours::Sync(int64_t timeout_ms, bool impatient) {
  const uint64_t commits = commits_;
  const bool done = SyncByRole(timeout_ms, impatient);
  if (done) settled_ = commits;
  return done;
}

bool Neighbours::SyncByRole(int64_t timeout_ms, bool impatient) {
  int64_t now = options_.clock->MonotonicMs();
  const int64_t deadline = now + timeout_ms;
  Question question;
  if (role_ == Role::kUnknown) options_.board->Poke();  // there may be something to look at by now
  for (;;) {
    const Role role = RoleBy(deadline);
    now = options_.clock->MonotonicMs();
    const int64_t left = std::max<int64_t>(0, deadline - now);
    if (role != Role::kFollows) return options_.board->Sync(left, impatient);
    const bool gave_up = question.page != nullptr && SharedPage::GaveUp(question.ticket.holder);
    TryLock(/*at_once=*/gave_up);
    if (gave_up || stop_) return false;
    if (AskAround(&question, std::min(left, kSliceMs))) return true;
    if (left == 0) return false;
  }
}

// The one that shipped may be gone.
void Neighbours::TryLock(bool at_once) {
  const int64_t now = options_.clock->MonotonicMs();
  if (!at_once && now < tried_ms_ + kSliceMs) return;
  tried_ms_ = now;
  options_.board->Poke();
}

bool Neighbours::Orphaned() {
  PagePtr page = Page();
  return role_ == Role::kFollows && (page == nullptr || page->holder() == 0);
}

// Without a page it may go on shipping, and only cannot be asked.
bool Neighbours::HasLeft() {
  PagePtr page = Page();
  return role_ == Role::kFollows && page != nullptr && page->holder() == 0;
}

// Asks, if need be anew, and waits for the answer, at most `ms`.
bool Neighbours::AskAround(Question* question, int64_t ms) {
  PagePtr page = Page();
  if (page == nullptr) return Pause(ms, page);
  if (question->page != page || question->ticket.holder != page->holder()) {
    Ask(page, question);
    std::lock_guard<std::mutex> lock(mutex_);
    last_ = *question;
  }
  const uint64_t holder = question->ticket.holder;
  if (SharedPage::GaveUp(holder)) return false;
  if (Foreign(holder)) return Pause(ms, page);
  if (page->Wait(SharedPage::kSync, question->ticket, ms)) return true;
  if (page->holder() == 0) TryLock(/*at_once=*/true);
  return false;
}

void Neighbours::Ask(const PagePtr& page, Question* question) const {
  const uint64_t commits = commits_;
  *question = {page, page->Ask(SharedPage::kSync), commits};
}

bool Neighbours::Foreign(uint64_t holder) const {
  return holder == 0 || SharedPage::GaveUp(holder) ||
         SharedPage::ReplicaOf(holder) != options_.replica;
}

// False, after `ms` or when the role or the page changes.
bool Neighbours::Pause(int64_t ms, const PagePtr& page) {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait_for(lock, std::chrono::milliseconds(std::max<int64_t>(0, ms)),
                    [&] { return stop_ || role_ != Role::kFollows || page_ != page; });
  return false;
}

// The one that shipped has left: waits until this process has its place, or knows who has.
void Neighbours::AwaitHeir(int64_t deadline_ms) {
  while (!stop_ && HasLeft()) {
    const int64_t left = deadline_ms - options_.clock->MonotonicMs();
    if (left <= 0) return;
    TryLock(/*at_once=*/true);
    (void)Pause(std::min(left, kHeirMs), Page());
  }
}

bool Neighbours::Finish(int64_t timeout_ms, bool commit_waits) {
  const int64_t start = options_.clock->MonotonicMs();
  // Who has to read it shows once the lock was tried. While nothing says where the database stands
  // (a last close after reading only) nobody has to, and that is answered, too.
  if (role_ == Role::kUnknown) {
    (void)options_.board->Finish(std::min(timeout_ms, kMaxReadMs), commit_waits);
  }
  if (role_ == Role::kFollows) AwaitHeir(start + std::min(timeout_ms, kMaxReadMs));
  timeout_ms = std::max<int64_t>(0, start + timeout_ms - options_.clock->MonotonicMs());
  PagePtr page = Page();
  if (role_ != Role::kFollows || page == nullptr) {
    return options_.board->Finish(timeout_ms, commit_waits);
  }
  SharedPage::Ticket ticket{page->holder(), unread_};
  // Whoever does not answer is not waited for again before it has.
  if (ticket.number != 0 && !page->Answered(SharedPage::kRead, ticket)) return false;
  unread_ = 0;
  ticket = page->Ask(SharedPage::kRead);
  const int64_t deadline = options_.clock->MonotonicMs() + std::min(timeout_ms, kMaxReadMs);
  while (!stop_) {
    const int64_t left = deadline - options_.clock->MonotonicMs();
    if (page->Wait(SharedPage::kRead, ticket, std::min(left, kSliceMs))) return true;
    // Its heir may be this process.
    if (page->holder() == 0 && left > 0) return Finish(left, commit_waits);
    if (page->holder() != ticket.holder) return false;
    if (left > 0) continue;
    if (timeout_ms >= kMaxReadMs) unread_ = ticket.number;
    break;
  }
  return false;
}

bool Neighbours::AllShipped() {
  const Role role = role_;
  if (role != Role::kFollows) return options_.board->AllShipped();
  PagePtr page = Page();
  std::lock_guard<std::mutex> lock(mutex_);
  if (page == nullptr) return false;
  if (last_.page == page && last_.ticket.holder == page->holder()) {
    return page->Answered(SharedPage::kSync, last_.ticket) && !Foreign(last_.ticket.holder);
  }
  Ask(page, &last_);
  return false;
}

bool Neighbours::Settled() {
  const uint64_t commits = commits_;
  if (commits == settled_) return true;
  PagePtr page = Page();
  if (page == nullptr) return false;
  std::lock_guard<std::mutex> lock(mutex_);
  const bool asked = last_.page == page && last_.ticket.holder == page->holder();
  if (!asked || last_.commits < commits) {
    Ask(page, &last_);
    return false;
  }
  const bool over =
      !Foreign(last_.ticket.holder) && page->Answered(SharedPage::kSync, last_.ticket);
  if (over) settled_ = last_.commits;
  return over;
}

bool Neighbours::gave_up() {
  PagePtr page = Page();
  return page != nullptr && SharedPage::GaveUp(page->holder());
}

bool Neighbours::ShipsOther() {
  PagePtr page = Page();
  const uint64_t holder = page != nullptr ? page->holder() : 0;
  return role_ == Role::kFollows && holder != 0 && Foreign(holder);
}

std::string Neighbours::Problem() {
  PagePtr page = Page();
  const uint64_t holder = page != nullptr ? page->holder() : 0;
  std::string problem = "another process ships this database";
  if (holder == 0) return problem + " and cannot be asked";
  if (SharedPage::GaveUp(holder)) return problem + " and has stopped doing so: see its log";
  return problem + (Foreign(holder) ? ", to another replica or from another file"
                                    : " and has not answered in time");
}

Neighbours::PagePtr Neighbours::OpenPage(bool holder) {
  Result<PagePtr> opened = SharedPage::Open(options_.folder, holder);
  if (opened.ok()) {
    if (!std::exchange(failure_, "").empty()) {
      options_.recovered(
          "processes that use the database together tell each other what they commit");
    }
    missing_since_ms_ = 0;
    return *opened;
  }
  // Its maker may be about to make it, or have gone.
  const bool gone = opened.status().code() == Code::kNotFound;
  const int64_t now = options_.clock->MonotonicMs();
  if (gone && missing_since_ms_ == 0) missing_since_ms_ = now;
  if (gone && now < missing_since_ms_ + kMissingMs) return nullptr;
  if (failure_ != opened.status().message()) {
    failure_ = opened.status().message();
    options_.log(Level::kWarn,
                 "processes that use the database together cannot tell each other what they "
                 "commit: " +
                     failure_);
  }
  return nullptr;
}

void Neighbours::Become(Role role, PagePtr page) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (page != page_) unread_ = 0;
  page_ = std::move(page);
  role_ = role;
  changed_.notify_all();
}

void Neighbours::Alone() { Become(Role::kAlone, nullptr); }

void Neighbours::Follow() {
  PagePtr page = Page();
  if (page == nullptr || !page->IsIn(options_.folder)) {
    // That the one that shipped has left is known from its page, until an heir has had the time to
    // make another.
    const PagePtr left = HasLeft() ? page : nullptr;
    page = OpenPage(/*holder=*/false);
    for (int i = 0; page == nullptr && role_ == Role::kUnknown && i < kJoinTries && !stop_; ++i) {
      std::this_thread::sleep_for(kJoinPause);
      page = OpenPage(/*holder=*/false);
    }
    // What was committed before.
    if (page != nullptr) page->Note(0);
    if (page == nullptr && failure_.empty()) page = left;
  }
  Become(Role::kFollows, std::move(page));
}

void Neighbours::Lead() {
  if (role_ == Role::kLeads) return;
  PagePtr page = MakePage();
  // What was waited for in vain is shipped once a pass from now on is.
  options_.board->SyncFor(0, 0, 0);
  Become(Role::kLeads, std::move(page));
  Attend();
}

// A page of this process, whose neighbours ask anew.
Neighbours::PagePtr Neighbours::MakePage() {
  PagePtr page = OpenPage(/*holder=*/true);
  if (page == nullptr) return page;
  for (auto lane : {SharedPage::kSync, SharedPage::kRead}) heard_[lane] = 0;
  page->Take(options_.replica);
  options_.board->Serve([page](const NoteBoard::Answers& answers) {
    page->Answer(SharedPage::kSync, answers.sync);
    page->Answer(SharedPage::kRead, answers.finish);
    if (!answers.active) page->GiveUp();
  });
  return page;
}

// Makes the page anew where its name is gone from the folder: new neighbours would not find it, and
// those that know it look for another.
void Neighbours::RenewPage() {
  PagePtr page = Page();
  if (page != nullptr && page->IsIn(options_.folder)) return;
  Become(Role::kLeads, nullptr);
  if (page != nullptr) page->Ring();
  listener_.Join();
  Become(Role::kLeads, MakePage());
}

void Neighbours::Attend() {
  if (role_ != Role::kLeads) return;
  RenewPage();
  PagePtr page = Page();
  if (listener_.joinable() || page == nullptr) return;
  const bool started = listener_.Start("backstay-near", [this, page] { Listen(page); });
  if (started == attended_) return;
  attended_ = started;
  started ? options_.recovered("other processes are answered again")
          : options_.log(Level::kWarn, "no thread can be started that answers other processes");
}

// It wakes for other reasons, too, once a second at least: who only looks has committed nothing.
void Neighbours::Listen(const PagePtr& page) {
  for (uint32_t heard = 0;;) {
    const uint32_t bell = page->bell();
    if (stop_ || page != Page()) return;
    if (bell != std::exchange(heard, bell)) Heed(page.get());
    page->Sleep(bell);
  }
}

void Neighbours::Heed(SharedPage* page) {
  NoteBoard* board = options_.board;
  const uint64_t sync = page->asked(SharedPage::kSync);
  const uint64_t read = page->asked(SharedPage::kRead);
  if (read != heard_[SharedPage::kRead]) board->FinishFor(read);
  if (sync != heard_[SharedPage::kSync]) {
    board->SyncFor(sync, sync - heard_[SharedPage::kSync], options_.patience_ms);
  }
  if (sync == heard_[SharedPage::kSync] && read == heard_[SharedPage::kRead]) board->Nudge();
  heard_[SharedPage::kRead] = read;
  heard_[SharedPage::kSync] = sync;
}

void Neighbours::RequestStop() {
  PagePtr page;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
    page = page_;
    changed_.notify_all();
  }
  if (page != nullptr) page->Ring();
}

void Neighbours::Stop(bool holds) {
  RequestStop();
  listener_.Join();
  options_.board->Serve(nullptr);
  PagePtr page = Page();
  // While the lock is held nobody else has put one there.
  if (!holds || page == nullptr || role_ != Role::kLeads) return;
  // Without memory the name stays, and the next holder takes it.
  (void)Caught([&] { return page->Leave(options_.folder), Status::Ok(); });
}

}  // namespace backstay
