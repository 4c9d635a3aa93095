#include "uploader/storage/server_clock.h"

#include <curl/curl.h>

#include <cstdlib>
#include <string>

#include "uploader/base/caught.h"
#include "uploader/storage/s3_xml.h"

namespace backstay {
namespace {

// S3 refuses from 15 minutes on: what is less is the time that an answer takes.
constexpr int64_t kNoticeMs = 60000;

std::string Minutes(int64_t ms) { return std::to_string((std::abs(ms) + 30000) / 60000) + " min"; }

}  // namespace

bool ServerClock::Corrects(const HttpResponse& response) {
  if (response.status != 403 || ParseS3Error(response.body).code != "RequestTimeTooSkewed") {
    return false;
  }
  const time_t date = curl_getdate(response.Header("date").c_str(), nullptr);
  if (date <= 0) return false;
  const int64_t ahead = static_cast<int64_t>(date) * 1000 - clock_->WallMs();
  if (std::abs(ahead - ahead_ms_) < kNoticeMs) return false;
  ahead_ms_ = std::abs(ahead) < kNoticeMs ? 0 : ahead;
  (void)Caught([&] { return Say(ahead_ms_), Status::Ok(); });
  return true;
}

void ServerClock::Say(int64_t ahead_ms) const {
  if (ahead_ms == 0) {
    if (words_.ends) words_.ends("this machine's clock agrees with the server's again");
    return;
  }
  if (!words_.begins) return;
  words_.begins("this machine's clock is " + Minutes(ahead_ms) +
                (ahead_ms > 0 ? " behind" : " ahead of") +
                " the server's, which refuses requests for it: they are signed with the server's "
                "time from now on; set this machine's clock");
}

}  // namespace backstay
