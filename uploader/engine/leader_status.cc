#include "uploader/engine/leader_status.h"

#include <cstddef>
#include <nlohmann/json.hpp>

#include "uploader/base/file.h"

namespace backstay {
namespace {

constexpr size_t kMaxBytes = 1 << 20;

// The few members that count. Nothing is built of the rest: nlohmann's objects allocate in their
// destructors.
class StatusReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit StatusReader(const std::string& replica) : replica_(replica) {}

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t value) override { return Number(value); }
  bool number_unsigned(number_unsigned_t value) override {
    return Number(static_cast<int64_t>(value));
  }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t& value) override {
    if (depth_ == kReplica && key_ == "replica") matches_ = value == replica_;
    if (depth_ == kReplica && key_ == "state") {
      each_.failing = value == "retrying" || value == "error" || value == "fenced";
    }
    return true;
  }
  bool binary(binary_t&) override { return true; }
  bool start_object(size_t) override {
    if (++depth_ != kReplica) return true;
    each_ = {};
    matches_ = false;
    return true;
  }
  bool key(string_t& value) override {
    key_ = value;
    return true;
  }
  bool end_object() override {
    if (depth_ == kReplica && matches_) found = each_;
    --depth_;
    return true;
  }
  bool start_array(size_t) override { return true; }
  bool end_array() override { return true; }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception&) override {
    return false;
  }

  LeaderStatus whole;
  std::optional<LeaderStatus> found;

 private:
  static constexpr int kWhole = 1;
  static constexpr int kReplica = 2;

  bool Number(int64_t value) {
    if (depth_ == kWhole && key_ == "pid") whole.pid = value;
    if (depth_ == kWhole && key_ == "written_ms") whole.written_ms = value;
    if (depth_ == kReplica && key_ == "lag_ms") each_.lag_ms = value;
    if (depth_ == kReplica && key_ == "lag_transactions") each_.lag_transactions = value;
    return true;
  }

  const std::string& replica_;
  std::string key_;
  int depth_ = 0;
  LeaderStatus each_;
  bool matches_ = false;
};

}  // namespace

std::optional<LeaderStatus> LeaderStatus::Read(const std::string& folder,
                                               const std::string& replica) {
  Result<std::string> text = ReadFile(folder + "/status.json", kMaxBytes);
  if (!text.ok()) return std::nullopt;
  StatusReader reader(replica);
  if (!nlohmann::json::sax_parse(*text, &reader) || !reader.found) return std::nullopt;
  reader.found->pid = reader.whole.pid;
  reader.found->written_ms = reader.whole.written_ms;
  return reader.found;
}

}  // namespace backstay
