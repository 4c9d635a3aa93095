// What a program may export under the names of other libraries: Node.js brings an OpenSSL of its
// own. Each of these ends the process.

#include <cstdio>
#include <cstdlib>

namespace {

[[noreturn]] void Called(const char* name) {
  fprintf(stderr, "the program's own %s was called\n", name);
  exit(1);
}

}  // namespace

#define WRONG(name) \
  extern "C" __attribute__((visibility("default"))) void name() { Called(#name); }

WRONG(OPENSSL_init_crypto)
WRONG(OPENSSL_init_ssl)
WRONG(RAND_bytes)
WRONG(EVP_MD_CTX_new)
WRONG(EVP_DigestInit_ex)
WRONG(EVP_Digest)
WRONG(HMAC)
WRONG(SHA256)
WRONG(SSL_CTX_new)
WRONG(SSL_new)
WRONG(SSL_connect)
WRONG(curl_global_init)
WRONG(curl_easy_init)
WRONG(curl_multi_init)
WRONG(ZSTD_createCCtx)
WRONG(ZSTD_compress2)
