// backstay verify: every replica of a database restored to a scratch folder, proven, and reported.

#include <cstdio>
#include <cstdlib>

#include "tools/arguments.h"
#include "tools/command.h"
#include "tools/interrupt.h"
#include "tools/job_ping.h"
#include "tools/json_output.h"
#include "tools/source.h"
#include "tools/transcript.h"
#include "tools/verification.h"
#include "tools/verify_metrics.h"
#include "uploader/settings/settings.h"
#include "uploader/settings/table.h"

namespace backstay {
namespace {

struct Options {
  std::string from;  // DB or URL
  SourceOptions source;
  std::string max_age;
  std::string integrity = "full";
  bool no_foreign_keys = false;
  std::optional<std::string> ping_url;
  bool compare = false;
  std::string metrics_folder;
  bool json = false;
  VerifyOptions verify;
};

void Bind(Arguments* app, Options* options) {
  options->source.Bind(app);
  app->Text("--max-age", &options->max_age,
            "fail when the newest transaction is older than this, like 2d");
  app->Flag("--compare", &options->compare,
            "compare with the live database, also while an application writes to it");
  app->Text("--scratch", &options->verify.scratch,
            "folder to restore in, with room for the database (default TMPDIR, or /tmp)");
  app->Choice("--integrity-check", &options->integrity, IntegrityCheckNames(),
              "none, quick or full (default full)");
  app->Flag("--no-foreign-key-check", &options->no_foreign_keys,
            "leave out SQLite's check of the foreign keys");
  app->Number("--parallelism", &options->verify.parallelism, 1, 64,
              "requests at a time (default 8)");
  app->TextOrEmpty(
      "--ping-url", &options->ping_url,
      "check of healthchecks.io, or of a monitor that speaks its protocol, to be told of the "
      "start, and of the exit status with what is said here (default: the variable "
      "BACKSTAY_PING_URL, which the list of processes does not show)");
  app->Text(
      "--metrics-dir", &options->metrics_folder,
      "folder for a file of metrics, as node_exporter's textfile collector reads it (default: "
      "the setting metrics-dir)");
  app->Flag("--json", &options->json, "the outcome as JSON on stdout");
  app->Operand("from", &options->from, true, "DB|URL", "database path, or replica URL");
}

class VerifyCommand {
 public:
  explicit VerifyCommand(Options options) : options_(std::move(options)) {
    options_.verify.stop = [this] { return interrupt_.interrupted(); };
  }
  int Run();

 private:
  Status OpenPing();
  Status ReadOptions();
  void VerifyOne(ReplicaClient* client, const RetryOptions& retry);
  void PrintOutcome(const std::string& database) const;
  int Finish();
  void TellMetrics(const std::string& from);

  Options options_;
  Transcript transcript_;
  Interrupt interrupt_;
  JobPing ping_{[this] { return interrupt_.interrupted(); }};
  int exit_code_ = kExitDone;
  Json replicas_ = Json::array();
};

Status VerifyCommand::OpenPing() {
  if (options_.ping_url && options_.ping_url->empty()) {
    PrintWarning("verify: -ping-url is empty, and no monitor is told; leave it out, or give a URL");
  }
  if (options_.ping_url) return ping_.Open(*options_.ping_url).Wrap("-ping-url");
  const char* url = getenv(kPingUrlVariable);
  return ping_.Open(url == nullptr ? "" : url).Wrap(kPingUrlVariable);
}

Status VerifyCommand::ReadOptions() {
  BACKSTAY_TRY(OpenPing());
  options_.verify.integrity = IntegrityCheckNamed(options_.integrity);
  options_.verify.foreign_keys = !options_.no_foreign_keys;
  if (options_.compare && IsUrl(options_.from)) {
    return {Code::kInvalid, "-compare: give the path of the database in place of a replica's URL"};
  }
  if (options_.compare) options_.verify.live = DatabasePath(options_.from);
  if (options_.max_age.empty()) return Status::Ok();
  Result<int64_t> age_ms = ParseDurationMs(options_.max_age);
  if (!age_ms.ok()) return age_ms.status().Wrap("-max-age");
  if (*age_ms == 0)
    return {Code::kInvalid, "-max-age " + options_.max_age + ": give a time, like 2d"};
  options_.verify.max_age_ms = *age_ms;
  return Status::Ok();
}

void VerifyCommand::VerifyOne(ReplicaClient* client, const RetryOptions& retry) {
  interrupt_.Watch(client);
  const ReplicaReader reader(client, retry);
  options_.verify.live_wait_ms = retry.patience_ms / 2;
  Verification verification(reader, options_.verify);
  verification.Run();
  exit_code_ = WorseOf(exit_code_, verification.exit_code());
  for (const VerifyProblem& problem : verification.problems()) {
    const auto print = problem.exit_code == kExitDone ? PrintWarning : PrintError;
    print("verify: " + problem.text);
  }
  replicas_.push_back(verification.ToJson());
  transcript_.Add(verification.Summary());
  if (!options_.json) printf("%s\n", verification.Summary().c_str());
}

void VerifyCommand::TellMetrics(const std::string& from) {
  const std::string folder = MetricsFolderOf(options_.metrics_folder, options_.source.config);
  if (folder.empty() || interrupt_.interrupted()) return;
  const Status written = WriteVerifyMetrics(folder, from, replicas_);
  if (!written.ok()) PrintError("verify: no metrics are written: " + written.message());
}

void VerifyCommand::PrintOutcome(const std::string& database) const {
  const Json json{{"verified", exit_code_ == kExitDone},
                  {"exit", exit_code_},
                  {"db", JsonText(database)},
                  {"replicas", replicas_}};
  PrintJson(json);
}

int VerifyCommand::Finish() {
  fflush(stdout);
  ping_.End(exit_code_, transcript_.Text());
  return exit_code_;
}

int VerifyCommand::Run() {
  Status read = ReadOptions();
  ping_.Begin();
  Result<Source> source =
      read.ok() ? OpenSource(options_.from, options_.source, "") : Result<Source>(read);
  if (!source.ok()) {
    exit_code_ = ExitCodeOf(source.status());
    PrintError("verify: " + source.status().message());
    return Finish();
  }
  for (const auto& client : source->replicas) VerifyOne(client.get(), source->retry);
  interrupt_.Watch(nullptr);
  TellMetrics(source->database.empty() ? options_.from : source->database);
  if (options_.json) PrintOutcome(source->database);
  return Finish();
}

}  // namespace

int RunVerify(const std::vector<std::string>& arguments) {
  Options options;
  Arguments app("verify",
                "Restores every replica of a database to a scratch folder and proves it: the "
                "checksum of the whole database, SQLite's integrity check, its foreign keys. Exit "
                "status: the worst of the replicas.");
  Bind(&app, &options);
  int exit_code = kExitDone;
  if (!app.Parse(arguments, &exit_code)) return exit_code;
  return VerifyCommand(std::move(options)).Run();
}

}  // namespace backstay
