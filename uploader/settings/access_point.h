// AccessPoint: a bucket that is given as the ARN of one of its access points.
//
// Pure, any thread; called by replica_url and by storage's s3_endpoint. kInvalid says what kind of
// ARN is taken.

#ifndef BACKSTAY_UPLOADER_SETTINGS_ACCESS_POINT_H_
#define BACKSTAY_UPLOADER_SETTINGS_ACCESS_POINT_H_

#include <string>
#include <string_view>

#include "uploader/base/status.h"

namespace backstay {

struct AccessPoint {
  std::string name, account, region;
  std::string domain;  // "amazonaws.com", or China's

  // "name-account.s3-accesspoint.region.amazonaws.com"
  std::string Host() const { return name + "-" + account + "." + Server(); }
  std::string Server() const { return "s3-accesspoint." + region + "." + domain; }
};

inline bool IsArn(std::string_view bucket) { return bucket.starts_with("arn:"); }

// "arn:aws:s3:eu-west-1:123456789012:accesspoint/name"
Result<AccessPoint> ParseAccessPoint(std::string_view arn);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_SETTINGS_ACCESS_POINT_H_
