#!/usr/bin/python3
"""A commit whose frames went to the WAL and that failed all the same: it is not there while the application lives,
and is after its death. The replica always holds what the application sees.
"""

import contextlib
import errno
import os
import sqlite3
import unittest

from engine_world import App
from ground_test import ROWS, GroundCase


class PhantomTest(GroundCase):
    def setUp(self):
        super().setUp()
        self.env["BACKSTAY_SYNC_WAL"] = "false"  # every call on the WAL that writes is SQLite's

    def attempt(self, first, error, lock):
        app = self.broken(self.db + "-wal", "writes", error, first, open_it=False)
        app.do("c = connect()")
        app.sql(f"PRAGMA locking_mode={lock}")
        app.sql("PRAGMA journal_mode=wal")
        app.sql("PRAGMA synchronous=FULL")
        app.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, x)")
        app.sql("INSERT INTO t(x) VALUES('one')")
        self.assertTrue(app.sync(), app.stderr())
        return app, self.tried(app, "INSERT INTO t(x) VALUES('phantom')")

    def die(self, app):
        """kill -9 of the application, not of what watches it; the number of calls seen."""
        with contextlib.suppress(AssertionError):
            app.do("os.kill(os.getpid(), 9)")
        app.kill()
        with open(os.path.join(self.folder, "calls"), encoding="utf-8") as file:
            return int(file.read())

    def phantom(self, lock="normal", error=errno.EIO, calls_before=0):
        """The application, whose second row failed at the last call of its commit, which is the flush."""
        app, answer = self.attempt(0, error, lock)
        self.assertEqual(answer, [])
        last = self.die(app)
        self.new_disk()
        os.rename(self.replica, self.replica + ".first")
        app, answer = self.attempt(last - calls_before, error, lock)
        self.assertIn(answer, ("disk I/O error", "database or disk is full"))
        self.assertEqual(self.rows(app), ["one"])
        if calls_before == 0:
            self.assertEqual(self.recovered(), ["one", "phantom"], "this test is to make a phantom")
        return app

    def recovered(self):
        """What SQLite would recover from the files as they are."""
        copy = os.path.join(self.folder, "copy.db")
        for suffix in ("", "-wal"):
            with open(self.db + suffix, "rb") as old, open(copy + suffix, "wb") as new:
                new.write(old.read())
        with contextlib.closing(sqlite3.connect(copy)) as connection:
            return [x for x, in connection.execute(ROWS)]

    def live_on(self, app, idle=2):
        """Transactions that write nothing, and commits: the replica holds what the application sees."""
        self.assert_replicated(app)
        for _ in range(idle):
            app.sql("UPDATE t SET x = 0 WHERE x = 'no such row'")
            app.sql("BEGIN IMMEDIATE")
            app.sql("COMMIT")
            self.assert_replicated(app)
        for x in ("two", "three"):
            app.sql(f"INSERT INTO t(x) VALUES('{x}')")
            self.assert_replicated(app)
        self.assertEqual(self.rows(app), ["one", "two", "three"])
        app.close()
        self.assert_restores()
        self.assertEqual(app.lines("WARN", "ERROR"), [])

    def test_is_not_shipped_while_the_application_lives(self):
        self.live_on(self.phantom())

    def test_is_not_shipped_in_exclusive_locking_mode(self):
        self.live_on(self.phantom("exclusive"))

    def test_full_disk(self):
        self.live_on(self.phantom(error=errno.ENOSPC, calls_before=1))

    def test_full_disk_in_exclusive_locking_mode(self):
        self.live_on(self.phantom("exclusive", errno.ENOSPC, calls_before=1))

    def test_the_next_commit_writes_over_it(self):
        for lock, error, calls_before in (("normal", errno.EIO, 0), ("exclusive", errno.EIO, 0),
                                          ("exclusive", errno.ENOSPC, 1)):
            with self.subTest(lock, error=error):
                self.doCleanups()
                self.setUp()
                self.live_on(self.phantom(lock, error, calls_before), idle=0)

    def test_another_process_writes_over_it(self):
        app = self.phantom()
        other = App(self)
        self.assertEqual(self.rows(other), ["one"])
        other.sql("INSERT INTO t(x) VALUES('two')")
        self.assertTrue(other.sync(), other.stderr())
        self.assert_replicated(app)
        self.assertEqual(self.rows(app), ["one", "two"])

    def test_recovery_after_a_kill_ships_it(self):
        for lock in ("normal", "exclusive"):
            with self.subTest(lock):
                self.doCleanups()
                self.setUp()
                self.die(self.phantom(lock))
                app = App(self)
                self.assertEqual(self.rows(app), ["one", "phantom"], "what SQLite recovers")
                self.assert_replicated(app)
                self.assert_restores()
                app.sql("INSERT INTO t(x) VALUES('two')")
                self.assert_replicated(app)
                app.close()
                self.assert_restores()
                self.assertEqual(app.lines("ERROR"), [])

    def test_recovery_by_another_program(self):
        self.die(self.phantom())
        self.plain("c.execute(\"INSERT INTO t(x) VALUES('foreign')\")\n"
                   "c.execute('PRAGMA wal_checkpoint(TRUNCATE)')").communicate()
        app = App(self)
        self.assertEqual(self.rows(app), ["one", "phantom", "foreign"])
        self.assert_replicated(app)
        self.assert_restores()


if __name__ == "__main__":
    unittest.main()
