#include "uploader/state/outbox.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <utility>
#include <vector>

#include "uploader/base/hash.h"
#include "uploader/base/own_folder.h"

namespace backstay {
namespace {

constexpr uint8_t kSegmentRecord = 1;
constexpr uint8_t kShipRecord = 2;
constexpr uint8_t kStampRecord = 3;
constexpr uint8_t kCopyRecord = 4;
constexpr size_t kRecordHead = 5;       // length and type
constexpr size_t kMostProof = 1 << 20;  // bytes: a disk that has as much takes the usual
constexpr uint32_t kMaxPayload = 128 << 20;

}  // namespace

std::string EncodeOutboxSegment(const EncodedSegment& encoded) {
  ByteWriter out;
  EncodeLogHead(encoded.head, &out);
  EncodeWalMark(encoded.wal, &out);
  out.U32(encoded.pages);
  out.U64(encoded.checksum);
  out.U32(static_cast<uint32_t>(encoded.hashes.size()));
  for (const auto& [pgno, hash] : encoded.hashes) {
    out.U32(pgno);
    out.U64(hash);
  }
  return out.Take();
}

Result<EncodedSegment> ParseOutboxSegment(Bytes payload, size_t* consumed) {
  ByteReader in(payload);
  EncodedSegment encoded;
  encoded.head = DecodeLogHead(&in);
  encoded.wal = DecodeWalMark(&in);
  encoded.pages = in.U32();
  encoded.checksum = in.U64();
  uint32_t count = in.U32();
  if (!in.ok() || count > in.remaining() / 12) {
    return Status(Code::kCorrupt, "outbox record is damaged");
  }
  encoded.hashes.reserve(count);
  for (uint32_t i = 0; i < count; ++i) {
    uint32_t pgno = in.U32();
    encoded.hashes.emplace_back(pgno, in.U64());
    // Only a page of the database has a hash.
    const auto& [page, hash] = encoded.hashes.back();
    if (page == 0 || (hash != 0 && page > encoded.pages)) {
      return Status(Code::kCorrupt, "outbox record is damaged");
    }
  }
  *consumed = in.position();
  return encoded;
}

void Outbox::SetOwner(const DatabaseId& id) { owner_ = static_cast<uint32_t>(Hash(id)); }

uint32_t Outbox::RecordHash(Bytes type_and_payload) const {
  return static_cast<uint32_t>(Hash(type_and_payload)) ^ owner_;
}

Status Outbox::Open(const OutboxRedo& redo) {
  Result<OwnFolder> folder = OwnFolder::Open(FolderOf(path_));
  if (!folder.ok()) return folder.status();
  Result<Fd> fd = folder->OpenFile(NameOf(path_));
  if (!fd.ok()) return fd.status();
  fd_ = std::move(*fd);
  open_ = true;
  Result<int64_t> size = FileSize(fd_);
  if (!size.ok()) return size.status();
  std::string record;
  while (end_ + static_cast<int64_t>(kRecordHead) + 4 <= *size) {
    uint8_t head[kRecordHead];
    Result<size_t> got = ReadAt(fd_, head, kRecordHead, end_);
    if (!got.ok()) return got.status();
    uint32_t length = LoadLe32(head);
    int64_t whole = static_cast<int64_t>(kRecordHead) + length + 4;
    if (length > kMaxPayload || end_ + whole > *size) break;
    record.resize(1 + length + 4);
    got = ReadAt(fd_, reinterpret_cast<uint8_t*>(record.data()), record.size(), end_ + 4);
    if (!got.ok()) return got.status();
    Bytes body = AsBytes(record).first(1 + length);
    if (RecordHash(body) != LoadLe32(AsBytes(record).data() + 1 + length)) break;
    Redo(body.subspan(1), body[0], end_ + static_cast<int64_t>(kRecordHead), redo);
    end_ += whole;
  }
  if (end_ < *size && ftruncate(fd_.get(), end_) != 0) return Status::Errno(path_, errno);
  return Status::Ok();
}

void Outbox::Redo(Bytes payload, uint8_t type, int64_t payload_offset, const OutboxRedo& redo) {
  ByteReader in(payload);
  if (type == kSegmentRecord) {
    size_t used = 0;
    Result<EncodedSegment> encoded = ParseOutboxSegment(payload, &used);
    if (!encoded.ok()) return;
    redo.segment(*encoded);
    Push(*encoded, static_cast<uint32_t>(payload.size() - used),
         payload_offset + static_cast<int64_t>(used), {});
  } else if (type == kShipRecord) {
    ShipState state = DecodeShipState(&in);
    if (!in.ok()) return;
    redo.ship(state);
    Shipped(state.shipped.segment_number);
  } else if (type == kStampRecord) {
    FileStamp stamp = DecodeFileStamp(&in);
    if (in.ok()) redo.stamp(stamp);
  } else if (type == kCopyRecord) {
    const uint64_t nonce = in.U64();
    copy_ = in.ok() ? nonce : 0;
  }
}

void Outbox::Push(const EncodedSegment& encoded, uint32_t size, int64_t offset,
                  std::string memory) {
  Pending pending;
  pending.head = encoded.head;
  pending.size = size;
  pending.offset = offset;
  pending.memory = std::move(memory);
  pending.pages.reserve(encoded.hashes.size());
  for (const auto& [pgno, hash] : encoded.hashes) pending.pages.push_back(pgno);
  pending_bytes_ += size;
  pending_.push_back(std::move(pending));
}

Status Outbox::WriteRecord(uint8_t type, std::string_view payload) {
  ByteWriter record;
  record.U32(static_cast<uint32_t>(payload.size()));
  record.U8(type);
  record.Raw(payload);
  record.U32(RecordHash(record.bytes().subspan(4)));
  Status written = WriteAt(fd_, record.bytes(), end_);
  if (!written.ok()) {
    refused_ = std::min(std::max(refused_, record.size()), kMostProof);
    return written.Wrap(path_);
  }
  end_ += static_cast<int64_t>(record.size());
  return Status::Ok();
}

Status Outbox::Append(uint8_t type, std::string_view payload) {
  if (!fd_.valid()) return Rest(), Status(Code::kIo, path_ + ": not open");
  Status written = WriteRecord(type, payload);
  if (written.ok()) return written;
  // A half-written record must not be followed by a whole one.
  [[maybe_unused]] int ignored = ftruncate(fd_.get(), end_);
  Rest();
  return written;
}

Status Outbox::AppendSegment(const EncodedSegment& encoded, const std::string& segment) {
  std::string payload = EncodeOutboxSegment(encoded);
  int64_t offset = end_ + static_cast<int64_t>(kRecordHead + payload.size());
  payload += segment;
  Status appended = resting_ ? Status::Ok() : Append(kSegmentRecord, payload);
  Push(encoded, static_cast<uint32_t>(segment.size()), resting_ ? -1 : offset,
       resting_ ? segment : std::string());
  return appended;
}

Status Outbox::AppendShip(const ShipState& state) {
  if (resting_) return Status::Ok();
  ByteWriter out;
  EncodeShipState(state, &out);
  return Append(kShipRecord, out.str());
}

Status Outbox::AppendStamp(const FileStamp& stamp) {
  if (resting_) return Status::Ok();
  ByteWriter out;
  EncodeFileStamp(stamp, &out);
  return Append(kStampRecord, out.str());
}

Status Outbox::AppendCopy(uint64_t nonce) {
  copy_ = 0;
  if (resting_) return {Code::kUnavailable, path_ + ": not true at present"};
  ByteWriter out;
  out.U64(nonce);
  BACKSTAY_TRY(Append(kCopyRecord, out.str()));
  copy_ = nonce;
  return Status::Ok();
}

Result<std::string> Outbox::ReadSegment(const Pending& pending) const {
  if (pending.offset < 0) return pending.memory;
  std::string segment(pending.size, '\0');
  Result<size_t> got =
      ReadAt(fd_, reinterpret_cast<uint8_t*>(segment.data()), segment.size(), pending.offset);
  if (!got.ok()) return got.status().Wrap(path_);
  if (*got != segment.size()) return Status(Code::kCorrupt, path_ + ": cut off from outside");
  return segment;
}

Result<Outbox::Waiting> Outbox::ReadProven(const Pending& pending) const {
  Result<std::string> bytes = ReadSegment(pending);
  if (!bytes.ok()) return bytes.status();
  size_t used = 0;
  Result<Segment> parsed = Segment::Parse(AsBytes(*bytes), &used);
  if (!parsed.ok()) return parsed.status();
  const bool same = used == bytes->size() && parsed->hash() == pending.head.segment_hash;
  if (!same) return Status(Code::kCorrupt, path_ + ": it is another segment");
  return Waiting{std::move(*bytes), parsed->header()};
}

void Outbox::Shipped(uint64_t segment_number) {
  while (!pending_.empty() && pending_.front().head.segment_number <= segment_number) {
    pending_bytes_ -= pending_.front().size;
    pending_.pop_front();
  }
}

uint64_t Outbox::waiting_bytes() const {
  if (pending_.empty() || pending_.front().offset < 0) return pending_bytes_;
  return std::max(pending_bytes_, static_cast<uint64_t>(end_ - pending_.front().offset));
}

void Outbox::DropPending() {
  Rest();
  pending_.clear();
  pending_bytes_ = 0;
}

Status Outbox::Compact() {
  // One that does not rest is true as it is: there must be more to gain than has to be moved.
  constexpr uint64_t kLittle = 1 << 20;
  const uint64_t gone = file_bytes() - std::min(file_bytes(), waiting_bytes());
  if (!resting_ && pending_bytes_ > std::max(kLittle, gone)) return Status::Ok();
  Status rewritten = Rewrite();
  if (rewritten.ok()) rewritten = ProveRoom();
  resting_ = !rewritten.ok();
  if (!resting_) refused_ = 0;
  return rewritten;
}

Status Outbox::Rewrite() {
  if (!fd_.valid()) return {Code::kIo, path_ + ": not open"};
  const int64_t end = std::exchange(end_, 0);
  Status moved = MovePending();
  if (moved.ok()) moved = MoveCopy();
  if (!moved.ok()) {
    // What was not moved lies behind it and is still needed, so that the file keeps its length.
    if (end_ > 0) EndRecords();
    end_ = end;
    return moved;
  }
  if (ftruncate(fd_.get(), end_) != 0) return Status::Errno("truncate " + path_, errno);
  return Status::Ok();
}

// Where nothing waits, nothing was written so far. What is written here is no record to a reader.
Status Outbox::ProveRoom() {
  if (refused_ == 0) return Status::Ok();
  const std::vector<uint8_t> none(refused_, 0xff);
  Status written = WriteAt(fd_, none, end_);
  if (ftruncate(fd_.get(), end_) != 0) return Status::Errno("truncate " + path_, errno);
  return written.ok() ? written : written.Wrap(path_);
}

// A reader takes nothing from here on for a record. It is written over the head of one at most: the
// bytes of what waits lie behind their own.
void Outbox::EndRecords() {
  const uint8_t none[kRecordHead] = {0xff, 0xff, 0xff, 0xff, 0xff};
  [[maybe_unused]] Status ignored = WriteAt(fd_, none, end_);
}

// The redo of segments that still wait is in the index by now; a reader skips it by segment number.
// One after the other, towards the beginning: no record gets longer, so that none is overwritten
// before it is read.
Status Outbox::MovePending() {
  for (Pending& pending : pending_) {
    Result<std::string> segment = ReadSegment(pending);
    if (!segment.ok()) return segment.status();
    EncodedSegment again;
    again.head = pending.head;
    for (uint32_t pgno : pending.pages) again.hashes.emplace_back(pgno, 0);
    std::string payload = EncodeOutboxSegment(again);
    int64_t offset = end_ + static_cast<int64_t>(kRecordHead + payload.size());
    Status written = WriteRecord(kSegmentRecord, payload + *segment);
    if (!written.ok()) {
      // Half of it may have been written over where it was.
      pending.memory = std::move(*segment);
      pending.offset = -1;
      return written;
    }
    pending.memory = {};
    pending.offset = offset;
  }
  return Status::Ok();
}

Status Outbox::MoveCopy() {
  if (copy_ == 0) return Status::Ok();
  ByteWriter out;
  out.U64(copy_);
  return WriteRecord(kCopyRecord, out.str());
}

}  // namespace backstay
