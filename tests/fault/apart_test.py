#!/usr/bin/python3
"""Two replicas of one database: what befalls one of them harms neither the other nor the application."""

import json
import os
import time

from bucket_world import ENDPOINT, KEYS, SCHEMA, App, BucketCase, FaultProxy, s3_url, with_server
from fault_world import main

TROUBLES = ("stall", "500", "403", "reset-before")
ROW = "INSERT INTO t(text) VALUES (hex(randomblob(2000)))"


class ApartTest(BucketCase):
    count = 0

    def setUp(self):
        super().setUp()
        ApartTest.count += 1
        proxy = FaultProxy(ENDPOINT)
        proxy.__enter__()
        self.addCleanup(proxy.__exit__, None, None, None)
        self.use(proxy, f"apart-{os.getpid()}-{self.seed}-{ApartTest.count}")
        self.urls = [s3_url(self.prefix + "/a", proxy.url), s3_url(self.prefix + "/b", ENDPOINT)]
        self.config = os.path.join(self.folder, "config.json")
        self.configure()
        self.env = {**self.env, "BACKSTAY_CONFIG": self.config, "BACKSTAY_DRAIN_TIMEOUT": "3s"}
        del self.env["BACKSTAY_DB"], self.env["BACKSTAY_REPLICA_URL"]

    def configure(self, **more):
        with open(self.config, "w", encoding="utf-8") as file:
            json.dump({"dbs": [{"path": self.db, "replicas": [{"url": url} for url in self.urls], **more}]}, file)

    def begin(self):
        app = App(self, **KEYS)
        app.sql(SCHEMA)
        self.assert_synced(app)
        return app

    def break_first(self, fault):
        self.proxy.add(fault, prefix=self.prefix + "/a/")
        self.tally.faults += 1

    def other_has_all(self, app):
        status = app.status()["replicas"][1]
        return status["lag_transactions"] == 0 and status["txid"] == status["replicated_txid"]

    def assert_second(self):
        out = os.path.join(self.folder, "second.db")
        self.tool("restore", "-force", "-o", out, self.urls[1], **KEYS)
        self.assert_same(out)

    def test_the_other_one_goes_on(self):
        """Its lag, the status of each, and the end of the process."""
        fault = self.random.choice(TROUBLES)
        app = self.begin()
        self.break_first(fault)
        for _ in range(3):
            app.sql(ROW)
            self.wait_for("the other one", lambda: self.other_has_all(app))
        first, second = app.status()["replicas"]
        self.assertEqual(second["state"], "replicating", fault)
        self.assertGreater(first["lag_ms"], 0, fault)
        self.assertFalse(app.sync(100), "one replica does not have it")
        app.sql(ROW)
        start = time.monotonic()
        app.close()
        self.assertLess(time.monotonic() - start, 3 + 2 + 10, f"{fault}: the close, the drain, and much room")
        self.assert_second()

    def test_what_waits_for_one_takes_its_own_room_alone(self):
        self.configure(**{"outbox-limit": "1MiB"})
        app = self.begin()
        before = self.memory_kib(app)
        self.break_first("reset-before")
        for _ in range(6):
            app.sql("INSERT INTO t(text) WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 200) "
                    "SELECT hex(randomblob(2000)) FROM n")
            self.wait_for("the other one", lambda: self.other_has_all(app))
        size = sum(os.path.getsize(os.path.join(folder, name)) for folder, _, names in os.walk(self.state)
                   for name in names if name == "outbox")
        self.assertLess(size, 6 << 20)
        if before:
            self.assertLess(self.memory_kib(app) - before, 64 << 10)
        self.proxy.clear()
        self.assert_synced(app)
        app.close()
        for url in self.urls:
            out = os.path.join(self.folder, "each.db")
            self.tool("restore", "-force", "-o", out, url, **KEYS)
            self.assert_same(out)

    def test_a_close_waits_for_both_at_once(self):
        """A program without exit handlers has shipped to the one that answers, whatever the interval is."""
        self.configure(**{"min-interval": "60s"})
        del self.env["BACKSTAY_MIN_INTERVAL"]
        app = self.begin()
        app.sql(ROW)  # the first upload waits for no interval
        self.assert_synced(app)
        self.break_first("stall")
        app.do("c.execute('INSERT INTO t(text) VALUES (1)'); c.close(); del c")
        app.kill()
        self.assert_second()

    def test_restore_of_one_that_is_empty_and_one_that_does_not_answer(self):
        """Nobody knows that there is no replica."""
        self.break_first("reset-before")
        said = self.tool("restore", "-if-db-not-exists", "-if-replica-exists", "-patience", "2s", "-config", self.config,
                         self.db, code=1, **KEYS).stderr
        self.assertIn(self.prefix + "/a", said.splitlines()[-1])
        self.proxy.clear()
        done = self.tool("restore", "-if-db-not-exists", "-if-replica-exists", "-config", self.config, self.db, **KEYS)
        self.assertIn("nothing restored", done.stderr)

    def test_restore_beside_an_empty_one(self):
        app = self.begin()
        app.close()
        was = self.dump(self.db)
        self.urls = [s3_url(self.prefix + "/empty", ENDPOINT), self.urls[1]]
        self.configure()
        self.new_disk()
        done = self.tool("restore", "-if-db-not-exists", "-if-replica-exists", "-config", self.config, self.db, **KEYS)
        self.assertIn("trying the next replica", done.stderr)
        self.assertEqual(self.dump(self.db), was)


if __name__ == "__main__":
    with_server()
    main("apart", ApartTest)
