#!/usr/bin/python3
"""A replica behind TLS whose certificate is that of a CA of one's own, on the loopback."""
import contextlib
import http.server
import os
import select
import socket
import socketserver
import ssl
import subprocess
import tempfile
import time
import unittest

from loopback import serve

TOOL = os.path.join(os.environ["BUILD_DIR"], "backstay")


class EmptyBucket(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        found = "list-type=2" in self.path
        body = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>" if found else (
            b"<Error><Code>NoSuchKey</Code></Error>")
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def make_certificates(folder):
    """ca.pem and other.pem: two CAs; server.pem: a server's of the first."""
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    with open(os.path.join(folder, "names"), "w") as file:
        file.write("subjectAltName=IP:127.0.0.1\n")
    for name in "ca", "other":
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                "2", "-subj", "/CN=" + name, "-keyout", name + ".key", "-out", name + ".pem")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=server",
            "-keyout", "server.key", "-out", "server.csr")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", "2", "-extfile", "names", "-out", "server.pem")


class TlsTest(unittest.TestCase):
    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        self.folder = self.stack.enter_context(tempfile.TemporaryDirectory(prefix="backstay-tls-"))
        make_certificates(self.folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path("server.pem"), self.path("server.key"))
        self.endpoint = "https://127.0.0.1:%d" % serve(
            self.stack, http.server.ThreadingHTTPServer(("127.0.0.1", 0), EmptyBucket), context)

    def path(self, name):
        return os.path.join(self.folder, name)

    def restore(self, code, parameter=None, **environment):
        """0: the server was trusted, and says that there is nothing."""
        url = "s3://bucket/p?endpoint=" + self.endpoint + (
            "&ca-file=" + self.path(parameter) if parameter else "")
        ca_variables = ("AWS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
        clean = {k: v for k, v in os.environ.items() if k not in ca_variables}
        done = subprocess.run([TOOL, "restore", "-if-replica-exists", "-o", self.path("out.db"), url], text=True,
                              capture_output=True, env={
                                  **clean, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
                                  **{k: self.path(v) for k, v in environment.items()}})
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stderr

    def test_a_ca_of_ones_own(self):
        self.assertIn("ca-file", self.restore(2))
        self.restore(0, "ca.pem")
        for name in "AWS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE":
            self.restore(0, **{name: "ca.pem"})

    def test_precedence(self):
        self.restore(0, "ca.pem", AWS_CA_BUNDLE="other.pem")
        self.restore(2, "other.pem", AWS_CA_BUNDLE="ca.pem")
        self.restore(0, AWS_CA_BUNDLE="ca.pem", CURL_CA_BUNDLE="other.pem")
        self.restore(2, CURL_CA_BUNDLE="other.pem", SSL_CERT_FILE="ca.pem")

    def test_the_server_speaks_no_tls(self):
        """One error, at once, which names the remedy; the engine's, too."""
        port = serve(self.stack, http.server.ThreadingHTTPServer(("127.0.0.1", 0), EmptyBucket))
        self.endpoint = "https://127.0.0.1:%d" % port
        began = time.monotonic()
        self.assertIn("write http:// in place of https://", self.restore(2))
        database = self.path("app.db")
        clean = {k: v for k, v in os.environ.items() if not k.startswith("BACKSTAY_")}
        done = subprocess.run([TOOL, "run", "--", "sqlite3", database, "CREATE TABLE t(a)"], capture_output=True, text=True,
                              env={**clean, "BACKSTAY_DB": database, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
                                   "BACKSTAY_REPLICA_URL": "s3://b/p?endpoint=" + self.endpoint})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stderr, '"level":"ERROR".*write http:// in place of https://')
        self.assertLess(time.monotonic() - began, 20)

    def test_the_server_speaks_tls_alone(self):
        """One that answers plain HTTP with an alert, and one that refuses it."""
        class Alert(socketserver.BaseRequestHandler):
            def handle(self):
                self.request.recv(65536)
                self.request.sendall(self.server.answer)

        for answer in b"\x15\x03\x01\x00\x02\x02\x46", (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 4\r\n\r\nhttp"):
            server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Alert)
            server.answer = answer
            self.endpoint = "http://127.0.0.1:%d" % serve(self.stack, server)
            began = time.monotonic()
            self.assertIn("https://", self.restore(2))
            self.assertLess(time.monotonic() - began, 20)

    def proxy(self, refuses=False):
        """A proxy on the loopback: (its URL, what it was asked for: the heads)."""
        asked = []

        class Tunnel(socketserver.BaseRequestHandler):
            def handle(self):
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    byte = self.request.recv(1)
                    if not byte:
                        return
                    head += byte
                asked.append(head.decode())
                if refuses:
                    return self.request.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                host, port = head.split()[1].decode().rsplit(":", 1)
                with socket.create_connection((host, int(port))) as server:
                    self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    ends = {self.request: server, server: self.request}
                    while True:
                        for ready in select.select(list(ends), [], [])[0]:
                            data = ready.recv(65536)
                            if not data:
                                return
                            ends[ready].sendall(data)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True

        return "http://127.0.0.1:%d" % serve(self.stack, Server(("127.0.0.1", 0), Tunnel)), asked

    def restore_through(self, code, **variables):
        proxies = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
        clean = {k: v for k, v in os.environ.items() if k.lower() not in proxies}
        url = f"s3://bucket/p?endpoint={self.endpoint}&ca-file={self.path('ca.pem')}"
        done = subprocess.run([TOOL, "restore", "-if-replica-exists", "-patience", "2s", "-o", self.path("out.db"), url],
                              text=True, capture_output=True, env={
                                  **clean, "AWS_ACCESS_KEY_ID": "key-of-the-bucket", "AWS_SECRET_ACCESS_KEY": "b", **variables})
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stderr

    def test_a_proxy(self):
        """It tunnels, and sees nothing of what is signed."""
        server = self.endpoint.removeprefix("https://")
        for name in "HTTPS_PROXY", "https_proxy", "ALL_PROXY":
            proxy, asked = self.proxy()
            self.restore_through(0, **{name: proxy})
            self.assertTrue(asked, name)
            for head in asked:
                self.assertTrue(head.startswith(f"CONNECT {server} HTTP/1.1\r\n"), head)
                self.assertNotIn("key-of-the-bucket", head)
                self.assertNotIn("authorization", head.lower())

    def test_what_needs_no_proxy(self):
        proxy, asked = self.proxy()
        for name in "NO_PROXY", "no_proxy":
            self.restore_through(0, HTTPS_PROXY=proxy, **{name: "example.com,127.0.0.1"})
        self.assertEqual(asked, [])
        self.restore_through(0, HTTPS_PROXY=proxy, NO_PROXY="example.com")
        self.assertTrue(asked)

    def test_a_proxy_that_refuses(self):
        proxy, asked = self.proxy(refuses=True)
        self.assertRegex(self.restore_through(1, HTTPS_PROXY=proxy), "CONNECT.*403")
        self.assertTrue(asked)

    def test_a_file_that_is_not_there_is_named(self):
        self.assertIn(self.path("none.pem"), self.restore(2, "none.pem"))


if __name__ == "__main__":
    unittest.main()
