// A page patch gives back the page it was made for, or there is none.

#include "tests/support/catch.h"
#include "tests/unit/format_support.h"
#include "uploader/format/page_patch.h"

namespace backstay {
namespace {

// A leaf page of an index with `count` cells of `size` bytes, as SQLite lays them out.
struct LeafPage {
  LeafPage(uint32_t page_size, uint8_t type, uint32_t header) : page(page_size), header(header) {
    page[header] = type;
    content = page_size;
  }
  void Put16(size_t at, uint32_t value) {
    page[at] = static_cast<uint8_t>(value >> 8);
    page[at + 1] = static_cast<uint8_t>(value);
  }
  size_t pointers() const { return header + (page[header] > 5 ? 8 : 12); }
  void Insert(uint32_t index, const std::string& cell) {
    content -= static_cast<uint32_t>(cell.size());
    std::copy(cell.begin(), cell.end(), page.begin() + content);
    const size_t at = pointers() + 2 * index;
    std::copy_backward(page.begin() + static_cast<ptrdiff_t>(at),
                       page.begin() + static_cast<ptrdiff_t>(pointers() + 2 * count),
                       page.begin() + static_cast<ptrdiff_t>(pointers() + 2 * count + 2));
    Put16(at, content);
    Put16(header + 3, ++count);
    Put16(header + 5, content);
  }
  void Remove(uint32_t index) {
    const size_t at = pointers() + 2 * index;
    std::copy(page.begin() + static_cast<ptrdiff_t>(at + 2),
              page.begin() + static_cast<ptrdiff_t>(pointers() + 2 * count),
              page.begin() + static_cast<ptrdiff_t>(at));
    Put16(header + 3, --count);
  }

  Page page;
  uint32_t header;
  uint32_t content = 0;
  uint32_t count = 0;
};

// Bytes of the patch, 0 if there is none; checks that it gives back `after`.
size_t PatchBytes(uint32_t pgno, const Page& before, const Page& after) {
  PagePatcher patcher;
  ByteWriter out;
  out.Raw("before");
  if (!patcher.Make(pgno, before, after, &out)) {
    CHECK(out.str() == "before");
    return 0;
  }
  ByteReader in(out.bytes().subspan(6));
  Page image = before;
  CHECK(ApplyPagePatch(&in, image).ToString() == "OK");
  CHECK(in.ok());
  CHECK(in.remaining() == 0);
  CHECK((image == after));
  return out.size() - 6;
}

}  // namespace

TEST_CASE("a cell that comes or goes costs its bytes, not the pointers behind it") {
  for (uint32_t pgno : {1u, 7u}) {
    for (uint8_t type : {2, 5, 10, 13}) {
      INFO("page " << pgno << " of type " << int{type});
      LeafPage leaf(4096, type, pgno == 1 ? 100 : 0);
      for (uint32_t i = 0; i < 100; ++i) leaf.Insert(i, "a cell, number " + std::to_string(i));
      const Page before = leaf.page;
      leaf.Insert(10, "the new cell");
      const size_t inserted = PatchBytes(pgno, before, leaf.page);
      CHECK(inserted > 12);
      CHECK(inserted < 40);
      const Page full = leaf.page;
      leaf.Remove(20);
      const size_t removed = PatchBytes(pgno, full, leaf.page);
      CHECK(removed > 0);
      CHECK(removed < 20);
    }
  }
}

TEST_CASE("any two pages: the patch is right, or there is none") {
  Random random(5);
  size_t patched = 0;
  for (int round = 0; round < 3000; ++round) {
    const uint32_t page_size = 512u << Pick(&random, 8);
    const auto pgno = static_cast<uint32_t>(1 + Pick(&random, 2));
    Page before = RandomPage(&random, page_size);
    const size_t header = pgno == 1 ? 100 : 0;
    before[header] = static_cast<uint8_t>(Pick(&random, 14));
    Page after = ChangedPage(&random, before);
    // Cell counts that fit, or not.
    if (Pick(&random, 2) == 0) {
      after[header] = before[header];
      before[header + 3] = after[header + 3] = static_cast<uint8_t>(Pick(&random, 2));
      after[header + 4] = static_cast<uint8_t>(random());
    }
    patched += PatchBytes(pgno, before, after) > 0 ? 1 : 0;
  }
  CHECK(patched > 1000);
  Page one = RandomPage(&random, 512);
  CHECK(PatchBytes(3, one, one) == 1);
  CHECK(PatchBytes(3, one, RandomPage(&random, 512)) == 0);
}

TEST_CASE("a hostile patch stays inside its page") {
  Random random(6);
  for (int round = 0; round < 20000; ++round) {
    Page bytes(1 + Pick(&random, 40));
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
    Page image(512 + 64, 0xee);  // the tail must not be touched
    ByteReader in(bytes);
    const Status applied = ApplyPagePatch(&in, std::span(image).first(512));
    CHECK((applied.ok() || applied.code() == Code::kCorrupt));
    CHECK(std::count(image.begin() + 512, image.end(), 0xee) == 64);
  }
}

TEST_CASE("a patch moves bytes inside its page only") {
  const uint64_t size = 512;
  const std::vector<uint64_t> edges = {0,   1,   256, 257,      511,
                                       512, 513, 576, 1u << 20, UINT64_MAX / 2};
  for (uint64_t from : edges) {
    for (uint64_t to : edges) {
      for (uint64_t length : edges) {
        INFO(length << " bytes from " << from << " to " << to);
        ByteWriter patch;
        patch.Varint(1);
        patch.Varint(from);
        patch.Varint(ZigZag(static_cast<int64_t>(to) - static_cast<int64_t>(from)));
        patch.Varint(length);
        Page image(size + 64, 0x11);
        std::fill(image.begin() + static_cast<ptrdiff_t>(size), image.end(), 0xee);
        ByteReader in(patch.bytes());
        const Status applied = ApplyPagePatch(&in, std::span(image).first(size));
        const bool inside = std::max(from, to) <= size && length <= size - std::max(from, to);
        CHECK(applied.ok() == inside);
        CHECK(std::count(image.begin() + static_cast<ptrdiff_t>(size), image.end(), 0xee) == 64);
        CHECK(std::count(image.begin(), image.end(), 0x11) == static_cast<ptrdiff_t>(size));
      }
    }
  }
}

}  // namespace backstay
