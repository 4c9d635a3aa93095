#!/usr/bin/python3
"""EXCLUSIVE locking mode: no wal-index tells of commits, and WAL restarts are nobody else's."""

import unittest

from engine_world import EngineCase, App


class ExclusiveTest(EngineCase):
    def test_restarts_of_the_wal_are_no_gaps(self):
        for checkpoint in ("PRAGMA wal_checkpoint(RESTART)", "PRAGMA wal_checkpoint(TRUNCATE)",
                           "PRAGMA wal_autocheckpoint = 20"):
            with self.subTest(checkpoint):
                app = App(self)
                app.sql("PRAGMA locking_mode = EXCLUSIVE")
                app.sql("CREATE TABLE IF NOT EXISTS t(i INTEGER PRIMARY KEY, v)")
                self.assertTrue(app.sync())
                for _ in range(6):
                    for _ in range(8):
                        app.sql("INSERT INTO t(v) VALUES(randomblob(3000))")
                    app.sql(checkpoint)
                self.assertTrue(app.sync())
                self.assert_restores()
                self.assertEqual(app.lines("WARN", "ERROR"), [])
                app.close()


if __name__ == "__main__":
    unittest.main()
