#!/usr/bin/python3
"""Databases in rollback-journal modes: whatever happens to them, a restore equals the database."""

import contextlib
import os
import sqlite3
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from engine_world import CLOCK, SANITIZER, App, environment  # noqa: E402
from lifecycle_world import ROWS, SCHEMA, EveryMode, LifecycleCase  # noqa: E402

FILE_MODES = ("delete", "truncate", "persist")
MODES = FILE_MODES + ("memory", "off")
CHANGE = "UPDATE t SET text = hex(randomblob(200)) WHERE id % 5 = {}"

WRITER = """
import threading
def write():
    mine, i = connect(), 0
    while going:
        mine.execute("UPDATE t SET text = randomblob(3000) WHERE id % 3 = ?", (i % 3,))
        i += 1
going = True
writer = threading.Thread(target=write)
writer.start()
"""


class RollbackCase(LifecycleCase):
    mode = "delete"

    def restores(self):
        """What is in the replica by now is the database."""
        out = os.path.join(self.folder, "now.db")
        return self.run_tool("restore", "-force", "-o", out, self.url).returncode == 0 and self.dump(out) == self.dump(self.db)

    def segments(self, app):
        return app.status()["replicas"][0]["segment_number"]


class ModesTest(RollbackCase):
    def test_every_mode(self):
        for mode in MODES:
            with self.subTest(mode=mode):
                self.doCleanups()
                self.setUp()
                app = self.started(mode=mode)
                for i in range(5):
                    app.sql(ROWS.format(10))
                    app.sql(CHANGE.format(i))
                self.assert_replicated(app)
                app.sql("DELETE FROM t WHERE id % 3 > 0")
                app.sql("VACUUM")
                self.assert_replicated(app)
                app.close()
                self.assert_restores()
                self.assertEqual(self.repairs(app), 0)
                warnings = app.lines("WARN", "ERROR")
                self.assertEqual(len(warnings), 1 if mode == "off" else 0, warnings)

    def test_small_changes_cost_few_bytes(self):
        app = self.started(rows=5000)  # too few for a pack or a second snapshot
        before = self.stored()
        for i in range(20):
            app.sql(f"UPDATE t SET text = 'changed {i}' WHERE id = {i * 249 + 1}")
            self.assert_synced(app)
        # 20 transactions of 2 pages each, which compressed alone would be 2 KiB and more.
        self.assertLess(self.stored() - before, 20 * 900)
        self.assert_restores()
        app.close()

    def test_rolled_back(self):
        app = self.started()
        app.sql("PRAGMA cache_size=5")
        segments = self.segments(app)
        for end in ("ROLLBACK", "ROLLBACK TO s"):
            app.sql("BEGIN")
            app.sql("SAVEPOINT s")
            app.sql("UPDATE t SET text = 'lost'")
            app.sql(ROWS.format(500))
            app.sql(end)
            if end != "ROLLBACK":
                app.sql("COMMIT")
            self.assert_synced(app)
        self.assertLessEqual(self.segments(app) - segments, 1)
        app.sql("BEGIN")
        app.sql(CHANGE.format(1))
        app.sql("SAVEPOINT s")
        app.sql("UPDATE t SET text = 'lost'")
        app.sql("ROLLBACK TO s")
        app.sql("UPDATE t SET text = 'kept' WHERE id % 50 = 0")
        app.sql("COMMIT")
        self.assert_replicated(app)
        app.close()
        self.assertEqual(app.lines("WARN", "ERROR"), [])

    def test_large_transactions(self):
        app = self.started()
        for _ in range(3):
            app.sql("INSERT INTO t(text) VALUES (hex(zeroblob(4000000)))")
            app.sql(ROWS.format(10))
        self.assert_replicated(app)
        app.sql("DELETE FROM t WHERE length(text) > 1000")
        app.sql("VACUUM")
        app.sql(CHANGE.format(2))
        self.assert_replicated(app)
        app.close()
        self.assertEqual(app.lines("WARN", "ERROR"), [])

    def test_snapshots_while_large_transactions_follow_each_other(self):
        """Each of them comes without images: what it changed is read again, and the copy goes on."""
        app = self.started(rows=10)
        app.sql("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 8000)"
                " INSERT INTO t(text) SELECT randomblob(3000) FROM n")
        complete = lambda: sum("snapshot complete" in line["msg"] for line in app.lines("INFO"))
        before = complete()
        app.do(WRITER)
        try:
            self.wait_for("two snapshots", lambda: complete() > before + 1)
        finally:
            app.do("going = False\nwriter.join()")
        self.assert_replicated(app)
        app.close()
        # A machine that is busy for 10 s says so, and when it is over.
        said = [line["msg"] for line in app.lines("WARN", "ERROR")]
        self.assertEqual([m for m in said if "large transactions follow each other so fast" not in m], [])
        over = [line for line in app.lines("INFO") if "what large transactions changed was read" in line["msg"]]
        self.assertEqual(bool(over), bool(said))

    def test_sizes_that_the_file_system_is_told_first(self):
        app = self.started()
        app.sql("PRAGMA mmap_size=100000000")
        for _ in range(5):
            app.sql(ROWS.format(500))
            app.sql("DELETE FROM t WHERE id % 2")
            app.sql("VACUUM")
        self.assert_replicated(app)
        app.close()
        self.assertEqual(self.repairs(app), 0)

    def test_exclusive_locking(self):
        for mode in MODES:
            with self.subTest(mode=mode):
                self.doCleanups()
                self.setUp()
                app = App(self, open_it=False)
                app.do("c = connect(); sql('PRAGMA locking_mode=exclusive')")
                app.sql(f"PRAGMA journal_mode={mode}")
                app.sql(SCHEMA)
                for i in range(5):
                    app.sql(ROWS.format(100))
                    app.sql(CHANGE.format(i))
                if mode != "off":
                    app.sql("PRAGMA cache_size=5")
                    app.sql("BEGIN")
                    app.sql("UPDATE t SET text = 'lost'")
                    app.sql("ROLLBACK")
                    app.sql(ROWS.format(10))
                self.assert_replicated(app)
                app.close()
                self.assert_restores()

    def test_modes_change_in_either_direction(self):
        app = self.started()
        for mode in ("wal", "delete", "wal", "truncate", "persist", "wal", "memory", "wal", "off", "wal"):
            self.assertEqual(app.sql(f"PRAGMA journal_mode={mode}"), [[mode]])
            self.assert_replicated(app)
            app.sql(ROWS.format(50))
            app.sql("UPDATE t SET text = 'y' WHERE id % 17 = 0")
            if mode == "persist":
                app.sql("VACUUM")
            self.assert_replicated(app)
        # The same without a pause in which anything could be caught up with.
        app.do(f"""
for i in range(40):
    sql("PRAGMA journal_mode=" + ("wal" if i % 2 else "delete"))
    sql({ROWS.format(3)!r})
    if i % 3 == 0: sql("UPDATE t SET text = 'z' WHERE id % 17 = 1")
""")
        self.assert_replicated(app)
        app.close()
        self.assert_restores()
        self.assertEqual(self.repairs(app), 0, app.stderr())
        self.assertEqual(len(app.lines("WARN", "ERROR")), 1, "only that of OFF")

    def test_a_snapshot_behind_a_change_of_the_mode(self):
        """The deleted WAL is still open here, and must not be where the snapshot takes its pages from."""
        app = self.started(mode="wal")
        app.sql(CHANGE.format(1))
        self.assert_synced(app)
        for mode in FILE_MODES:
            app.sql(f"PRAGMA journal_mode={mode}")
            app.sql("UPDATE t SET text = 'changed without a WAL' WHERE id % 5 = 1")
            self.assert_synced(app)
            snapshot = app.status()["replicas"][0]["snapshot_number"]

            def grown():
                app.sql("INSERT OR REPLACE INTO blob VALUES(1, randomblob(1000000))")
                self.assert_synced(app)
                return app.status()["replicas"][0]["snapshot_number"] > snapshot
            app.sql("CREATE TABLE IF NOT EXISTS blob(id INTEGER PRIMARY KEY, filler)")
            self.wait_for("another snapshot", grown)
            self.assert_replicated(app)
            app.sql("PRAGMA journal_mode=wal")
            app.sql(CHANGE.format(1))
            self.assert_synced(app)
        self.assertEqual(self.repairs(app), 0)
        app.close()


