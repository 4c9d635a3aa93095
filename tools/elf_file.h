// What an ELF file says of itself, as far as it matters to what can be loaded into it.
//
// Main thread. The file may be anything: all that it states is checked against its size, and no
// more than its headers is read. kUnsupported: it is no ELF file. kCorrupt: it is one, but not
// whole. kIo: it cannot be read.

#ifndef BACKSTAY_TOOLS_ELF_FILE_H_
#define BACKSTAY_TOOLS_ELF_FILE_H_

#include <cstdint>
#include <string>

#include "uploader/base/file.h"
#include "uploader/base/status.h"

namespace backstay {

struct ElfKind {
  uint8_t word = 0;   // ELFCLASS32 or ELFCLASS64
  uint8_t order = 0;  // of bytes: ELFDATA2LSB or ELFDATA2MSB
  uint16_t machine = 0;

  bool operator==(const ElfKind&) const = default;
};

struct ElfFile {
  ElfKind kind;
  // The loader of a dynamically linked program. Read of the kind of this program alone.
  std::string interpreter;
};

Result<ElfFile> ReadElf(const Fd& file);

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_ELF_FILE_H_
