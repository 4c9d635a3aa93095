#!/usr/bin/python3
"""Two live applications on one replica: exactly one goes on, the other stops and says so.

Every row is tagged with its writer and a counter, so that a restored database tells whose lineage it
is: rows 1..a of the first writer as the second one found them, then rows of the second alone.
With BACKSTAY_TEST_S3_ENDPOINT (tests/support/s3server/with-s3.sh) the replica is a bucket.
"""

import os
import re
import shutil
import signal
import time

from fault_world import App, Corrupt, FaultCase, Lost, copy_folder, main

SCHEMA = "CREATE TABLE IF NOT EXISTS w(writer, n, filler, PRIMARY KEY(writer, n))"
# In the application: commits by itself until told to stop, and notes what backstay_sync acknowledged.
WRITER = r"""
import threading, time
acked, go, failed = [0], [True], []
def write():
    c = connect()
    try:
        n = c.execute("SELECT coalesce(max(n), 0) FROM w WHERE writer = ?", (me,)).fetchone()[0]
        while go[0]:
            n += 1
            c.execute("INSERT INTO w VALUES(?, ?, randomblob(?))", (me, n, n * 7919 % 3000))
            if n % 17 == 0: c.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            if c.execute("SELECT backstay_sync(2000)").fetchone()[0] == 1: acked[0] = n
            else: time.sleep(0.01)
    except Exception as e: failed.append(repr(e))
    c.close()
thread = threading.Thread(target=write, daemon=True)
"""


class Writer(App):
    """An application on a disk of its own that writes rows of `name` in the background."""

    def __init__(self, case, name, folder, **more):
        self.disk = folder
        self.path = os.path.join(folder, "app.db")
        super().__init__(case, db=self.path, BACKSTAY_DB=self.path, **more)
        self.name = name
        self.sql(SCHEMA)
        self.do(WRITER.replace("me,", repr(name) + ","))

    def start(self):
        self.do("thread.start()")

    def acked(self):
        return self.do("result = acked[0]")

    def stop(self):
        self.do("go[0] = False; thread.join()")
        self.case.assertEqual(self.do("result = failed"), [])

    def replica(self):
        return self.status()["replicas"][0]


