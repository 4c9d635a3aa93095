// Engine, the part that ends databases: those that were closed, replaced or let go. The reaper does
// it, so that no application waits for a thread that does not end: on a file system that hangs.

#include <algorithm>
#include <chrono>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

#include "uploader/base/caught.h"
#include "uploader/engine/engine.h"

namespace backstay {
namespace {

using std::chrono::milliseconds;

// Databases that this process has closed and goes on following: others may write to them.
constexpr size_t kFollowed = 16;
constexpr auto kReapInterval = milliseconds(250);
constexpr auto kIdleInterval = milliseconds(1000);
// In which threads that were asked to end have ended, unless something hangs.
constexpr auto kEndTime = milliseconds(400);
// What an application waits for them, with what it takes to give back the rest.
constexpr auto kPatience = milliseconds(500);
// And where it opens a database anew, whose threads wait for the state folder by themselves.
constexpr auto kWayTime = milliseconds(100);

// Looks often at first. False: it has not come true in that time.
bool Await(const std::function<bool()>& done) {
  const auto deadline = std::chrono::steady_clock::now() + kEndTime;
  for (auto pause = milliseconds(1); !done(); pause *= 2) {
    if (std::chrono::steady_clock::now() + pause > deadline) return false;
    std::this_thread::sleep_for(pause);
  }
  return true;
}

}  // namespace

// Those that may still call it have it until it is closed.
void Engine::SetAsideLocked(std::unique_ptr<Database>* database) {
  retired_.reserve(retired_.size() + 1);
  (*database)->LetGo({Code::kCancelled, "opened anew"});
  retired_.push_back(std::move(*database));
}

// What was let go has the state folder until it is released.
void Engine::MakeWay(const std::string& path, std::unique_lock<std::mutex>* lock) {
  const auto place = databases_.find(path);
  if (place != databases_.end() && place->second != nullptr) {
    place->second->EndIfLost();
    if (!place->second->holds()) SetAsideLocked(&place->second);
  }
  const auto is_free = [&] {
    return std::all_of(retired_.begin(), retired_.end(), [&](auto& database) {
      return database->path() != path || database->holds() || database->released();
    });
  };
  if (is_free() || !reaper_.joinable()) return;
  reap_.notify_all();
  freed_.wait_for(*lock, kWayTime, is_free);
}

bool Engine::GiveBack() {
  const Status why(Code::kUnavailable,
                   "the application ran out of file descriptors or memory, so that Backstay has "
                   "given back its own; this database is replicated again once it is opened, or "
                   "written to, and there is room");
  std::unique_lock<std::mutex> lock(mutex_);
  bool any = false;
  if (drained_) return false;
  for (auto& [path, database] : databases_) {
    if (database == nullptr || !database->holds()) continue;
    database->LetGo(why);
    any = true;
  }
  if (!any) return false;
  if (!reaper_.joinable()) return true;
  reap_.notify_all();
  freed_.wait_for(lock, kPatience, [this] { return !reaping_ && AllReleasedLocked(); });
  return true;
}

void Engine::EndLost(std::unique_lock<std::mutex>* lock) {
  for (auto& [path, owned] : databases_) {
    Database* database = owned.get();
    if (database != nullptr) (void)Caught([&] { return database->EndIfLost(), Status::Ok(); });
  }
  if (AllReleasedLocked() || !reaper_.joinable()) return;
  reap_.notify_all();
  freed_.wait_for(*lock, kPatience, [this] { return !reaping_ && AllReleasedLocked(); });
}

bool Engine::AllReleasedLocked() const {
  return std::all_of(databases_.begin(), databases_.end(), [](auto& entry) {
    return entry.second == nullptr || entry.second->holds() || entry.second->released();
  });
}

void Engine::StartReaperLocked() {
  if (reaper_.joinable() || drained_) return;
  (void)reaper_.Start("backstay-reap", [this] { Reap(); });
}

void Engine::Reap() {
  for (;;) {
    {
      std::unique_lock<std::mutex> lock(mutex_);
      if (!drained_) reap_.wait_for(lock, EndsNothingLocked() ? kIdleInterval : kReapInterval);
      if (drained_) return;
      reaping_ = true;
    }
    (void)Caught([this] { return ReapOnce(), Status::Ok(); });
    std::lock_guard<std::mutex> lock(mutex_);
    reaping_ = false;
    freed_.notify_all();
  }
}

bool Engine::EndsNothingLocked() const {
  return retired_.empty() && ending_.empty() &&
         std::none_of(databases_.begin(), databases_.end(), [](auto& entry) {
           return entry.second == nullptr || entry.second->closed();
         });
}

// Those that were closed before have been followed for long enough.
int64_t Engine::FollowedSinceLocked() const {
  std::vector<int64_t> closed;
  for (const auto& [path, database] : databases_) {
    if (database != nullptr && database->closed()) closed.push_back(database->closed_at_ms());
  }
  if (closed.size() <= kFollowed) return INT64_MIN;
  auto oldest = closed.begin() + kFollowed - 1;
  std::nth_element(closed.begin(), oldest, closed.end(), std::greater<>());
  return *oldest;
}

void Engine::ReapOnce() {
  std::vector<Database*> let_go;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (drained_) return;
    CollectLocked(&let_go);
  }
  // Only this thread destroys them.
  ReleaseLetGo(&let_go);
  EndAll();
  workers_.Sweep();
}

