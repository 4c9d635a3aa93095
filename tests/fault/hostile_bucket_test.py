#!/usr/bin/python3
"""Every fault of a bucket against every kind of request, in the whole life of a replica. (Those of a
multipart upload: multipart_test.py.)

One life per fault: a new replica, commits, a lasting fault, a second snapshot, packs, a restore
under faults, a takeover. Nothing is lost, a restore is right or leaves nothing, requests and memory
stay bounded, the log says what is wrong, and all is well again without help.
"""

import concurrent.futures
import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fault_world import BUILD, FaultCase, Lost, copy_folder, main  # noqa: E402
from bucket_world import (ENDPOINT, FAULTS, KEYS, ROWS, SCHEMA, App, BucketCase,  # noqa: E402
                          FaultProxy, with_server)

# A try is followed by 20 ms and a random time below a doubling limit (backoff.h): in the time of a
# lasting fault that is a dozen at the very most, each with a GET to settle it.
MOST_REQUESTS = 40
MOST_MEMORY_KIB = 32 << 10
WRITES = ("put-identity", "put-log", "put-frame", "put-manifest", "put-restorable", "put-pack", "delete")
# No client of ours sends these: what there is it learns from GET and the list.
NEVER = ("head", "other")
# Faults that a client does not see as failures at all, and those that it sees as such for as long
# as they last; the others come and go with each try.
QUIET = {"delayed", "duplicate", "stale-list"}
STEADY = {"500", "slow-down", "403", "expired", "skewed", "reset-before", "stall"}


class Life(BucketCase):
    def seconds(self, short, long):
        return long if self.long else short

    def run_fault(self, proxy, fault):
        self.fault = fault
        self.use(proxy, f"life-{fault}-{self.seed}")
        proxy.clear(self.prefix)
        self.arm(*WRITES, "get", "list")
        self.app = self.start()
        self.app.sql(ROWS.format(50))
        self.assert_synced(self.app)
        for step in (self.lasting_fault, self.second_snapshot_and_pack, self.restore_under_fault,
                     self.take_over):
            step()
        self.assertEqual(proxy.count(self.prefix, *NEVER), 0)
        return sorted({kind for (folder, kind, _), n in proxy.hits.items()
                       if folder == self.prefix and n})

    def arm(self, *kinds, times=1):
        for kind in kinds:
            seconds = 1 if self.fault == "stall" else 0.3
            if self.fault == "stall" and kind == "put-log" and times:
                seconds = self.seconds(1, 45)  # the client gives up after 30 by itself
            self.proxy.add(self.fault, (kind,), times, self.prefix + "/", seconds)

    def lasting_fault(self):
        """PUTs of the log fail for seconds while the application goes on."""
        before = self.proxy.count(self.prefix)
        memory = self.memory_kib(self.app)
        self.arm("put-log", times=None)
        end = time.monotonic() + self.seconds(3, 12)
        commits = 0
        while time.monotonic() < end:
            self.app.sql(ROWS.format(3))
            commits += 1
            time.sleep(0.05)
        if self.fault in STEADY:
            self.assertLess(self.proxy.count(self.prefix) - before, MOST_REQUESTS)
            status = self.wait_for_state(self.app, "retrying")
            self.assertTrue(status["replicas"][0]["error"])
            self.assertFalse(self.app.sync(1))
        self.proxy.clear(self.prefix)
        self.arm("put-frame", "put-manifest", "put-restorable", "put-pack", "get", "delete")
        self.assert_synced(self.app)
        self.assertLess(self.memory_kib(self.app) - memory, MOST_MEMORY_KIB)
        self.assertLess(self.proxy.count(self.prefix) - before, MOST_REQUESTS + 4 * commits)
        self.wait_for_state(self.app, "replicating")
        self.assert_restored()

    def second_snapshot_and_pack(self):
        """More log than the first snapshot, and more objects than a pack waits for."""
        for size in (*[1000000] * 5, *[1000] * 33):
            self.app.do(f"sql('INSERT INTO t(text) VALUES(randomblob({size}))')")
            self.app.sync()
        self.wait_for("a pack", lambda: self.proxy.count(self.prefix, "delete") > 0)
        self.wait_for("a second snapshot", lambda: self.app.status()["replicas"][0][
            "snapshot_number"] > 1)
        self.assert_synced(self.app)
        self.assert_restored()

    def restore_under_fault(self):
        """A restore gives the right database, or says that it failed and leaves nothing."""
        folder = os.path.join(self.folder, "under-fault")
        out = os.path.join(folder, "app.db")
        tries = [(("get", "list"), 1), (("get",), None)]
        if self.long:
            tries += [(("list",), 1), (("list",), None), (("get", "list"), None)]
        for kinds, times in tries:
            self.proxy.clear(self.prefix)
            self.arm(*kinds, times=times)
            shutil.rmtree(folder, ignore_errors=True)
            os.mkdir(folder)
            if self.tool_status("restore", "-o", out, self.url) == 0:
                self.assertEqual(self.dump(out), self.dump(self.db))
            else:
                self.assertEqual(os.listdir(folder), [])
        self.proxy.clear(self.prefix)

    def take_over(self):
        """The disk is lost; the next application goes on from a restored copy."""
        self.app.kill()
        self.check_log(self.app)
        self.new_disk()
        self.restore_direct(self.db)
        self.arm("put-takeover", "get", "put-log")
        self.app = self.start()
        self.app.sql(ROWS.format(5))
        self.assert_synced(self.app)
        self.app.close()
        self.check_log(self.app)
        self.assert_restored()

    def check_log(self, app):
        """Said once, and once that it is over; never a secret."""
        self.assert_no_secret(app)
        self.assert_said_once(app)
        if self.fault in QUIET:
            self.assertEqual(app.lines("ERROR"), [])
        problems = [l["msg"] for l in app.lines("ERROR")]
        over = [l["msg"] for l in app.lines("INFO") if "reachable again" in l["msg"]]
        self.assertLessEqual(abs(len(problems) - len(over)), 1, app.stderr())
        self.assertLessEqual(len(problems), 2 + 5 * self.long, app.stderr())


