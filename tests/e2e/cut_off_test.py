#!/usr/bin/python3
"""The process died, and the disk with it, when only a part of a large transaction was in the bucket."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import unittest

from engine_world import BUILD, App, EngineCase

MAKER = os.path.join(BUILD, "tests", "replica_maker")


class CutOffTest(EngineCase):
    def make(self):
        states = []
        path = os.path.join(self.folder, "source.db")
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as c:
            c.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, x)")
            for rows in (10, 20, 300):
                c.execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<?) "
                          "INSERT INTO t(x) SELECT hex(randomblob(300)) FROM n", (rows,))
                states.append(os.path.join(self.folder, f"state-{rows}"))
                shutil.copyfile(path, states[-1])
        subprocess.run([MAKER], check=True, stdout=subprocess.DEVNULL, env={
            **os.environ, "MAKER_REPLICA": self.replica, "MAKER_DATABASES": ":".join(states),
            "MAKER_UNFINISHED": "1"})

    def test_restored_and_going_on(self):
        self.make()
        self.tool("restore", self.db, "-if-db-not-exists")
        app = App(self)
        self.assertEqual(app.sql("SELECT count(*) FROM t")[0][0], 30, "the last whole transaction")
        app.sql("INSERT INTO t(x) VALUES('goes on')")
        self.assertTrue(app.sync(), app.stderr())
        self.assertEqual(app.lines("ERROR"), [])
        self.assert_restores()
        app.sql("DELETE FROM t WHERE id < 5")
        self.assertTrue(app.sync(), app.stderr())
        self.assert_restores()


if __name__ == "__main__":
    unittest.main()
