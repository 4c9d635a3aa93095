#!/usr/bin/python3
"""Retention: what is older than the window goes by itself, and nobody who comes back late is misled.

The window is seconds long; a row of 700 kB is written again and again, with small ones behind it,
so that every few commits bring a pack and a snapshot.
"""

import calendar
import json
import os
import shutil
import signal
import subprocess
import time

from fault_world import BUILD, App, FaultCase, copy_folder, main

DELETED = "retention: deleted"


class RetentionCase(FaultCase):
    def setUp(self):
        super().setUp()
        self.number = 0
        self.times = {}  # number -> RFC 3339, right behind the commit

    def start(self, db=None, retention="1s"):
        app = App(self, db, BACKSTAY_DB=db or self.db, BACKSTAY_RETENTION=retention)
        app.sql("CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, n, filler)")
        app.sql("CREATE TABLE IF NOT EXISTS small(n)")
        return app

    def commit(self, app):
        self.number += 1
        app.sql(f"INSERT OR REPLACE INTO t VALUES(1, {self.number}, randomblob(700000))")
        for _ in range(8):
            self.assertTrue(app.sync(), app.stderr())
            app.sql("INSERT INTO small VALUES(1)")
        self.assertTrue(app.sync(), app.stderr())
        now = time.time()
        self.times[self.number] = time.strftime("%FT%T", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}Z"
        time.sleep(0.002)

    def commit_until(self, app, condition):
        def step():
            self.commit(app)
            return condition()
        self.wait_for("the condition", step)

    def snapshots(self):
        return sorted(path for path in self.objects_of_replica() if path.endswith("/manifest"))

    def packs(self):
        return sorted(path for path in self.objects_of_replica() if "/pack/" in path)

    def has_deleted(self, app):
        return any(DELETED in line["msg"] for line in app.all_lines())

    def is_idle_with(self, snapshots):
        return lambda: len(self.snapshots()) == snapshots

    def prune(self, *arguments, code=0, **env):
        return self.tool("prune", *arguments, self.url, code=code, **env)


class WindowTest(RetentionCase):
    def test_old_states_go_and_those_of_the_window_stay(self):
        app = self.start(retention="3s")
        self.commit_until(app, lambda: self.has_deleted(app))
        begin = time.time() - 3
        app.process.send_signal(signal.SIGSTOP)  # while it is looked at, the window stays where it is
        kept = [n for n, t in self.times.items() if self.seconds_of(t) >= begin]
        for n in {kept[0], kept[-1], *self.random.sample(kept, min(3, len(kept)))}:
            self.assertEqual(self.rows(self.restored("-timestamp", self.times[n]), "SELECT n FROM t"), [(n,)])
        self.assert_same(self.restored())
        app.process.send_signal(signal.SIGCONT)
        self.assertEqual(app.lines("WARN", "ERROR"), [])
        # An idle application deletes what grows too old, then asks for nothing any more.
        self.wait_for("the last one alone", self.is_idle_with(1))
        self.assert_same(self.restored())
        [first] = json.loads(self.tool("list", "-json", self.url).stdout)["replicas"][0]["ranges"]
        self.tool("restore", "-force", "-o", os.path.join(self.folder, "old.db"),
                  "-timestamp", self.times[1], self.url, code=3)
        self.assertGreater(first["first_txid"], 3)
        app.close()

    @staticmethod
    def seconds_of(text):
        return calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")) + float(text[19:23])

    def test_another_replica_in_the_place_of_ours(self):
        """Its database may have another retention: nothing of it is deleted."""
        own = self.replica
        other = os.path.join(self.folder, "other.db")
        self.replica, self.env["BACKSTAY_REPLICA_URL"] = own + ".other", self.url + ".other"
        app = self.start(other, retention="off")
        self.commit_until(app, lambda: len(self.snapshots()) >= 3)
        app.close()
        objects = {path.replace(self.replica, own): body for path, body in self.snapshot_of_replica().items()}
        self.replica, self.env["BACKSTAY_REPLICA_URL"] = own, self.url
        app = self.start(retention="3s")
        self.commit_until(app, lambda: self.has_deleted(app))
        # Not in the middle of a job, which knows its keys already.
        self.wait_for("a quiet moment", self.is_quiet)
        app.process.send_signal(signal.SIGSTOP)
        shutil.rmtree(own)
        os.rename(own + ".other", own)
        app.process.send_signal(signal.SIGCONT)
        self.wait_for("a warning", lambda: "another database by now" in app.stderr())
        self.assertEqual(self.snapshot_of_replica(), objects)
        app.kill()

    def is_quiet(self):
        before = self.objects_of_replica()
        time.sleep(0.3)
        return self.objects_of_replica() == before

    def test_off(self):
        app = self.start(retention="off")
        self.commit_until(app, lambda: len(self.snapshots()) >= 3 and len(self.packs()) >= 3)
        app.close()
        self.assertFalse(self.has_deleted(app))
        self.assertEqual(self.rows(self.restored("-timestamp", self.times[1]), "SELECT n FROM t"), [(1,)])

    def test_tool(self):
        """For replicas whose application may not delete."""
        app = self.start(retention="off")
        self.commit_until(app, lambda: len(self.snapshots()) >= 3)
        app.close()
        objects = self.snapshot_of_replica()
        self.assertIn("nothing to delete", self.prune("-retention", "1d").stdout)
        self.wait_for("age", lambda: "would delete" in self.prune("-retention", "1s", "-dry-run").stdout)
        self.assertIn("retention is off", self.tool("prune", self.db, code=2, BACKSTAY_RETENTION="off").stderr)
        self.assertIn("retention is off", self.prune(code=2, BACKSTAY_RETENTION="off").stderr)
        self.assertIn("would delete", self.prune("-dry-run", BACKSTAY_RETENTION="1s").stdout)
        self.assertIn("BACKSTAY_RETENTON", self.prune(code=2, BACKSTAY_RETENTON="1s").stderr)
        self.assertIn("-retention", self.prune("-retention", "soon", code=2).stderr)
        self.assertEqual(self.snapshot_of_replica(), objects)
        frame = next(path for path in self.objects_of_replica()
                     if path.startswith(os.path.dirname(self.snapshots()[-1])) and not path.endswith("manifest"))
        os.rename(frame, frame + ".away")
        self.wait_for("age", lambda: "nothing is deleted" in self.tool_error())
        os.rename(frame + ".away", frame)
        self.assertEqual(self.snapshot_of_replica(), objects)
        said = json.loads(self.prune("-retention", "1s", "-json").stdout)["replicas"][0]
        self.assertEqual(len(objects) - len(self.snapshot_of_replica()), said["objects"])
        self.assertEqual(len(self.snapshots()), 1)
        self.assert_same(self.restored())
        self.assertIn("deleted 0 objects", self.prune("-retention", "1s").stdout)

    def tool_error(self):
        return subprocess.run([os.path.join(BUILD, "backstay"), "prune", "-retention", "1s", "-dry-run", self.url],
                              env=self.env, text=True, capture_output=True).stderr


