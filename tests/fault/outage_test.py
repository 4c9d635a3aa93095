#!/usr/bin/python3
"""An outage of S3 costs the application nothing that grows, and no transaction that fits the outbox.

The server refuses connections while the application commits: short mode 20,000 transactions, else an
hour's worth at 50 a second. The WAL is restarted as usual, the outbox stays below its limit, memory
below 32 MiB more; then the replica catches up, with every transaction, or, when the outbox was too
small for them, in one repair. Another outage is as long in real time as BACKSTAY_TEST_OUTAGE_SECONDS says.
"""

import datetime
import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fault_world import Corrupt, main  # noqa: E402
from bucket_world import BucketCase, ENDPOINT, KEYS, FaultProxy, with_server  # noqa: E402

MOST_MEMORY_KIB = 32 << 10
WAL_LIMIT = 3 * 1000 * 4096  # bytes: SQLite checkpoints at 1000 pages, then restarts
COMMITS = """
import os
c.execute("PRAGMA synchronous=NORMAL")
wal = outbox = 0
for i in range(COUNT):
    c.execute("INSERT INTO t(text) VALUES(hex(randomblob(40)))")
    if i % 3 == 0:
        c.execute("UPDATE t SET text = hex(randomblob(40)) WHERE id = (SELECT 1 + abs(random()) % max(id) FROM t)")
    if i % 50 == 0:
        wal = max(wal, os.path.getsize(db + "-wal"))
        outbox = max(outbox, os.path.getsize(db + "-backstay/outbox"))
result = wal, outbox
"""
LARGE_COMMITS = """
import threading
def write():
    mine, i = connect(), 0
    while going:
        mine.execute("INSERT OR REPLACE INTO t(id, text) VALUES(?, randomblob(1000000))", (1000000 + i % 12,))
        i += 1
going = True
writer = threading.Thread(target=write)
writer.start()
"""


