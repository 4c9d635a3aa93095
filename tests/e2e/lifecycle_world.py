"""What happens to a database in any journal mode, and what those tests share.

A restore equals the database, whatever happens to it.
"""

import json
import os
import subprocess

from engine_world import App, EngineCase, environment

SCHEMA = "CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, text)"
ROWS = ("INSERT INTO t(text) WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n "
        "WHERE i < {}) SELECT hex(randomblob(200)) FROM n")


class LifecycleCase(EngineCase):
    mode = "wal"

    def opened(self, mode=None, page_size=4096, **more):
        """An application with its connection `c` in `mode`, by default that of the class."""
        app = App(self, open_it=False, **more)
        app.do(f"c = connect(); sql('PRAGMA page_size={page_size}')")
        mode = mode or self.mode
        self.assertEqual(app.sql(f"PRAGMA journal_mode={mode}"), [[mode]])
        return app

    def started(self, rows=1000, **more):
        """One whose database has `rows` rows, all of them in the replica."""
        app = self.opened(**more)
        app.sql(SCHEMA)
        app.sql(ROWS.format(rows))
        self.assert_synced(app)
        return app

    def assert_synced(self, app):
        self.assertTrue(app.sync(), app.stderr())

    def assert_replicated(self, app, db=None, url=None):
        self.assert_synced(app)
        self.assert_restores(db, url)

    def repairs(self, app):
        return sum("compared" in line["msg"] for line in app.lines("INFO"))

    def shell(self, *commands, db=None):
        """Another program's process, without Backstay."""
        done = subprocess.run(["sqlite3", "-bail", db or self.db], text=True, capture_output=True,
                              input="\n".join((".timeout 20000",) + commands), env=environment())
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def restore_in_place(self):
        self.new_disk()
        self.tool("restore", self.db)

    def log_objects(self):
        folder = os.path.join(self.replica, "log")
        return sorted(os.path.basename(p) for p in self.objects_of_replica() if p.startswith(folder))


class EveryMode:
    """Tests that a LifecycleCase adds for its mode."""

    modes_to_kill = ("wal",)

    def test_only_new_commits_are_uploaded(self):
        self.started(rows=5000).close()  # too few for a pack or a second snapshot
        for end in ("close", "kill"):
            before = self.stored()
            app = self.opened()
            app.sql("SELECT count(*) FROM t")
            self.assert_synced(app)
            self.assertEqual(self.stored(), before)
            app.sql(ROWS.format(1))
            self.assert_synced(app)
            self.assertLess(self.stored() - before, 8192)
            self.assert_restores()
            getattr(app, end)()
            self.assert_restores()
            self.assertEqual(self.repairs(app), 0, end + app.stderr())
            self.assertEqual(app.lines("WARN", "ERROR"), [])

    def test_killed_while_writing(self):
        for mode in self.modes_to_kill:
            app = self.opened(mode)
            app.sql(SCHEMA)
            app.sql(ROWS.format(1000))
            app.sql("PRAGMA cache_size=5")
            app.process.stdin.write(json.dumps({"code": f"""
for i in range(100000):
    if i == 5: print("going", flush=True)
    sql("BEGIN"); sql(f"UPDATE t SET text = hex(randomblob(200)) WHERE id % 3 = {{i % 3}}")
    sql({ROWS.format(20)!r}); sql("COMMIT")
"""}) + "\n")
            app.process.stdin.flush()
            self.assertEqual(app.process.stdout.readline(), "going\n")
            app.kill()
            app = self.opened(mode)
            app.sql(ROWS.format(3))
            self.assert_replicated(app)
            app.close()
            self.assert_restores()
            self.assertEqual(app.lines("ERROR"), [])

    def test_restored_and_going_on(self):
        app = self.started(rows=5000)
        app.kill()
        self.restore_in_place()
        before = self.stored()
        app = self.opened()
        app.sql("SELECT count(*) FROM t")
        self.assert_synced(app)
        app.sql(ROWS.format(1))
        self.assert_replicated(app)
        self.assertLess(self.stored() - before, 8192)
        app.close()
        self.assertEqual(app.lines("WARN", "ERROR"), [])
        self.assertEqual(self.repairs(app), 0)

    def test_many_short_sessions_in_one_process(self):
        app = self.started()
        app.do(f"""
c.close()
for i in range(40):
    c = connect()
    sql({ROWS.format(5)!r})
    if i % 3 == 0: sql("DELETE FROM t WHERE id % 11 = 3")
    if i % 4 == 0:
        d = connect()
        d.execute("UPDATE t SET text = 'x' WHERE id % 13 = 1")
        d.close()
    c.close()
c = connect()
""")
        app.sql(ROWS.format(1))
        self.assert_replicated(app)
        app.close()
        self.assert_restores()
        self.assertEqual(self.repairs(app), 0, app.stderr())
        self.assertEqual(app.lines("WARN", "ERROR"), [])

    def test_another_program_writes_while_closed(self):
        self.started().close()
        self.shell(ROWS.format(300) + ";", "DELETE FROM t WHERE id % 5 = 0;")
        app = self.opened()
        app.sql("SELECT count(*) FROM t")
        self.assert_replicated(app)
        app.close()
        self.assertEqual(app.lines("ERROR"), [])

    def test_a_second_process_takes_over(self):
        first = self.started()
        second = self.opened()
        second.sql(ROWS.format(10))
        self.wait_for_state(second, "passive")
        self.assert_replicated(first)
        second.sql(ROWS.format(10))
        first.kill()
        second.sql(ROWS.format(10))
        self.wait_for_state(second, "replicating")
        self.assert_replicated(second)
        second.close()
        self.assertEqual(second.lines("ERROR"), [])
        self.assert_restores()

    def test_page_sizes(self):
        for page_size in (512, 65536):
            with self.subTest(page_size=page_size):
                self.doCleanups()
                self.setUp()
                app = self.opened(page_size=page_size)
                app.sql(SCHEMA)
                app.sql("PRAGMA cache_size=10")
                app.sql("BEGIN")
                app.sql(ROWS.format(3000))
                app.sql("SAVEPOINT s")
                app.sql("UPDATE t SET text = 'lost'")
                app.sql("ROLLBACK TO s")
                app.sql("COMMIT")
                self.assert_replicated(app)
                app.sql("DELETE FROM t WHERE id % 4 > 0")
                app.sql("VACUUM")
                app.sql(ROWS.format(5000))
                self.assert_replicated(app)
                app.close()
