#!/usr/bin/python3
"""Short lives: what a process leaves in the replica when it ends, and how long it takes for that."""

import contextlib
import os
import sqlite3
import subprocess
import time
import unittest

from engine_world import BUILD, PATIENCE, App, environment
from lifecycle_world import ROWS, SCHEMA, LifecycleCase

DRAIN_S = 40  # far from what any end here takes, and below the patience of a test


class EndsCase(LifecycleCase):
    def setUp(self):
        super().setUp()
        self.env["BACKSTAY_DRAIN_TIMEOUT"] = f"{DRAIN_S}s"

    def session(self, *commands):
        """SQLite's shell with the extension; its log. It must end before the drain would give up."""
        start = time.monotonic()
        done = subprocess.run(["sqlite3", "-bail"], text=True, capture_output=True, env=self.env, timeout=PATIENCE * 2,
                              input="\n".join((f".load {BUILD}/backstay", f".open {self.db}") + commands))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertLess(time.monotonic() - start, DRAIN_S / 2, done.stderr)
        return done.stderr

    def assert_quiet(self, log):
        for line in log.splitlines():
            self.assertTrue('"INFO"' in line or "WAL-reset bug" in line, log)


class ShortSessionTest(EndsCase):
    def test_a_session_that_only_reads_waits_for_nothing(self):
        self.started(rows=100).close()
        for mode in ("normal", "exclusive"):
            before = self.snapshot_of_replica()
            self.assert_quiet(self.session(f"PRAGMA locking_mode={mode};", "SELECT count(*) FROM t;"))
            self.assertEqual(self.snapshot_of_replica(), before)

    def test_nor_for_a_moment(self):
        """The least of several, beside the least of a shell without Backstay: no wait of ours, however short."""
        self.started(rows=100).close()
        load = f".load {BUILD}/backstay\n"
        times = {"": [], load: []}
        for _ in range(5):
            for begin, seen in times.items():
                start = time.monotonic()
                subprocess.run(["sqlite3"], env=self.env, check=True, capture_output=True, text=True,
                               input=f"{begin}.open {self.db}\nSELECT count(*) FROM t;\n")
                seen.append(time.monotonic() - start)
        self.assertLess(min(times[load]), min(times[""]) + 0.3, times)

    def test_one_that_reads_finds_what_another_program_wrote(self):
        self.started(rows=100).close()
        self.shell(ROWS.format(50) + ";")
        self.session("SELECT count(*) FROM t;")
        self.assert_restores()

    def test_what_another_program_wrote_and_checkpointed_just_before_the_last_close(self):
        for mode in ("RESTART", "TRUNCATE"):
            with self.subTest(mode):
                self.doCleanups()
                self.setUp()
                app = self.started(rows=10)
                self.assertTrue(app.sync())
                with contextlib.closing(sqlite3.connect(self.db, isolation_level=None)) as other:
                    other.execute(ROWS.format(3))
                    other.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
                app.close()
                self.assert_restores()

    def test_a_reader_that_ends_without_closing(self):
        self.started(rows=100).close()
        app = App(self, open_it=False)
        app.do("import os; c = connect(); sql('PRAGMA locking_mode=exclusive'); sql('SELECT * FROM t')")
        start = time.monotonic()
        app.do("exit = os.sys.exit; os.sys.stdin.close(); print('{}', flush=True); exit(0)")
        self.assertEqual(app.process.wait(PATIENCE), 0)
        self.assertLess(time.monotonic() - start, DRAIN_S / 2)
        self.assertEqual(app.lines("WARN", "ERROR"), [])


class FirstSnapshotTest(EndsCase):
    def restores_all(self):
        """Which tells nothing while a snapshot that began before the rows is all there is."""
        out = os.path.join(self.folder, "restored.db")
        done = subprocess.run([f"{BUILD}/backstay", "restore", "-force", "-o", out, self.url], capture_output=True,
                              env=self.env)
        return done.returncode == 0 and self.dump(out) == self.dump(self.db)

    def test_a_process_that_writes_a_new_database_and_ends(self):
        for _ in range(8):
            self.assert_quiet(self.session("PRAGMA journal_mode=wal;", SCHEMA + ";", ROWS.format(3) + ";"))
            self.assert_restores()
            self.assert_quiet(self.session(ROWS.format(3) + ";"))
            self.assert_restores()
            self.doCleanups()
            self.setUp()

    def test_the_last_close_comes_in_the_middle_of_it(self):
        app = self.opened()
        app.sql(SCHEMA)
        app.sql(ROWS.format(60000))
        app.do("c.close()")
        self.wait_for("all of it in the replica", self.restores_all)
        app.do("c = connect()")
        app.sql(ROWS.format(3))
        self.assert_replicated(app)
        app.close()
        self.assertEqual(self.repairs(app), 0, app.stderr())
        self.assertEqual(app.lines("WARN", "ERROR"), [])

    def test_another_program_writes_behind_the_last_close(self):
        app = self.opened()
        app.sql(SCHEMA)
        app.sql(ROWS.format(60000))
        app.do("c.close()")
        self.shell("DELETE FROM t WHERE id % 3 = 0;")
        self.wait_for("a copy", lambda: "snapshot complete" in app.stderr())
        app.close()
        self.assert_restores()


