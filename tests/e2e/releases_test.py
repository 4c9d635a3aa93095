#!/usr/bin/python3
"""What each release left behind, in releases/<version>.tar.xz (releases/make.py): a replica with a snapshot, a pack, a
takeover and single objects, and the disk of the application that wrote it. Every later release lists it, restores each
transaction, and goes on with it, from that disk and from an empty one; and refuses what a newer one has written.
"""

import contextlib
import glob
import json
import os
import shutil
import sqlite3
import tarfile
import unittest

from engine_world import EVERYWHERE, App, EngineCase

RELEASES = sorted(glob.glob(os.path.join(os.path.dirname(os.path.abspath(__file__)), "releases", "*.tar.xz")))


class ReleasesTest(EngineCase):
    def each_release(self, check):
        self.assertNotEqual(RELEASES, [])
        for archive in RELEASES:
            for name in ("disk", "replica"):
                shutil.rmtree(os.path.join(self.folder, name), ignore_errors=True)
            with tarfile.open(archive) as file:
                file.extractall(self.folder)
            with open(os.path.join(self.folder, "states.json"), encoding="utf-8") as file:
                self.states = {int(txid): rows for txid, rows in json.load(file).items()}
            with self.subTest(os.path.basename(archive)):
                check()

    def rows(self, path):
        with contextlib.closing(sqlite3.connect(path)) as connection:
            self.assertEqual(connection.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
            return [list(row) for row in connection.execute("SELECT n, v FROM t ORDER BY n")]

    def restored(self, *target):
        out = os.path.join(self.folder, "restored.db")
        self.tool("restore", "-force", "-copy", "-o", out, *target, self.url)
        return self.rows(out)

    def goes_on(self, url):
        app = App(self, BACKSTAY_REPLICA_URL=url)
        app.sql("INSERT INTO t VALUES(1000, 'of this release')")
        self.assertTrue(app.sync(), app.stderr())
        app.close()
        self.assertEqual([line["msg"] for line in app.lines("WARN", "ERROR")], [])
        self.assert_restores()
        self.tool("verify", self.url)
        newest = max(self.states)
        self.assertEqual(self.restored("-txid", str(newest)), self.states[newest])

    def is_read(self):
        found = json.loads(self.tool("list", "-json", self.url).stdout)["replicas"][0]
        self.assertEqual((found["first_txid"], found["last_txid"]), (min(self.states), max(self.states)))
        self.assertEqual([len(found[part]) for part in ("snapshots", "packs", "takeovers")], [1, 1, 1])
        for txid, rows in self.states.items():
            self.assertEqual(self.restored("-txid", str(txid)), rows, txid)
        self.tool("verify", self.url)

    def goes_on_from_an_empty_disk(self):
        self.new_disk()
        self.tool("restore", "-o", self.db, self.url)
        self.goes_on(self.url)

    def is_refused(self, *command):
        said = self.tool(*command, self.url, code=1).stderr
        self.assertIn("written in format version 9, this build reads up to version ", said)
        self.assertIn("; upgrade Backstay", said)

    def newer_is_refused(self):
        """An object of the log, then the identity, as a newer release may write them."""
        out = os.path.join(self.folder, "restored.db")
        log = os.path.join(self.replica, "log")
        with open(os.path.join(log, max(os.listdir(log))), "r+b") as file:
            file.seek(4)  # behind the magic
            file.write(b"\x09")
        self.is_refused("restore", "-o", out)
        self.is_refused("verify")
        with open(os.path.join(self.replica, "backstay.json"), "r+", encoding="utf-8") as file:
            identity = {**json.load(file), "format": 9}
            file.seek(0)
            json.dump(identity, file)
        for command in (("restore", "-o", out), ("list",), ("verify",), ("prune", "-retention", "1d")):
            self.is_refused(*command)
        self.assertFalse(os.path.exists(out))

    def test_a_newer_one_is_refused(self):
        self.each_release(self.newer_is_refused)

    def test_is_listed_and_each_transaction_restored(self):
        self.each_release(self.is_read)

    def test_goes_on_from_its_disk(self):
        self.each_release(lambda: self.goes_on(EVERYWHERE))

    def test_goes_on_from_an_empty_disk(self):
        self.each_release(self.goes_on_from_an_empty_disk)


if __name__ == "__main__":
    unittest.main()
