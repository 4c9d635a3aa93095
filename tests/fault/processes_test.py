#!/usr/bin/python3
"""Several processes of one application use one database; one of them ships for all.

durability=sync in each: what a commit's return promises is in the replica, also when the process that
ships is killed or stopped while others commit.
"""

import json
import os
import shutil
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fault_world import SANITIZER, App, FaultCase, Lost, main  # noqa: E402

SCHEMA = "CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, text)"
LATE = "durability=sync: a commit returned after"
SAFE = "durability=sync: every commit is in every replica again"

# Commits until the process is killed. A commit is told with the number of late
# ones before and after it: it was in time when they are equal.
WRITER = r"""
def write(n):
    own = connect()
    own.execute("PRAGMA wal_autocheckpoint=20")
    late = status(own)["late_commits"]
    for i in range(1 << 40):
        own.execute("INSERT INTO t(text) VALUES(?)", (f"{n} {i} " + "x" * 500,))
        before, late = late, status(own)["late_commits"]
        if late == before:
            sys.stdout.write(json.dumps([n, i]) + "\n")
            sys.stdout.flush()
"""


class ProcessesCase(FaultCase):
    def setUp(self):
        super().setUp()
        self.env["BACKSTAY_DURABILITY"] = "sync"
        self.env["BACKSTAY_SYNC_TIMEOUT"] = "30s"

    def start(self, count, **more):
        """The first one ships."""
        apps = [App(self, **more)]
        apps[0].sql(SCHEMA)
        self.assertTrue(apps[0].sync(), apps[0].stderr())
        for _ in range(count - 1):
            apps.append(App(self, **more))
            apps[-1].sql("SELECT count(*) FROM t")
            self.wait_for_state(apps[-1], "passive")
        return apps

    def shipping(self, apps):
        """The one that ships now."""
        def states():
            found = [app for app in apps if app.status()["state"] == "replicating"]
            return found if len(found) == 1 else None
        return self.wait_for("one process to ship", states)[0]

    def late(self, app):
        return [line["msg"] for line in app.lines("WARN") if LATE in line["msg"]]

    def texts(self):
        return {row[0] for row in self.rows(self.restored(), "SELECT text FROM t")}

    def assert_replica_has(self, text):
        if text not in self.texts():
            raise Lost(f"a commit that returned in time is not in the replica: {text}")

    def assert_restored(self):
        self.assert_same(self.restored())


class SyncTest(ProcessesCase):
    def test_what_returned_is_in_the_replica(self):
        for count in (2, 4):
            with self.subTest(processes=count):
                self.doCleanups()
                self.setUp()
                apps = self.start(count)
                for i in range(12 if not self.long else 200):
                    app = apps[(i + 1) % count]
                    app.sql(f"INSERT INTO t(text) VALUES('{i}')")
                    self.assert_replica_has(str(i))
                self.assertEqual([app.status()["state"] for app in apps],
                                 ["replicating"] + ["passive"] * (count - 1))
                for app in apps:
                    self.assertEqual(app.status()["late_commits"], 0, app.stderr())
                    self.assertEqual(app.lines("WARN", "ERROR"), [])
                for app in reversed(apps):
                    app.close()
                self.assert_restored()

    def test_the_wal_is_read_before_a_neighbour_begins_it_anew(self):
        """Else all pages had to be compared, which the log would tell. A neighbour waits for half a second
        at most, which a sanitizer on a busy machine may take now and then."""
        for _ in range(4 if SANITIZER else 1):
            apps = self.start(2, BACKSTAY_DURABILITY="async", BACKSTAY_MIN_INTERVAL="1s")
            apps[1].do("""
for i in range(30):
    sql("INSERT INTO t(text) VALUES(hex(randomblob(2000)))")
    sql("PRAGMA wal_checkpoint(RESTART)")
""")
            self.assertTrue(apps[1].sync())
            self.assert_restored()
            missed = "missed" in apps[0].stderr()
            for app in reversed(apps):
                app.close()
            if not missed:
                return
            self.doCleanups()
            self.setUp()
        self.fail("the WAL was begun anew before it was read")

    def test_rollback_journal(self):
        apps = self.start(2)
        apps[1].do("c.close()")
        self.assertEqual(apps[0].sql("PRAGMA journal_mode=delete"), [["delete"]])
        apps[1].do("c = connect()")
        for i in range(10):
            apps[1].sql(f"INSERT INTO t(text) VALUES('{i}')")
            self.assert_replica_has(str(i))
            apps[0].sql(f"INSERT INTO t(text) VALUES('zero {i}')")
            self.assert_replica_has(f"zero {i}")
        self.assertEqual([self.late(app) for app in apps], [[], []])
        for app in reversed(apps):
            app.close()

    def test_a_process_that_has_closed_the_database_answers_for_nobody(self):
        """It knows nothing of what others commit; the next one takes over."""
        apps = self.start(2)
        for i in range(60 if self.long else 6):
            apps[0].do("c.close()")
            apps[1].sql(f"INSERT INTO t(text) VALUES('{i}')")
            self.assert_replica_has(str(i))
            apps[0].do("c = connect(); sql('SELECT count(*) FROM t')")
            apps.reverse()
        self.assertEqual([self.late(app) for app in apps], [[], []])
        for app in apps:
            app.close()
        self.assert_restored()


