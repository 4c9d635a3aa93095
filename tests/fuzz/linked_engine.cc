#include "tests/fuzz/linked_engine.h"

#include <cstdlib>
#include <string>

// The C boundary keeps its engine to itself, for good; here each input has one of its own.
#include "uploader/engine/api.cc"  // NOLINT(bugprone-suspicious-include)

const BackstayEngine* LinkedEngine() {
  HurryTime();
  const BackstayEngine* engine = backstay_engine(BACKSTAY_ENGINE_API_VERSION);
  const char* const file = std::getenv("BACKSTAY_FUZZ_LOG");
  const std::string log =
      std::string("BACKSTAY_LOG_FILE=") + (file != nullptr ? file : "/dev/null");
  const char* const settings[] = {"BACKSTAY_MIN_INTERVAL=0ms", "BACKSTAY_DRAIN_TIMEOUT=500ms",
                                  "BACKSTAY_SYNC_TIMEOUT=2s", log.c_str(), nullptr};
  engine->start(settings);
  return engine;
}

void EndEngine() {
  backstay::Drain();
  delete backstay::Slot().exchange(nullptr);
}

// At its end a process drops databases whose threads have not ended (Engine::DropEnding), here
// after a twentieth of the time: that is no leak.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() { return "leak:backstay::Database::Open\n"; }
