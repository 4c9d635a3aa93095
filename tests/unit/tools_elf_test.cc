// ReadElf: what it finds, and that no file, however damaged, leads it astray.

#include <elf.h>
#include <fcntl.h>

#include <cstring>
#include <random>

#include "tests/support/catch.h"
#include "tests/support/temp_folder.h"
#include "tools/elf_file.h"

namespace backstay {
namespace {

constexpr const char* kLoader = "/lib/ld-musl-x86_64.so.1";

template <typename T>
void Append(std::string* out, const T& value) {
  out->append(reinterpret_cast<const char*>(&value), sizeof(value));
}

// Header, two program headers, and the loader's name at the very end.
std::string Program() {
  Elf64_Ehdr header = {};
  memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_type = ET_DYN;
  header.e_machine = EM_X86_64;
  header.e_phoff = sizeof(Elf64_Ehdr);
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = 2;
  Elf64_Phdr load = {};
  load.p_type = PT_LOAD;
  Elf64_Phdr interpreter = {};
  interpreter.p_type = PT_INTERP;
  interpreter.p_offset = sizeof(Elf64_Ehdr) + 2 * sizeof(Elf64_Phdr);
  interpreter.p_filesz = strlen(kLoader) + 1;
  std::string out;
  Append(&out, header);
  Append(&out, load);
  Append(&out, interpreter);
  return out.append(kLoader, strlen(kLoader) + 1);
}

class ElfTest {
 protected:
  Result<ElfFile> Read(const std::string& content) {
    const std::string path = folder_.path() + "/program";
    REQUIRE(WriteFileAtomic(path, content, false).ok());
    return ReadElf(*OpenFile(path, O_RDONLY));
  }

  TempFolder folder_;
};

TEST_CASE_METHOD(ElfTest, "the loader and the machine of a program are read", "[elf]") {
  Result<ElfFile> elf = Read(Program());
  REQUIRE(elf.ok());
  CHECK(elf->interpreter == kLoader);
  CHECK(elf->kind == ElfKind{ELFCLASS64, ELFDATA2LSB, EM_X86_64});

  std::string other = Program();
  other[EI_CLASS] = ELFCLASS32;
  elf = Read(other);
  REQUIRE(elf.ok());
  CHECK(elf->interpreter.empty());
  CHECK(elf->kind != ElfKind{ELFCLASS64, ELFDATA2LSB, EM_X86_64});
}

TEST_CASE_METHOD(ElfTest, "a program cut off at any byte is damaged, or no program", "[elf]") {
  const std::string whole = Program();
  for (size_t n = 0; n < whole.size(); ++n) {
    Result<ElfFile> elf = Read(whole.substr(0, n));
    INFO(n << " bytes");
    REQUIRE_FALSE(elf.ok());
    CHECK(elf.status().code() == (n < SELFMAG ? Code::kUnsupported : Code::kCorrupt));
  }
}

TEST_CASE_METHOD(ElfTest, "what a header states is held against the file's size", "[elf]") {
  std::minstd_rand random(1);
  for (size_t at = EI_NIDENT; at < sizeof(Elf64_Ehdr) + 2 * sizeof(Elf64_Phdr); ++at) {
    for (const int value : {0, 1, 0x7f, 0x80, 0xff, static_cast<int>(random() & 0xff)}) {
      std::string content = Program();
      content[at] = static_cast<char>(value);
      content[(at + random() % 8) % content.size()] = static_cast<char>(random());
      Result<ElfFile> elf = Read(content);
      if (elf.ok()) CHECK(elf->interpreter.size() < content.size());
    }
  }
}

}  // namespace
}  // namespace backstay
