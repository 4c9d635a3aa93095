#!/usr/bin/python3
"""durability=sync: what a commit's return promises is in the bucket.

Kills at random moments, waits that are in vain, threads that share uploads, EXCLUSIVE locking mode,
connections that are closed while others wait, a replica that is lost to a newer writer.
"""

import json
import os
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fault_world import App, Lost, main  # noqa: E402
from bucket_world import BucketCase, ENDPOINT, KEYS, FaultProxy, with_server  # noqa: E402

WRITERS = r"""
import threading
if MODE != "normal": c.close()
def write(n):
    own = connect()
    if MODE == "exclusive": own.execute("PRAGMA locking_mode=exclusive")
    elif MODE == "delete": own.execute("PRAGMA journal_mode=delete")
    for i in range(1 << 40):
        own.execute("INSERT INTO t(text) VALUES(?)", (f"{n} {i} " + "x" * 200,))
        sys.stdout.write(json.dumps([n, i]) + "\n")
        sys.stdout.flush()
threads = [threading.Thread(target=write, args=(n,), daemon=True) for n in range(WRITERS)]
for thread in threads: thread.start()
threads[0].join()
"""
LATE = "durability=sync: a commit returned after"


class SyncCase(BucketCase):
    def setUp(self):
        super().setUp()
        self.proxy = FaultProxy(ENDPOINT)
        self.proxy.__enter__()
        self.addCleanup(self.proxy.__exit__)
        self.use(self.proxy, os.path.basename(self.folder), BACKSTAY_DURABILITY="sync",
                 BACKSTAY_SYNC_TIMEOUT="30s")

    def late(self, app, level="WARN"):
        return [line["msg"] for line in app.lines(level) if LATE in line["msg"]]


class KillTest(SyncCase):
    def test_nothing_acknowledged_is_lost(self):
        """Each time the disk is lost with the process: only the bucket is left."""
        kills = 100 if self.long else 20
        total = 0
        app = self.start()
        self.assert_synced(app)
        for kill in range(kills):
            self.proxy.latency = self.random.choice((0, 0.002, 0.02))
            # Without a WAL, and where nobody counts the commits, the wait is another one.
            writers, mode = self.random.choice(((1, "normal"), (4, "normal"), (16, "normal"), (1, "exclusive"),
                                                (1, "delete"), (4, "delete")))
            returned = self.write_and_kill(app, writers, mode)
            lose_the_disk = kill % 4 != 0
            self.check(returned)
            total += len(returned)
            if lose_the_disk:
                self.new_disk()
                self.restore_direct(self.db)
            app = self.start()
            app.sql("DELETE FROM t")
            if self.random.random() < 0.3:
                app.sql("PRAGMA wal_checkpoint(TRUNCATE)")
        self.assertGreater(total, 5 * kills)
        app.close()
        self.assert_restored()

    def write_and_kill(self, app, writers, mode):
        """The commits that returned before the kill."""
        app.process.stdin.write(json.dumps({"code": WRITERS.replace("WRITERS", str(writers)).replace("MODE", repr(mode))}) + "\n")
        app.process.stdin.flush()
        wait = self.random.uniform(0.05, 0.6)
        timer = threading.Timer(wait, app.process.kill)
        timer.start()
        returned = []
        for line in app.process.stdout:
            if line.endswith("]\n"):
                returned.append(tuple(json.loads(line)))
        timer.join()
        self.killed(app)
        return returned

    def check(self, returned):
        out = os.path.join(self.folder, "check.db")
        self.restore_direct(out)
        there = {tuple(map(int, row[0].split()[:2]))
                 for row in self.rows(out, "SELECT text FROM t")}
        missing = set(returned) - there
        if missing:
            raise Lost(f"{len(missing)} of {len(returned)} commits, the first is {min(missing)}")


class TimeoutTest(SyncCase):
    def taken_back(self, app):
        return [line for line in app.lines("INFO") if "every commit is in" in line["msg"]]

    def test_late_commits_return_and_are_reported(self):
        app = self.start(BACKSTAY_SYNC_TIMEOUT="300ms")
        self.assert_synced(app)
        # On a slow machine those before may have been late as well.
        self.wait_for("no commit to be late", lambda: not app.status()["late"])
        before, told, taken_back = app.status()["late_commits"], len(self.late(app)), len(self.taken_back(app))
        self.proxy.refuse()
        self.tally.faults += 1
        for _ in range(3):
            app.sql("INSERT INTO t(text) VALUES('x')")
        status = app.status()
        self.assertEqual((status["late_commits"] - before, status["late"]), (3, True))
        self.assertEqual(app.sql("SELECT backstay_sync(1)"), [[0]])
        self.assertEqual(len(self.late(app)) - told, 1, app.stderr())
        self.assertIn("cannot be", app.stderr())
        self.proxy.serve()
        self.wait_for("the report to be taken back", lambda: not app.status()["late"])
        self.assertEqual(app.status()["late_commits"] - before, 3)
        self.assertEqual(len(self.taken_back(app)) - taken_back, 1)
        def in_time():
            late = app.status()["late_commits"]
            app.sql("INSERT INTO t(text) VALUES('x')")
            return app.status()["late_commits"] == late
        self.wait_for("a commit that is in time", in_time)
        self.assert_restored()
        app.close()

    def test_asynchronous_commits_wait_for_nothing(self):
        app = self.start(BACKSTAY_DURABILITY="async")
        self.assert_synced(app)
        self.proxy.refuse()
        app.sql("INSERT INTO t(text) VALUES('x')")
        self.assertNotIn("late", app.status())
        self.assertEqual(self.late(app), [])
        app.kill()


