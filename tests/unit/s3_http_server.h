// An HTTP server on a free port of 127.0.0.1 that answers from a script: for the transport's tests.
//
// A thread of its own serves one connection at a time. A step is the raw answer; an empty one
// closes the connection in place of answering. Where there is a kPause in it, nothing is sent for
// 50 ms. Requests are read whole and kept; counts are read
// once the client has its answer, or after Stop().

#ifndef BACKSTAY_TESTS_UNIT_S3_HTTP_SERVER_H_
#define BACKSTAY_TESTS_UNIT_S3_HTTP_SERVER_H_

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "uploader/base/file.h"

namespace backstay {

class ScriptedServer {
 public:
  static constexpr char kPause = '\1';

  // `tls`: serve HTTPS with a self-signed certificate for 127.0.0.1.
  explicit ScriptedServer(std::vector<std::string> steps, bool tls = false);
  ~ScriptedServer() { Stop(); }

  std::string Url() const { return scheme_ + "://127.0.0.1:" + std::to_string(port_); }
  // Ends the thread, whatever it waits for.
  void Stop();

  std::vector<std::string> Requests();  // head and body, as received
  std::string Offered();                // protocols that TLS clients offered (ALPN), as sent
  int connections() const { return connections_; }

 private:
  struct SslContextFree {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  };
  struct SslFree {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
  };

  static int OnOffer(SSL*, const unsigned char**, unsigned char*, const unsigned char* offered,
                     unsigned n, void* self);
  void Run();
  void Serve();
  bool ReadRequest(std::string* buffer);
  int Receive(char* data, int n);
  bool SendSlowly(const std::string& step);
  bool SendAll(const std::string& bytes);

  const std::vector<std::string> steps_;
  const std::string scheme_;
  std::unique_ptr<SSL_CTX, SslContextFree> context_;  // null: plain HTTP
  Fd listener_;
  int port_ = 0;
  size_t next_ = 0;                    // of the server's thread
  std::unique_ptr<SSL, SslFree> tls_;  // likewise
  std::atomic<int> connection_{-1};
  std::atomic<int> connections_{0};
  std::atomic<bool> stopped_{false};
  std::mutex mutex_;
  std::vector<std::string> requests_;  // guarded by mutex_
  std::string offered_;                // likewise
  std::thread thread_;
};

}  // namespace backstay

#endif  // BACKSTAY_TESTS_UNIT_S3_HTTP_SERVER_H_
