#include "uploader/settings/access_point.h"

#include <algorithm>
#include <array>

#include "uploader/settings/units.h"

namespace backstay {
namespace {

bool IsLabel(std::string_view text) {
  return !text.empty() && text.size() < 64 &&
         text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string_view::npos;
}

}  // namespace

Result<AccessPoint> ParseAccessPoint(std::string_view arn) {
  // arn, partition, service, region, account; then the resource.
  std::array<std::string_view, 5> parts;
  std::string_view rest = arn;
  for (std::string_view& part : parts) {
    part = rest.substr(0, rest.find(':'));
    rest.remove_prefix(std::min(rest.size(), part.size() + 1));
  }
  constexpr std::string_view kKind = "accesspoint";
  const bool kind = rest.starts_with(kKind) && rest.size() > kKind.size() &&
                    (rest[kKind.size()] == '/' || rest[kKind.size()] == ':');
  const std::string_view name = kind ? rest.substr(kKind.size() + 1) : std::string_view();
  const auto& [begin, partition, service, region, account] = parts;
  if (service != "s3" || !IsLabel(name) || !IsLabel(region) || !IsLabel(account)) {
    return Status(Code::kInvalid,
                  "of ARNs only those of access points are taken, such as "
                  "arn:aws:s3:eu-west-1:123456789012:accesspoint/name (none that spans regions), "
                  "not " +
                      Quote(std::string(arn)) + "; else write the bucket's name");
  }
  return AccessPoint{.name = std::string(name),
                     .account = std::string(account),
                     .region = std::string(region),
                     .domain = partition == "aws-cn" ? "amazonaws.com.cn" : "amazonaws.com"};
}

}  // namespace backstay
