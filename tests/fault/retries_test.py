#!/usr/bin/python3
"""Many databases of one process, whose server fails, do not ask it each in its own time.

The server counts what it is asked while it fails: a burst, then a bounded rate, however many there are; so does
the one that gives them their keys. When it is well again all of them ship, and each can be restored.
"""

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fault_world import App, Corrupt, main  # noqa: E402
from bucket_world import BucketCase, ENDPOINT, KEYS, SCHEMA, FaultProxy, s3_url, with_server  # noqa: E402
from credential_server import CredentialServer  # noqa: E402

DATABASES = 60
BURST, A_SECOND = 20, 5  # retry_bucket.h
OPEN = f"""
import os
os.mkdir(many)
everyone = [connect(f"{{many}}/{{i}}.db") for i in range({DATABASES})]
for one in everyone:
    one.execute("PRAGMA journal_mode=wal")
    one.execute({SCHEMA!r})
"""
COMMIT = """
for one in everyone:
    one.execute("INSERT INTO t(text) VALUES(hex(randomblob(40)))")
"""


class RetriesTest(BucketCase):
    def setUp(self):
        super().setUp()
        self.proxy = FaultProxy(ENDPOINT)
        self.proxy.__enter__()
        self.addCleanup(self.proxy.__exit__)
        self.use(self.proxy, os.path.basename(self.folder))
        self.many = os.path.join(self.disk, "many")
        self.env["BACKSTAY_DB"] = self.many + "/*.db"
        self.env["BACKSTAY_REPLICA_URL"] = s3_url(self.prefix + "/{name}", self.proxy.url)

    def opened(self, **keys):
        app = App(self, open_it=False, **keys)
        app.do(f"many = {self.many!r}")
        app.do(OPEN)
        return app

    def assert_paced(self, seconds, count):
        """Of what comes in this time, beside one try of each that nothing holds back."""
        before, start = count(), time.monotonic()
        time.sleep(seconds)
        asked = count() - before
        self.assertLess(asked, DATABASES + BURST + A_SECOND * (time.monotonic() - start) + 10)
        self.assertGreater(asked, 0)

    def assert_all_ship(self, app):
        app.do("result = [one.execute('SELECT backstay_sync(60000)').fetchone()[0] for one in everyone]")
        for i in range(DATABASES):
            name = os.path.join(self.many, f"{i}.db")
            self.assertEqual(app.do(f"result = status(everyone[{i}])['state']"), "replicating", name)
        for i in (0, DATABASES - 1):
            out = os.path.join(self.folder, f"{i}.proof")
            self.tool("restore", "-o", out, s3_url(f"{self.prefix}/{i}.db", ENDPOINT), **KEYS)
            if self.dump(out) != self.dump(os.path.join(self.many, f"{i}.db")):
                raise Corrupt(f"{i}.db differs")

    def test_a_server_that_fails_from_the_beginning(self):
        fault = self.random.choice(["500", "reset-before"])
        self.proxy.add(fault, None, None, self.prefix + "/")
        self.tally.faults += 1
        app = self.opened(**KEYS)
        self.assert_paced(8, lambda: self.proxy.count(self.prefix))
        app.do(COMMIT)
        self.assert_paced(4, lambda: self.proxy.count(self.prefix))
        self.proxy.clear()
        self.assert_all_ship(app)
        app.close()

    def test_a_server_that_gives_no_keys(self):
        with CredentialServer() as server:
            server.fails = 500
            self.tally.faults += 1
            app = self.opened(AWS_REGION=KEYS["AWS_REGION"], **server.env("container", self.folder))
            app.do(COMMIT)
            self.assert_paced(6, lambda: server.requests["container"])
            server.keys, server.fails = (KEYS["AWS_ACCESS_KEY_ID"], KEYS["AWS_SECRET_ACCESS_KEY"]), 0
            self.assert_all_ship(app)
            app.close()


if __name__ == "__main__":
    with_server()
    main("retries", RetriesTest)
