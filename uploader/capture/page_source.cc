#include "uploader/capture/page_source.h"

#include <cstring>
#include <string>

#include "uploader/base/hash.h"

namespace backstay {

void PageSource::NoteFrame(uint32_t pgno, uint32_t frame) {
  if (pgno > frames_.size()) frames_.resize(pgno, 0);
  if (frames_[pgno - 1] == 0) noted_.push_back(pgno);
  noted_in_ = wal_->Start();
  frames_[pgno - 1] = frame;
}

void PageSource::ForgetFrames() {
  for (uint32_t pgno : noted_) frames_[pgno - 1] = 0;
  noted_.clear();
}

Status PageSource::FromFile(uint32_t pgno, uint8_t* out) {
  int64_t got = file_(out, page_size_, static_cast<int64_t>(pgno - 1) * page_size_);
  if (got < 0) return {Code::kIo, "page " + std::to_string(pgno) + " cannot be read", true};
  std::memset(out + got, 0, page_size_ - static_cast<size_t>(got));
  return Status::Ok();
}

Status PageSource::Current(uint32_t pgno, uint8_t* out) {
  if (uint32_t frame = FrameOf(pgno); frame != 0 && SameWal()) {
    Result<bool> found = wal_->Image(frame, pgno, out);
    if (!found.ok()) return found.status();
    // A frame that is gone was checkpointed before the WAL began anew.
    if (*found) return Status::Ok();
  }
  return FromFile(pgno, out);
}

bool PageSource::Find(uint32_t pgno, uint64_t hash, uint8_t* out) {
  const size_t n = page_size_;
  if (uint32_t frame = FrameOf(pgno); frame != 0 && SameWal()) {
    Result<bool> found = wal_->Image(frame, pgno, out);
    if (found.ok() && *found && PageHash(pgno, {out, n}) == hash) return true;
  }
  return FromFile(pgno, out).ok() && PageHash(pgno, {out, n}) == hash;
}

}  // namespace backstay