class StuckCopyTest(EndsCase):
    def test_a_copy_that_cannot_go_on_is_told_once(self):
        app = self.opened(BACKSTAY_CLOSE_TIMEOUT="0s")
        app.sql(SCHEMA)
        app.sql(ROWS.format(60000))
        app.do("c.close()")
        away = self.db + "-away"
        os.rename(self.db, away)
        self.wait_for("the cause and the remedy", lambda: "keep a connection open" in app.stderr())
        begun = app.stderr().count("snapshot begins")
        os.rename(away, self.db)
        app.do("c = connect()")
        app.sql(ROWS.format(1))
        self.assert_replicated(app)
        self.wait_for("its end", lambda: "snapshot works again" in app.stderr())
        app.close()
        self.assertEqual(app.stderr().count("snapshot begins"), begun, app.stderr())
        self.assertEqual(len(app.lines("WARN")), 1, app.stderr())


class VainTest(EndsCase):
    """What cannot be shipped is not waited for."""

    def ends_at_once(self, app):
        """Its log at WARN and above."""
        start = time.monotonic()
        app.close()
        self.assertLess(time.monotonic() - start, DRAIN_S / 2, app.stderr())
        return "\n".join(line["msg"] for line in app.lines("WARN", "ERROR"))

    def status_file(self):
        with contextlib.suppress(FileNotFoundError), open(self.state + "/status.json", encoding="utf-8") as file:
            return file.read()
        return ""

    def written(self, **more):
        app = self.opened("delete", **more)
        app.sql(SCHEMA)
        app.sql(ROWS.format(3))
        return app

    def overtaken(self):
        """The database's replica belongs to a newer writer."""
        self.started(mode="delete").close()
        other = os.path.join(self.folder, "other.db")
        self.tool("restore", "-o", other, self.url)
        app = App(self, db=other, open_it=False, BACKSTAY_DB=other)
        app.do("c = connect()")
        app.sql(ROWS.format(1))
        self.assert_synced(app)
        app.close()

    def test_fenced(self):
        self.overtaken()
        for _ in range(2):
            app = self.written()
            self.wait_for_state(app, "fenced")
            app.sql(ROWS.format(3))
            log = self.ends_at_once(app)
            self.assertIn("a newer writer owns", log)
            self.assertNotIn("at the next start", log)

    def test_fenced_and_started_again_it_keeps_nothing(self):
        self.overtaken()
        app = self.written()
        self.wait_for_state(app, "fenced")
        app.close()
        app = self.written()
        self.wait_for_state(app, "fenced")
        app.sql("PRAGMA synchronous=off")
        app.do("""
import time
def kib(): return int(next(l for l in open('/proc/self/status') if l.startswith('VmRSS')).split()[1])
def commit(): start = time.monotonic(); sql('INSERT INTO t(text) VALUES(randomblob(200000))'); return time.monotonic() - start
commit()
""")
        grown, times = app.do("before = kib(); times = sorted(commit() for _ in range(120)); "
                              "result = kib() - before, times")
        self.assertLess(grown, 8192)
        # Waiting for room would be 500 ms.
        self.assertLess(times[-1], times[60] + 0.4)
        self.ends_at_once(app)

    def test_stopped(self):
        os.mkdir(self.replica)
        with open(os.path.join(self.replica, "other"), "wb"):
            pass
        app = self.written()
        self.assertIn("holds other objects", self.ends_at_once(app))

    def test_state_folder_that_cannot_be_used(self):
        with open(self.state, "wb"):
            pass
        for wait in (True, False):
            app = self.written()
            if wait:
                self.wait_for_state(app, "error")
            self.assertIn(self.state, self.ends_at_once(app))

    def test_state_folder_that_cannot_be_used_keeps_nothing(self):
        with open(self.state, "wb"):
            pass
        app = self.written()
        self.wait_for_state(app, "error")
        app.sql("INSERT INTO t(text) VALUES(zeroblob(2000000))")
        start = time.monotonic()
        for _ in range(12):
            app.sql("UPDATE t SET text = randomblob(2000000) WHERE id = 4")
        os.remove(self.state)
        self.assert_replicated(app)
        self.assertLess(time.monotonic() - start, DRAIN_S)
        app.close()

    def test_replica_that_refuses(self):
        os.mkdir(self.replica, 0o555)
        self.give_to_nobody(self.disk)
        app = self.written(unprivileged=True)
        self.assertIn(self.replica, self.ends_at_once(app))

    def test_replica_that_is_made_good_in_time(self):
        """The last try is made at once, however long the pauses have become."""
        os.mkdir(self.replica, 0o555)
        self.give_to_nobody(self.disk)
        app = self.written(unprivileged=True)
        self.wait_for_state(app, "retrying")
        os.chmod(self.replica, 0o777)
        self.assertNotIn("before everything was shipped", self.ends_at_once(app))
        self.assert_restores()

    def test_replica_that_cannot_be_reached(self):
        for wait in (True, False):
            app = self.written(BACKSTAY_REPLICA_URL="s3://bucket/app?endpoint=http://127.0.0.1:1",
                               BACKSTAY_ACCESS_KEY_ID="key", BACKSTAY_SECRET_ACCESS_KEY="secret")
            if wait:
                self.wait_for_state(app, "retrying")
            self.assertIn("127.0.0.1", self.ends_at_once(app))

    def test_a_neighbour_of_one_that_cannot_ship(self):
        unreachable = {"BACKSTAY_REPLICA_URL": "s3://bucket/app?endpoint=http://127.0.0.1:1",
                       "BACKSTAY_ACCESS_KEY_ID": "key", "BACKSTAY_SECRET_ACCESS_KEY": "secret"}
        first = self.written(**unreachable)
        self.wait_for("an outage in the status file", lambda: "retrying" in self.status_file())
        second = self.written(**unreachable)
        self.wait_for_state(second, "passive")
        second.sql(ROWS.format(3))
        self.ends_at_once(second)
        first.sql(ROWS.format(3))
        self.ends_at_once(first)


if __name__ == "__main__":
    unittest.main()
