// main() that stands in for libFuzzer where there is none: runs a target over the files of a
// folder and over mutations of them, the same ones every time.
//
// usage: NAME_replay FOLDER [MUTATIONS]: that many of each file, 2000 if not given.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using Random = std::mt19937_64;

void Run(const std::string& input) {
  // A copy of exactly this size, so that a sanitizer sees a read past the end.
  const std::vector<uint8_t> exact(input.begin(), input.end());
  LLVMFuzzerTestOneInput(exact.data(), exact.size());
}

std::string Noise(Random* random) {
  constexpr uint8_t kTelling[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
  std::string noise;
  for (uint64_t n = 1 + (*random)() % 10; n > 0; --n) {
    const uint64_t value = (*random)();
    noise += static_cast<char>(value % 2 == 0 ? kTelling[value / 2 % 5] : value >> 8);
  }
  return noise;
}

std::string Mutate(Random* random, std::string input, const std::string& other) {
  for (uint64_t n = 1 + (*random)() % 4; n > 0; --n) {
    const size_t at = (*random)() % (input.size() + 1);
    const size_t length = (*random)() % 16;
    switch ((*random)() % 6) {
      case 0:
        if (at < input.size()) input[at] = static_cast<char>((*random)());
        break;
      case 1:
        if (at < input.size()) input[at] = static_cast<char>(input[at] ^ (1 << (*random)() % 8));
        break;
      case 2: input.insert(at, Noise(random)); break;
      case 3: input.erase(at, length); break;
      case 4: input.resize(at); break;
      default: input.insert(at, other.substr((*random)() % (other.size() + 1), length * 8)); break;
    }
  }
  return input;
}

std::vector<std::string> FilesIn(const char* folder) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.is_regular_file()) paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> files;
  for (const auto& path : paths) {
    std::ifstream in(path, std::ios::binary);
    files.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  return files;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || !std::filesystem::is_directory(argv[1])) {
    std::fprintf(stderr, "usage: %s FOLDER [MUTATIONS]\n", argv[0]);
    return 2;
  }
  const long mutations = argc > 2 ? std::atol(argv[2]) : 2000;
  const std::vector<std::string> files = FilesIn(argv[1]);
  if (files.empty()) {
    std::fprintf(stderr, "%s: no files in %s\n", argv[0], argv[1]);
    return 1;
  }
  Run("");
  Random random(20);
  for (const std::string& file : files) {
    Run(file);
    for (long i = 0; i < mutations; ++i) {
      Run(Mutate(&random, file, files[random() % files.size()]));
    }
  }
  std::printf("%zu files, %ld mutations of each\n", files.size(), mutations);
  return 0;
}
