#!/usr/bin/python3
"""backstay verify beside a live application: compared at the same transaction, while that goes on writing."""
import json
import os
import re
import sqlite3
import subprocess
import unittest

from engine_world import App, EngineCase

# A thread that commits all the time, and keeps the longest time that a commit took.
WRITE = """
import threading, time
going, commits, longest = True, 0, 0.0
def write():
    global commits, longest
    w = connect()
    while going:
        began = time.monotonic()
        w.execute("INSERT INTO t VALUES (hex(randomblob(500)))")
        longest = max(longest, time.monotonic() - began)
        commits += 1
        time.sleep(PAUSE)
    w.close()
thread = threading.Thread(target=write)
thread.start()
"""
FILL = ("CREATE TABLE t(x)",
        "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n LIMIT 2000) "
        "INSERT INTO t SELECT hex(randomblob(100)) FROM n")
STOP = "going = False; thread.join(); result = [commits, longest]"


class VerifyLiveTest(EngineCase):
    def setUp(self):
        super().setUp()
        self.scratch = os.path.join(self.folder, "scratch")
        os.mkdir(self.scratch)

    def verify(self, *arguments, code=0, **env):
        done = self.tool("verify", "-scratch", self.scratch, *arguments, self.db, code=code, **env)
        self.assertEqual(os.listdir(self.scratch), [])
        return done

    def application(self, mode):
        app = App(self, open_it=False)
        app.do(f"c = connect(); sql('PRAGMA journal_mode={mode}')")
        for statement in FILL:
            app.sql(statement)
        self.assertTrue(app.sync())
        return app

    def compared(self, mode, pause):
        app = self.application(mode)
        done = self.verify("-compare")
        self.assertRegex(done.stdout, "equal to %s at transaction [0-9]+$" % re.escape(self.db))
        app.do(WRITE.replace("PAUSE", str(pause)))
        self.wait_for("commits", lambda: app.do("result = commits") > 3)
        first = app.do("result = commits")
        result = json.loads(self.verify("-compare", "-json").stdout)["replicas"][0]
        self.assertGreater(result["equal_at_txid"], 2)
        self.wait_for("the next commit", lambda: app.do("result = commits") > first)
        _, longest = app.do(STOP)
        # The application's own timeout is 20 s.
        self.assertLess(longest, 10)
        self.assertEqual(app.lines("ERROR"), [])
        app.close()

    def test_with_a_wal(self):
        self.compared("wal", 0.02)

    def test_without_a_wal(self):
        self.compared("delete", 0.1)

    def test_room_for_the_database_twice_is_enough(self):
        # All of it is in the first snapshot, whose size is known before it is restored.
        connection = sqlite3.connect(self.db)
        for statement in FILL[:1] + FILL[1:] * 10:
            connection.execute(statement)
        connection.commit()
        connection.close()
        size = os.path.getsize(self.db)
        app = App(self, open_it=False)
        app.do("c = connect(); sql('PRAGMA journal_mode=wal')")
        app.sql("INSERT INTO t VALUES (1)")
        self.assertTrue(app.sync())
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%d" % (3 * size), "none", self.scratch],
                                 check=False, capture_output=True)
        if mounted.returncode != 0:
            app.close()
            self.skipTest("no file system of a given size can be mounted")
        try:
            # The state of the copy's moment is restored again, beside the copy.
            app.do(WRITE.replace("PAUSE", "0.02"))
            self.wait_for("commits", lambda: app.do("result = commits") > 3)
            self.verify("-compare")
            app.do(STOP)
        finally:
            subprocess.run(["umount", self.scratch], check=True)
        app.close()

    def test_nothing_is_left_beside_a_closed_database(self):
        app = self.application("wal")
        app.close()
        before = sorted(os.listdir(os.path.dirname(self.db)))
        self.assertNotIn(os.path.basename(self.db) + "-wal", before)
        self.assertIn("equal to", self.verify("-compare").stdout)
        self.assertEqual(sorted(os.listdir(os.path.dirname(self.db))), before)

    def test_an_idle_database_is_not_stale_when_it_is_equal(self):
        app = self.application("wal")
        stale = self.wait_for("the age", lambda: (
            done := self.run_tool("verify", "-max-age", "1s", self.db)).returncode == 1 and done)
        self.assertIn("-max-age", stale.stderr)
        self.verify("-max-age", "1s", "-compare")
        app.close()

    def test_what_is_not_replicated_is_a_difference(self):
        app = self.application("wal")
        app.close()
        connection = sqlite3.connect(self.db)
        connection.execute("INSERT INTO t VALUES ('without Backstay')")
        connection.commit()
        connection.close()
        done = self.verify("-compare", "-patience", "2s", code=1)
        self.assertRegex(done.stderr, "differs from %s in [0-9]+ pages" % re.escape(self.db))
        self.assertIn("backstay status", done.stderr)
        self.assertNotIn("equal to", done.stdout)
        self.verify()

    def test_a_url_has_no_live_database(self):
        done = self.tool("verify", "-compare", self.url, code=2)
        self.assertIn("-compare", done.stderr)


if __name__ == "__main__":
    unittest.main()
