#include "uploader/capture/page_source.h"

#include <cstring>
#include <string>

#include "uploader/base/hash.h"

namespace backstay {

void PageSource::NoteFrame(uint32_t pgno, uint32_t frame) {
  noted_in_ = wal_->Start();
  frames_[pgno / kPartPages][pgno % kPartPages] = frame;
}

void PageSource::ForgetFrames() { frames_.clear(); }

uint32_t PageSource::FrameOf(uint32_t pgno) const {
  auto part = frames_.find(pgno / kPartPages);
  return part != frames_.end() ? part->second[pgno % kPartPages] : 0;
}

Status PageSource::FromFile(uint32_t pgno, PageBuffer out) {
  const auto size = static_cast<int64_t>(out.size());
  int64_t got = file_(out.data(), size, (static_cast<int64_t>(pgno) - 1) * size);
  if (got < 0 || got > size) {
    return {Code::kIo, "page " + std::to_string(pgno) + " cannot be read", true};
  }
  std::memset(out.data() + got, 0, static_cast<size_t>(size - got));
  return Status::Ok();
}

Status PageSource::Current(uint32_t pgno, PageBuffer out) {
  if (out.size() != page_size_) return {Code::kInvalid, "not the size of a page"};
  if (uint32_t frame = FrameOf(pgno); frame != 0 && SameWal()) {
    Result<bool> found = wal_->Image(frame, pgno, out);
    if (!found.ok()) return found.status();
    // A frame that is gone was checkpointed before the WAL began anew.
    if (*found) return Status::Ok();
  }
  return FromFile(pgno, out);
}

bool PageSource::Find(uint32_t pgno, uint64_t hash, PageBuffer out) {
  if (out.size() != page_size_) return false;
  if (uint32_t frame = FrameOf(pgno); frame != 0 && SameWal()) {
    Result<bool> found = wal_->Image(frame, pgno, out);
    if (found.ok() && *found && PageHash(pgno, out) == hash) return true;
  }
  return FromFile(pgno, out).ok() && PageHash(pgno, out) == hash;
}

}  // namespace backstay
