#include "tools/elf_file.h"

#include <elf.h>
#include <limits.h>

#include <cstring>
#include <vector>

namespace backstay {
namespace {

constexpr uint8_t kOwnOrder = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB;
constexpr uint64_t kMostHeaderBytes = 64 << 10;  // as in the kernel

Status Damaged(const char* what) { return {Code::kCorrupt, what}; }

// Exactly `n` bytes; `size` is the file's.
Status ReadPart(const Fd& file, uint64_t size, uint64_t offset, uint64_t n, void* out) {
  if (offset > size || n > size - offset) return Damaged("it is cut off");
  Result<size_t> read = ReadAt(file, static_cast<uint8_t*>(out), n, static_cast<int64_t>(offset));
  if (!read.ok()) return read.status();
  return *read == n ? Status::Ok() : Damaged("it is cut off");
}

Result<std::string> ReadInterpreter(const Fd& file, uint64_t size, const Elf64_Phdr& part) {
  if (part.p_filesz < 2 || part.p_filesz > PATH_MAX) {
    return Damaged("its loader's name has an impossible length");
  }
  std::string name(part.p_filesz, '\0');
  BACKSTAY_TRY(ReadPart(file, size, part.p_offset, part.p_filesz, name.data()));
  const size_t end = name.find('\0');
  if (end == std::string::npos || end == 0) return Damaged("its loader's name has no end");
  name.resize(end);
  return name;
}

Result<std::string> FindInterpreter(const Fd& file, uint64_t size) {
  Elf64_Ehdr header;
  BACKSTAY_TRY(ReadPart(file, size, 0, sizeof(header), &header));
  if (header.e_phnum == 0) return std::string();
  const uint64_t bytes = uint64_t{header.e_phnum} * sizeof(Elf64_Phdr);
  if (header.e_phentsize != sizeof(Elf64_Phdr) || bytes > kMostHeaderBytes) {
    return Damaged("its program headers have an impossible size");
  }
  std::vector<Elf64_Phdr> parts(header.e_phnum);
  BACKSTAY_TRY(ReadPart(file, size, header.e_phoff, bytes, parts.data()));
  for (const Elf64_Phdr& part : parts) {
    if (part.p_type == PT_INTERP) return ReadInterpreter(file, size, part);
  }
  return std::string();
}

}  // namespace

Result<ElfFile> ReadElf(const Fd& file) {
  Result<int64_t> size = FileSize(file);
  if (!size.ok()) return size.status();
  const auto bytes = static_cast<uint64_t>(*size);
  // Up to e_machine both classes are laid out alike.
  unsigned char start[EI_NIDENT + 4];
  if (bytes < SELFMAG) return Status(Code::kUnsupported, "it is no ELF file");
  BACKSTAY_TRY(ReadPart(file, bytes, 0, SELFMAG, start));
  if (memcmp(start, ELFMAG, SELFMAG) != 0) return Status(Code::kUnsupported, "it is no ELF file");
  BACKSTAY_TRY(ReadPart(file, bytes, 0, sizeof(start), start));

  ElfFile elf;
  elf.kind.word = start[EI_CLASS];
  elf.kind.order = start[EI_DATA];
  const unsigned first = start[EI_NIDENT + 2];
  const unsigned second = start[EI_NIDENT + 3];
  elf.kind.machine = static_cast<uint16_t>(elf.kind.order == ELFDATA2MSB ? first << 8 | second
                                                                         : second << 8 | first);
  if (elf.kind.word != ELFCLASS64 || elf.kind.order != kOwnOrder) return elf;
  Result<std::string> interpreter = FindInterpreter(file, bytes);
  if (!interpreter.ok()) return interpreter.status();
  elf.interpreter = std::move(*interpreter);
  return elf;
}

}  // namespace backstay
