// What the format tests share: seeded pages, and a model of a database that segments change.
//
// Single-threaded; a failure is a Catch2 failure of the calling test.

#ifndef BACKSTAY_TESTS_UNIT_FORMAT_SUPPORT_H_
#define BACKSTAY_TESTS_UNIT_FORMAT_SUPPORT_H_

#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "uploader/base/bytes.h"
#include "uploader/base/hash.h"
#include "uploader/format/log_object.h"
#include "uploader/format/segment.h"

namespace backstay {

using Random = std::mt19937_64;
using Page = std::vector<uint8_t>;

inline uint64_t Pick(Random* random, uint64_t count) { return (*random)() % count; }

// Half text-like, half noise, so that it compresses as pages do.
inline Page RandomPage(Random* random, uint32_t page_size) {
  Page page(page_size);
  for (size_t i = 0; i < page.size(); ++i) {
    page[i] = static_cast<uint8_t>(i % 512 < 256 ? "the quick page "[i % 15] : (*random)());
  }
  return page;
}

inline Page ChangedPage(Random* random, Page page) {
  for (uint64_t n = Pick(random, 12) + 1; n > 0; --n) {
    page[Pick(random, page.size())] = static_cast<uint8_t>((*random)());
  }
  return page;
}

inline PageVersion Version(uint32_t pgno, const Page& page) {
  return {page.data(), PageHash(pgno, page)};
}

struct AppliedPage {
  size_t step;
  uint32_t pgno;
  Page image;
  bool operator==(const AppliedPage&) const = default;
};

// Pages by number: what a replica's reader knows.
struct Pages {
  std::map<uint32_t, Page> pages;

  // Applies `segment`; what `sink` saw goes to `log`.
  Status Apply(const Segment& segment, std::vector<AppliedPage>* log = nullptr) {
    const uint32_t page_size = segment.header().page_size;
    return segment.Apply(
        [&](uint32_t pgno, uint8_t* out) {
          auto page = pages.find(pgno);
          if (page == pages.end()) return Status(Code::kNotFound, "no such page");
          std::copy(page->second.begin(), page->second.end(), out);
          return page->second.size() == page_size ? Status::Ok() : Status(Code::kInvalid, "size");
        },
        [&](size_t step, uint32_t pgno, Bytes image, uint64_t hash) {
          if (hash != PageHash(pgno, image)) return Status(Code::kInvalid, "hash");
          Page copy(image.begin(), image.end());
          if (log != nullptr) log->push_back({step, pgno, copy});
          pages[pgno] = std::move(copy);
          return Status::Ok();
        });
  }
};

// `bytes` with the byte at `place` changed.
inline std::string WithByte(std::string bytes, size_t place, uint8_t change) {
  bytes[place] = static_cast<char>(static_cast<uint8_t>(bytes[place]) ^ change);
  return bytes;
}

// A segment of one step that writes full page images.
inline std::string SmallSegment(uint64_t number, uint64_t txid, uint64_t previous_hash,
                                uint32_t page_size = 512, uint32_t count = 3) {
  Random random(number);
  SegmentWriter writer;
  writer.Begin(page_size);
  writer.BeginStep(1, 1000 + static_cast<int64_t>(number));
  for (uint32_t pgno = 1; pgno <= count; ++pgno) {
    Page page = RandomPage(&random, page_size);
    (void)writer.Add(pgno, Version(pgno, page), {});
  }
  writer.EndStep(count);
  SegmentHeader header;
  header.page_size = page_size;
  header.number = number;
  header.first_txid = txid;
  header.previous_hash = previous_hash;
  return writer.Finish(header).value_or("");
}

// A log object of `count` segments that follow each other; *hash is the last one's.
inline std::string SmallLogObject(uint64_t epoch, uint64_t number, uint64_t first_segment,
                                  size_t count, uint64_t* hash) {
  std::string object = EncodeLogHeader({LogKind::kSegments, epoch, number, count});
  for (size_t i = 0; i < count; ++i) {
    const std::string bytes = SmallSegment(first_segment + i, first_segment + i, *hash);
    *hash = LoadLe64(AsBytes(bytes).data() + bytes.size() - 8);
    object += bytes;
  }
  return object;
}

inline Segment Parsed(const std::string& bytes) {
  size_t consumed = 0;
  Result<Segment> segment = Segment::Parse(AsBytes(bytes), &consumed);
  return segment.value();
}

}  // namespace backstay

#endif  // BACKSTAY_TESTS_UNIT_FORMAT_SUPPORT_H_
