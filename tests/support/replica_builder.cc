#include "tests/support/replica_builder.h"

#include <algorithm>
#include <cstring>

#include "tests/support/catch.h"
#include "uploader/base/hash.h"

namespace backstay {

Status MemoryPageStore::Write(uint64_t offset, Bytes data) {
  std::lock_guard lock(mutex_);
  if (bytes_.size() < offset + data.size()) bytes_.resize(offset + data.size());
  std::memcpy(bytes_.data() + offset, data.data(), data.size());
  return Status::Ok();
}

Status MemoryPageStore::Read(uint64_t offset, uint8_t* out, size_t n) {
  std::lock_guard lock(mutex_);
  std::memset(out, 0, n);
  if (offset < bytes_.size()) {
    std::memcpy(out, bytes_.data() + offset, std::min(n, bytes_.size() - offset));
  }
  return Status::Ok();
}

Status MemoryPageStore::Truncate(uint64_t size) {
  std::lock_guard lock(mutex_);
  bytes_.resize(size);
  return Status::Ok();
}

ReplicaBuilder::ReplicaBuilder(ReplicaClient* client, uint32_t page_size, uint32_t pages,
                               uint32_t seed)
    : client_(client), random_(seed), page_size_(page_size) {
  for (uint8_t& byte : identity_.id) byte = static_cast<uint8_t>(random_());
  identity_.page_size = page_size;
  Write(kIdentityKey, EncodeIdentity(identity_));
  Fill(pages);
}

void ReplicaBuilder::Fill(uint32_t pages) {
  database_.resize(size_t{pages} * page_size_);
  for (char& byte : database_) byte = static_cast<char>(random_() % 7);
  encoded_ = database_;
  versions_[txid_] = {database_, time_ms_};
}

std::string ReplicaBuilder::Read(const std::string& key) const {
  Result<std::string> body = client_->Get(key);
  INFO(key);
  REQUIRE(body.ok());
  return *body;
}

void ReplicaBuilder::Write(const std::string& key, const std::string& body) {
  REQUIRE(client_->Put(key, AsBytes(body)).ToString() == "OK");
}

void ReplicaBuilder::Commit(size_t writes) {
  std::string next = database_;
  const size_t pages = next.size() / page_size_;
  const uint32_t dice = random_() % 10;
  if (dice == 0) next.resize((pages + 1 + random_() % 3) * page_size_, 'g');
  if (dice == 1 && pages > 4) next.resize((pages - 1 - random_() % 2) * page_size_);
  for (size_t i = 0; i < writes; ++i) {
    const size_t page = random_() % (next.size() / page_size_);
    for (int j = 0; j < 8; ++j) {
      next[page * page_size_ + random_() % page_size_] = static_cast<char>(random_());
    }
  }
  CommitDatabase(next);
}

void ReplicaBuilder::CommitDatabase(const std::string& database) {
  Transaction transaction;
  transaction.txid = ++txid_;
  transaction.time_ms = time_ms_ += 1 + random_() % 2000;
  transaction.pages = static_cast<uint32_t>(database.size() / page_size_);
  for (uint32_t i = 0; i < transaction.pages; ++i) {
    const size_t offset = size_t{i} * page_size_;
    const bool is_new = offset >= database_.size();
    if (is_new || database.compare(offset, page_size_, database_, offset, page_size_) != 0) {
      transaction.images[i + 1] = database.substr(offset, page_size_);
    }
  }
  database_ = database;
  versions_[txid_] = {database_, time_ms_};
  pending_.push_back(std::move(transaction));
}

void ReplicaBuilder::AddImages(SegmentWriter* writer,
                               const std::map<uint32_t, std::string>& images) {
  for (const auto& [pgno, image] : images) {
    const size_t offset = size_t{pgno - 1} * page_size_;
    const bool known =
        offset < encoded_.size() && !(snapshot_ && snapshot_->unbased.contains(pgno));
    const std::string old = known ? encoded_.substr(offset, page_size_) : "";
    auto version = [pgno = pgno](const std::string& bytes) {
      return PageVersion{AsBytes(bytes).data(), PageHash(pgno, AsBytes(bytes))};
    };
    REQUIRE(writer->Add(pgno, version(image), known ? version(old) : PageVersion{}).ok());
    if (encoded_.size() < offset + page_size_) encoded_.resize(offset + page_size_);
    encoded_.replace(offset, page_size_, image);
    if (snapshot_) snapshot_->unbased.erase(pgno);
  }
}

void ReplicaBuilder::ResizeEncoded(uint32_t pages) { encoded_.resize(size_t{pages} * page_size_); }

uint64_t ReplicaBuilder::Checksum() const {
  uint64_t sum = 0;
  for (size_t i = 0; i * page_size_ < encoded_.size(); ++i) {
    const auto pgno = static_cast<uint32_t>(i + 1);
    sum += PageHash(pgno, AsBytes(encoded_).subspan(i * page_size_, page_size_));
  }
  return sum;
}

uint64_t ReplicaBuilder::PutSegment(SegmentWriter* writer, uint8_t flags, uint64_t first_txid) {
  SegmentHeader header;
  header.flags = flags;
  header.page_size = page_size_;
  header.number = ++segment_number_;
  header.first_txid = first_txid;
  header.previous_hash = segment_hash_;
  if ((flags & kSegmentChecksum) != 0) header.checksum = Checksum();
  Result<std::string> bytes = writer->Finish(header);
  REQUIRE(bytes.status().ToString() == "OK");
  size_t consumed = 0;
  Result<Segment> parsed = Segment::Parse(AsBytes(*bytes), &consumed);
  REQUIRE(parsed.ok());
  segment_hash_ = parsed->hash();
  last_segments_ = *bytes;
  const uint64_t number = number_++;
  Write(LogKey(number), EncodeLogHeader({LogKind::kSegments, epoch_, number, 1}) + *bytes);
  return number;
}

uint64_t ReplicaBuilder::Ship() {
  if (pending_.empty()) return number_;
  ShipMerged(1);
  return number_ - 1;
}

void ReplicaBuilder::ShipMerged(size_t per_step) {
  SegmentWriter writer;
  writer.Begin(page_size_);
  const uint64_t first_txid = pending_.front().txid;
  for (size_t i = 0; i < pending_.size();) {
    const size_t count = std::min(per_step, pending_.size() - i);
    const Transaction& last = pending_[i + count - 1];
    std::map<uint32_t, std::string> images;
    for (size_t j = i; j < i + count; ++j) {
      for (const auto& [pgno, image] : pending_[j].images) images[pgno] = image;
    }
    // A page that a later transaction of the step cut off is not part of the state.
    images.erase(images.upper_bound(last.pages), images.end());
    writer.BeginStep(count, last.time_ms);
    AddImages(&writer, images);
    writer.EndStep(last.pages);
    ResizeEncoded(last.pages);
    points_.insert(last.txid);
    encoded_txid_ = last.txid;
    i += count;
  }
  pending_.clear();
  PutSegment(&writer, kSegmentChecksum, first_txid);
}

void ReplicaBuilder::ShipUnfinished() {
  const Transaction transaction = pending_.back();
  pending_.pop_back();
  REQUIRE(pending_.empty());
  auto middle = transaction.images.begin();
  std::advance(middle, transaction.images.size() / 2);
  const std::map<uint32_t, std::string> half(transaction.images.begin(), middle);
  const uint32_t old_pages = static_cast<uint32_t>(encoded_.size() / page_size_);
  SegmentWriter writer;
  writer.Begin(page_size_);
  writer.BeginStep(0, transaction.time_ms);
  AddImages(&writer, half);
  const uint32_t pages = std::max(old_pages, transaction.pages);
  writer.EndStep(pages);
  ResizeEncoded(pages);
  PutSegment(&writer, kSegmentMore, transaction.txid);
}

void ReplicaBuilder::ShipSize(uint32_t pages, uint32_t pgno) {
  SegmentWriter writer;
  writer.Begin(page_size_);
  writer.BeginStep(1, time_ms_);
  const std::vector<uint8_t> image(page_size_, 1);
  if (pgno != 0) REQUIRE(writer.Add(pgno, {image.data(), PageHash(pgno, image)}, {}).ok());
  writer.EndStep(pages);
  PutSegment(&writer, 0, ++txid_);
}

void ReplicaBuilder::ShipSplit() {
  const Transaction last = pending_.back();
  pending_.pop_back();
  Ship();
  pending_.push_back(last);
  ShipUnfinished();
  pending_.push_back(last);
  Ship();
}

void ReplicaBuilder::StartSnapshot() {
  RunningSnapshot running;
  running.manifest.page_size = page_size_;
  running.manifest.database_id = identity_.id;
  running.manifest.nonce = random_();
  running.manifest.epoch = epoch_;
  running.manifest.base = base_;
  running.manifest.next_log_number = number_;
  running.manifest.segment_number = segment_number_;
  running.manifest.segment_hash = segment_hash_;
  running.manifest.start_txid = encoded_txid_;
  running.copied = static_cast<uint32_t>(encoded_.size() / page_size_ / 2);
  running.copy = encoded_.substr(0, size_t{running.copied} * page_size_);
  for (uint32_t i = 1; i <= encoded_.size() / page_size_; ++i) running.unbased.insert(i);
  snapshot_ = std::move(running);
}

void ReplicaBuilder::PutSnapshotFrames(uint64_t number, const std::string& copy,
                                       SnapshotManifest* manifest) {
  const size_t frame_bytes = size_t{SnapshotFramePages(page_size_)} * page_size_;
  for (size_t offset = 0; offset < copy.size(); offset += frame_bytes) {
    const std::string images = copy.substr(offset, frame_bytes);
    std::vector<uint64_t> hashes;
    Result<std::string> frame = EncodeSnapshotFrame(
        page_size_, static_cast<uint32_t>(offset / page_size_ + 1), AsBytes(images), &hashes);
    REQUIRE(frame.ok());
    const auto index = static_cast<uint32_t>(manifest->frame_bytes.size());
    Write(SnapshotFrameKey(number, manifest->nonce, index), *frame);
    manifest->frame_bytes.push_back(frame->size());
    for (uint64_t hash : hashes) manifest->frames_checksum += hash;
  }
}

void ReplicaBuilder::FinishSnapshot() {
  Ship();
  SnapshotManifest& manifest = snapshot_->manifest;
  const size_t start = size_t{snapshot_->copied} * page_size_;
  if (encoded_.size() > start) snapshot_->copy += encoded_.substr(start);
  manifest.pages = static_cast<uint32_t>(snapshot_->copy.size() / page_size_);
  manifest.consistent_txid = encoded_txid_;
  manifest.consistent_time_ms = versions_[encoded_txid_].time_ms;
  PutSnapshotFrames(manifest.next_log_number, snapshot_->copy, &manifest);
  Result<std::string> bytes = EncodeSnapshotManifest(manifest);
  REQUIRE(bytes.ok());
  Write(SnapshotManifestKey(manifest.next_log_number), *bytes);
  if (!has_snapshot_) points_ = {encoded_txid_};
  points_.insert(encoded_txid_);
  has_snapshot_ = true;
  snapshot_.reset();
}

void ReplicaBuilder::UnfinishedSnapshot() {
  SnapshotManifest manifest;
  manifest.nonce = random_();
  PutSnapshotFrames(number_, encoded_, &manifest);
}

void ReplicaBuilder::Takeover() { Record(0); }

void ReplicaBuilder::NewBase(uint32_t page_size, uint32_t pages) {
  base_ = number_;
  Record(page_size);
  page_size_ = page_size;
  encoded_txid_ = ++txid_;
  ++time_ms_;
  Fill(pages);
}

void ReplicaBuilder::Record(uint32_t page_size) {
  backstay::Takeover record;
  record.database_id = identity_.id;
  record.writer_id = random_();
  record.time_ms = time_ms_;
  record.segment_number = segment_number_;
  record.segment_hash = segment_hash_;
  record.txid = encoded_txid_;
  record.page_size = page_size;
  ++epoch_;
  Write(LogKey(number_), EncodeTakeover(epoch_, number_, record));
  ++number_;
}

void ReplicaBuilder::PutVoid() {
  Write(LogKey(number_),
        EncodeLogHeader({LogKind::kSegments, epoch_ - 1, number_, 1}) + last_segments_);
  ++number_;
}

void ReplicaBuilder::Pack(uint64_t first, uint64_t last, bool delete_singles) {
  PackWriter writer(identity_.id);
  std::vector<std::string> keys;
  for (uint64_t number = first; number <= last; ++number) {
    const std::string object = Read(LogKey(number));
    REQUIRE(writer.Add(AsBytes(object), number).ToString() == "OK");
    size_t consumed = 0;
    Result<LogHeader> header = ParseLogHeader(AsBytes(object), &consumed);
    REQUIRE(header.ok());
    if (!IsTakeover(header->kind)) keys.push_back(LogKey(number));
  }
  Write(PackKey(first, last), writer.Finish());
  if (delete_singles) REQUIRE(client_->Delete(keys).ok());
}

}  // namespace backstay
