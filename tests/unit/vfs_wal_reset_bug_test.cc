#include "tests/support/catch.h"
#include "vfs/wal_reset_bug.h"

namespace backstay {

TEST_CASE("the versions with the WAL-reset bug", "[wal_reset_bug]") {
  for (int bad : {3007000, 3040001, 3044005, 3045000, 3050006, 3051000, 3051002}) {
    CHECK(HasWalResetBug(bad));
  }
  for (int good : {3006023, 3044006, 3044099, 3050007, 3050099, 3051003, 3053002}) {
    CHECK_FALSE(HasWalResetBug(good));
  }
  CHECK(DescribeWalResetBug(3040001).find("SQLite 3.40.1 has") == 0);
}

}  // namespace backstay
