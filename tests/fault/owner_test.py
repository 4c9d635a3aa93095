#!/usr/bin/python3
"""Who owns a replica, and what its owner does when the bucket has lost part of it."""

import contextlib
import datetime
import os
import shutil
import signal
import sqlite3
import subprocess
import time

from fault_world import App, main
from state_world import StateCase


class LossTest(StateCase):
    """Objects deleted under a writer, or between two: told, and made good."""

    def lose(self, what):
        """At once, to an application that would make good one object before the next one is deleted."""
        self.tally.faults += 1
        running = [app.process.pid for app in self.apps if app.process.poll() is None]
        for pid in running:
            os.kill(pid, signal.SIGSTOP)
        self.delete(what)
        for pid in running:
            os.kill(pid, signal.SIGCONT)

    def delete(self, what):
        if what == "log end":
            folder = os.path.join(self.replica, "log")
            os.remove(os.path.join(folder, max(os.listdir(folder))))
        elif what == "a log object":
            folder = os.path.join(self.replica, "log")
            os.remove(os.path.join(folder, sorted(os.listdir(folder))[-2]))
        elif what == "a frame":
            folder = os.path.join(self.replica, "snapshot")
            newest = os.path.join(folder, max(os.listdir(folder)))
            os.remove(os.path.join(newest, next(name for name in os.listdir(newest) if name != "manifest")))
        elif what == "all":
            for name in os.listdir(self.replica):
                self.remove(name)
        else:
            for name in what.split():
                self.remove(name)

    def remove(self, name):
        path = os.path.join(self.replica, name)
        shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)

    def assert_told(self, app):
        self.wait_for("the loss to be told", lambda: app.lines("ERROR"))
        self.assertIn("is gone from the bucket", app.lines("ERROR")[0]["msg"])
        self.wait_for("the recovery line", lambda: any("whole again" in l["msg"] for l in app.lines("INFO")))
        self.assertTrue(app.sync(), app.stderr())
        self.assert_same(self.restored())

    def test_while_it_runs(self):
        """A snapshot is due, at the latest."""
        for what in ("all", "backstay.json", "snapshot", "backstay.json snapshot"):
            with self.subTest(what=what):
                app = App(self)
                self.work(app)
                self.assertTrue(app.sync())
                self.lose(what)
                app.sql("CREATE TABLE IF NOT EXISTS big(v)")
                for _ in range(40):
                    app.sql("INSERT INTO big VALUES(randomblob(600000))")
                    app.sync()
                    if app.lines("ERROR"):
                        break
                self.assert_told(app)
                app.close()

    def moment(self):
        """One that is over."""
        moment = time.time_ns() // 1000000 + 1
        while time.time_ns() // 1000000 <= moment:
            time.sleep(0.001)
        return datetime.datetime.fromtimestamp(moment / 1000, datetime.timezone.utc).isoformat()

    def committed(self):
        app = App(self)
        for sql in ("CREATE TABLE t(v)", "INSERT INTO t VALUES(1)"):
            app.sql(sql)
            self.assertTrue(app.sync())
        return app

    def assert_no_answer(self, moment):
        said = self.tool("restore", "-o", self.db + ".then", "-timestamp", moment, self.url, code=3).stderr
        self.assertIn("nothing that old", said)

    def test_a_moment_before_what_is_committed_behind_it(self):
        """The first snapshot to come holds that, and is no answer to the moment."""
        app = self.committed()
        self.lose("all")
        moment = self.moment()
        app.sql("INSERT INTO t VALUES(1)")
        self.assert_told(app)
        app.close()
        self.assert_no_answer(moment)

    def test_a_moment_before_what_was_committed_unseen(self):
        """By a program without Backstay, so that no segment tells of it."""
        self.committed().close()
        self.lose("all")
        moment = self.moment()
        with contextlib.closing(sqlite3.connect(self.db)) as other, other:
            other.execute("INSERT INTO t VALUES(1)")
        app = App(self)
        app.sql("SELECT * FROM t")
        self.assert_told(app)
        app.close()
        self.assert_no_answer(moment)

    def test_before_a_sync_and_before_the_end(self):
        for what in ("all", "backstay.json"):
            with self.subTest(what=what):
                app = App(self)
                self.work(app)
                self.assertTrue(app.sync())
                self.lose(what)
                self.assertTrue(app.sync(), app.stderr())
                self.assert_same(self.restored())
                self.lose(what)
                app.close()
                self.assertIn("is gone from the bucket", app.lines("ERROR")[-1]["msg"])
                self.assert_same(self.restored())

    def test_between_two_starts(self):
        for what in ("all", "backstay.json", "snapshot", "snapshot log", "log end", "a log object", "a frame",
                     "backstay.json snapshot"):
            with self.subTest(what=what):
                app = App(self)
                self.work(app)
                self.assertTrue(app.sync())
                app.close()
                self.lose(what)
                app = App(self)
                self.assert_told(app)
                self.work(app)
                self.assertTrue(app.sync())
                app.close()
                self.assert_same(self.restored())
                self.assert_heals()

    def test_its_manifest_alone_is_no_snapshot_that_never_finished(self):
        app = App(self)
        self.work(app)
        self.assertTrue(app.sync())
        app.close()
        folder = os.path.join(self.replica, "snapshot")
        os.remove(os.path.join(folder, max(os.listdir(folder)), "manifest"))
        out = os.path.join(self.folder, "out.db")
        self.tool("restore", "-if-replica-exists", "-o", out, self.url, code=4)
        shutil.rmtree(os.path.dirname(self.db))
        os.mkdir(os.path.dirname(self.db))
        app = App(self)
        app.sql("CREATE TABLE other(v)")
        self.wait_for("a refusal", lambda: app.lines("ERROR"))
        self.assertIn("belongs to another database", app.lines("ERROR")[0]["msg"])
        self.assertFalse([p for p in self.objects_of_replica() if p.endswith("manifest")])


