// Database, the part that ends: for good, or until its host opens it anew.

#include <algorithm>
#include <functional>
#include <mutex>

#include "uploader/base/caught.h"
#include "uploader/engine/database.h"

namespace backstay {

void Database::Retire() {
  closed_ = true;
  retired_ = true;
  for (auto& pipeline : pipelines_) pipeline->Retire();
}

bool Database::holds() const {
  return std::all_of(pipelines_.begin(), pipelines_.end(),
                     [](auto& pipeline) { return pipeline->holds(); });
}

void Database::EndIfLost() {
  for (auto& pipeline : pipelines_) pipeline->EndIfLost();
}

void Database::LetGo(const Status& why) {
  for (auto& pipeline : pipelines_) {
    pipeline->LetGo(why, closed_ ? Level::kWarn : Level::kDebug);
  }
  {
    std::lock_guard<std::mutex> lock(start_mutex_);
    stopping_ = true;
  }
  RequestStop();
}

bool Database::ThreadsOver() const {
  return std::all_of(pipelines_.begin(), pipelines_.end(),
                     [](auto& pipeline) { return pipeline->ThreadsOver(); });
}

void Database::Release(const std::function<void()>& released) {
  End();
  for (auto& pipeline : pipelines_) pipeline->Release();
  host_.LetGo(released);
}

void Database::RequestStop() {
  for (auto& pipeline : pipelines_) pipeline->RequestStop();
}

void Database::Stop() {
  End();
  host_.Release();
}

void Database::End() {
  {
    std::lock_guard<std::mutex> lock(start_mutex_);
    stopping_ = true;
  }
  RequestStop();
  for (auto& pipeline : pipelines_) pipeline->Stop();
  (void)Caught([this] { return WriteStatusFile(), Status::Ok(); });
}

}  // namespace backstay
