#include "uploader/engine/gap_words.h"

#include <string>

#include "uploader/base/clock.h"
#include "uploader/state/told_gaps.h"

namespace backstay {

void TellGap(Core* core, const LogGap& gap) {
  if (!NoteGap(core->options.folder, gap.first)) return;
  const int64_t retention_ms = core->retention_ms.load();
  const std::string end =
      retention_ms > 0 ? "it passes on " + FormatRfc3339(gap.to_ms + retention_ms) +
                             ", when retention deletes what is that old, and nothing before"
                       : std::string("it stays until what is that old is deleted (backstay prune)");
  core->Log(Level::kWarn,
            "the replica has lost part of its log, deleted by somebody or by the store: " +
                gap.Told() + ". Nothing has to be done: " + end);
}

void TellGapsGone(Core* core, uint64_t below) {
  if (!ForgetGaps(core->options.folder, below)) return;
  core->Recovered(
      "the part of the log that the replica had lost is older than what is kept by now");
}

}  // namespace backstay