class SlowTest(BucketCase):
    """What is committed while a slow bucket takes the first snapshot does not make it start over."""

    def first_snapshot(self, mode):
        with FaultProxy(ENDPOINT) as proxy:
            self.use(proxy, f"slow-{mode}-{self.seed}")
            with contextlib.closing(sqlite3.connect(self.db)) as plain, plain:
                plain.execute(SCHEMA)
                plain.execute("INSERT INTO t(text) VALUES(randomblob(9000000))")  # three frames
            held = proxy.add("delayed", ("put-frame",), 1, self.prefix + "/", None)
            app = App(self, open_it=False, **KEYS)
            app.do("c = connect()")
            app.sql(f"PRAGMA journal_mode={mode}")
            self.wait_for("the first frame", lambda: held.left == 0)
            for _ in range(5):
                self.assertFalse(app.sync(20))  # a look at the files, with and without news
                app.sql(ROWS.format(30))
            proxy.clear(self.prefix)
            self.assert_synced(app)
            self.assertEqual(app.stderr().count("snapshot begins"), 1, app.stderr())
            app.close()
            self.assert_restored()

    def test_commits_in_a_wal(self):
        self.first_snapshot("wal")

    def test_commits_without_a_wal(self):
        self.first_snapshot("delete")


    def test_a_gap_while_the_manifest_is_under_way(self):
        """The snapshot is good though capture began anew meanwhile; what is committed later is shipped."""
        with FaultProxy(ENDPOINT) as proxy:
            self.use(proxy, f"gap-{self.seed}")
            held = proxy.add("delayed", ("put-manifest",), 1, self.prefix + "/", None)
            app = self.start()
            app.sql(ROWS.format(30))
            self.wait_for("the manifest", lambda: held.left == 0)
            with contextlib.closing(sqlite3.connect(self.db, isolation_level=None)) as plain:
                plain.execute("UPDATE t SET text = 'foreign'")
                plain.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                plain.execute("INSERT INTO t(text) VALUES('foreign')")
            app.sql("INSERT INTO t(text) VALUES('ours')")
            self.wait_for("the gap to be seen", lambda: any("missed" in line["msg"] for line in app.lines("WARN")))
            proxy.clear(self.prefix)
            self.assert_synced(app)
            self.assert_restored()
            for _ in range(3):
                app.sql("INSERT INTO t(text) VALUES('later')")
                self.assert_synced(app)
                self.assert_restored()
            app.close()


    def test_another_program_writes_while_the_database_is_closed(self):
        """A copy under way does not become a snapshot of two states."""
        with FaultProxy(ENDPOINT) as proxy:
            self.use(proxy, f"closed-{self.seed}")
            with contextlib.closing(sqlite3.connect(self.db, isolation_level=None)) as plain:
                plain.execute("PRAGMA journal_mode=wal")
                plain.execute(SCHEMA)
                plain.execute("INSERT INTO t(text) WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n "
                              "WHERE i < 9) SELECT randomblob(1000000) FROM n")
            held = proxy.add("delayed", ("put-frame",), 1, self.prefix + "/", None)
            app = self.start()
            app.sql("SELECT count(*) FROM t")
            self.wait_for("the first frame", lambda: held.left == 0)
            app.do("c.close()")
            with contextlib.closing(sqlite3.connect(self.db, isolation_level=None)) as plain:
                plain.execute("UPDATE t SET text = randomblob(1000000)")
            proxy.clear(self.prefix)
            time.sleep(1.5)
            out = os.path.join(self.folder, "meanwhile.db")
            if self.tool_status("restore", "-o", out, self.direct) == 0:
                self.assert_same(out)
            app.do("c = connect()")
            app.sql("INSERT INTO t(text) VALUES('ours')")
            self.assert_synced(app)
            self.assert_restored()
            app.close()

    def test_killed_before_it_knows_of_its_first_snapshot(self):
        """The manifest is there, and another program writes before the next start: nothing is left out."""
        with FaultProxy(ENDPOINT) as proxy:
            self.use(proxy, f"unknown-{self.seed}")
            held = proxy.add("delayed", ("put-manifest",), 1, self.prefix + "/", None)
            app = self.start()
            app.sql(ROWS.format(30))
            self.wait_for("the manifest", lambda: held.left == 0)
            self.wait_for("it to be stored", lambda: self.tool_status("restore", "-dry-run", "-o", self.db + ".not",
                                                                      self.direct) == 0)
            self.killed(app)
            with contextlib.closing(sqlite3.connect(self.db, isolation_level=None)) as plain:
                plain.execute("CREATE TABLE a AS SELECT 'foreign'")
            proxy.clear(self.prefix)
            proxy.add("stall", ("put-frame",), None, self.prefix + "/", 60)
            app = self.start()
            app.sql("INSERT INTO t(text) VALUES('ours')")
            self.assert_synced(app)
            self.assert_restored()
            app.close()
            self.assertEqual(app.lines("ERROR"), [])


