#include "uploader/state/trail.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "uploader/base/bytes.h"
#include "uploader/base/hash.h"
#include "uploader/base/own_folder.h"

namespace backstay {
namespace {

constexpr int64_t kMaxBytes = 256 << 10;
constexpr size_t kMaxPages = 8192;  // of one step; a comparison is not worse than more of them
constexpr size_t kFrameBytes = 8;   // length and hash

void EncodePlace(const TrailPlace& place, ByteWriter* out) {
  EncodeFileStamp(place.file, out);
  for (uint32_t word : {place.change, place.salt1, place.salt2, place.frame}) out->U32(word);
}

TrailPlace DecodePlace(ByteReader* in) {
  TrailPlace place;
  place.file = DecodeFileStamp(in);
  place.change = in->U32();
  place.salt1 = in->U32();
  place.salt2 = in->U32();
  place.frame = in->U32();
  return place;
}

std::string Encode(const TrailStep& step) {
  ByteWriter out;
  EncodePlace(step.from, &out);
  EncodePlace(step.to, &out);
  out.U32(step.page_size);
  out.U32(step.pages);
  out.U32(static_cast<uint32_t>(step.pgnos.size()));
  for (uint32_t pgno : step.pgnos) out.U32(pgno);
  return out.Take();
}

// False: damaged.
bool Decode(Bytes payload, TrailStep* step) {
  ByteReader in(payload);
  step->from = DecodePlace(&in);
  step->to = DecodePlace(&in);
  step->page_size = in.U32();
  step->pages = in.U32();
  const uint32_t count = in.U32();
  if (!in.ok() || count > kMaxPages || in.remaining() != count * sizeof(uint32_t)) return false;
  for (uint32_t i = 0; i < count; ++i) step->pgnos.push_back(in.U32());
  return in.ok();
}

std::vector<TrailStep> Parse(Bytes data) {
  std::vector<TrailStep> steps;
  while (data.size() > kFrameBytes) {
    const size_t length = LoadLe32(data.data());
    if (length > data.size() - kFrameBytes) break;
    const Bytes payload(data.data() + 4, length);
    if (static_cast<uint32_t>(Hash(payload)) != LoadLe32(data.data() + 4 + length)) break;
    TrailStep step;
    if (!Decode(payload, &step)) break;
    steps.push_back(std::move(step));
    data = Bytes(data.data() + kFrameBytes + length, data.size() - kFrameBytes - length);
  }
  return steps;
}

}  // namespace

bool TrailPlace::Same(const TrailPlace& other) const {
  if (file.size < 0 || other.file.size < 0) {
    return file.size == other.file.size && salt1 == other.salt1 && salt2 == other.salt2 &&
           frame == other.frame;
  }
  const bool counted = change != 0 && other.change != 0;
  return file.size == other.file.size && file.mtime_ns == other.file.mtime_ns &&
         file.inode == other.file.inode && (!counted || change == other.change);
}

void Trail::Append(const TrailStep& step) {
  if (step.pgnos.size() > kMaxPages) return;
  const std::string payload = Encode(step);
  ByteWriter record;
  record.U32(static_cast<uint32_t>(payload.size()));
  record.Raw(AsBytes(payload));
  record.U32(static_cast<uint32_t>(Hash(AsBytes(payload))));
  std::lock_guard<std::mutex> lock(mutex_);
  (void)AppendLocked(AsBytes(record.str()));
}

void Trail::Close() {
  std::lock_guard<std::mutex> lock(mutex_);
  fd_.Close();
}

// The file may have been removed or replaced since the last time.
Status Trail::AppendLocked(Bytes record) {
  struct stat open {};
  struct stat there {};
  const bool same = fd_.valid() && fstat(fd_.get(), &open) == 0 &&
                    stat((folder_ + "/trail").c_str(), &there) == 0 &&
                    open.st_ino == there.st_ino && open.st_dev == there.st_dev;
  if (!same) {
    Result<OwnFolder> folder = OwnFolder::Open(folder_);
    if (!folder.ok()) return folder.status();
    Result<Fd> fd = folder->OpenFile("trail");
    if (!fd.ok()) return fd.status();
    fd_ = std::move(*fd);
  }
  Result<int64_t> size = FileSize(fd_);
  if (!size.ok()) return size.status();
  if (*size > kMaxBytes) {
    if (ftruncate(fd_.get(), 0) != 0) return {Code::kIo, "cannot cut off the trail"};
    *size = 0;
  }
  Status written = WriteAt(fd_, record, *size);
  // What follows half a record would not be found.
  if (!written.ok() && ftruncate(fd_.get(), 0) != 0) fd_.Close();
  return written;
}

std::optional<std::vector<TrailStep>> Trail::Between(const TrailPlace& from, const TrailPlace& to) {
  Result<std::string> data = ReadFile(folder_ + "/trail", 2 * kMaxBytes);
  if (!data.ok()) return std::nullopt;
  std::vector<TrailStep> steps = Parse(AsBytes(*data));
  auto last = std::find_if(steps.rbegin(), steps.rend(),
                           [&to](const TrailStep& step) { return step.to.Same(to); });
  // Within one tick of the clock several steps may begin at what looks like one place: the earliest
  // of them covers the others.
  auto begin = steps.rend();
  for (auto first = last; first != steps.rend(); ++first) {
    if (first != last && !first->to.Same(std::prev(first)->from)) break;
    if (first->from.Same(from)) begin = first;
  }
  if (begin == steps.rend()) return std::nullopt;
  return std::vector<TrailStep>(std::next(begin).base(), last.base());
}

}  // namespace backstay
