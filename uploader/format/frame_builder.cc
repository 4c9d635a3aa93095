#include "uploader/format/frame_builder.h"

#include <algorithm>
#include <cstring>

namespace backstay {
namespace {

void Append(std::vector<uint8_t>* out, const uint8_t* image, size_t n) {
  out->insert(out->end(), image, image + n);
}

Bytes AsBytes(const std::vector<uint64_t>& hashes) {
  return {reinterpret_cast<const uint8_t*>(hashes.data()), hashes.size() * sizeof(uint64_t)};
}

}  // namespace

void FrameBuilder::Begin(uint32_t page_size) {
  page_size_ = page_size;
  hasher_.Reset();
  status_ = Status::Ok();
  Clear();
}

void FrameBuilder::Clear() {
  old_hashes_.clear();
  new_hashes_.clear();
  pages_.clear();
  members_.clear();
  images_.clear();
  olds_.clear();
  prefix_.clear();
  patches_.Clear();
}

FrameBuilder::Member* FrameBuilder::Find(uint32_t pgno) {
  auto found = std::find(pages_.begin(), pages_.end(), pgno);
  return found == pages_.end() ? nullptr : &members_[static_cast<size_t>(found - pages_.begin())];
}

// A patch is applied again right here: a mistake of ours must not reach the replica.
bool FrameBuilder::Patch(uint32_t pgno, const PageVersion& now, const PageVersion& old) {
  const size_t begin = patches_.size();
  if (!patcher_.Make(pgno, {old.image, page_size_}, {now.image, page_size_}, &patches_)) {
    return false;
  }
  check_.assign(old.image, old.image + page_size_);
  ByteReader patch(patches_.bytes().subspan(begin));
  Status applied = ApplyPagePatch(&patch, check_);
  bool same = applied.ok() && patch.remaining() == 0 &&
              std::memcmp(check_.data(), now.image, page_size_) == 0;
  if (!same)
    status_ = Status(Code::kCorrupt, "self-check of a page patch: another image comes back");
  return true;
}

EntryKind FrameBuilder::AddFirst(uint32_t pgno, const PageVersion& now, const PageVersion& old) {
  Member member{now.hash, olds_.size()};
  EntryKind kind = EntryKind::kFull;
  if (old.image != nullptr) {
    old_hashes_.push_back(old.hash);
    member.has_old = Patch(pgno, now, old);
    kind = member.has_old ? EntryKind::kPatched : EntryKind::kBased;
    Append(member.has_old ? &olds_ : &prefix_, old.image, page_size_);
  }
  member.whole = kind != EntryKind::kPatched;
  if (member.whole) Append(&images_, now.image, page_size_);
  pages_.push_back(pgno);
  members_.push_back(member);
  return kind;
}

EntryKind FrameBuilder::AddAgain(Member* member, uint32_t pgno, const PageVersion& now,
                                 const PageVersion& old) {
  const bool known = old.image != nullptr && old.hash == member->hash;
  member->hash = now.hash;
  if (known && Patch(pgno, now, old)) return EntryKind::kPatched;
  Append(&images_, now.image, page_size_);
  if (std::exchange(member->whole, true)) return EntryKind::kFull;
  Append(&prefix_, olds_.data() + member->old_at, page_size_);
  return EntryKind::kBased;
}

EntryKind FrameBuilder::Add(uint32_t pgno, const PageVersion& now, const PageVersion& old) {
  new_hashes_.push_back(now.hash);
  Member* member = Find(pgno);
  return member == nullptr ? AddFirst(pgno, now, old) : AddAgain(member, pgno, now, old);
}

Status FrameBuilder::Flush(ByteWriter* out) {
  BACKSTAY_TRY(status_);
  if (new_hashes_.empty()) return Status::Ok();
  hasher_.Update(AsBytes(old_hashes_));
  hasher_.Update(AsBytes(new_hashes_));
  out->Varint(patches_.size());
  images_.insert(images_.end(), patches_.bytes().begin(), patches_.bytes().end());
  Status encoded = encoder_.Encode(prefix_, images_, out);
  Clear();
  return encoded;
}

}  // namespace backstay