class KillTest(ProcessesCase):
    def test_the_process_that_ships_is_killed(self):
        """What returned in time before and after it is in the replica, whatever else is lost."""
        for _ in range(20 if self.long else 1):
            self.doCleanups()
            self.setUp()
            apps = self.start(4)
            told, readers = [], []
            for n, app in enumerate(apps):
                app.do(WRITER)
                app.process.stdin.write(json.dumps({"code": f"write({n})"}) + "\n")
                app.process.stdin.flush()
                readers.append(threading.Thread(target=self.listen, args=(app, told)))
                readers[-1].start()
            for app in apps[:3]:
                time.sleep(self.random.uniform(0.3, 1.0))
                self.killed(app)
                self.check(told)
            before = len(told)
            self.wait_for("the last process to go on", lambda: len(told) > before + 3)
            self.killed(apps[3])
            for reader in readers:
                reader.join()
            self.check(told)

    def killed(self, app):
        """Its output is read to the end by another thread."""
        app.process.kill()
        app.process.wait()
        self.tally.kills += 1

    @staticmethod
    def listen(app, told):
        for line in app.process.stdout:
            if line.endswith("]\n"):
                told.append(tuple(json.loads(line)))

    def check(self, told):
        returned = set(told)
        there = {tuple(map(int, text.split()[:2])) for text in self.texts()}
        missing = returned - there
        if missing:
            raise Lost(f"{len(missing)} of {len(returned)} commits, the first is {min(missing)}")


class StopTest(ProcessesCase):
    def test_a_process_that_stands_still_is_late_and_heals(self):
        apps = self.start(3, BACKSTAY_SYNC_TIMEOUT="400ms")
        os.kill(apps[0].process.pid, signal.SIGSTOP)
        self.tally.faults += 1
        for i in range(3):
            apps[1].sql(f"INSERT INTO t(text) VALUES('{i}')")
        self.assertEqual(apps[2].sql("SELECT backstay_sync(1)"), [[0]])
        status = apps[1].status()
        self.assertEqual((status["late_commits"], status["late"]), (3, True))
        [message] = self.late(apps[1])
        self.assertIn("has not answered in time", message)
        os.kill(apps[0].process.pid, signal.SIGCONT)
        # Without another commit.
        self.wait_for("the report to be taken back", lambda: not apps[1].status()["late"])
        self.assert_restored()
        self.assertIn(SAFE, apps[1].stderr())
        apps[2].sql("INSERT INTO t(text) VALUES('after')")
        self.assert_replica_has("after")
        for app in reversed(apps):
            app.close()

    def test_the_folder_is_lost(self):
        """Those that wait find the one that ships next by its new folder."""
        apps = self.start(3)
        os.rename(self.state, self.state + ".lost")
        self.killed(apps[0])
        for app in apps[1:]:
            app.sql("INSERT INTO t(text) VALUES('more')")
        self.assert_restored()
        for i, app in enumerate(apps[1:]):
            app.sql(f"INSERT INTO t(text) VALUES('{i}')")
            self.assert_replica_has(str(i))
            self.assertEqual(self.late(app), [])
        for app in apps[1:]:
            app.close()

    def test_one_that_lost_the_replica_answers_nobody(self):
        apps = self.start(2)
        copy = os.path.join(self.folder, "other-host", "app.db")
        os.mkdir(os.path.dirname(copy))
        self.tool("restore", "-o", copy, self.url)
        new = App(self, db=copy, BACKSTAY_DB=copy)
        new.sql("INSERT INTO t(text) VALUES('new')")
        start = time.monotonic()
        for _ in range(10):
            apps[1].sql("INSERT INTO t(text) VALUES('old')")
        self.assertLess(time.monotonic() - start, 30)  # a single timeout
        self.wait_for_state(apps[0], "fenced")
        self.assertEqual(apps[1].status()["late_commits"], 10)
        self.assertIn("stopped", self.late(apps[1])[0])
        self.assertEqual(apps[1].sql("SELECT backstay_sync()"), [[0]])
        new.close()
        for app in reversed(apps):
            app.close()
        self.assertNotIn("old", self.texts())


class OtherReplicaTest(ProcessesCase):
    def test_another_replica_counts_for_nothing(self):
        one = self.start(1)[0]
        other = App(self, BACKSTAY_REPLICA_URL=self.url + "-2", BACKSTAY_SYNC_TIMEOUT="300ms")
        other.sql("INSERT INTO t(text) VALUES('x')")
        self.assertEqual(other.status()["late_commits"], 1)
        self.assertIn("to another replica", self.late(other)[0])
        other.close()
        one.close()


class ChangedFilesTest(ProcessesCase):
    """Files of the state folder are cut off, written over or removed (but for the lock) while the processes use them:
    nobody dies of it, and those that do not ship are still answered."""

    def change(self, path):
        actions = [lambda: os.truncate(path, 0), lambda: shutil.copyfile(sys.executable, path)]
        if os.path.basename(path) != "lock":
            actions.append(lambda: os.remove(path))
        for action in actions:
            try:
                action()
            except OSError:
                pass  # a socket cannot be cut off or written over
            yield

    def test_every_file(self):
        apps = self.start(2)
        for name in sorted(os.listdir(self.state)):
            for _ in self.change(os.path.join(self.state, name)):
                for app in apps:
                    app.sql("INSERT INTO t(text) VALUES('x')")
        for app in apps:
            self.assertTrue(app.sync(), app.stderr())
            app.close()
        self.assert_replica_is_the_database()

    def assert_replica_is_the_database(self):
        out = os.path.join(self.folder, "out.db")
        self.tool("restore", "-o", out, self.url)
        self.assertEqual(self.dump(out), self.dump(self.db))


if __name__ == "__main__":
    main("processes", SyncTest, KillTest, StopTest, OtherReplicaTest, ChangedFilesTest)