class PackTest(BucketCase):
    def test_a_pack_that_fails_for_long_is_said(self):
        """By a warning, once, and once that it is over; commits are shipped all the while."""
        with FaultProxy(ENDPOINT) as proxy:
            self.use(proxy, f"pack-{self.seed}")
            app = self.start()
            proxy.add("500", ("put-pack",), None, self.prefix + "/")
            for _ in range(33):
                app.do("sql('INSERT INTO t(text) VALUES(randomblob(1000))')")
                self.assert_synced(app)
            self.wait_for("a warning", lambda: app.lines("WARN"))
            app.sql("INSERT INTO t(text) VALUES('meanwhile')")
            self.assert_synced(app)
            proxy.clear(self.prefix)
            self.wait_for("a pack", lambda: proxy.count(self.prefix, "delete"))
            self.wait_for("the end of it", lambda: "pack works again" in app.stderr())
            app.close()
            [warning] = app.lines("WARN", "ERROR")
            self.assertIn(f"/{self.prefix}/pack/", warning["msg"])
            self.assertIn("InternalError", warning["msg"])
            self.assert_restored()


class StaleListTest(BucketCase):
    def test_a_list_without_the_newest_pack(self):
        """Nothing is freed before the pack is listed: a writer with an old state folder, and a restore, find the
        log go on."""
        with FaultProxy(ENDPOINT) as proxy:
            self.use(proxy, f"stale-{self.seed}", BACKSTAY_DURABILITY="sync", BACKSTAY_SYNC_TIMEOUT="30s")
            app = self.start()
            app.sql("INSERT INTO t(text) VALUES('first')")
            self.assert_synced(app)
            self.killed(app)
            copy_folder(self.state, self.state + ".old")
            app = self.start()
            proxy.add("stale-list", ("list",), None, self.prefix + "/")
            for _ in range(33):
                app.do("sql('INSERT INTO t(text) VALUES(randomblob(1000))')")
            self.wait_for("a warning", lambda: any("does not list pack/" in l["msg"] for l in app.lines("WARN")))
            self.assertEqual(proxy.count(self.prefix, "delete"), 0)
            self.killed(app)
            shutil.rmtree(self.state)
            os.rename(self.state + ".old", self.state)
            app = self.start()
            app.sql("INSERT INTO t(text) VALUES('last')")
            self.assertEqual(app.status()["late_commits"], 0)
            self.assert_acknowledged_is_restored(self.direct)
            self.assert_acknowledged_is_restored(self.url)
            proxy.clear(self.prefix)
            for _ in range(33):
                app.do("sql('INSERT INTO t(text) VALUES(randomblob(1000))')")
            self.wait_for("packed objects to go", lambda: proxy.count(self.prefix, "delete") > 0)
            app.close()
            self.assertEqual(app.lines("ERROR"), [])
            self.assert_restored()

    def assert_acknowledged_is_restored(self, url):
        out = os.path.join(self.folder, "acknowledged.db")
        self.tool("restore", "-force", "-o", out, url, **KEYS)
        if self.dump(out) != self.dump(self.db):
            raise Lost("an acknowledged commit is not restored from " + url)


