#!/usr/bin/python3
"""VACUUM gives a database another page size: the replica goes on under its prefix, and what was before stays restorable."""

import json
import os
import shutil
import unittest

from lifecycle_world import ROWS, SCHEMA, LifecycleCase


def change(page_size, mode):
    """SQLite keeps the page size while there is a WAL."""
    statements = [f"PRAGMA page_size={page_size}", "VACUUM"]
    return ["PRAGMA journal_mode=delete", *statements, "PRAGMA journal_mode=wal"] if mode == "wal" else statements


class PageSizeCase(LifecycleCase):
    def change(self, app, page_size=8192):
        for statement in change(page_size, self.mode):
            app.sql(statement)
        self.assertEqual(app.sql("PRAGMA page_size"), [[page_size]])

    def txid(self, app):
        return app.status()["replicas"][0]["txid"]

    def replica_list(self):
        [replica] = json.loads(self.tool("list", "-json", self.url).stdout)["replicas"]
        return replica

    def assert_state(self, dump, *options):
        out = os.path.join(self.folder, "state.db")
        done = self.tool("restore", "-force", "-o", out, *options, self.url)
        self.assertEqual(self.dump(out), dump)
        return done

    def assert_goes_on(self, app):
        """Also with another commit, after a start, and from a restore; without another snapshot."""
        app.sql(ROWS.format(10))
        self.assert_replicated(app)
        app.close()
        snapshots = self.replica_list()["snapshots"]
        for begin in (lambda: None, self.restore_in_place):
            begin()
            app = self.opened()
            app.sql(ROWS.format(10))
            self.assert_replicated(app)
            app.close()
            self.assertEqual(app.lines("WARN", "ERROR"), [])
        self.assertEqual(self.replica_list()["snapshots"], snapshots)


class AnyMode:
    def test_while_it_is_open(self):
        app = self.started()
        app.sql(ROWS.format(5))
        self.assert_synced(app)
        before, last = self.dump(self.db), self.txid(app)
        for page_size in (8192, 512):
            self.change(app, page_size)
            app.sql(ROWS.format(10))
            self.assert_replicated(app)
            self.assert_state(before, "-txid", str(last))
        found = self.replica_list()
        self.assertEqual([s["page_size"] for s in found["snapshots"]], [4096, 8192, 512])
        self.assertEqual([(r["damage"], r["snapshot_number"]) for r in found["ranges"]],
                         [(None, s["snapshot_number"]) for s in found["snapshots"]])
        time = next(r["last_time"] for r in found["ranges"])
        self.assert_state(before, "-timestamp", time)
        self.assertEqual(app.lines("WARN", "ERROR"), [])
        self.assert_goes_on(app)

    def test_while_the_application_is_down(self):
        for lost in (False, True):  # the state folder; the file's mark says whose replica it is
            with self.subTest(lost=lost):
                self.doCleanups()
                self.setUp()
                app = self.started()
                before, last = self.dump(self.db), self.txid(app)
                app.close()
                self.shell(*(s + ";" for s in change(8192, self.mode)))
                if lost:
                    shutil.rmtree(self.state)
                app = self.opened()
                app.sql(ROWS.format(1))
                self.assert_replicated(app)
                self.assert_state(before, "-txid", str(last))
                self.assertEqual(app.lines("ERROR"), [])
                self.assertEqual(app.lines("WARN"), [])
                self.assert_goes_on(app)

    def test_by_another_program(self):
        app = self.started()
        before, last = self.dump(self.db), self.txid(app)
        if self.mode == "wal":
            app.do("c.close()")
        self.shell(*(s + ";" for s in change(8192, self.mode)))
        if self.mode == "wal":
            app.do("c = connect()")
        app.sql(ROWS.format(1))
        self.assert_replicated(app)
        self.assert_state(before, "-txid", str(last))
        self.assertEqual(app.lines("ERROR"), [])
        self.assert_goes_on(app)

    def test_disk_lost_before_the_snapshot_is_finished(self):
        app = self.started()
        before = self.dump(self.db)
        self.change(app)
        app.sql(ROWS.format(10))
        self.assert_synced(app)
        app.sql(ROWS.format(10))
        self.assert_synced(app)
        app.kill()
        newest = self.replica_list()["snapshots"][-1]["snapshot_number"]
        shutil.rmtree(os.path.join(self.replica, "snapshot", f"{newest:016x}"))
        self.assertIn("another page size", self.assert_state(before).stderr)
        self.assertIn("never finished", self.tool("restore", "-force", "-o", self.db + "2", "-txid", "1000", self.url,
                                                  code=3).stderr)
        self.restore_in_place()
        app = self.opened()
        app.sql(ROWS.format(3))
        self.assert_replicated(app)
        self.assertEqual(app.lines("WARN", "ERROR"), [])
        self.assertEqual([s["page_size"] for s in self.replica_list()["snapshots"]], [4096, 4096])
        self.assert_goes_on(app)

    def test_sync_commits_wait_for_the_snapshot(self):
        app = self.started(BACKSTAY_DURABILITY="sync", BACKSTAY_SYNC_TIMEOUT="60s")
        for page_size in (8192, 4096, 1024):
            self.change(app, page_size)
            app.sql(ROWS.format(1))
            self.assert_restores()
        app.kill()
        self.assertEqual(app.lines("WARN", "ERROR"), [])


class WalTest(AnyMode, PageSizeCase):
    mode = "wal"


class DeleteTest(AnyMode, PageSizeCase):
    mode = "delete"

    def test_before_anything_is_shipped(self):
        with open(self.replica, "w", encoding="utf-8"):
            pass  # no folder can be made here
        app = self.opened()
        app.sql(SCHEMA)
        app.sql(ROWS.format(100))
        self.wait_for_state(app, "retrying")
        self.change(app)
        app.sql(ROWS.format(1))
        os.remove(self.replica)
        self.assert_replicated(app)
        app.close()
        self.assertEqual([s["page_size"] for s in self.replica_list()["snapshots"]], [8192])

    def test_outage(self):
        """What was committed before the change is shipped, too, and first."""
        app = self.started()
        os.rename(self.replica, self.replica + ".away")
        with open(self.replica, "w", encoding="utf-8"):
            pass
        app.sql(ROWS.format(1))
        self.wait_for("an error", lambda: app.status()["replicas"][0]["error"])
        self.wait_for("the commit", lambda: app.status()["replicas"][0]["outbox_bytes"])
        before, last = self.dump(self.db), self.txid(app)
        self.change(app)
        app.sql(ROWS.format(1))
        app.kill()
        os.remove(self.replica)
        os.rename(self.replica + ".away", self.replica)
        app = self.opened()
        self.assert_replicated(app)
        self.assert_state(before, "-txid", str(last))
        self.assertEqual(app.lines("ERROR"), [])
        self.assert_goes_on(app)


if __name__ == "__main__":
    unittest.main()
