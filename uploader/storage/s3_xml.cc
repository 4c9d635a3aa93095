#include "uploader/storage/s3_xml.h"

#include <pugixml.hpp>
#include <utility>

namespace backstay {
namespace {

// The root element, if the bytes are XML and it has this name; else an empty node.
pugi::xml_node Root(pugi::xml_document* document, std::string_view xml, const char* name) {
  unsigned flags = pugi::parse_default | pugi::parse_ws_pcdata_single;
  if (!document->load_buffer(xml.data(), xml.size(), flags, pugi::encoding_utf8)) return {};
  return document->child(name);
}

Status Unexpected(const char* wanted) {
  return {
      Code::kUnavailable,
      std::string("the answer is not the ") + wanted + " that S3 gives; is this an S3 endpoint?",
      true};
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

// encoding-type=url: AWS writes a space as '+' and a plus as "%2B".
std::string UrlDecode(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); i++) {
    int high = text[i] == '%' && i + 2 < text.size() ? HexDigit(text[i + 1]) : -1;
    int low = high >= 0 ? HexDigit(text[i + 2]) : -1;
    if (low >= 0) {
      out.push_back(static_cast<char>(high * 16 + low));
      i += 2;
    } else {
      out.push_back(text[i] == '+' ? ' ' : text[i]);
    }
  }
  return out;
}

S3ErrorBody ReadError(pugi::xml_node node) {
  return {.code = node.child_value("Code"),
          .message = node.child_value("Message"),
          .key = node.child_value("Key"),
          .region = node.child_value("Region"),
          .endpoint = node.child_value("Endpoint"),
          .request_id = node.child_value("RequestId")};
}

std::string Text(const pugi::xml_document& document) {
  struct : pugi::xml_writer {
    void write(const void* data, size_t n) override {
      out.append(static_cast<const char*>(data), n);
    }
    std::string out;
  } writer;
  document.save(writer, "", pugi::format_raw | pugi::format_no_declaration, pugi::encoding_utf8);
  return std::move(writer.out);
}

void AddText(pugi::xml_node parent, const char* name, const std::string& value) {
  parent.append_child(name).append_child(pugi::node_pcdata).set_value(value.c_str());
}

// Length of the UTF-8 sequence at `s`, 0 if it is none that XML 1.0 can hold.
size_t XmlCharLength(std::string_view s) {
  auto byte = [&](size_t i) { return static_cast<unsigned char>(s[i]); };
  unsigned char first = byte(0);
  if (first < 0x80) return first >= 0x20 && first != 0x7f ? 1 : 0;
  size_t n = first >= 0xf0 && first <= 0xf4 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || s.size() < n) return 0;
  for (size_t i = 1; i < n; i++) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  // Overlong forms, surrogates, above U+10FFFF, and the two non-characters of the first plane.
  if ((first == 0xe0 && byte(1) < 0xa0) || (first == 0xed && byte(1) > 0x9f)) return 0;
  if ((first == 0xf0 && byte(1) < 0x90) || (first == 0xf4 && byte(1) > 0x8f)) return 0;
  if (first == 0xef && byte(1) == 0xbf && byte(2) >= 0xbe) return 0;
  return n;
}

}  // namespace

S3ErrorBody ParseS3Error(std::string_view xml) {
  pugi::xml_document document;
  return ReadError(Root(&document, xml, "Error"));
}

Result<S3ListPage> ParseS3List(std::string_view xml) {
  pugi::xml_document document;
  pugi::xml_node root = Root(&document, xml, "ListBucketResult");
  if (!root) return Unexpected("list");
  const bool encoded = std::string_view(root.child_value("EncodingType")) == "url";
  auto decode = [&](const char* text) { return encoded ? UrlDecode(text) : std::string(text); };
  S3ListPage page;
  page.encoded = encoded;
  for (pugi::xml_node node : root.children("Contents")) {
    const pugi::xml_text size = node.child("Size").text();
    page.objects.push_back({{decode(node.child_value("Key")), size.as_ullong()}, !size.empty()});
  }
  for (pugi::xml_node node : root.children("CommonPrefixes")) {
    page.folders.push_back(decode(node.child_value("Prefix")));
  }
  page.prefix_as_sent = root.child_value("Prefix");
  page.prefix = decode(root.child_value("Prefix"));
  page.next_token = root.child_value("NextContinuationToken");
  const pugi::xml_text truncated = root.child("IsTruncated").text();
  page.says_end = !truncated.empty();
  page.truncated = truncated.as_bool() || !page.next_token.empty();
  return page;
}

void DecodeKeys(S3ListPage* page) {
  for (S3ListedObject& object : page->objects) object.key = UrlDecode(object.key);
  for (std::string& folder : page->folders) folder = UrlDecode(folder);
  page->encoded = true;
}

Result<std::string> ParseS3UploadId(std::string_view xml) {
  pugi::xml_document document;
  std::string id = Root(&document, xml, "InitiateMultipartUploadResult").child_value("UploadId");
  // rclone names the request.
  if (id.empty()) id = document.child("InitiateMultipartUpload").child_value("UploadId");
  if (id.empty()) return Unexpected("upload id");
  return id;
}

Result<std::vector<S3ErrorBody>> ParseS3DeleteResult(std::string_view xml) {
  pugi::xml_document document;
  pugi::xml_node root = Root(&document, xml, "DeleteResult");
  if (!root) return Unexpected("delete result");
  std::vector<S3ErrorBody> errors;
  for (pugi::xml_node node : root.children("Error")) errors.push_back(ReadError(node));
  return errors;
}

bool FitsInXml(std::string_view key) {
  while (!key.empty()) {
    size_t n = XmlCharLength(key);
    if (n == 0) return false;
    key.remove_prefix(n);
  }
  return true;
}

std::string S3DeleteBody(const std::vector<std::string>& keys) {
  pugi::xml_document document;
  pugi::xml_node root = document.append_child("Delete");
  AddText(root, "Quiet", "true");
  for (const std::string& key : keys) AddText(root.append_child("Object"), "Key", key);
  return Text(document);
}

std::string S3CompleteBody(const std::vector<std::string>& etags) {
  pugi::xml_document document;
  pugi::xml_node root = document.append_child("CompleteMultipartUpload");
  for (size_t i = 0; i < etags.size(); i++) {
    pugi::xml_node part = root.append_child("Part");
    AddText(part, "PartNumber", std::to_string(i + 1));
    AddText(part, "ETag", etags[i]);
  }
  return Text(document);
}

}  // namespace backstay
