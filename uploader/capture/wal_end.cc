#include "uploader/capture/wal_end.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdint>

namespace backstay {

std::optional<WalHeader> WalHeaderOf(const std::string& database_path) {
  Result<Fd> wal = OpenFile(database_path + "-wal", O_RDONLY);
  if (!wal.ok()) return std::nullopt;
  Result<std::optional<WalHeader>> header = ReadWalHeader(*wal);
  return header.ok() ? *header : std::nullopt;
}

Result<WalTarget> WalEnd::Find() {
  const std::optional<WalHeader> header = WalHeaderOf(database_path_);
  const uint32_t page_size = header ? header->page_size : 0;
  if (page_size != page_size_) {
    reader_.emplace(database_path_ + "-wal", page_size);
    page_size_ = page_size;
    end_ = {};
  }
  WalTarget target;
  target.found = true;
  Result<bool> exists = page_size != 0 ? reader_->Refresh() : false;
  if (!exists.ok()) return exists.status();
  if (std::optional<WalTarget> indexed = Indexed(*exists)) return *indexed;
  if (!*exists) {
    end_ = {};
    return target;
  }
  Result<bool> there = reader_->Seek(end_);
  if (!there.ok()) return there.status();
  if (!*there) {
    end_ = reader_->Start();
    pages_ = 0;
    BACKSTAY_TRY(reader_->Seek(end_).status());
  }
  BACKSTAY_TRY(ReadOn());
  target.salt1 = end_.salt1;
  target.salt2 = end_.salt2;
  target.max_frame = end_.frame;
  target.pages = pages_;
  return target;
}

// What the wal-index says, if it is that of this WAL: one whose WAL has just been deleted is not.
std::optional<WalTarget> WalEnd::Indexed(bool has_header) const {
  if (access((database_path_ + "-wal").c_str(), F_OK) != 0) return std::nullopt;
  std::optional<WalTarget> index = index_.Read();
  if (!index) return std::nullopt;
  const WalMark start = has_header ? reader_->Start() : WalMark{};
  const bool same = has_header && index->salt1 == start.salt1 && index->salt2 == start.salt2;
  // Without a frame: the WAL was truncated, or begins anew and its old header is still there.
  const bool next = index->max_frame == 0 && (!has_header || index->salt1 == start.salt1 + 1);
  return same || next ? index : std::nullopt;
}

Status WalEnd::ReadOn() {
  constexpr size_t kFramesAtOnce = 64;
  for (;;) {
    Status read = reader_->Read(kFramesAtOnce, UINT32_MAX, &frames_);
    for (const WalFrame& frame : frames_) {
      if (frame.commit_pages != 0) pages_ = frame.commit_pages;
    }
    end_ = reader_->last_commit();
    if (read.code() == Code::kNotFound) return Status::Ok();
    BACKSTAY_TRY(read);
  }
}

}  // namespace backstay
