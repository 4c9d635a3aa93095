#!/usr/bin/python3
"""Writes what the release of this build leaves behind: <version>.tar.xz, a replica and a disk, for ../releases_test.py.

    BACKSTAY_BUILD=build tests/e2e/releases/make.py

To be run once for each release, and for each format version; a file that is there is never written again.
"""

import contextlib
import json
import os
import re
import sqlite3
import sys
import tarfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from engine_world import EVERYWHERE, App, EngineCase  # noqa: E402

PACKED = 36  # transactions: 32 uploads become a pack


class Make(EngineCase):
    def setUp(self):
        super().setUp()
        self.states = {}  # transaction number: what the application had committed by then

    def commit(self, app, sql):
        app.sql(sql)
        self.assertTrue(app.sync(), app.stderr())
        self.states[app.status()["replicas"][0]["txid"]] = self.rows()

    def rows(self):
        with contextlib.closing(sqlite3.connect(self.db)) as connection:
            return connection.execute("SELECT n, v FROM t ORDER BY n").fetchall()

    def write(self, app, first, count):
        for n in range(first, first + count):
            self.commit(app, f"INSERT INTO t VALUES({n}, 'row {n}')")
            self.commit(app, f"UPDATE t SET v = v || '.' WHERE n = {n // 2}")

    def runTest(self):
        app = App(self, open_it=False, BACKSTAY_REPLICA_URL=EVERYWHERE)
        app.do("c = connect(); sql('PRAGMA page_size=512'); sql('PRAGMA journal_mode=wal')")
        self.commit(app, "CREATE TABLE t(n INTEGER PRIMARY KEY, v)")
        self.write(app, 1, PACKED // 2)
        self.wait_for("a pack", lambda: os.path.isdir(self.replica + "/pack") and os.listdir(self.replica + "/pack"))
        app.close()
        # Another life on an empty disk: a takeover, and single objects behind it.
        self.new_disk()
        self.tool("restore", "-o", self.db, self.url)
        app = App(self, BACKSTAY_REPLICA_URL=EVERYWHERE)
        self.write(app, PACKED, 3)
        app.close()
        kinds = {os.path.relpath(path, self.replica).split("/")[0] for path in self.objects_of_replica()}
        self.assertLessEqual({"backstay.json", "snapshot", "log", "pack"}, kinds)
        with open(os.path.join(self.folder, "states.json"), "w", encoding="utf-8") as file:
            json.dump(self.states, file)

        def whole_seconds(member):
            member.mtime = int(member.mtime)  # a state folder knows its database's, which tar may keep so
            return member

        version = re.search(r"\d+\.\d+\.\d+", self.tool("version").stdout)[0]
        with tarfile.open(os.path.join(HERE, version + ".tar.xz"), "x:xz") as archive:
            for name in ("replica", "disk", "states.json"):
                archive.add(os.path.join(self.folder, name), name, filter=whole_seconds)
        print(f"{version}: {len(self.states)} transactions, {len(self.objects_of_replica())} objects")


if __name__ == "__main__":
    unittest.main()
