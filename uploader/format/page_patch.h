// A page patch: how a page image became the next one, as at most one move of bytes within the page
// and ranges of bytes that were overwritten. Specified in uploader/format/README.md.
//
// The writer knows B-tree pages (a cell that comes or goes shifts the cell pointers behind it); the
// reader does not, so a wrong guess costs bytes, never data. Pure functions, any thread. A patch
// that reaches outside its page is kCorrupt.

#ifndef BACKSTAY_UPLOADER_FORMAT_PAGE_PATCH_H_
#define BACKSTAY_UPLOADER_FORMAT_PAGE_PATCH_H_

#include <cstdint>
#include <span>
#include <vector>

#include "uploader/base/bytes.h"
#include "uploader/base/status.h"

namespace backstay {

class PagePatcher {
 public:
  // Appends the patch from `before` to `after` (images of page `pgno`, of one size). False, with
  // nothing appended: so much changed that the whole image is the better choice.
  bool Make(uint32_t pgno, Bytes before, Bytes after, ByteWriter* out);

 private:
  struct Range {
    uint32_t begin = 0;
    uint32_t end = 0;
  };
  bool FindRanges(Bytes before, Bytes after);
  bool AddChange(uint32_t at);

  std::vector<uint8_t> moved_;  // `before` with its bytes moved
  std::vector<Range> ranges_;
  uint32_t changed_ = 0;  // bytes in ranges_
};

// Turns the image before into the image after. On an error `image` is rubbish.
Status ApplyPagePatch(ByteReader* patch, std::span<uint8_t> image);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_FORMAT_PAGE_PATCH_H_