class RestartTest(EveryMode, RollbackCase):
    modes_to_kill = FILE_MODES

    def test_a_hot_journal_at_the_next_start(self):
        app = self.started(rows=3000)
        app.sql("PRAGMA cache_size=5")
        app.sql("BEGIN")
        app.sql("UPDATE t SET text = 'never committed'")
        app.kill()
        self.assertTrue(os.path.exists(self.db + "-journal"))
        app = self.opened()
        self.assertEqual(app.sql("SELECT count(*) FROM t WHERE text = 'never committed'"), [[0]])
        before = self.stored()
        self.assert_replicated(app)
        self.assertEqual(self.stored(), before)
        app.sql(ROWS.format(3))
        self.assert_replicated(app)
        app.close()
        self.assertEqual(app.lines("WARN", "ERROR"), [])


class OthersTest(RollbackCase):
    def test_another_program_writes_while_open(self):
        app = self.started()
        for _ in range(3):
            self.shell(ROWS.format(300) + ";", "DELETE FROM t WHERE id % 5 = 0;")
            self.assert_replicated(app)
            self.shell(ROWS.format(3) + ";")
            app.sql(ROWS.format(10))
            self.assert_replicated(app)
        app.close()
        self.assert_restores()
        self.assertEqual(app.lines("ERROR"), [])
        missed = [l["level"] for l in app.lines("INFO", "WARN") if "commits were missed" in l["msg"]]
        self.assertGreater(len(missed), 2, app.stderr())
        self.assertEqual(missed.count("WARN"), 1, app.stderr())  # in 30 s

    def let_go(self, app):
        """The application runs out of descriptors, and half a minute later it has them again."""
        app.do("""
import ctypes, os, resource
limits = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (100, limits[1]))
taken = []
try:
    while True: taken.append(os.open("/dev/null", os.O_RDONLY))
except OSError: pass
try:
    sqlite3.connect(db + ".other", isolation_level=None).execute("CREATE TABLE t(x)")
except sqlite3.OperationalError: pass
for fd in taken: os.close(fd)
resource.setrlimit(resource.RLIMIT_NOFILE, limits)
ctypes.CDLL(os.environ["LD_PRELOAD"].split()[-1]).shift_clock(31)
""")
        self.assertIn("given back", app.stderr())

    def assert_restores_as(self, rows):
        out = os.path.join(self.folder, "restored.db")
        self.tool("restore", "-force", "-o", out, self.url)
        self.assertEqual(self.dump(out), rows)

    def test_let_go_in_the_middle_of_a_transaction(self):
        spilled = f"PRAGMA cache_size=5; BEGIN; {CHANGE.format(1)}; UPDATE t SET text = text || '{{}}'"
        for found_by in ("the commit", "another call"):
            with self.subTest(found_by):
                self.doCleanups()
                self.setUp()
                app = self.started(mode="memory", rows=3000, LD_PRELOAD=f"{SANITIZER} {CLOCK}".strip())
                before = self.dump(self.db)
                app.do(f"c.executescript({spilled.format('first')!r})")
                self.let_go(app)
                if found_by == "another call":
                    self.assertFalse(app.sync(1000))
                    self.assert_restores_as(before)
                app.sql("COMMIT")
                self.assert_replicated(app)
                before = self.dump(self.db)
                app.do(f"c.executescript({spilled.format('open')!r})")
                self.assertTrue(app.sync())
                app.sql("UPDATE t SET text = hex(randomblob(100))")
                self.assertTrue(app.sync())
                self.assert_restores_as(before)
                app.sql("ROLLBACK" if found_by == "the commit" else "COMMIT")
                self.assert_replicated(app)
                app.close()
                self.assertEqual(app.lines("ERROR"), [])

    def test_another_program_changes_the_mode(self):
        app = self.started()
        for mode in ("wal", "delete"):
            app.do("c.close()")
            self.shell(f"PRAGMA journal_mode={mode};", ROWS.format(30) + ";")
            app.do("c = connect()")
            app.sql(ROWS.format(3))
            self.assert_replicated(app)
        self.shell("PRAGMA journal_mode=wal;", ROWS.format(30) + ";")
        app.sql(ROWS.format(3))
        self.assert_replicated(app)
        app.close()
        self.assertEqual(app.lines("ERROR"), [])

    @contextlib.contextmanager
    def other(self):
        """Another program, that stays: runs a statement."""
        with subprocess.Popen(["sqlite3", "-bail", self.db], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                              env=environment()) as shell:
            def run(statement):
                shell.stdin.write(f".timeout 20000\n{statement};\nSELECT 'done';\n")
                shell.stdin.flush()
                while (line := shell.stdout.readline()) != "done\n":
                    self.assertTrue(line, statement)
            yield run
            shell.stdin.close()

    def test_another_program_turns_wal_mode_on_beside_an_idle_application(self):
        """Which reads nothing itself; the other one goes on, and ends, or turns WAL mode off again."""
        app = self.started(mode="delete", rows=200)
        self.assert_replicated(app)
        for turned_off in (False, True):
            with self.other() as run:
                run("PRAGMA journal_mode=wal")
                for i in range(2):
                    run(CHANGE.format(i))
                    self.wait_for("the change", self.restores)
                if turned_off:
                    run("PRAGMA journal_mode=delete")
                    run(CHANGE.format(2))
            self.wait_for("the change", self.restores)
        app.sql(CHANGE.format(3))
        self.assert_replicated(app)
        app.close()
        self.assert_restores()

    def test_another_program_empties_its_wal_before_an_idle_application_looks(self):
        """A wal-index that is new, and a WAL without a frame, tell nothing of what went into the file meanwhile."""
        app = self.started(mode="delete", rows=200)
        self.shell("PRAGMA journal_mode=wal;")
        self.assert_replicated(app)  # it knows the file as what the other program has left
        with self.other() as run:
            for i in range(2):
                run(CHANGE.format(i) + ";\nPRAGMA wal_checkpoint(TRUNCATE)")
                self.wait_for("the change", self.restores)
        app.close()

    def test_backup_into_the_database(self):
        app = self.started()
        app.do(f"""
import sqlite3
source = sqlite3.connect(":memory:", isolation_level=None)
source.execute({SCHEMA!r})
source.execute({ROWS.format(2000)!r})
source.backup(c, pages=7)
""")
        self.assert_replicated(app)
        app.sql(ROWS.format(10))
        self.assert_replicated(app)
        app.close()
        self.assertEqual(app.lines("WARN", "ERROR"), [])

    def test_attached_databases_share_a_transaction(self):
        other = os.path.join(self.disk, "other.db")
        url = "file://" + self.folder + "/replicas/{name}"
        app = self.opened(BACKSTAY_DB=self.disk + "/*.db", BACKSTAY_REPLICA_URL=url)
        app.sql(SCHEMA)
        app.sql(f"ATTACH '{other}' AS o")
        app.sql("CREATE TABLE o.u(x)")
        for i in range(10):
            app.sql("BEGIN")
            app.sql(ROWS.format(20))
            app.sql(f"INSERT INTO u VALUES({i})")
            app.sql("COMMIT" if i % 3 else "ROLLBACK")
        self.assertEqual(app.sql("PRAGMA o.backstay_sync(60000)"), [["1"]])
        self.assert_replicated(app, url=url.replace("{name}", "app.db"))
        self.assert_restores(other, url.replace("{name}", "other.db"))
        app.close()

    def test_a_commit_waits_for_the_bucket(self):
        app = self.opened(BACKSTAY_DURABILITY="sync", BACKSTAY_SYNC_TIMEOUT="60s")
        app.sql(SCHEMA)
        for _ in range(5):
            app.sql(ROWS.format(10))
            self.assert_restores()
        app.kill()


if __name__ == "__main__":
    unittest.main()
