#include "tests/support/catch.h"
#include "uploader/engine/host_version.h"

namespace backstay {

TEST_CASE("the versions with the WAL-reset bug", "[host_version]") {
  for (int bad : {3007000, 3040001, 3044005, 3045000, 3050006, 3051000, 3051002}) {
    CHECK(HasWalResetBug(bad));
  }
  for (int good : {3006023, 3044006, 3044099, 3050007, 3050099, 3051003, 3053002}) {
    CHECK_FALSE(HasWalResetBug(good));
  }
  CHECK(SqliteVersionText(3040001) == "3.40.1");
  CHECK(SqliteVersionText(3051003) == "3.51.3");
}

}  // namespace backstay
