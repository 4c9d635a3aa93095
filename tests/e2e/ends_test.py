#!/usr/bin/python3
"""Short lives: what a process leaves in the replica when it ends, and how long it takes for that."""

import os
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

    def test_one_that_reads_finds_what_another_program_wrote(self):
        self.started(rows=100).close()
        self.shell(ROWS.format(50) + ";")
        self.session("SELECT count(*) FROM t;")
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


if __name__ == "__main__":
    unittest.main()
