#include "uploader/engine/host.h"

#include <utility>

namespace backstay {

WalTarget ToTarget(const BackstayWalPosition& p) {
  WalTarget target{p.salt1, p.salt2, p.max_frame, p.pages, p.change, p.exclusive != 0};
  target.held = true;
  return target;
}

int64_t Host::Read(void* out, int64_t n, int64_t offset) {
  std::lock_guard<std::mutex> lock(mutex_);
  return present_ ? host_.read(host_.ctx, out, n, offset) : -1;
}

int64_t Host::Size() {
  std::lock_guard<std::mutex> lock(mutex_);
  return present_ ? host_.size(host_.ctx) : -1;
}

FileLook Host::Look(const std::string& database_path) {
  auto read = [this](void* out, int64_t n, int64_t offset) { return Read(out, n, offset); };
  return LookAt(database_path, read, [this] { return Size(); });
}

std::optional<WalTarget> Host::WalPosition() {
  std::lock_guard<std::mutex> lock(mutex_);
  BackstayWalPosition position{};
  if (!present_ || host_.wal_position(host_.ctx, &position) == 0) return std::nullopt;
  return ToTarget(position);
}

bool Host::InUse() {
  std::lock_guard<std::mutex> lock(mutex_);
  return present_ && !left_ && host_.in_use(host_.ctx) != 0;
}

uint64_t Host::Writing() {
  std::lock_guard<std::mutex> lock(mutex_);
  return present_ ? host_.writing(host_.ctx) : 0;
}

bool Host::Untold() {
  std::lock_guard<std::mutex> lock(mutex_);
  return present_ && host_.untold(host_.ctx) != 0;
}

void Host::Leave() {
  std::lock_guard<std::mutex> lock(mutex_);
  left_ = true;
}

void Host::Replace(const BackstayHost& host) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (present_) host_.release(host_.ctx);
  host_ = host;
  present_ = true;
}

void Host::LetGo(const std::function<void()>& released) {
  BackstayHost host{};
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!std::exchange(present_, false)) return;
    host = host_;
  }
  released();
  host.let_go(host.ctx);
  host.release(host.ctx);
}

bool Host::released() {
  std::lock_guard<std::mutex> lock(mutex_);
  return !present_;
}

void Host::Release() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (present_) host_.release(host_.ctx);
  present_ = false;
}

}  // namespace backstay
