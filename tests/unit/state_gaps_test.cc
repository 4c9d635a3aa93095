// What somebody was told of is not told again, by any process.

#include "tests/support/catch.h"
#include "tests/support/temp_folder.h"
#include "uploader/base/file.h"
#include "uploader/state/told_gaps.h"

namespace backstay {

TEST_CASE("a gap is told once, until retention has removed it", "[state]") {
  TempFolder folder;
  CHECK(NoteGap(folder.path(), 7));
  CHECK(NoteGap(folder.path(), 90));
  CHECK_FALSE(NoteGap(folder.path(), 7));
  CHECK_FALSE(NoteGap(folder.path(), 90));
  CHECK_FALSE(ForgetGaps(folder.path(), 7));
  CHECK(ForgetGaps(folder.path(), 8));
  CHECK_FALSE(ForgetGaps(folder.path(), 8));
  CHECK_FALSE(NoteGap(folder.path(), 90));
  CHECK(ForgetGaps(folder.path(), 91));
  CHECK_FALSE(ReadFile(folder / "gaps", 100).ok());
}

TEST_CASE("of a damaged file of gaps nothing is believed behind the damage", "[state]") {
  TempFolder folder;
  REQUIRE(WriteFileAtomic(folder / "gaps", "5\n6x\n7\n8", false).ok());
  CHECK_FALSE(NoteGap(folder.path(), 5));
  CHECK(NoteGap(folder.path(), 6));
  CHECK(NoteGap(folder.path(), 7));
}

}  // namespace backstay
