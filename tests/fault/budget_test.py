#!/usr/bin/python3
"""A month's budget of requests that is spent: what is committed waits, but never a sync, a close or an exit."""

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fault_world import main  # noqa: E402
from bucket_world import BucketCase, with_server  # noqa: E402

LONG_MS = 30000  # between two uploads, at most


class BudgetTest(BucketCase):
    def begin(self, name, **settings):
        self.use(None, f"budget-{name}-{self.seed}", BACKSTAY_MAX_REQUESTS="1", **settings)
        return self.start()

    def slowed(self, app):
        return self.replica_status(app)["upload_interval_ms"] == LONG_MS

    def waits(self, app):
        return self.replica_status(app)["lag_transactions"]

    def commit(self, app):
        app.sql("INSERT INTO t(text) VALUES('x')")

    def hold_back(self, app):
        """The first upload of a process goes at once; what is committed behind it waits."""
        self.wait_for("a slow interval", lambda: self.commit(app) or (self.slowed(app) and self.waits(app)))

    def test_uploads_wait_and_syncs_do_not(self):
        app = self.begin("sync")
        self.assert_synced(app)
        begin = time.monotonic()
        for _ in range(3):
            self.commit(app)
            self.assert_synced(app)
        self.assertLess(time.monotonic() - begin, LONG_MS / 1000 / 2)
        self.commit(app)
        self.wait_for("a slow interval", lambda: self.slowed(app) and self.waits(app))
        self.assertIn("by now every 30.0 s", app.stderr())
        [warning] = app.lines("WARN", "ERROR")
        self.assertIn("max-requests (1) cannot be kept", warning["msg"])
        # The last close and the exit ship what waits.
        begin = time.monotonic()
        app.close()
        self.assertLess(time.monotonic() - begin, LONG_MS / 1000 / 2)
        self.assert_restored()
        # The next process has no budget of its own.
        app = self.start()
        self.hold_back(app)
        app.close()
        self.assert_restored()

    def test_what_is_much_does_not_wait(self):
        app = self.begin("much")
        self.hold_back(app)
        begin = time.monotonic()
        app.do("sql('INSERT INTO t(text) VALUES(randomblob(6000000))')")
        self.wait_for("an upload", lambda: self.replica_status(app)["bytes_sent"] > 1 << 20)
        self.assertLess(time.monotonic() - begin, LONG_MS / 1000 / 2)
        app.close()

    def test_never_with_durability_sync(self):
        app = self.begin("never", BACKSTAY_DURABILITY="sync")
        begin = time.monotonic()
        for _ in range(5):
            self.commit(app)
        self.assertLess(time.monotonic() - begin, LONG_MS / 1000 / 2)
        self.assertEqual(app.lines("WARN", "ERROR"), [])
        app.close()
        self.assert_restored()


if __name__ == "__main__":
    with_server()
    main("budget", BudgetTest)
