"""What the tests of a failing bucket share: a database replicated to a real S3 server by a proxy.

Each database has a prefix of its own, so several can live beside each other behind one proxy. The
server is with-s3.sh's: a script that calls with_server() runs itself under it.
"""

import os
import re
import subprocess
import sys
import urllib.parse

from fault_world import App, BUILD, SANITIZER, FaultCase, environment

SUPPORT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support")
sys.path.insert(0, SUPPORT)
from fault_proxy import FAULTS, FaultProxy  # noqa: E402, F401

ENDPOINT = os.environ.get("BACKSTAY_TEST_S3_ENDPOINT", "")
BUCKET = os.environ.get("BACKSTAY_TEST_S3_BUCKET", "")
KEYS = {k: os.environ.get(k, "") for k in
        ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION")}
SCHEMA = "CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, text)"
ROWS = ("INSERT INTO t(text) WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n "
        "WHERE i < {}) SELECT hex(randomblob(200)) FROM n")


def with_server():
    """Goes on only with an S3 server."""
    if not ENDPOINT:
        script = os.path.join(SUPPORT, "s3server/with-s3.sh")
        os.execv(script, [script, sys.executable, *sys.argv])


def s3_url(prefix, endpoint, bucket=BUCKET):
    return f"s3://{bucket}/{prefix}?endpoint={endpoint}&force-path-style=true"


def ask_server(method, key, query, bucket=BUCKET):
    """The server's own answer, past the proxy; `query` in alphabetical order."""
    path = "/".join(filter(None, (ENDPOINT, bucket, urllib.parse.quote(key))))
    keys = f"{urllib.parse.quote(KEYS['AWS_ACCESS_KEY_ID'])}:{KEYS['AWS_SECRET_ACCESS_KEY']}"
    return subprocess.run(
        ["curl", "-sS", "--fail", "--noproxy", "*", "--max-time", "60", "-X", method, "--user", keys,
         "--aws-sigv4", f"aws:amz:{KEYS['AWS_REGION']}:s3", "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD",
         f"{path}?{query}"], check=True, capture_output=True, text=True).stdout


def unfinished_uploads(prefix):
    """(key, upload id) of every multipart upload that was neither completed nor aborted."""
    answer = ask_server("GET", "", f"prefix={urllib.parse.quote(prefix, safe='')}&uploads=")
    return [tuple(re.search(f"<{tag}>([^<]*)</{tag}>", upload).group(1) for tag in ("Key", "UploadId"))
            for upload in re.findall("<Upload>.*?</Upload>", answer, re.DOTALL)]


def empty(prefix, bucket=BUCKET):
    """Deletes every object below it."""
    answer = ask_server("GET", "", f"list-type=2&prefix={urllib.parse.quote(prefix + '/', safe='')}", bucket)
    for key in re.findall("<Key>([^<]*)</Key>", answer):
        ask_server("DELETE", key, "", bucket)


def abort_upload(key, upload_id):
    """As a lifecycle rule of the bucket does it."""
    ask_server("DELETE", key, f"uploadId={urllib.parse.quote(upload_id, safe='')}")


class BucketCase(FaultCase):
    """One database behind `proxy` under `prefix`; call use() before the first application."""

    secrets = ()  # other than the server's own, by a part of them

    def use(self, proxy, prefix, **settings):
        """What is logged down to debug is looked through when the test ends."""
        self.proxy, self.prefix = proxy, prefix
        self.addCleanup(self.check_logs)
        self.url = s3_url(prefix, proxy.url if proxy else ENDPOINT)
        self.direct = s3_url(prefix, ENDPOINT)
        self.env = environment(BACKSTAY_DB=self.db, BACKSTAY_REPLICA_URL=self.url,
                               BACKSTAY_MIN_INTERVAL="0ms", **{"BACKSTAY_LOG_LEVEL": "debug", **settings})

    def start(self, **more):
        app = App(self, **KEYS, **more)
        app.sql(SCHEMA)
        return app

    def assert_synced(self, app):
        self.assertTrue(app.sync(), app.stderr())

    def replica_status(self, app):
        return app.status()["replicas"][0]

    def tool_status(self, *arguments):
        """Exit status of the tool, whatever it is."""
        done = subprocess.run([os.path.join(BUILD, "backstay"), *arguments], timeout=120,
                              env={**self.env, **KEYS}, capture_output=True)
        return done.returncode

    def restore_direct(self, out):
        """A restore from the bucket, without faults."""
        self.tool("restore", "-force", "-o", out, self.direct, **KEYS)

    def assert_restored(self):
        out = os.path.join(self.folder, "proof.db")
        self.restore_direct(out)
        self.assert_same(out)

    def assert_no_secret(self, app):
        text = app.stderr()
        for secret in (KEYS["AWS_SECRET_ACCESS_KEY"], "Signature=", "Credential=", *self.secrets):
            self.assertNotIn(secret, text)

    def assert_said_once(self, app):
        """A refusal names its request and its status, and neither twice."""
        for line in app.stderr().splitlines():  # not all JSON: of one that is killed
            for words in (r"(?:GET|PUT|POST|DELETE|list) s3://", "HTTP status", "request id"):
                self.assertLessEqual(len(re.findall(words, line)), 1, line)

    def check_logs(self):
        for app in self.apps:
            self.assert_no_secret(app)
            self.assert_said_once(app)

    @staticmethod
    def memory_kib(app, field="VmRSS"):
        """0 in a sanitizer build, whose runtime takes more than what we ask for."""
        if SANITIZER:
            return 0
        with open(f"/proc/{app.process.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith(field + ":"))
