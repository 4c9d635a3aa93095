// PageBuffer: room for one page, which knows its size; and what is a page size at all.
//
// Whoever fills a page takes one of these and compares it with the size of the page that it has: a
// size that one file states never decides how much of another's buffer is written. A plain value;
// any thread; cannot fail.

#ifndef BACKSTAY_UPLOADER_CAPTURE_PAGE_BUFFER_H_
#define BACKSTAY_UPLOADER_CAPTURE_PAGE_BUFFER_H_

#include <cstdint>
#include <span>

namespace backstay {

using PageBuffer = std::span<uint8_t>;

// sqlite.org/fileformat2.html, 1.3.2.
inline bool IsPageSize(uint32_t n) { return n >= 512 && n <= 65536 && (n & (n - 1)) == 0; }

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_CAPTURE_PAGE_BUFFER_H_
