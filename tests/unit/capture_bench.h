// CaptureBench: a database in WAL mode that SQLite writes, and a Capture behind it whose segments
// are applied to an image in memory.
//
// For the unit tests of Capture; one thread. Fails the test that uses it.

#ifndef BACKSTAY_TESTS_UNIT_CAPTURE_BENCH_H_
#define BACKSTAY_TESTS_UNIT_CAPTURE_BENCH_H_

#include <fcntl.h>
#include <sqlite3.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/temp_folder.h"
#include "uploader/capture/capture.h"
#include "uploader/state/state_folder.h"

namespace backstay {

class CaptureBench {
 public:
  static constexpr size_t kMaxFile = 1 << 30;

  explicit CaptureBench(uint32_t page_size)
      : page_size_(page_size), index(LockBytePage(page_size)) {
    OpenDatabase();
    REQUIRE(outbox.Open({[](auto&) {}, [](auto&) {}, [](auto&) {}}).ok());
    MakeCapture();
    REQUIRE(capture->StartFresh(WalTarget{}).ok());
    // The journal mode is written before anything is captured.
    image_ = ReadFile(path_, kMaxFile).value();
    index.Resize(static_cast<uint32_t>(image_.size() / page_size_));
  }
  ~CaptureBench() { sqlite3_close(db_); }

  // The last connection takes the WAL and the wal-index with it; the next one makes both anew.
  void Reopen() {
    sqlite3_close(db_);
    capture->AnnounceRestart();
    capture->WalGone(StampOf(path_));
    OpenDatabase();
  }
  void Sql(const std::string& sql) {
    char* error = nullptr;
    int rc = sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, &error);
    INFO((error != nullptr ? error : ""));
    REQUIRE(rc == SQLITE_OK);
  }
  void Rows(int count) {
    Sql("INSERT INTO t(text) WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE "
        "i < " +
        std::to_string(count) + ") SELECT hex(randomblob(200)) FROM n");
  }
  WalTarget Target() {
    WalTarget target;
    std::string wal = ReadFile(path_ + "-wal", kMaxFile).value_or("");
    if (wal.size() < 32) return target;
    target.salt1 = LoadBe32(AsBytes(wal).data() + 16);
    target.salt2 = LoadBe32(AsBytes(wal).data() + 20);
    target.max_frame = frames_;
    target.change = commits_;
    target.held = true;
    sqlite3_stmt* statement = nullptr;
    sqlite3_prepare_v2(db_, "PRAGMA page_count", -1, &statement, nullptr);
    sqlite3_step(statement);
    target.pages = static_cast<uint32_t>(sqlite3_column_int64(statement, 0));
    sqlite3_finalize(statement);
    return target;
  }
  bool Advance() { return capture->Advance(Target()).value(); }
  void Repair(bool all = true) {
    REQUIRE(capture
                ->Repair(
                    all, [this] { return std::vector<WalTarget>{Target()}; }, [] { return true; })
                .ok());
  }

  // Applies what waits in the outbox; returns the number of page images.
  size_t Apply() {
    size_t pages = 0;
    for (const Outbox::Pending& pending : outbox.pending()) {
      const std::string bytes = outbox.ReadSegment(pending).value();
      size_t used = 0;
      Segment segment = Segment::Parse(AsBytes(bytes), &used).value();
      most_steps = std::max(most_steps, segment.steps().size());
      more = more || segment.more();
      Status applied = segment.Apply(
          [&](uint32_t pgno, uint8_t* out) {
            if (pgno * size_t{page_size_} > image_.size()) return Status(Code::kCorrupt, "no base");
            std::memcpy(out, image_.data() + (pgno - 1) * size_t{page_size_}, page_size_);
            return Status::Ok();
          },
          [&](size_t, uint32_t pgno, Bytes page, uint64_t) {
            ++pages;
            size_t end = pgno * size_t{page_size_};
            if (image_.size() < end) image_.resize(end);
            std::memcpy(image_.data() + end - page_size_, page.data(), page_size_);
            return Status::Ok();
          });
      REQUIRE(applied.ToString() == "OK");
      image_.resize(segment.steps().back().pages * size_t{page_size_});
    }
    outbox.Shipped(UINT64_MAX);
    return pages;
  }
  // The applied image is the database, which the checkpoint makes whole in its file.
  void CheckSame() {
    Apply();
    Sql("PRAGMA wal_checkpoint(FULL)");
    REQUIRE((image_ == ReadFile(path_, kMaxFile).value()));
    REQUIRE(capture->encoder()->outbox_status().ok());
  }

  // The next segments are applied to this.
  void SetImage(std::string image) { image_ = std::move(image); }

  void CutImage(uint32_t pages) { image_.resize(pages * size_t{page_size_}); }

  size_t most_steps = 0;
  bool more = false;
  bool hurried = false;

 private:
  void OpenDatabase() {
    REQUIRE(sqlite3_open(path_.c_str(), &db_) == SQLITE_OK);
    Sql("PRAGMA page_size=" + std::to_string(page_size_));
    Sql("PRAGMA journal_mode=wal; PRAGMA wal_autocheckpoint=0; PRAGMA synchronous=off");
    frames_ = 0;
    commits_ = 0;
    sqlite3_wal_hook(
        db_,
        [](void* self, sqlite3*, const char*, int frames) {
          auto* bench = static_cast<CaptureBench*>(self);
          bench->frames_ = static_cast<uint32_t>(frames);
          ++bench->commits_;
          return SQLITE_OK;
        },
        this);
  }
  void MakeCapture() {
    Capture::Options options;
    options.database_path = path_;
    options.page_size = page_size_;
    options.cache_bytes = 1 << 16;
    options.file = [this](void* out, int64_t n, int64_t offset) -> int64_t {
      if (!file_.valid()) file_ = Fd(open(path_.c_str(), O_RDONLY | O_CLOEXEC));
      return static_cast<int64_t>(
          ReadAt(file_, static_cast<uint8_t*>(out), static_cast<size_t>(n), offset).value());
    };
    options.file_size = [this] { return FileSize(Fd(open(path_.c_str(), O_PATH))).value(); };
    options.hurried = [this] { return hurried; };
    options.index = &index;
    options.outbox = &outbox;
    options.clock = RealClock();
    capture = std::make_unique<Capture>(std::move(options));
  }

  const uint32_t page_size_;
  TempFolder folder_;
  const std::string path_ = folder_ / "db";
  sqlite3* db_ = nullptr;
  Fd file_;
  uint32_t frames_ = 0;
  uint32_t commits_ = 0;
  std::string image_;

 public:
  PageIndex index;
  Outbox outbox{folder_ / "outbox"};
  std::unique_ptr<Capture> capture;
};

inline constexpr char kTableSql[] = "CREATE TABLE t(id INTEGER PRIMARY KEY, text)";

}  // namespace backstay

#endif  // BACKSTAY_TESTS_UNIT_CAPTURE_BENCH_H_
