#!/usr/bin/python3
"""How objects are stored, from the settings to the bucket and back: a server behind TLS that encrypts with the operator's key
(SSE-C) gives nothing to who does not send it; the key stands in no line of any log."""
import base64
import contextlib
import hashlib
import http.server
import os
import re
import ssl
import subprocess
import tempfile
import threading
import unittest
import urllib.parse
from xml.sax.saxutils import escape

from tls_test import make_certificates

TOOL = os.path.join(os.environ["BUILD_DIR"], "backstay")
KEY = base64.b64encode(b"no line of any log may have this").decode()
CUSTOMER = "x-amz-server-side-encryption-customer-"
SENT = ("x-amz-storage-class", "x-amz-tagging", "x-amz-server-side-encryption", "x-amz-request-payer")


class Store(http.server.BaseHTTPRequestHandler):
    """Objects in memory, each with the key that it was sent with."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", code="", **headers):
        if code:
            body = b"<Error><Code>%s</Code></Error>" % code.encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def begin(self):
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urllib.parse.urlsplit(self.path)
        self.query = urllib.parse.parse_qs(url.query, keep_blank_values=True)
        self.key = urllib.parse.unquote(url.path).removeprefix("/bkt").removeprefix("/")
        self.server.asked.append((self.command, self.key, dict(self.headers)))

    def customer_key(self):
        """Empty: none was sent; None: one that is not in order."""
        key, md5 = (self.headers.get(CUSTOMER + name, "") for name in ("key", "key-MD5"))
        if key and base64.b64encode(hashlib.md5(base64.b64decode(key)).digest()).decode() != md5:
            return None
        return key

    def do_PUT(self):
        self.begin()
        key = self.customer_key()
        if key is None:
            return self.answer(400, code="InvalidArgument")
        if "If-None-Match" in self.headers and self.key in self.server.objects:
            return self.answer(412, code="PreconditionFailed")
        self.server.objects[self.key] = (self.body, key)
        self.answer(200, ETag='"x"')

    def do_GET(self):
        self.begin()
        if "list-type" in self.query:
            return self.list()
        if self.key not in self.server.objects:
            return self.answer(404, code="NoSuchKey")
        body, key = self.server.objects[self.key]
        if self.customer_key() != key:
            return self.answer(400, code="InvalidRequest")
        wanted = re.match(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if not wanted:
            return self.answer(200, body, ETag='"x"')
        first, last = wanted.groups()
        begin = int(first) if first else max(0, len(body) - int(last))
        end = min(len(body), int(last) + 1) if first and last else len(body)
        if begin >= len(body):
            return self.answer(416, code="InvalidRange", Content_Range=f"bytes */{len(body)}")
        self.answer(206, body[begin:end], Content_Range=f"bytes {begin}-{end - 1}/{len(body)}", ETag='"x"')

    def list(self):
        prefix, after = (self.query.get(name, [""])[0] for name in ("prefix", "start-after"))
        found, folders = [], set()
        for key in sorted(self.server.objects):
            if not key.startswith(prefix) or key <= after:
                continue
            slash = key.find("/", len(prefix))
            if "delimiter" in self.query and slash >= 0:
                folders.add(key[:slash + 1])
            else:
                found.append(key)
        xml = "".join(f"<Contents><Key>{escape(key)}</Key><Size>{len(self.server.objects[key][0])}</Size></Contents>"
                      for key in found)
        xml += "".join(f"<CommonPrefixes><Prefix>{escape(each)}</Prefix></CommonPrefixes>" for each in sorted(folders))
        self.answer(200, f"<ListBucketResult>{xml}<IsTruncated>false</IsTruncated></ListBucketResult>".encode())

    def do_POST(self):
        self.begin()
        for key in re.findall(rb"<Key>(.*?)</Key>", self.body):
            self.server.objects.pop(key.decode(), None)
        self.answer(200, b"<DeleteResult/>")

    def do_DELETE(self):
        self.begin()
        self.server.objects.pop(self.key, None)
        self.answer(204)


class SseTest(unittest.TestCase):
    def setUp(self):
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        self.folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="backstay-sse-"))
        make_certificates(self.folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path("server.pem"), self.path("server.key"))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Store)
        self.server.objects, self.server.asked = {}, []
        self.server.handle_error = lambda *_: None
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        thread = threading.Thread(target=self.server.serve_forever)
        thread.start()
        for end in self.server.server_close, thread.join, self.server.shutdown:
            stack.callback(end)
        self.url = "s3://bkt/app?endpoint=https://127.0.0.1:%d" % self.server.server_address[1]
        self.db = self.path("app.db")
        self.said = ""

    def path(self, name):
        return os.path.join(self.folder, name)

    def run_tool(self, *arguments, code=0, **variables):
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("BACKSTAY_", "AWS_"))}
        done = subprocess.run([TOOL, *arguments], capture_output=True, text=True, timeout=120, env={
            **clean, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_CA_BUNDLE": self.path("ca.pem"),
            "BACKSTAY_LOG_LEVEL": "debug", **variables})
        self.said += done.stdout + done.stderr
        self.assertEqual(done.returncode, code, done.stderr)
        return done

    def write(self, **variables):
        self.run_tool("run", "--", "sqlite3", self.db, "PRAGMA journal_mode=WAL; CREATE TABLE t(a); INSERT INTO t VALUES(42)",
                      BACKSTAY_DB=self.db, BACKSTAY_REPLICA_URL=self.url, **variables)

    def restore(self, **variables):
        self.run_tool("restore", "-force", "-o", self.path("out.db"), self.url, **variables)
        return subprocess.run(["sqlite3", self.path("out.db"), "SELECT a FROM t"], capture_output=True, text=True).stdout

    def test_the_operators_own_key(self):
        key = {"BACKSTAY_SSE_C_KEY": KEY}
        self.write(**key)
        self.assertTrue(self.server.objects)
        self.assertEqual({key for _, key in self.server.objects.values()}, {KEY})
        self.assertEqual(self.restore(**key), "42\n")
        self.run_tool("verify", self.url, **key)
        self.run_tool("check", self.url, **key)
        self.run_tool("list", "-points", self.url, **key)
        self.run_tool("config", BACKSTAY_REPLICA_URL=self.url, **key)
        self.run_tool("restore", "-force", "-o", self.path("no.db"), self.url, code=2)
        self.assertFalse(os.path.exists(self.path("no.db")))
        # Nor does it stand beside the database.
        for folder, _, files in os.walk(self.folder):
            for name in files:
                with open(os.path.join(folder, name), "rb") as file:
                    self.assertNotIn(KEY.encode(), file.read(), name)
        self.assertIn('"msg":"snapshot complete', self.said)
        self.assertNotIn(KEY, self.said)

    def test_without_tls_the_key_stays_here(self):
        plain = self.url.replace("https://", "http://")
        done = self.run_tool("restore", "-o", self.path("no.db"), plain, code=2, BACKSTAY_SSE_C_KEY=KEY)
        self.assertIn("https:// endpoint alone", done.stderr)
        self.assertEqual(self.server.asked, [])
        self.assertNotIn(KEY, self.said)

    def test_what_the_environment_adds_to_a_url_is_held_to_its_rules(self):
        both = {"BACKSTAY_SSE": "AES256", "BACKSTAY_SSE_C_KEY": KEY}
        for wrong in both, {"BACKSTAY_SSE_C_KEY": "?" * 44}, {"AWS_ENDPOINT_URL": "https://127.0.0.1:1/bkt"}:
            url = self.url if "AWS_ENDPOINT_URL" not in wrong else "s3://bkt/app"
            with self.subTest(wrong=sorted(wrong)):
                for command in ["restore", "-o", self.path("no.db")], ["check"]:
                    done = self.run_tool(*command, url, code=2, **wrong)
                    self.assertIn("sse" if url == self.url else "endpoint", done.stderr)
        self.assertEqual(self.server.asked, [])
        self.assertNotIn(KEY, self.said)

    def test_storage_class_encryption_tags_and_payer(self):
        self.url += "&storage-class=STANDARD_IA&sse=AES256&tags=team%3Ddata%20base&request-payer=requester"
        self.write()
        self.assertEqual(self.restore(), "42\n")
        self.run_tool("check", self.url)
        for method, key, headers in self.server.asked:
            lower = {name.lower(): value for name, value in headers.items()}
            sent = [lower.get(name) for name in SENT]
            expected = ["STANDARD_IA", "team=data%20base", "AES256"] if method == "PUT" else [None] * 3
            self.assertEqual(sent, [*expected, "requester"], (method, key))
        self.assertIn("PUT", [method for method, _, _ in self.server.asked])

    def test_any_certificate_is_one_warning(self):
        """Of a process, however many databases and replicas it is set for."""
        self.url = self.url.replace("/app?", "/{name}?") + "&skip-verify=true"
        trusts_none = {"AWS_CA_BUNDLE": ""}
        tables = f"ATTACH '{self.path('b.db')}' AS b; CREATE TABLE t(a); CREATE TABLE b.t(a);"
        done = self.run_tool("run", "--", "sqlite3", self.db, tables, BACKSTAY_DB=self.path("*.db"),
                             BACKSTAY_REPLICA_URL=self.url, **trusts_none)
        said = [line for line in done.stderr.splitlines() if "skip-verify" in line]
        self.assertEqual(len(said), 1, done.stderr)
        self.assertIn('"level":"WARN"', said[0])
        self.assertIn("ca-file", said[0])
        done = self.run_tool("restore", "-o", self.path("out.db"), self.url.replace("{name}", "app.db"), **trusts_none)
        self.assertEqual(done.stderr.count("skip-verify"), 1, done.stderr)
        # Who has no TLS accepts nothing by it.
        done = self.run_tool("list", "s3://b/x?endpoint=http://127.0.0.1:1&skip-verify=true", "-patience", "1s", code=1)
        self.assertNotIn("skip-verify is set", done.stderr)


if __name__ == "__main__":
    unittest.main()