void Engine::CollectLocked(std::vector<Database*>* let_go) {
  ending_.reserve(ending_.size() + retired_.size() + databases_.size());
  for (std::unique_ptr<Database>& database : retired_) {
    if (database->Quiet()) ending_.push_back(std::move(database));
  }
  std::erase(retired_, nullptr);
  const int64_t since = FollowedSinceLocked();
  const auto is_over = [since](Database* database) {
    return database->Over() || (database->closed_at_ms() < since && database->Quiet());
  };
  for (auto it = databases_.begin(); it != databases_.end();) {
    if (it->second != nullptr) it->second->StartThreads();
    if (it->second != nullptr && !is_over(it->second.get())) {
      ++it;
      continue;
    }
    if (it->second != nullptr) ending_.push_back(std::move(it->second));
    it = databases_.erase(it);
  }
  const auto add = [let_go](Database* database) {
    if (database != nullptr && !database->holds() && !database->released()) {
      let_go->push_back(database);
    }
  };
  for (auto& database : retired_) add(database.get());
  for (auto& [path, database] : databases_) add(database.get());
}

void Engine::ReleaseLetGo(std::vector<Database*>* let_go) {
  const auto released = [this] {
    std::lock_guard<std::mutex> lock(mutex_);
    freed_.notify_all();
  };
  // All at once.
  for (Database* database : *let_go) database->LetGo({Code::kCancelled, "let go"});
  (void)Await([&] {
    std::erase_if(*let_go, [&](Database* database) {
      if (!database->ThreadsOver()) return false;
      (void)Caught([&] { return database->Release(released), Status::Ok(); });
      return true;
    });
    return let_go->empty();
  });
}

void Engine::EndAll() {
  for (auto& database : ending_) database->RequestStop();
  (void)Await([this] {
    for (auto& database : ending_) {
      if (database->ThreadsOver()) EndOne(&database);
    }
    std::erase(ending_, nullptr);
    return ending_.empty();
  });
}

// What took its place has waited for the state folder.
void Engine::EndOne(std::unique_ptr<Database>* database) {
  const std::string path = (*database)->path();
  database->reset();
  std::lock_guard<std::mutex> lock(mutex_);
  auto successor = databases_.find(path);
  if (successor != databases_.end() && successor->second != nullptr) successor->second->Poke();
}

// The process ends, and does not wait for what hangs.
void Engine::DropEnding() {
  for (auto& database : ending_) {
    if (!database->ThreadsOver()) static_cast<void>(database.release());
  }
  ending_.clear();
}

}  // namespace backstay
