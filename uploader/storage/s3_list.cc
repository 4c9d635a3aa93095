#include "uploader/storage/s3_list.h"

#include <algorithm>
#include <cctype>

namespace backstay {
namespace {

// A key of a server is anything: shown in one line, cut to a readable length.
std::string Shown(const std::string& key) {
  constexpr size_t kMost = 100;
  std::string out = key.substr(0, kMost);
  std::replace_if(
      out.begin(), out.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
  return "`" + out + "`";
}

Status Misfit(const std::string& what) {
  // Not tried again at once: the server says the same then.
  return {Code::kUnavailable, "the list does not answer what was asked: " + what};
}

bool Below(const S3ListQuestion& question, const std::string& key) {
  return key.size() >= question.prefix.size() &&
         key.compare(0, question.prefix.size(), question.prefix) == 0;
}

Status CheckFolder(const S3ListQuestion& question, const std::string& folder) {
  if (!question.folders) return Misfit("it names the folder " + Shown(folder));
  if (!Below(question, folder)) return Misfit(Shown(folder) + " is not below the prefix");
  const size_t slash = folder.find('/', question.prefix.size());
  if (slash == std::string::npos || slash + 1 != folder.size()) {
    return Misfit("the folder " + Shown(folder) + " does not end with its slash");
  }
  return Status::Ok();
}

Status CheckObject(const S3ListQuestion& question, const S3ListedObject& object) {
  if (object.key.empty()) return Misfit("an object without a key");
  if (!Below(question, object.key)) {
    return Misfit(Shown(object.key) + " is not below the prefix");
  }
  if (!object.sized) return Misfit(Shown(object.key) + " has no size");
  if (question.folders && object.key.find('/', question.prefix.size()) != std::string::npos) {
    return Misfit(Shown(object.key) + " is not cut at the delimiter");
  }
  return Status::Ok();
}

// Whether keys that are said to be as they stand are encoded all the same: a slash is, and none
// stands as it is. Taken as they stand they would be objects of no known name.
bool EncodedUnasked(const S3ListQuestion& question, const S3ListPage& page) {
  bool slash = false;
  bool encoded = false;
  const auto look = [&](const std::string& key) {
    const size_t inside = Below(question, key) ? question.prefix.size() : 0;
    slash = slash || key.find('/', inside) != std::string::npos;
    encoded = encoded || key.find("%2F", inside) != std::string::npos ||
              key.find("%2f", inside) != std::string::npos;
  };
  for (const S3ListedObject& object : page.objects) look(object.key);
  for (const std::string& folder : page.folders) look(folder);
  return !page.encoded && encoded && !slash;
}

}  // namespace

Status TakeListPage(const S3ListQuestion& question, S3ListPage page, std::vector<ObjectInfo>* out) {
  if (EncodedUnasked(question, page)) DecodeKeys(&page);
  if (!page.says_end) return Misfit("it does not say whether more follows");
  for (const std::string& folder : page.folders) {
    BACKSTAY_TRY(CheckFolder(question, folder));
    out->push_back({folder, 0});
  }
  for (const S3ListedObject& object : page.objects) {
    BACKSTAY_TRY(CheckObject(question, object));
    if (!question.folders) out->push_back(object);
  }
  // An empty list shows only by the prefix that it repeats whose it is; not every server encodes
  // that.
  const bool empty = page.folders.empty() && page.objects.empty();
  const bool other = !page.prefix.empty() && page.prefix != question.prefix &&
                     page.prefix_as_sent != question.prefix;
  return empty && other ? Misfit("it is that of " + Shown(page.prefix)) : Status::Ok();
}

Status NeverNotFound(const char* call, const Status& answer) {
  if (answer.code() != Code::kNotFound) return answer;
  return {Code::kInvalid, answer.message() + ": " + call +
                              " is never `not found`, so this is not the bucket; correct "
                              "`bucket` and `endpoint` (which must not hold the bucket's name)"};
}

}  // namespace backstay