class RetentionTest(BucketCase):
    def test_a_bucket_that_does_not_let_us_delete(self):
        """Said, with the remedy; everything else goes on, and all is deleted once it is allowed."""
        with FaultProxy(ENDPOINT) as proxy:
            self.use(proxy, f"retention-{self.seed}", BACKSTAY_RETENTION="1s")
            app = self.start()
            proxy.add("403", ("delete",), None, self.prefix + "/")

            def said(text):
                app.do("sql('INSERT OR REPLACE INTO t VALUES(1, randomblob(1000000))')")
                self.assert_synced(app)
                return text in app.stderr()
            self.wait_for("a warning", lambda: said("set retention to off"))
            done = subprocess.run([os.path.join(BUILD, "backstay"), "prune", "-retention", "1s", self.url],
                                  env={**self.env, **KEYS}, text=True, capture_output=True, timeout=120)
            self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
            self.assertIn("not all old objects can be deleted", done.stderr)
            self.assertIn("check the credentials and their rights", done.stderr)
            self.assert_restored()
            self.wait_for_state(app, "replicating")
            proxy.clear(self.prefix)
            self.wait_for("the end of it", lambda: said("retention works again"))
            self.assertIn("retention: deleted", app.stderr())
            app.close()
            self.assertEqual(app.lines("ERROR"), [])
            self.assert_restored()


def live(proxy, fault):
    life = Life()
    life.setUp()
    try:
        return fault, life.run_fault(proxy, fault), None
    except BaseException:  # noqa: B902: reported by the test
        tail = "".join(app.stderr() for app in life.apps)[-6000:]
        return fault, [], traceback.format_exc() + tail
    finally:
        proxy.clear(life.prefix)
        life.doCleanups()


class HostileBucketTest(FaultCase):
    def test_every_fault(self):
        with FaultProxy(ENDPOINT) as proxy, \
                concurrent.futures.ThreadPoolExecutor(len(FAULTS)) as pool:
            results = list(pool.map(lambda fault: live(proxy, fault), FAULTS))
            self.tally.faults += sum(proxy.hits.values())
        self.tally.kills += len(results)
        troubles = "\n".join(f"{r[0]}:\n{r[2]}" for r in results if r[2])
        if troubles:
            self.fail(troubles)
        for fault, kinds, _ in results:
            wanted = {"list"} if fault == "stale-list" else {*WRITES, "put-takeover", "get", "list"}
            self.assertEqual(wanted - set(kinds), set(), fault)


if __name__ == "__main__":
    with_server()
    main("hostile_bucket", HostileBucketTest, SlowTest, PackTest, StaleListTest, RetentionTest)
