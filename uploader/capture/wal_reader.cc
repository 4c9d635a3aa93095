#include "uploader/capture/wal_reader.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>

namespace backstay {
namespace {

// Format of the header and the frames: sqlite.org/fileformat2.html, 4.1.
constexpr uint32_t kMagic = 0x377f0682;  // the lowest bit: big-endian checksums
constexpr int64_t kHeaderBytes = 32;
constexpr int64_t kFrameHeaderBytes = 24;

struct Checksum {
  uint32_t s1 = 0;
  uint32_t s2 = 0;
};

// Each sum is ready for the other one addition after it: twice as fast as the order in which the
// format is usually written down.
template <bool kBigEndian>
Checksum Add(Checksum c, const uint8_t* data, size_t n) {
  uint32_t s1 = c.s1;
  uint32_t s2 = c.s2;
  for (size_t i = 0; i < n; i += 8) {
    uint32_t a = LoadLe32(data + i);
    uint32_t b = LoadLe32(data + i + 4);
    s1 = (s1 + (kBigEndian ? __builtin_bswap32(a) : a)) + s2;
    s2 = (s2 + (kBigEndian ? __builtin_bswap32(b) : b)) + s1;
  }
  return {s1, s2};
}

Checksum Sum(bool big_endian, Checksum seed, const uint8_t* data, size_t n) {
  return big_endian ? Add<true>(seed, data, n) : Add<false>(seed, data, n);
}

// SQLite's frame header while its checksum is still to be computed.
bool HeadIsBare(const uint8_t* head) {
  return LoadBe32(head) != 0 &&
         std::all_of(head + 8, head + kFrameHeaderBytes, [](uint8_t byte) { return byte == 0; });
}

}  // namespace

Result<std::optional<WalHeader>> ReadWalHeader(const Fd& wal) {
  uint8_t head[kHeaderBytes];
  Result<size_t> got = ReadAt(wal, head, sizeof head, 0);
  if (!got.ok()) return got.status();
  const std::optional<WalHeader> none;
  uint32_t magic = LoadBe32(head);
  if (*got != sizeof head || (magic & ~1U) != kMagic) return none;
  bool big_endian = (magic & 1U) != 0;
  Checksum c = Sum(big_endian, {}, head, 24);
  if (c.s1 != LoadBe32(head + 24) || c.s2 != LoadBe32(head + 28)) return none;
  WalHeader header;
  header.page_size = LoadBe32(head + 8);
  header.big_endian_checksums = big_endian;
  header.start = {LoadBe32(head + 16), LoadBe32(head + 20), 0, c.s1, c.s2};
  return IsPageSize(header.page_size) ? std::optional(header) : none;
}

Result<bool> WalReader::Refresh(bool unnamed) {
  struct stat info {};
  if (stat(path_.c_str(), &info) != 0) {
    inode_ = 0;
    if (!unnamed || fd_ == nullptr || fstat(fd_->get(), &info) != 0) return false;
  } else if (fd_ == nullptr || !fd_->valid() || inode_ != info.st_ino) {
    Result<Fd> fd = OpenFile(path_, O_RDONLY);
    if (!fd.ok()) return fd.status();
    fd_ = std::make_shared<Fd>(std::move(*fd));
    inode_ = info.st_ino;
  }
  Result<std::optional<WalHeader>> header = ReadWalHeader(*fd_);
  if (!header.ok()) return header.status().Wrap(path_);
  if (!*header) return false;
  if ((*header)->page_size != page_size_) {
    fd_ = nullptr;
    // Retryable: the host may be about to replace this WAL, or the database that it belongs to.
    return Status(Code::kForeign,
                  path_ + " has pages of " + std::to_string((*header)->page_size) +
                      " bytes, the database has pages of " + std::to_string(page_size_),
                  true);
  }
  big_endian_checksums_ = (*header)->big_endian_checksums;
  start_ = (*header)->start;
  int64_t frames = std::max<int64_t>(0, info.st_size - kHeaderBytes) / FrameBytes();
  frames_ = static_cast<uint32_t>(std::min<int64_t>(frames, UINT32_MAX));
  return true;
}

int64_t WalReader::Offset(uint32_t frame) const {
  return kHeaderBytes + (static_cast<int64_t>(frame) - 1) * FrameBytes();
}

int64_t WalReader::FrameBytes() const { return kFrameHeaderBytes + page_size_; }

// SQLite writes no page 0, and ends a WAL where it finds one. A bare one belongs if Unchanged().
bool WalReader::HeadBelongs(const uint8_t* head) const {
  if (HeadIsBare(head)) return true;
  return LoadBe32(head) != 0 && LoadBe32(head + 8) == start_.salt1 &&
         LoadBe32(head + 12) == start_.salt2;
}

// A WAL that begins anew gets its header before any of its frames: with the old one still there
// what was read before is what was committed.
Status WalReader::Unchanged() const {
  Result<std::optional<WalHeader>> header = ReadWalHeader(*fd_);
  if (!header.ok()) return header.status().Wrap(path_);
  if (*header && (*header)->start.SameWal(start_)) return Status::Ok();
  return {Code::kNotFound, path_ + " has begun anew"};
}

// Goes from `mark` to the place behind this frame, which follows it. The checksum of a frame behind
// a bare one starts from a value that is nowhere in the file.
bool WalReader::ChainHolds(const uint8_t* frame, WalMark* mark) const {
  Checksum c{LoadBe32(frame + 16), LoadBe32(frame + 20)};
  if (!HeadIsBare(frame) && !mark->bare()) {
    Checksum sum = Sum(big_endian_checksums_, {mark->checksum1, mark->checksum2}, frame, 8);
    sum = Sum(big_endian_checksums_, sum, frame + kFrameHeaderBytes, page_size_);
    if (sum.s1 != c.s1 || sum.s2 != c.s2) return false;
  }
  *mark = {mark->salt1, mark->salt2, mark->frame + 1, c.s1, c.s2};
  return true;
}

Result<bool> WalReader::Seek(const WalMark& mark) {
  if (fd_ == nullptr || !mark.SameWal(start_)) return false;
  if (mark.frame == 0) {
    mark_ = start_;
    last_commit_ = mark_;
    return true;
  }
  uint8_t head[kFrameHeaderBytes];
  Result<size_t> got = ReadAt(*fd_, head, sizeof head, Offset(mark.frame));
  if (!got.ok()) return got.status().Wrap(path_);
  if (*got != sizeof head || !HeadBelongs(head) || LoadBe32(head + 16) != mark.checksum1 ||
      LoadBe32(head + 20) != mark.checksum2) {
    return false;
  }
  if (HeadIsBare(head)) BACKSTAY_TRY(Unchanged());
  mark_ = mark;
  last_commit_ = mark;
  return true;
}

Result<WalMark> WalReader::MarkAt(uint32_t frame) {
  if (frame == 0) return start_;
  uint8_t head[kFrameHeaderBytes];
  if (fd_ == nullptr) return Status(Code::kNotFound, path_ + ": not open");
  Result<size_t> got = ReadAt(*fd_, head, sizeof head, Offset(frame));
  if (!got.ok()) return got.status().Wrap(path_);
  if (*got != sizeof head || !HeadBelongs(head)) {
    return Status(Code::kNotFound, path_ + ": frame " + std::to_string(frame) + " is not there");
  }
  if (HeadIsBare(head)) BACKSTAY_TRY(Unchanged());
  return WalMark{start_.salt1, start_.salt2, frame, LoadBe32(head + 16), LoadBe32(head + 20)};
}

Status WalReader::Read(size_t max, uint32_t last_frame, std::vector<WalFrame>* frames) {
  frames->clear();
  if (fd_ == nullptr) return {Code::kNotFound, path_ + ": not open"};
  size_t want = std::min<size_t>(max, last_frame - std::min(last_frame, mark_.frame));
  const auto frame_bytes = static_cast<size_t>(FrameBytes());
  buffer_.resize(want * frame_bytes);
  Result<size_t> got = ReadAt(*fd_, buffer_.data(), buffer_.size(), Offset(mark_.frame + 1));
  if (!got.ok()) return got.status().Wrap(path_);
  WalMark mark = mark_;
  WalMark last_commit = last_commit_;
  bool bare = false;
  Status end;
  for (size_t i = 0; i < want; ++i) {
    const uint8_t* head = buffer_.data() + i * frame_bytes;
    bare = bare || HeadIsBare(head) || mark.bare();
    const bool whole = (i + 1) * frame_bytes <= *got && HeadBelongs(head);
    if (!whole || !ChainHolds(head, &mark)) {
      end = {Code::kNotFound,
             path_ + ": frame " + std::to_string(mark.frame + 1) + " is not in the WAL"};
      break;
    }
    frames->push_back({mark.frame, LoadBe32(head), LoadBe32(head + 4), head + kFrameHeaderBytes});
    if (frames->back().commit_pages != 0) last_commit = mark;
  }
  if (bare) BACKSTAY_TRY(Unchanged());
  passed_bare_ = passed_bare_ || bare;
  mark_ = mark;
  last_commit_ = last_commit;
  return end;
}

Status WalReader::Headers(uint32_t first, uint32_t last,
                          const std::function<void(const WalFrame&)>& each) {
  if (fd_ == nullptr) return {Code::kNotFound, path_ + ": not open"};
  uint8_t head[kFrameHeaderBytes];
  bool bare = false;
  for (uint32_t frame = first; frame <= last; ++frame) {
    Result<size_t> got = ReadAt(*fd_, head, sizeof head, Offset(frame));
    if (!got.ok()) return got.status().Wrap(path_);
    if (*got != sizeof head || !HeadBelongs(head)) {
      return {Code::kNotFound, path_ + ": frame " + std::to_string(frame) + " is not in the WAL"};
    }
    bare = bare || HeadIsBare(head);
    each({frame, LoadBe32(head), LoadBe32(head + 4), nullptr});
  }
  return bare ? Unchanged() : Status::Ok();
}

Result<bool> WalReader::Image(uint32_t frame, uint32_t pgno, PageBuffer out) {
  if (fd_ == nullptr || out.size() != page_size_) return false;
  uint8_t head[kFrameHeaderBytes];
  Result<size_t> got = ReadAt(*fd_, out.data(), out.size(), Offset(frame) + kFrameHeaderBytes);
  if (!got.ok()) return got.status().Wrap(path_);
  if (*got != out.size()) return false;
  // The header is read after the image: a frame that is overwritten meanwhile shows its new salts
  // here.
  got = ReadAt(*fd_, head, sizeof head, Offset(frame));
  if (!got.ok()) return got.status().Wrap(path_);
  const bool belongs = *got == sizeof head && HeadBelongs(head) && LoadBe32(head) == pgno;
  return belongs && (!HeadIsBare(head) || Unchanged().ok());
}

}  // namespace backstay