class FirstTest(StateCase):
    """The first snapshot never finished: what began it is gone, or still at work."""

    def stopped_in_its_first_snapshot(self):
        subprocess.run(["sqlite3", self.db, "PRAGMA journal_mode=wal", "CREATE TABLE big(v)",
                        "INSERT INTO big WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 150)"
                        " SELECT randomblob(1000000) FROM n"], check=True, capture_output=True)
        app = App(self)
        app.sql("SELECT count(*) FROM big")
        self.wait_for("its beginning", lambda: any("/snapshot/" in path for path in self.objects_of_replica()))
        os.kill(app.process.pid, signal.SIGSTOP)
        self.assertFalse([p for p in self.objects_of_replica() if p.endswith("manifest")], "too slow to stop it")
        return app

    def test_what_it_writes_is_deleted_meanwhile(self):
        """A bucket that is being emptied: no manifest names what is gone."""
        app = self.stopped_in_its_first_snapshot()
        self.tally.faults += 1
        for path in self.objects_of_replica():
            if "/snapshot/" in path:
                os.remove(path)
        os.kill(app.process.pid, signal.SIGCONT)
        self.wait_for("a word", lambda: any("is gone from the bucket" in l["msg"] for l in app.lines("WARN")))
        self.assertNotIn("snapshot complete", app.stderr())
        self.killed(app)

    def test_its_disk_is_lost(self):
        self.killed(self.stopped_in_its_first_snapshot())
        self.new_disk()
        app = self.assert_heals()
        self.assertTrue(any("takes it over" in line["msg"] for line in app.lines("INFO")), app.stderr())

    def test_its_disk_is_lost_and_another_is_adopted(self):
        self.killed(self.stopped_in_its_first_snapshot())
        self.new_disk()
        app = App(self, BACKSTAY_REPLICA_URL=self.url + "-other")
        self.work(app)
        app.close()
        shutil.rmtree(self.state)
        self.assertIn("is the source", self.tool("adopt", self.db).stdout)
        self.assert_heals()

    def test_it_goes_on_later(self):
        """It finds another writer: it stops and says so, and what it had begun is mixed with nothing."""
        first = self.stopped_in_its_first_snapshot()
        other = os.path.join(self.folder, "other.db")
        second = App(self, db=other, BACKSTAY_DB=other)
        self.work(second)
        self.assertTrue(second.sync(), second.stderr())
        os.kill(first.process.pid, signal.SIGCONT)
        self.wait_for_state(first, "fenced")
        self.work(second)
        self.assertTrue(second.sync(), second.stderr())
        self.assert_same(self.restored(), other)
        first.close()
        second.close()
        self.error_lines(first)
        self.assertEqual(second.lines("ERROR"), [])


class AdoptTest(StateCase):
    def test_another_database_copied_into_the_file(self):
        """The file is the same one: that is a change, and what was before stays restorable."""
        app = App(self)
        self.work(app)
        self.assertTrue(app.sync())
        before = app.status()["replicas"][0]["replicated_txid"]
        app.close()
        was = self.dump(self.db)
        other = os.path.join(self.folder, "other.db")
        subprocess.run(["sqlite3", other, "CREATE TABLE n(a)", "INSERT INTO n VALUES(1)"], check=True)
        shutil.copyfile(other, self.db)
        self.assert_heals()
        self.assertEqual(self.dump(self.restored("-txid", str(before))), was)

    def test_after_being_fenced(self):
        first = App(self)
        self.work(first)
        self.assertTrue(first.sync())
        copy = os.path.join(self.folder, "elsewhere.db")
        self.tool("restore", "-o", copy, self.url)
        second = App(self, db=copy, BACKSTAY_DB=copy)
        self.work(second)
        self.assertTrue(second.sync())
        second.close()
        self.work(first)
        self.wait_for_state(first, "fenced")
        self.assertIn("end it first", self.tool("adopt", self.db, code=2).stderr)
        first.close()
        self.tool("adopt", self.db)
        self.assert_heals()


if __name__ == "__main__":
    main("owner", LossTest, FirstTest, AdoptTest)
