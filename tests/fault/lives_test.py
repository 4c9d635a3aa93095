#!/usr/bin/python3
"""Processes that do not live as long as a snapshot takes: each goes on where the last one ended."""

import contextlib
import os
import sqlite3
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fault_world import App, main  # noqa: E402
from bucket_world import ENDPOINT, KEYS, ROWS, SCHEMA, BucketCase, FaultProxy, with_server  # noqa: E402

FRAMES = 5
MOST_LIVES = 8
CHANGE = "UPDATE t SET text = hex(randomblob(200)) WHERE id % 7919 = 1"


class Lives(BucketCase):
    """A snapshot of five frames, each of which takes a while."""

    def begin(self, proxy, name, mode):
        self.use(proxy, f"lives-{name}-{self.seed}", BACKSTAY_DRAIN_TIMEOUT="200ms")
        self.plain(f"PRAGMA journal_mode={mode}; {SCHEMA}; {ROWS.format(FRAMES * 9000)};")
        self.slow()
        self.logged = []

    def slow(self):
        self.proxy.add("delayed", kinds=("put-frame",), prefix=self.prefix, seconds=0.25)

    def plain(self, script):
        """By a program without Backstay."""
        with contextlib.closing(sqlite3.connect(self.db)) as connection:
            connection.executescript(script)

    def sent(self):
        return self.proxy.count(self.prefix, "put-frame")

    def live(self, end, statement=CHANGE):
        """Until a second frame is on its way, or the snapshot is complete. True: it is."""
        before = self.sent()
        app = App(self, open_it=False, **KEYS)
        app.do("c = connect()")
        app.sql(statement)
        self.wait_for("frames", lambda: "snapshot complete" in app.stderr() or self.sent() >= before + 2)
        app.sql(statement)
        end(app)
        self.logged.append(app.stderr())
        return "snapshot complete" in app.stderr()

    def live_on(self, end):
        """As many lives as it takes; each sends anew no more than the frame in the middle of which the last one ended."""
        before = self.sent()
        lives = 1
        while not self.live(end):
            lives += 1
            self.assertLess(lives, MOST_LIVES, "\n".join(self.logged))
        self.assertGreater(lives, 1)
        self.assertIn("snapshot goes on", self.logged[-1])
        self.assertLessEqual(self.sent() - before, FRAMES + lives)
        # The last life may have ended before it shipped what it committed last.
        self.proxy.clear(self.prefix)
        app = App(self, open_it=False, **KEYS)
        app.do("c = connect()")
        app.sql(CHANGE)
        self.assert_synced(app)
        app.close()
        self.assert_restored()

    def play_first(self, name, mode, end):
        with FaultProxy(ENDPOINT) as proxy:
            self.begin(proxy, name, mode)
            self.live_on(end)

    def test_first_wal_killed(self):
        self.play_first("wal", "wal", self.killed)

    def test_first_delete_closed(self):
        self.play_first("delete", "delete", lambda app: app.close())

    def opened(self, statement=CHANGE):
        app = App(self, open_it=False, **KEYS)
        app.do("c = connect()")
        app.sql(statement)
        return app

    def finish(self, statement=CHANGE, says="snapshot begins"):
        """The next life lasts as long as it takes."""
        self.proxy.clear(self.prefix)
        app = self.opened(statement)
        self.assert_synced(app)
        self.wait_for("a snapshot", lambda: "snapshot complete" in app.stderr())
        app.close()
        self.assertIn(says, app.stderr())
        self.assert_restored()

    def test_first_beside_another(self):
        """Another process has changed pages that the log holds, and added some, when the first one is killed."""
        last = f"UPDATE t SET text = hex(randomblob(200)) WHERE id > {FRAMES * 9000 - 100}"
        with FaultProxy(ENDPOINT) as proxy:
            self.begin(proxy, "beside", "delete")
            proxy.clear(self.prefix)
            proxy.add("stall", kinds=("put-frame",), prefix=self.prefix, seconds=None)
            apps = [self.opened()]
            self.wait_for("a frame", lambda: self.sent() > 0)
            apps[0].sql(last)
            kept = os.path.join(self.state, "snapshot")
            self.assertTrue(os.path.exists(kept))
            apps.append(self.opened(last))
            apps[1].sql(ROWS.format(400))
            self.wait_for("it is not kept", lambda: not os.path.exists(kept))
            self.assertNotIn("snapshot complete", apps[0].stderr())
            for app in apps:
                self.killed(app)
            self.finish()

    def test_first_without_images(self):
        """The process itself has committed more than is handed over in one piece, and ends orderly."""
        with FaultProxy(ENDPOINT) as proxy:
            self.begin(proxy, "large", "delete")
            proxy.clear(self.prefix)
            proxy.add("delayed", kinds=("put-frame",), prefix=self.prefix, seconds=1.0)
            app = self.opened()
            self.wait_for("a frame", lambda: self.sent() > 0)
            app.sql(ROWS.format(30000))
            self.wait_for("it is not kept", lambda: not os.path.exists(os.path.join(self.state, "snapshot")))
            app.close()
            self.assertNotIn("snapshot complete", app.stderr())
            self.finish()

    def end_behind_the_end(self, name, first, end):
        """The only frame cannot be kept, as another process's transaction is open; the manifest never arrives."""
        with FaultProxy(ENDPOINT) as proxy:
            self.use(proxy, f"lives-{name}-{self.seed}", BACKSTAY_DRAIN_TIMEOUT="200ms", BACKSTAY_SNAPSHOT_INTERVAL="2s")
            self.plain(f"PRAGMA journal_mode=delete; {SCHEMA}; {ROWS.format(1000)};")
            if first:
                self.hold_snapshots()
            apps = [self.opened()]
            if not first:
                self.assert_synced(apps[0])
                self.wait_for("the first", lambda: "snapshot complete" in apps[0].stderr())
                self.hold_snapshots()
                apps[0].sql(CHANGE)
            self.wait_for("a frame", lambda: self.sent() > (0 if first else 1))
            apps.append(self.opened())
            apps[1].do("c.isolation_level = None; c.execute('PRAGMA cache_size=4'); c.execute('BEGIN IMMEDIATE'); "
                       "c.execute('UPDATE t SET text = hex(randomblob(200)) WHERE id < 500')")
            time.sleep(1.25)  # nobody tells that the frame has arrived; without it the test is weaker
            apps[1].do("c.execute('COMMIT')")
            self.wait_for("a manifest", lambda: proxy.count(self.prefix, "put-manifest") > (0 if first else 1))
            kept = os.path.exists(os.path.join(self.state, "snapshot"))
            apps[0].sql("UPDATE t SET text = hex(randomblob(200)) WHERE id = 900")
            if not first:
                self.assert_synced(apps[0])
            for app in reversed(apps):
                end(app)
            self.finish("UPDATE t SET text = hex(randomblob(200)) WHERE id = 700")
            self.assertFalse(kept)

    def hold_snapshots(self):
        self.proxy.add("delayed", kinds=("put-frame",), prefix=self.prefix, seconds=1)
        self.proxy.add("stall", kinds=("put-manifest",), prefix=self.prefix, seconds=None)

    def test_end_of_first(self):
        self.end_behind_the_end("end-first", True, self.killed)

    def test_end_of_later(self):
        self.end_behind_the_end("end-later", False, lambda app: app.close())

    def test_later(self):
        with FaultProxy(ENDPOINT) as proxy:
            self.begin(proxy, "later", "wal")
            proxy.clear(self.prefix)
            app = App(self, **KEYS)
            self.assert_synced(app)
            self.wait_for("a snapshot", lambda: "snapshot complete" in app.stderr())
            self.slow()
            for _ in range(2):
                app.sql("UPDATE t SET text = hex(randomblob(200))")
            before = self.sent()
            self.wait_for("the next one", lambda: self.sent() > before)
            self.killed(app)
            self.logged.append(app.stderr())
            self.live_on(self.killed)

    def test_changed_unseen(self):
        """What is there of a first snapshot is of another database then."""
        with FaultProxy(ENDPOINT) as proxy:
            self.begin(proxy, "unseen", "wal")
            self.assertFalse(self.live(lambda app: app.close()))
            self.plain(f"{CHANGE}; DELETE FROM t WHERE id < 100; PRAGMA wal_checkpoint(TRUNCATE);")
            self.finish()


if __name__ == "__main__":
    with_server()
    main("lives", Lives)