class FencingTest(FaultCase):
    def setUp(self):
        super().setUp()
        self.s3 = self.endpoint()
        if self.s3:
            prefix = f"fencing-{os.getpid()}-{self.seed}-{self.id()}"
            self.url = (f"s3://{os.environ['BACKSTAY_TEST_S3_BUCKET']}/{prefix}?endpoint={self.s3}")
            self.env.update({k: v for k, v in os.environ.items() if k.startswith("AWS_")})
            self.env["BACKSTAY_REPLICA_URL"] = self.url
        self.env["BACKSTAY_LOG_LEVEL"] = "debug"
        if self.random.random() < 0.5:
            self.env.update(BACKSTAY_DURABILITY="sync", BACKSTAY_SYNC_TIMEOUT="2s")

    def endpoint(self):
        """None: the replica is a folder."""
        return os.environ.get("BACKSTAY_TEST_S3_ENDPOINT")

    def writer(self, name, folder, **more):
        folder = os.path.join(self.folder, folder)
        os.makedirs(folder, exist_ok=True)
        return Writer(self, name, folder, **more)

    def begun(self):
        """The first writer, at work, with rows in the replica."""
        first = self.writer("a", "one")
        first.start()
        rows = self.random.randint(1, 40)
        self.wait_for("the first rows", lambda: first.acked() >= rows)
        return first

    def restore_to(self, folder):
        path = os.path.join(self.folder, folder, "app.db")
        os.mkdir(os.path.dirname(path))
        self.tool("restore", "-o", path, self.url)
        return dict(self.rows(path, "SELECT writer, max(n) FROM w GROUP BY writer")).get("a", 0)

    def pause(self, seconds=0.2):
        time.sleep(self.random.random() * seconds)

    def pack(self, app):
        """Writes until a pack has replaced the single log objects."""
        app.sql("CREATE TABLE IF NOT EXISTS big(v)")
        for _ in range(33):
            app.sql("INSERT INTO big VALUES(randomblob(6000))")
            self.assertTrue(app.sync())
        self.wait_for("a pack", lambda: any("deleted packed log objects" in l["msg"] for l in app.lines("DEBUG")))

    def assert_one_lineage(self, base, winner="b"):
        """What can be restored now is a state that one of the two had."""
        rows = self.rows(self.restored(), "SELECT writer, min(n), max(n), count(*) FROM w GROUP BY writer")
        found = {}
        for writer, low, high, count in rows:
            if (low, high) != (1, count):
                raise Corrupt(f"rows of {writer} are no prefix: {low} to {high}, {count} of them")
            found[writer] = high
        if winner in found and found.get("a", 0) != base:
            raise Corrupt(f"a mixture of two lineages: {found}, the takeover was at {base}")
        return found

    def assert_fenced(self, app):
        self.wait_for(f"{app.name} to be fenced", lambda: app.replica()["state"] == "fenced")
        self.assertFalse(app.sync(1000))
        self.assertEqual(sum("replication stopped" in l["msg"] for l in app.lines("ERROR")), 1, app.stderr())
        before = app.acked()
        app.sql("INSERT OR REPLACE INTO w VALUES('late', 1, NULL)")
        self.pause(0.05)
        self.assertEqual(app.acked(), before)

    def assert_goes_on(self, app):
        """It ships, and its database is what is restored."""
        acked = app.acked()
        self.wait_for(f"{app.name} to go on", lambda: app.acked() > acked)
        app.stop()
        self.assertTrue(app.sync(), app.stderr())
        self.assert_same(self.restored(), app.path)
        self.assertEqual(self.errors(app), [])

    def errors(self, app):
        return [line["msg"] for line in app.lines("ERROR")]

    def assert_history_has(self, app, acked, base, winner):
        """What the loser saw acknowledged was in the log before the takeover; it stays restorable."""
        if acked <= base:
            return
        known = [re.search(r"holds transactions \d+ to (\d+) that", l["msg"]) for l in winner.lines("WARN")]
        last = max((int(match.group(1)) for match in known if match), default=0)
        rows = self.rows(self.restored("-txid", str(last)), "SELECT max(n) FROM w WHERE writer = ?",
                         app.name) if last else [(base,)]
        if rows[0][0] < acked:
            raise Lost(f"{app.name} saw row {acked} acknowledged; {rows[0][0]} can be restored")

    def test_paused_while_another_takes_over(self):
        first = self.begun()
        self.pause()
        first.process.send_signal(signal.SIGSTOP)
        base = self.restore_to("two")
        second = self.writer("b", "two")
        second.start()
        self.wait_for("the takeover", lambda: second.acked() > self.random.randint(1, 20))
        if self.random.random() < 0.5:
            self.pack(second)
        self.assert_one_lineage(base)
        first.process.send_signal(signal.SIGCONT)
        self.assert_one_lineage(base)
        self.assert_fenced(first)
        self.assert_history_has(first, first.acked(), base, second)
        self.assert_goes_on(second)
        self.killed(first) if self.random.random() < 0.5 else (first.stop(), first.close())
        # It stays out when it is started again, and says so again.
        again = self.writer("a", "one")
        again.start()
        self.assert_fenced(again)
        again.stop()
        again.close()
        second.close()
        self.assert_same(self.restored(), second.path)

    def test_takes_over_while_the_first_goes_on(self):
        first = self.begun()
        base = self.restore_to("two")
        self.pause()
        second = self.writer("b", "two")
        second.start()
        for _ in range(3):
            self.assert_one_lineage(base)
        self.assert_fenced(first)
        first.stop()
        self.assert_history_has(first, first.acked(), base, second)
        self.assert_goes_on(second)
        first.close()
        second.close()

    def test_two_restored_copies_start_at_once(self):
        self.killed(self.begun())
        base = self.restore_to("two")
        self.assertEqual(self.restore_to("three"), base)
        pair = [self.writer("b", "two"), self.writer("c", "three")]
        self.random.shuffle(pair)
        for app in pair:
            app.start()
        loser = self.wait_for("one of them to be fenced",
                              lambda: next((a for a in pair if a.replica()["state"] == "fenced"), None))
        winner = pair[1 - pair.index(loser)]
        self.assert_fenced(loser)
        if loser.acked() > 0:
            raise Lost(f"{loser.name} saw row {loser.acked()} acknowledged and lost the log")
        self.assert_one_lineage(base, winner.name)
        self.assert_goes_on(winner)
        loser.stop()
        for app in pair:
            app.close()

    def test_killed_and_started_again_after_a_takeover_and_a_pack(self):
        first = self.begun()
        acked = first.acked()
        self.killed(first)
        base = self.restore_to("two")
        if base < acked:
            raise Lost(f"row {acked} was acknowledged, {base} restored")
        second = self.writer("b", "two")
        second.start()
        self.pack(second)
        first = self.writer("a", "one")
        first.start()
        self.assert_fenced(first)
        if self.random.random() < 0.5:
            self.pack(second)
        self.assert_one_lineage(base)
        self.assert_goes_on(second)
        first.stop()
        first.close()
        second.close()

    def test_copies_of_a_disk_with_the_same_left_to_ship(self):
        """Both put the same object, and the key of what one of them puts behind it is free once that is packed."""
        first = self.begun()
        first.stop()
        self.assertTrue(first.sync())
        first.close()
        left = self.writer("a", "one", BACKSTAY_DURABILITY="async", BACKSTAY_MIN_INTERVAL="1h")
        left.sql("INSERT INTO w VALUES('left', 1, randomblob(500))")
        self.assertTrue(left.sync())
        left.sql("INSERT INTO w VALUES('left', 2, randomblob(500))")
        self.wait_for("what is left to ship", lambda: left.replica()["outbox_bytes"] > 0)
        self.killed(left)
        copy_folder(left.disk, os.path.join(self.folder, "two"))
        os.rename(left.disk, os.path.join(self.folder, "three"))
        idle = self.writer("a", "three")
        self.assertTrue(idle.sync())
        winner = self.writer("b", "two")
        self.assertTrue(winner.sync())
        winner.start()
        self.pack(winner)
        idle.start()
        self.assert_fenced(idle)
        self.pack(winner)
        self.assert_goes_on(winner)
        idle.stop()
        for app in (idle, winner):
            app.close()

    def test_a_copy_of_the_disk_and_its_original(self):
        first = self.begun()
        self.killed(first)
        copy_folder(first.disk, os.path.join(self.folder, "two"))
        # Where it was, neither finds the other: as on two machines.
        os.rename(first.disk, os.path.join(self.folder, "three"))
        pair = [self.writer("a", "three"), self.writer("b", "two")]
        self.random.shuffle(pair)
        for app in pair:
            app.start()
            self.pause(0.1)
        loser = self.wait_for("one of them to be fenced",
                              lambda: next((a for a in pair if a.replica()["state"] == "fenced"), None))
        winner = pair[1 - pair.index(loser)]
        self.assert_fenced(loser)
        self.assert_goes_on(winner)
        loser.stop()
        for app in pair:
            app.close()


if __name__ == "__main__":
    main("fencing", FencingTest)
