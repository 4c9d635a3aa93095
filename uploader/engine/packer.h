// Packer: the job that puts small log objects into packs, and small packs into larger ones.
//
// Owned by Jobs; Run() on the job thread, DueLocked() on the ship thread with the Core's mutex
// held. Takes the Core's mutex for short, local work. The objects come from what the process has
// kept of them (ShippedLog), what is missing there from the bucket. Nothing is deleted before the
// store's list shows the pack: who reads or goes on with the log looks there, and would take a
// freed number for the end of the log. An object that is missing is gone round where a newer
// snapshot was made behind it: what is before it and behind it is packed, or stays single. Fails
// with the client's errors, kCancelled when the pipeline ends, kNotFound for an object that is
// missing behind the newest snapshot, kCorrupt for one that is damaged.

#ifndef BACKSTAY_UPLOADER_ENGINE_PACKER_H_
#define BACKSTAY_UPLOADER_ENGINE_PACKER_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "uploader/engine/core.h"
#include "uploader/engine/pack_tiers.h"
#include "uploader/format/pack.h"

namespace backstay {

class Packer {
 public:
  // Calls `attempt` until it succeeds, fails for good, or the pipeline stops.
  using Persist = std::function<Status(const std::function<Status()>& attempt)>;

  Packer(Core* core, Persist persist) : core_(core), persist_(std::move(persist)) {}

  bool DueLocked() const;
  // *packed: a pack was made. Else what is there is not worth one yet.
  Status Run(bool* packed);

 private:
  // Objects of dense numbers.
  struct Series {
    uint64_t first = 0;
    std::vector<std::string> objects;
    uint64_t bytes = 0;
    uint64_t last() const { return first + objects.size() - 1; }
    PackTiers::Pack AsPack() const { return {first, last(), bytes}; }
  };

  // *gap: the first number that is missing, where what is before it is not worth a pack; else 0.
  Status Collect(uint64_t first, uint64_t end, Series* series, uint64_t* gap);
  // Empty: it is too large for a pack; nullopt: it is missing.
  Result<std::optional<std::string>> Fetch(uint64_t number);
  Status CollectLast(uint64_t number, Series* series);
  Status FindPacks(uint64_t first);
  Status AddPack(const PackTiers::Pack& pack, PackWriter* writer);
  Result<std::string> Build(const std::vector<PackTiers::Pack>& merged, const Series& series);
  Status Deletable(const std::vector<PackTiers::Pack>& merged, const Series& series,
                   std::vector<std::string>* keys);
  Status CheckOwn();
  Status MakePack(const Series& series);
  void Note(const Series& series);
  void Postpone();
  // Another writer may have packed what ours was to begin with. kNotFound: nobody has.
  Status LearnPacks(uint64_t first);
  Status GoRound(uint64_t gap);
  // kUnavailable until the store lists this pack.
  Status Listed(const std::string& key);

  Core* const core_;
  const Persist persist_;
  // Those of the bucket that may still grow, ascending; nullopt: not known.
  std::optional<std::vector<PackTiers::Pack>> packs_;
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_ENGINE_PACKER_H_
