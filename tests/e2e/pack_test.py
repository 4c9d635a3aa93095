#!/usr/bin/python3
"""Packs and later snapshots, made by the engine in a process that commits much; restores around them."""

import os
import sqlite3
import unittest

from engine_world import EngineCase, App


class PackTest(EngineCase):
    def objects(self, folder):
        path = os.path.join(self.replica, folder)
        return sorted(os.listdir(path)) if os.path.exists(path) else []

    def ship(self, app, first, count):
        """`count` transactions, each acknowledged by itself: one log object each."""
        app.do(f"""
for i in range({first}, {first + count}):
    sql("INSERT INTO t VALUES(?, ?)", i, str(i) * 5)
    assert sql("SELECT backstay_sync(60000)") == [(1,)]
result = 0""")

    def row_count(self, *arguments):
        out = os.path.join(self.folder, "then.db")
        self.tool("restore", "-force", "-o", out, *arguments, self.url)
        self.dump(out)
        connection = sqlite3.connect(out)
        rows = connection.execute("SELECT count(*) FROM t").fetchone()[0]
        connection.close()
        return rows

    def test_singles_are_packed_and_every_transaction_stays_restorable(self):
        app = App(self)
        app.sql("CREATE TABLE t(i INTEGER PRIMARY KEY, v)")
        self.assertTrue(app.sync())
        start = app.status()["replicas"][0]["txid"]
        self.ship(app, 0, 1100)
        self.wait_for("packed singles to go", lambda: len(self.objects("log")) < 32)
        self.assertEqual(int(self.objects("pack")[0].split("-")[0], 16), 1)
        # 1100 objects are 34 packs of 32, of which four become one, again and again.
        self.assertLess(len(self.objects("pack")), 10)
        self.assert_restores()
        for rows in (1, 500, 1023, 1024, 1025, 1099):
            self.assertEqual(self.row_count("-txid", str(start + rows)), rows)
        # The log goes on behind the pack, in this process and in the next.
        self.ship(app, 2000, 3)
        app.close()
        app = App(self)
        app.sql("INSERT INTO t VALUES(3000, 'next process')")
        self.assertTrue(app.sync())
        self.assert_restores()
        self.assertEqual(app.lines("WARN", "ERROR"), [])
        app.close()

    def test_a_restored_database_takes_over_behind_a_pack(self):
        app = App(self)
        app.sql("CREATE TABLE t(i INTEGER PRIMARY KEY, v)")
        self.ship(app, 0, 1030)
        self.wait_for("a pack", lambda: self.objects("pack"))
        app.close()
        copy = os.path.join(self.folder, "elsewhere.db")
        self.tool("restore", "-o", copy, self.url)
        app = App(self, db=copy, BACKSTAY_DB=copy)
        app.sql("INSERT INTO t VALUES(5000, 'elsewhere')")
        self.assertTrue(app.sync())
        self.assertEqual(app.status()["replicas"][0]["epoch"], 2)
        self.assert_restores(db=copy)
        app.close()

    def test_a_long_log_gets_a_new_snapshot(self):
        app = App(self)
        app.sql("CREATE TABLE t(i INTEGER PRIMARY KEY, v)")
        self.assertTrue(app.sync())
        start = app.status()["replicas"][0]["txid"]
        for i in range(12):
            app.sql(f"INSERT INTO t VALUES({i}, randomblob(500000))")
        self.wait_for("a second snapshot", lambda: app.sync() and len(self.objects("snapshot")) >= 2
                      and app.status()["replicas"][0]["snapshot_number"] > 1)
        app.sql("UPDATE t SET v = 'small' WHERE i % 2 = 0")
        self.assertTrue(app.sync())
        self.assert_restores()
        # Restore points before the new snapshot still come from the first one.
        self.assertEqual(self.row_count("-txid", str(start + 3)), 3)
        self.assertEqual(app.lines("WARN", "ERROR"), [])
        app.close()


if __name__ == "__main__":
    unittest.main()
