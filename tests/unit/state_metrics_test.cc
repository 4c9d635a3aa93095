// The status as metrics: what is known is told, once for each family, whatever the text is.

#include <string>

#include "tests/support/catch.h"
#include "uploader/state/metrics_text.h"

namespace backstay {
namespace {

bool Has(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

size_t Count(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

}  // namespace

TEST_CASE("the status is told in seconds, by database and replica", "[metrics]") {
  const std::string text = MetricsText({{R"({"db": "/d/a.db", "written_ms": 1700000000042,
      "state": "retrying", "ended": false, "late_commits": 3,
      "replicas": [{"replica": "s3://b/a", "state": "retrying", "lag_ms": 1500, "restorable": true,
                    "lag_transactions": null, "requests_by": [
                      {"kind": "put", "code": 200, "requests": 7},
                      {"kind": "put", "code": 0, "requests": 2}]},
                   {"replica": "file:///r", "state": "replicating", "lag_ms": 0}]})",
                                         true}});
  const std::string db = "db=\"/d/a.db\"";
  const std::string s3 = db + ",replica=\"s3://b/a\"";
  CHECK(Has(text, "backstay_up{" + db + "} 1"));
  CHECK(Has(text, "backstay_status_timestamp_seconds{" + db + "} 1700000000.042"));
  CHECK(Has(text, "backstay_late_commits_total{" + db + "} 3"));
  CHECK(Has(text, "backstay_state{" + db + ",state=\"retrying\"} 1"));
  CHECK(Has(text, "backstay_state{" + db + ",state=\"replicating\"} 0"));
  CHECK(Has(text, "backstay_replica_state{" + s3 + ",state=\"retrying\"} 1"));
  CHECK(Has(text, "backstay_lag_seconds{" + s3 + "} 1.500"));
  CHECK(Has(text, "backstay_lag_seconds{" + db + ",replica=\"file:///r\"} 0.000"));
  CHECK(Has(text, "backstay_restorable{" + s3 + "} 1"));
  CHECK(Has(text, "backstay_requests_total{" + s3 + ",kind=\"put\",code=\"200\"} 7"));
  CHECK(Has(text, "backstay_requests_total{" + s3 + ",kind=\"put\",code=\"0\"} 2"));
  CHECK(Count(text, "backstay_lag_transactions") == 0);
}

TEST_CASE("budget and heartbeat, and what no engine of ours writes", "[metrics]") {
  const std::string text = MetricsText({{R"({"db": "/a", "heartbeat_ms": 1700000000042,
      "heartbeat_failures": 2, "replicas": [{"replica": "r", "upload_interval_ms": 30000,
      "max_requests": 500000, "budget_left_percent": -7, "lag_ms": -330}]})",
                                         true}});
  CHECK(Has(text, "backstay_heartbeat_timestamp_seconds{db=\"/a\"} 1700000000.042"));
  CHECK(Has(text, "backstay_heartbeat_failures_total{db=\"/a\"} 2"));
  CHECK(Has(text, "backstay_upload_interval_seconds{db=\"/a\",replica=\"r\"} 30.000"));
  CHECK(Has(text, "backstay_max_requests{db=\"/a\",replica=\"r\"} 500000"));
  CHECK(Has(text, "backstay_request_budget_left_ratio{db=\"/a\",replica=\"r\"} -0.070"));
  CHECK(Has(text, "backstay_lag_seconds{db=\"/a\",replica=\"r\"} -0.330"));
  // Places as long as all above them together would take gigabytes.
  std::string deep = "{\"db\": \"/deep\", \"x\": ";
  for (int i = 0; i < 100000; ++i) deep += "{\"x\": ";
  CHECK(Count(MetricsText({{deep, true}}), "deep") == 0);
}

TEST_CASE("several databases share a family, and labels are escaped", "[metrics]") {
  const std::string text =
      MetricsText({{R"({"db": "/a\"\\\n", "state": "ended"})", false},
                   {R"({"db": "/b", "state": "error"})", true},
                   {"{\"db\": \"/torn", false},
                   {"", false},
                   {R"([{"db": 1, "replicas": [[{"a": [1, {"b": 2}]}]]}])", false}});
  CHECK(Count(text, "# TYPE backstay_up gauge\n") == 1);
  CHECK(Has(text, "backstay_up{db=\"/a\\\"\\\\\\n\"} 0"));
  CHECK(Has(text, "backstay_up{db=\"/b\"} 1"));
  CHECK(Count(text, "torn") == 0);
}

}  // namespace backstay
