#include "uploader/settings/bucket_host.h"

#include <algorithm>

namespace backstay {
namespace {

// A server's host: '*' is one label, '@' one that is the region, "s3-@" one that ends with it.
struct Form {
  std::string_view server;
  std::string_view region;  // where the host has none; empty: not known
  std::string_view base;
};

// The longer form before one that it ends with.
constexpr Form kForms[] = {
    {"s3.dualstack.@.amazonaws.com", "", ""},
    {"s3-fips.@.amazonaws.com", "", ""},
    {"s3.@.amazonaws.com.cn", "", ""},
    {"s3.@.amazonaws.com", "", ""},
    {"s3.amazonaws.com", "", ""},
    {"s3-accelerate.amazonaws.com", "", ""},
    {"s3-@.amazonaws.com", "", ""},
    {"s3.@.backblazeb2.com", "", ""},
    {"@.digitaloceanspaces.com", "", ""},
    {"s3.filebase.com", "us-east-1", ""},
    {"storage.googleapis.com", "auto", ""},
    {"@.your-objectstorage.com", "", ""},
    {"@.linodeobjects.com", "", ""},
    {"s3.@.io.cloud.ovh.net", "", ""},
    {"*.eu.r2.cloudflarestorage.com", "auto", ""},
    {"*.fedramp.r2.cloudflarestorage.com", "auto", ""},
    {"*.r2.cloudflarestorage.com", "auto", ""},
    {"s3.@.scw.cloud", "", ""},
    {"*.storage.supabase.co", "", "/storage/v1/s3"},
    {"*.supabase.co", "", "/storage/v1/s3"},
    {"fly.storage.tigris.dev", "auto", ""},
    {"t3.storage.dev", "auto", ""},
    {"s3.@.wasabisys.com", "", ""},
    {"s3.wasabisys.com", "us-east-1", ""},
};

constexpr std::string_view kWithRegion = "s3-@";

// Takes the last label off `*host`; empty: there is none.
std::string_view LastLabel(std::string_view* host) {
  const size_t dot = host->rfind('.');
  const size_t from = dot == std::string_view::npos ? 0 : dot + 1;
  const std::string_view label = host->substr(from);
  *host = host->substr(0, dot == std::string_view::npos ? 0 : dot);
  return label;
}

// Whether the label is what the form wants there; sets the region if it is that.
bool Takes(std::string_view want, std::string_view have, std::string* region) {
  if (have.empty()) return false;
  const size_t fixed = want == kWithRegion ? kWithRegion.size() - 1 : 0;
  if (want != "@" && fixed == 0) return want == "*" || want == have;
  if (have.size() <= fixed || have.substr(0, fixed) != want.substr(0, fixed)) return false;
  *region = have.substr(fixed);
  return true;
}

// What all servers of the provider have in common: all behind the last label that varies, or the
// first.
std::string_view DomainOf(std::string_view server) {
  const size_t varies = server.find_last_of("*@");
  return server.substr(server.find('.', varies == std::string_view::npos ? 0 : varies));
}

std::optional<BucketHost> Match(const Form& form, std::string_view host) {
  BucketHost found{.region = std::string(form.region),
                   .base = std::string(form.base),
                   .provider = std::string(DomainOf(form.server))};
  std::string_view rest = host;
  for (std::string_view wanted = form.server; !wanted.empty();) {
    if (!Takes(LastLabel(&wanted), LastLabel(&rest), &found.region)) return std::nullopt;
  }
  found.bucket = rest;
  const size_t at = rest.empty() ? 0 : rest.size() + 1;
  found.endpoint = "https://" + std::string(host.substr(at)) + found.base;
  return found;
}

// A server on this machine, where alone a port may stand.
std::optional<BucketHost> OfThisMachine(std::string_view authority) {
  const size_t colon = authority.starts_with('[') ? authority.find("]:") : authority.rfind(':');
  const bool port = colon != std::string_view::npos;
  const size_t end = port && authority[colon] == ']' ? colon + 1 : colon;
  const std::string_view host = authority.substr(0, std::min(end, authority.size()));
  for (const std::string_view name : {"localhost", "127.0.0.1", "[::1]"}) {
    if (host != name && !(name == "localhost" && host.ends_with(".localhost"))) continue;
    const size_t at = host.size() - name.size();
    return BucketHost{.bucket = std::string(host.substr(0, at == 0 ? 0 : at - 1)),
                      .endpoint = "http://" + std::string(authority.substr(at))};
  }
  return std::nullopt;
}

}  // namespace

std::optional<BucketHost> ParseBucketHost(std::string_view authority) {
  if (std::optional<BucketHost> local = OfThisMachine(authority)) return local;
  for (const Form& form : kForms) {
    if (std::optional<BucketHost> found = Match(form, authority)) return found;
  }
  return std::nullopt;
}

bool WantsBucketInHost(std::string_view host) {
  constexpr std::string_view kDomains[] = {".amazonaws.com", ".amazonaws.com.cn", ".aliyuncs.com",
                                           ".myqcloud.com"};
  return std::any_of(std::begin(kDomains), std::end(kDomains),
                     [&](std::string_view domain) { return host.ends_with(domain); });
}

}  // namespace backstay
