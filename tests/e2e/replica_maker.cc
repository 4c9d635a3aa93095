// Makes a replica of database files, each one transaction after the other, by hand.
//
// Not a test: a Catch program, because the builder speaks Catch. MAKER_REPLICA is the folder,
// MAKER_DATABASES the files, separated by ':', MAKER_PACK non-empty packs the log, with
// MAKER_UNFINISHED the last transaction is cut off in its middle. A snapshot follows the first.

#include <cstdlib>
#include <sstream>

#include "tests/support/catch.h"
#include "tests/support/replica_builder.h"
#include "uploader/base/file.h"
#include "uploader/storage/file_client.h"

TEST_CASE("make a replica") {
  using namespace backstay;
  REQUIRE(std::getenv("MAKER_REPLICA") != nullptr);
  auto client = FileReplicaClient::Make(std::getenv("MAKER_REPLICA"));
  REQUIRE(client.ok());
  ReplicaBuilder builder(client->get(), 4096, 1, 1);
  std::istringstream paths(std::getenv("MAKER_DATABASES"));
  for (std::string path; std::getline(paths, path, ':');) {
    Result<std::string> database = ReadFile(path, 1 << 30);
    REQUIRE(database.ok());
    builder.CommitDatabase(*database);
    if (builder.txid() == 1) builder.Snapshot();
    const bool cut = paths.eof() && std::getenv("MAKER_UNFINISHED") != nullptr;
    cut ? builder.ShipUnfinished() : static_cast<void>(builder.Ship());
  }
  if (std::getenv("MAKER_PACK") != nullptr) builder.Pack(1, builder.next_number() - 1, true);
}
