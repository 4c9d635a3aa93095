#!/usr/bin/python3
"""A savepoint of a transaction larger than the cache is rolled back: SQLite 3.40 then leaves committed frames without
salts and checksum in the WAL. They and all that follows are shipped as they are committed; that SQLite would lose them
at a crash is told, and a replica that was ahead of such a crash follows the database.
"""

import os
import struct
import unittest

from engine_world import App, EngineCase

SPILLED = (
    "BEGIN", "UPDATE t SET b = randomblob(3000) WHERE a <= 20", "SAVEPOINT s1",
    "UPDATE t SET b = randomblob(3000) WHERE a < 1300", "UPDATE t SET b = randomblob(3000) WHERE a > 400 AND a < 1300",
    "ROLLBACK TO s1", "RELEASE s1", "UPDATE t SET b = randomblob(3000) WHERE a > 2000 AND a < 2400",
    "INSERT INTO s VALUES('in it')", "COMMIT")


class SavepointTest(EngineCase):
    def spilled(self, **more):
        app = App(self, **more)
        app.sql("PRAGMA wal_autocheckpoint=0")
        app.sql("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
        app.sql("CREATE TABLE s(n)")
        app.sql("INSERT INTO t WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i<3000) "
                "SELECT i, randomblob(3000) FROM n")
        app.sql("PRAGMA wal_checkpoint(TRUNCATE)")
        app.sql(f"PRAGMA locking_mode={self.locking}")
        self.assertTrue(app.sync(), app.stderr())
        for statement in SPILLED:
            app.sql(statement)
        if not self.bare_frames():
            self.skipTest("this SQLite does not leave such frames")
        return app

    locking = "normal"

    def bare_frames(self):
        with open(self.db + "-wal", "rb") as file:
            wal = file.read()
        size = 24 + struct.unpack_from(">I", wal, 8)[0]
        return sum(wal[at + 8:at + 24] == bytes(16) for at in range(32, len(wal) - size + 1, size))

    def assert_followed(self, app):
        for i in range(5):
            app.sql(f"INSERT INTO s VALUES({i})")
            self.assertTrue(app.sync(), app.stderr())
        out = os.path.join(self.folder, "restored.db")
        self.tool("restore", "-force", "-integrity-check", "full", "-o", out, self.url)
        rows = app.sql("SELECT group_concat(n) FROM s")
        content = app.do(f"sql('ATTACH ? AS r', {out!r}); result = ("
                         "sql('SELECT group_concat(n) FROM r.s'), "
                         "sql('SELECT count(*) FROM r.t JOIN main.t USING(a, b)')[0][0]); sql('DETACH r')")
        self.assertEqual(content, [rows, 3000])

    def assert_told(self, app):
        [warning] = [line["msg"] for line in app.lines("WARN", "ERROR")]
        self.assertIn("without a checksum", warning)
        self.assertIn("savepoint", warning)

    def test_what_is_committed_goes_on_being_shipped(self):
        for durability in ("async", "sync"):
            with self.subTest(durability=durability):
                self.doCleanups()
                self.setUp()
                app = self.spilled(BACKSTAY_DURABILITY=durability)
                self.assert_followed(app)
                self.assert_told(app)
                # The next WAL is as any other.
                app.sql("PRAGMA wal_checkpoint(TRUNCATE)")
                self.assert_followed(app)
                app.close()
                self.assert_restores()
                self.assert_told(app)
                if durability == "sync":
                    self.assertNotIn("returned after", app.stderr())

    def test_a_crash_takes_them_from_the_database(self):
        app = self.spilled()
        self.assert_followed(app)
        app.kill()
        app = App(self)
        self.assertEqual(app.sql("SELECT count(*) FROM s"), [[0]], "SQLite keeps them: say so")
        app.sql("INSERT INTO s VALUES('after the crash')")
        self.assertTrue(app.sync(), app.stderr())
        self.assert_restores()
        app.close()

    def test_a_neighbour_takes_over(self):
        """Where the wal-index lives on, they are there."""
        app = self.spilled()
        other = App(self)
        self.assert_followed(app)
        app.kill()
        self.wait_for_state(other, "replicating")
        self.assert_followed(other)
        other.close()
        self.assert_restores()


class ExclusiveTest(SavepointTest):
    locking = "exclusive"

    def test_a_neighbour_takes_over(self):
        self.skipTest("nobody else may open the database")


if __name__ == "__main__":
    unittest.main()