class ThreadsTest(SyncCase):
    def test_writers_share_uploads(self):
        """16 threads that wait for each other's uploads need fewer than they have commits."""
        app = self.start()
        self.assert_synced(app)
        self.proxy.latency = 0.05
        before = self.proxy.count(self.prefix, "put-log")
        app.do("""
import threading
def write(n):
    own = connect()
    for i in range(10): own.execute("INSERT INTO t(text) VALUES(?)", (f"{n} {i}",))
    own.close()
threads = [threading.Thread(target=write, args=(n,)) for n in range(16)]
for thread in threads: thread.start()
for thread in threads: thread.join()
""")
        self.assertLess(self.proxy.count(self.prefix, "put-log") - before, 80)
        self.assert_restored()
        self.assertEqual(self.late(app), [])
        app.close()

    def test_exclusive_locking_mode(self):
        app = App(self, open_it=False, **KEYS)
        app.do("c = connect(); sql('PRAGMA locking_mode=exclusive'); sql('PRAGMA journal_mode=wal')")
        app.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, text)")
        for i in range(5):
            app.sql(f"INSERT INTO t(text) VALUES({i})")
            out = os.path.join(self.folder, "now.db")
            self.restore_direct(out)
            self.assertEqual(self.rows(out, "SELECT max(text) FROM t"), [(i,)])
        app.close()
        self.assertEqual(self.late(app), [])

    def test_first_commit_of_a_database(self):
        """It is made before the database is replicated, and waits all the same."""
        for mode in ("wal", "delete", "persist"):
            self.use(self.proxy, f"{self.prefix}-{mode}", BACKSTAY_DURABILITY="sync", BACKSTAY_SYNC_TIMEOUT="30s")
            self.new_disk()
            self.proxy.latency = 0.1
            app = App(self, open_it=False, **KEYS)
            app.do(f"c = connect(); sql('PRAGMA journal_mode={mode}'); sql('CREATE TABLE first(x)')")
            self.killed(app)
            self.proxy.latency = 0
            out = os.path.join(self.folder, "now.db")
            if (self.tool_status("restore", "-force", "-o", out, self.direct) != 0 or
                    self.rows(out, "SELECT name FROM sqlite_master") != [("first",)]):
                raise Lost(f"{mode}: the first commit\n{app.stderr()}")

    def test_closing_while_others_wait(self):
        app = self.start()
        self.assert_synced(app)
        self.proxy.latency = 0.1
        app.do("""
import threading
def write(n):
    for i in range(5):
        own = connect()
        own.execute("INSERT INTO t(text) VALUES(?)", (f"{n} {i}",))
        own.close()
threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
for thread in threads: thread.start()
c.close()
for thread in threads: thread.join()
c = connect()
""")
        self.assertEqual(app.sql("SELECT count(*) FROM t"), [[20]])
        self.assert_synced(app)
        self.assert_restored()
        self.assertEqual(self.late(app), [])
        app.close()


class FencedTest(SyncCase):
    def test_commits_return_at_once_and_are_reported(self):
        old = self.start()
        old.sql("INSERT INTO t(text) VALUES('x')")
        elsewhere = os.path.join(self.folder, "other-host")
        os.mkdir(elsewhere)
        copy = os.path.join(elsewhere, "app.db")
        self.restore_direct(copy)
        new = App(self, db=copy, BACKSTAY_DB=copy, **KEYS)
        new.sql("INSERT INTO t(text) VALUES('new')")
        start = time.monotonic()
        for _ in range(20):
            old.sql("INSERT INTO t(text) VALUES('old')")
        self.assertLess(time.monotonic() - start, 30)  # a single timeout
        status = self.wait_for_state(old, "fenced")
        self.assertEqual((status["late_commits"], status["late"]), (20, True))
        [message] = self.late(old)
        self.assertIn("newer writer", message)
        new.close()
        old.close()
        self.assert_same(self.restored_copy(), copy)

    def restored_copy(self):
        out = os.path.join(self.folder, "proof.db")
        self.restore_direct(out)
        return out


if __name__ == "__main__":
    with_server()
    main("sync", KillTest, TimeoutTest, ThreadsTest, FencedTest)
