#include "uploader/state/begun_snapshot.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "uploader/base/file.h"
#include "uploader/base/hash.h"
#include "uploader/base/own_folder.h"
#include "uploader/format/snapshot.h"
#include "uploader/state/process_id.h"

namespace backstay {
namespace {

enum Kind : uint8_t { kBegun = 1, kFrame = 2 };

constexpr size_t kHeadBytes = 1 + 4;
constexpr size_t kTailBytes = 8;

uint64_t ThisBoot() {
  const std::string boot = ThisProcess().boot;
  return boot.empty() ? 0 : Hash(AsBytes(boot));
}

std::string EncodeBegun(const BegunSnapshot& begun, uint64_t boot) {
  ByteWriter out;
  out.U64(boot);
  out.Raw(Bytes(begun.database_id));
  out.U32(begun.page_size);
  out.U8(begun.first ? 1 : 0);
  for (uint64_t value : {begun.writer_id, begun.epoch, begun.base, begun.number, begun.nonce}) {
    out.U64(value);
  }
  EncodeLogHead(begun.start, &out);
  out.U32(begun.pages);
  out.U64(begun.log_bytes);
  return out.Take();
}

// False: it is damaged, or of another boot.
bool DecodeBegun(Bytes payload, BegunSnapshot* begun) {
  ByteReader in(payload);
  const uint64_t boot = in.U64();
  const Bytes id = in.Raw(begun->database_id.size());
  if (in.ok()) std::copy(id.begin(), id.end(), begun->database_id.begin());
  begun->page_size = in.U32();
  begun->first = in.U8() != 0;
  for (uint64_t* value :
       {&begun->writer_id, &begun->epoch, &begun->base, &begun->number, &begun->nonce}) {
    *value = in.U64();
  }
  begun->start = DecodeLogHead(&in);
  begun->pages = in.U32();
  begun->log_bytes = in.U64();
  const bool whole = in.ok() && in.remaining() == 0;
  return whole && boot != 0 && boot == ThisBoot() && begun->page_size != 0;
}

// False: it is none that can follow.
bool DecodeFrame(Bytes payload, BegunSnapshot* begun) {
  ByteReader in(payload);
  BegunSnapshot::Frame frame;
  frame.bytes = in.U64();
  frame.checksum = in.U64();
  const uint64_t frame_pages = SnapshotFramePages(begun->page_size);
  const uint64_t before = begun->frames.size() * frame_pages;
  if (before >= begun->pages || frame.bytes > kMaxSnapshotObjectBytes) return false;
  const uint64_t count = begun->first ? std::min(frame_pages, begun->pages - before) : 0;
  if (!in.ok() || in.remaining() != count * sizeof(uint64_t)) return false;
  for (uint64_t i = 0; i < count; ++i) frame.hashes.push_back(in.U64());
  begun->frames.push_back(std::move(frame));
  return true;
}

bool Decode(uint8_t kind, Bytes payload, BegunSnapshot* begun) {
  const bool begins = begun->page_size == 0;
  switch (kind) {
    case kBegun: return begins && DecodeBegun(payload, begun);
    case kFrame: return !begins && DecodeFrame(payload, begun);
    default: return false;
  }
}

}  // namespace

bool BegunSnapshotFile::Begin(const BegunSnapshot& begun) {
  end_ = 0;
  const uint64_t boot = ThisBoot();
  return boot != 0 && Append(kBegun, AsBytes(EncodeBegun(begun, boot)));
}

bool BegunSnapshotFile::AddFrame(const BegunSnapshot::Frame& frame) {
  if (end_ == 0) return false;
  ByteWriter payload;
  payload.U64(frame.bytes);
  payload.U64(frame.checksum);
  for (uint64_t hash : frame.hashes) payload.U64(hash);
  return Append(kFrame, payload.bytes());
}

bool BegunSnapshotFile::Append(uint8_t kind, Bytes payload) {
  ByteWriter record;
  record.U8(kind);
  record.U32(static_cast<uint32_t>(payload.size()));
  record.Raw(payload);
  record.U64(Hash(record.bytes()));
  Result<OwnFolder> folder = OwnFolder::Open(FolderOf(path_));
  Result<Fd> fd = folder.ok() ? folder->OpenFile(NameOf(path_)) : folder.status();
  const auto end = static_cast<int64_t>(end_ + record.size());
  // Behind what was never finished nothing may follow that was.
  const bool kept = fd.ok() && CheckSizeLimit(end).ok() &&
                    WriteAt(*fd, record.bytes(), static_cast<int64_t>(end_)).ok() &&
                    ftruncate(fd->get(), end) == 0;
  end_ = kept ? static_cast<uint64_t>(end) : 0;
  return kept;
}

std::optional<BegunSnapshot> BegunSnapshotFile::Read(uint64_t most_bytes) {
  end_ = 0;
  const Result<std::string> text = ReadFile(path_, most_bytes);
  if (!text.ok()) return std::nullopt;
  const Bytes bytes = AsBytes(*text);
  BegunSnapshot begun;
  while (bytes.size() - end_ >= kHeadBytes + kTailBytes) {
    const Bytes rest = bytes.subspan(end_);
    const size_t length = LoadLe32(rest.data() + 1);
    if (length > rest.size() - kHeadBytes - kTailBytes) break;
    const Bytes record = rest.first(kHeadBytes + length);
    if (Hash(record) != LoadLe64(rest.data() + record.size())) break;
    if (!Decode(rest[0], record.subspan(kHeadBytes), &begun)) break;
    end_ += record.size() + kTailBytes;
  }
  if (begun.page_size == 0 || end_ == 0) return std::nullopt;
  return begun;
}

bool BegunSnapshotFile::Remove() {
  end_ = 0;
  const auto gone = [this] { return access(path_.c_str(), F_OK) != 0 && errno == ENOENT; };
  if (gone()) return true;
  const Result<OwnFolder> folder = OwnFolder::Open(FolderOf(path_));
  if (!folder.ok()) return false;
  folder->Remove(NameOf(path_));
  return gone();
}

}  // namespace backstay