class OutageTest(BucketCase):
    def setUp(self):
        super().setUp()
        self.count = 180000 if self.long else 20000
        self.proxy = FaultProxy(ENDPOINT)
        self.proxy.__enter__()
        self.addCleanup(self.proxy.__exit__)
        self.use(self.proxy, os.path.basename(self.folder))

    def started(self, limit):
        app = self.start(BACKSTAY_OUTBOX_LIMIT=str(limit))
        self.assert_synced(app)
        app.do(COMMITS.replace("COUNT", "1000"))
        self.assert_synced(app)
        return app

    def outage(self, app, limit):
        memory = self.memory_kib(app)
        self.proxy.refuse()
        self.tally.faults += 1
        self.first = self.replica_status(app)["txid"]
        wal, outbox = app.do(COMMITS.replace("COUNT", str(self.count)))
        self.assertLess(wal, WAL_LIMIT)
        # The file holds what waits, and for a while what was saved elsewhere since.
        self.assertLess(outbox, limit + (4 << 20))
        self.assertLess(self.replica_status(app)["outbox_bytes"], limit + (1 << 20))
        self.assertLess(self.memory_kib(app) - memory, MOST_MEMORY_KIB)
        self.wait_for_state(app, "retrying")
        self.proxy.serve()
        self.assert_synced(app)
        self.assertLess(self.memory_kib(app) - memory, MOST_MEMORY_KIB)
        said = [datetime.datetime.fromisoformat(line["time"][:-1]).timestamp() for line in app.lines("ERROR")]
        self.assertGreater(len(said), 0, app.stderr())
        for first, second in zip(said, said[1:]):
            self.assertGreater(second - first, 29, app.stderr())  # s; what lasts is said again
        self.assert_restored()

    def restored_at(self, txid):
        """max(id) after this transaction, None where no restore point is."""
        out = os.path.join(self.folder, "at.db")
        done = self.tool_status("restore", "-force", "-o", out, "-txid", str(txid), self.direct)
        if done == 3:
            return None
        if done != 0:
            raise Corrupt(f"restore -txid {txid}: {done}")
        return self.rows(out, "SELECT max(id) FROM t")[0][0]

    def test_every_transaction_is_restorable(self):
        limit = 64 << 20
        app = self.started(limit)
        self.outage(app, limit)
        last = self.replica_status(app)["txid"]
        self.assertGreaterEqual(last - self.first, self.count)
        before = self.restored_at(self.first)
        rows = [self.restored_at(txid) for txid in range(self.first, self.first + 9)]
        self.assertEqual(rows[0], before)
        # Three inserts and an update in every four transactions.
        for _ in range(6):
            txid = self.random.randint(self.first, last - 1)
            here, there = self.restored_at(txid), self.restored_at(txid + 1)
            self.assertIn(there - here, (0, 1), f"transactions {txid} and {txid + 1}")
            self.assertAlmostEqual(here - before, (txid - self.first) * 3 / 4, delta=2)
        app.close()

    def test_an_outbox_too_small_ends_in_one_repair(self):
        limit = 256 << 10
        app = self.started(limit)
        self.outage(app, limit)
        last = self.replica_status(app)["txid"]
        self.assertLess(last - self.first, self.count)
        full = [l for l in app.lines("WARN") if "outbox is full" in l["msg"]]
        self.assertEqual(len(full), 1, app.stderr())
        self.assertNotIn("another program", app.stderr())
        repairs = [l for l in app.lines("INFO") if "shipped the difference" in l["msg"]]
        self.assertEqual(len(repairs), 1, app.stderr())
        self.assertIsNotNone(self.restored_at(self.first))
        app.close()

    def restorable(self):
        """The newest transaction that can be restored now."""
        done = self.tool("restore", "-dry-run", "-json", "-o", self.db + ".not", self.direct, **KEYS).stdout
        return json.loads(done)["txid"]

    def test_more_than_the_replica_takes(self):
        """It comes from one restore point to the next all the same."""
        limit = 4 << 20
        app = self.started(limit)
        self.proxy.latency = 0.5
        app.do(LARGE_COMMITS)
        try:
            self.wait_for("a full outbox", lambda: any("takes less than" in l["msg"] for l in app.lines("WARN")))
            for _ in range(2):
                seen = self.restorable()
                self.wait_for("a restore point while it is full", lambda: self.restorable() > seen)
            self.assertLess(os.path.getsize(self.db), 16 << 20)
            self.assertLess(self.replica_status(app)["outbox_bytes"], 3 * limit + (16 << 20))
        finally:
            app.do("going = False\nwriter.join()")
        self.proxy.latency = 0
        self.assert_synced(app)
        self.assert_restored()
        app.close()
        full = [l for l in app.lines("WARN", "ERROR") if "outbox" in l["msg"]]
        self.assertEqual(len(full), 1, app.stderr())  # s; what lasts is said again after 30

    def test_one_that_lasts_is_not_hammered(self):
        """The server first answers 500, then refuses connections; the application commits all the while."""
        seconds = int(os.environ.get("BACKSTAY_TEST_OUTAGE_SECONDS", 60 if self.long else 12))
        app = self.started(64 << 20)
        memory = self.memory_kib(app)
        self.tally.faults += 2
        before = self.proxy.count(self.prefix)
        self.proxy.add("500", None, None, self.prefix + "/")
        self.commit_for(app, seconds / 2)
        # Each try is a PUT and a GET; their pauses grow to 7.5 s on average (retry_policy.h).
        self.assertLess(self.proxy.count(self.prefix) - before, 30 + seconds / 4)
        self.wait_for_state(app, "retrying")
        self.proxy.refuse()
        self.proxy.clear(self.prefix)
        self.commit_for(app, seconds / 2)
        self.assertFalse(app.sync(1))
        self.proxy.serve()
        self.assert_synced(app)
        self.wait_for_state(app, "replicating")
        self.assertLess(self.memory_kib(app) - memory, MOST_MEMORY_KIB)
        # Said when it begins, and every 30 s at most.
        self.assertLessEqual(len(app.lines("ERROR")), 2 + seconds / 30, app.stderr())
        self.assertEqual(app.stderr().count("reachable again"), 1, app.stderr())
        app.close()
        self.assert_restored()

    def commit_for(self, app, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            app.sql("INSERT INTO t(text) VALUES(hex(randomblob(40)))")
            time.sleep(0.1)


if __name__ == "__main__":
    with_server()
    main("outage", OutageTest)