class LateTest(RetentionCase):
    """Whoever knows only a place in the log that is gone."""

    def aged(self, app):
        """Goes on until the log that was there at the call is deleted, and the rest is old, too."""
        packs = len(self.packs())
        self.commit_until(app, lambda: len(self.packs()) > packs + 1)
        old = self.packs()[0]
        self.commit_until(app, lambda: not os.path.exists(old))
        self.wait_for("the last snapshot alone", self.is_idle_with(1))

    def begin(self):
        app = self.start()
        for _ in range(3):
            self.commit(app)
        return app

    def assert_goes_on(self):
        app = self.start()
        self.commit(app)
        self.assertEqual(app.lines("ERROR"), [])
        self.assert_same(self.restored())
        self.commit(app)
        app.close()
        self.assert_same(self.restored())
        self.tally.faults += 1

    def test_state_folder_of_long_ago(self):
        app = self.begin()
        self.killed(app)
        copy_folder(self.state, self.state + ".old")
        app = self.start()
        self.aged(app)
        app.close()
        shutil.rmtree(self.state)
        os.rename(self.state + ".old", self.state)
        self.assert_goes_on()

    def test_whole_disk_of_long_ago(self):
        """A machine set back to an old image: the replica goes on from that database."""
        app = self.begin()
        app.close()
        copy_folder(self.disk, self.disk + ".old")
        app = self.start()
        self.aged(app)
        app.close()
        shutil.rmtree(self.disk)
        os.rename(self.disk + ".old", self.disk)
        self.assert_goes_on()

    def test_restored_long_ago(self):
        app = self.begin()
        app.close()
        copy = os.path.join(self.folder, "elsewhere.db")
        self.tool("restore", "-o", copy, self.url)
        app = self.start()
        self.aged(app)
        app.close()
        app = self.start(copy)
        self.commit(app)
        self.assertEqual(app.lines("ERROR"), [])
        self.assert_same(self.restored(), copy)
        app.close()

    def overtaken(self, wake):
        """Another writer has taken the log over and deleted what the first one knows."""
        app = self.begin()
        first = wake(app)
        copy = os.path.join(self.folder, "elsewhere.db")
        self.tool("restore", "-o", copy, self.url)
        other = self.start(copy)
        self.aged(other)
        app = first()
        app.sql("INSERT INTO t(n) VALUES('lost')")
        self.wait_for_state(app, "fenced")
        app.close()
        self.commit(other)
        self.assert_same(self.restored(), copy)
        other.close()
        self.tally.faults += 1

    def test_writer_that_slept(self):
        def wake(app):
            app.process.send_signal(signal.SIGSTOP)
            def first():
                app.process.send_signal(signal.SIGCONT)
                return app
            return first
        self.overtaken(wake)

    def test_writer_that_was_off(self):
        def wake(app):
            app.close()
            return self.start
        self.overtaken(wake)


if __name__ == "__main__":
    main("retention", WindowTest, LateTest)
