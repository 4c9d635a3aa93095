#include "vfs/told_write.h"

namespace backstay {

void ToldWrite::Begin(const BackstayEngine* engine, BackstayDb* db) noexcept {
  told_ = db;
  open_ = true;
  if (db != nullptr) engine->writing(db);
}

bool ToldWrite::End(const BackstayEngine* engine, const PageWrites::Pages& pages,
                    bool committed) noexcept {
  BackstayWrites writes = {};
  writes.committed = committed ? 1 : 0;
  writes.complete = pages.complete ? 1 : 0;
  writes.page_size = pages.page_size;
  writes.count = static_cast<uint32_t>(pages.pgnos.size());
  writes.pgnos = pages.pgnos.data();
  writes.images = pages.images.empty() ? nullptr : pages.images.data();
  writes.old = pages.old.empty() ? nullptr : pages.old.data();
  BackstayDb* db = told_;
  if (db != nullptr) engine->written(db, &writes);
  open_ = false;
  return db != nullptr;
}

}  // namespace backstay
