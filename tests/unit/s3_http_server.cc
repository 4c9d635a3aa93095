#include "tests/unit/s3_http_server.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <cstdlib>

namespace backstay {
namespace {

SSL_CTX* SelfSignedContext() {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = X509_new();
  X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_set_pubkey(certificate, key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("127.0.0.1"), -1, -1, 0);
  X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
  X509_sign(certificate, key, EVP_sha256());
  SSL_CTX* context = SSL_CTX_new(TLS_server_method());
  SSL_CTX_use_certificate(context, certificate);
  SSL_CTX_use_PrivateKey(context, key);
  X509_free(certificate);
  EVP_PKEY_free(key);
  return context;
}

size_t ContentLength(const std::string& head) {
  size_t at = head.find("\r\nContent-Length: ");
  return at == std::string::npos ? 0 : strtoull(head.c_str() + at + 18, nullptr, 10);
}

}  // namespace

ScriptedServer::ScriptedServer(std::vector<std::string> steps, bool tls)
    : steps_(std::move(steps)),
      scheme_(tls ? "https" : "http"),
      context_(tls ? SelfSignedContext() : nullptr),
      listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  bool listening = bind(listener_.get(), generic, size) == 0 && listen(listener_.get(), 8) == 0 &&
                   getsockname(listener_.get(), generic, &size) == 0;
  if (!listening) std::abort();
  port_ = ntohs(address.sin_port);
  if (context_ != nullptr) SSL_CTX_set_alpn_select_cb(context_.get(), &OnOffer, this);
  thread_ = std::thread([this] { Run(); });
}

void ScriptedServer::Stop() {
  if (!thread_.joinable()) return;
  stopped_ = true;
  shutdown(listener_.get(), SHUT_RDWR);
  shutdown(connection_, SHUT_RDWR);
  thread_.join();
}

int ScriptedServer::OnOffer(SSL*, const unsigned char**, unsigned char*,
                            const unsigned char* offered, unsigned n, void* self) {
  auto* server = static_cast<ScriptedServer*>(self);
  std::lock_guard<std::mutex> lock(server->mutex_);
  server->offered_.append(reinterpret_cast<const char*>(offered), n);
  return SSL_TLSEXT_ERR_NOACK;
}

std::string ScriptedServer::Offered() {
  std::lock_guard<std::mutex> lock(mutex_);
  return offered_;
}

std::vector<std::string> ScriptedServer::Requests() {
  std::lock_guard<std::mutex> lock(mutex_);
  return requests_;
}

void ScriptedServer::Run() {
  while (!stopped_) {
    Fd connection(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!connection.valid()) return;
    connections_++;
    connection_ = connection.get();
    if (stopped_) return;
    if (context_ != nullptr) {
      tls_.reset(SSL_new(context_.get()));
      SSL_set_fd(tls_.get(), connection.get());
      if (SSL_accept(tls_.get()) != 1) continue;
    }
    Serve();
    connection_ = -1;
  }
}

void ScriptedServer::Serve() {
  std::string buffer;
  while (next_ < steps_.size() && ReadRequest(&buffer)) {
    const std::string& step = steps_[next_++];
    if (step.empty() || !SendSlowly(step)) return;
    if (step.find("Connection: close") != std::string::npos) return;
  }
  // The script is over: hold the connection until the client, or Stop(), closes it.
  char byte = 0;
  while (next_ == steps_.size() && Receive(&byte, 1) > 0) {
  }
}

// Appends to `buffer` until it holds a request, and takes that out of it.
bool ScriptedServer::ReadRequest(std::string* buffer) {
  while (true) {
    size_t end = buffer->find("\r\n\r\n");
    if (end != std::string::npos) {
      size_t size = end + 4 + ContentLength(buffer->substr(0, end));
      if (buffer->size() >= size) {
        std::lock_guard<std::mutex> lock(mutex_);
        requests_.push_back(buffer->substr(0, size));
        buffer->erase(0, size);
        return true;
      }
    }
    char data[65536];
    int n = Receive(data, sizeof data);
    if (n <= 0) return false;
    buffer->append(data, static_cast<size_t>(n));
  }
}

int ScriptedServer::Receive(char* data, int n) {
  if (tls_ != nullptr) return SSL_read(tls_.get(), data, n);
  return static_cast<int>(recv(connection_, data, static_cast<size_t>(n), 0));
}

bool ScriptedServer::SendSlowly(const std::string& step) {
  for (size_t at = 0; at <= step.size();) {
    const size_t end = std::min(step.find(kPause, at), step.size());
    if (!SendAll(step.substr(at, end - at))) return false;
    if (end < step.size()) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    at = end + 1;
  }
  return true;
}

bool ScriptedServer::SendAll(const std::string& bytes) {
  for (size_t at = 0; at < bytes.size();) {
    ssize_t n = tls_ != nullptr
                    ? SSL_write(tls_.get(), bytes.data() + at, static_cast<int>(bytes.size() - at))
                    : send(connection_, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
    if (n <= 0) return false;
    at += static_cast<size_t>(n);
  }
  return true;
}

}  // namespace backstay
