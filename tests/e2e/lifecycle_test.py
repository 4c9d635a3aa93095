#!/usr/bin/python3
"""Restarts, kills, restores, other programs, other modes, outages: a restore equals the database."""

import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from engine_world import App  # noqa: E402
from lifecycle_world import ROWS, SCHEMA, EveryMode, LifecycleCase  # noqa: E402


class WalTest(EveryMode, LifecycleCase):
    def test_commits_all_through_the_first_snapshot(self):
        for _ in range(5):
            self.doCleanups()
            self.setUp()
            app = App(self)
            app.sql(SCHEMA)
            app.do(f"""
while not status()["replicas"][0].get("restorable"): sql({ROWS.format(3)!r})
""")
            self.assert_replicated(app)
            app.close()
            self.assertEqual(app.lines("WARN", "ERROR"), [])


class RestoredTest(LifecycleCase):
    def test_goes_on_and_uploads_nothing_again(self):
        app = self.started(rows=5000)
        app.kill()
        self.restore_in_place()
        before = self.stored()
        objects = self.log_objects()
        app = App(self)
        app.sql("SELECT count(*) FROM t")
        self.assert_synced(app)
        self.wait_for_state(app, "replicating")
        self.assertEqual(self.stored(), before)
        app.sql(ROWS.format(10))
        self.assert_replicated(app)
        takeover = min(name for name in self.log_objects() if name not in objects)
        with open(os.path.join(self.replica, "log", takeover), "rb") as file:
            self.assertEqual(file.read(6), b"BKST\x01\x02")
        self.assertEqual(app.status()["replicas"][0]["epoch"], 2)
        app.close()
        self.assertEqual(app.lines("WARN", "ERROR"), [])
        self.restore_in_place()
        app = App(self)
        self.assert_replicated(app)
        app.close()

    def test_old_writer_is_fenced(self):
        old = self.started()
        elsewhere = os.path.join(self.folder, "other-host")
        os.mkdir(elsewhere)
        copy = os.path.join(elsewhere, "app.db")
        self.tool("restore", copy, BACKSTAY_DB=copy)
        new = App(self, db=copy, BACKSTAY_DB=copy)
        new.sql(ROWS.format(10))
        self.assert_replicated(new, copy)
        old.sql(ROWS.format(10))
        status = self.wait_for_state(old, "fenced")
        self.assertIn("newer writer", status["replicas"][0]["error"])
        for _ in range(3):
            old.sql(ROWS.format(10))
        self.assertFalse(old.sync(1))
        self.assertEqual(old.sql("PRAGMA integrity_check"), [["ok"]])
        old.close()
        [message] = self.error_lines(old)
        self.assertIn("newer writer", message)
        # It stays so, without a request that could do harm.
        before = self.snapshot_of_replica()
        old = App(self)
        old.sql(ROWS.format(10))
        self.wait_for_state(old, "fenced")
        old.close()
        self.assertEqual(self.snapshot_of_replica(), before)
        new.sql(ROWS.format(10))
        self.assert_replicated(new, copy)
        new.close()
        self.assertEqual(new.lines("ERROR"), [])


class OtherProgramTest(LifecycleCase):
    def test_writes_and_checkpoints_while_open(self):
        app = self.started()
        for checkpoint in ("PASSIVE", "RESTART", "TRUNCATE"):
            self.shell(ROWS.format(300) + ";", f"PRAGMA wal_checkpoint({checkpoint});",
                       "DELETE FROM t WHERE id % 5 = 0;", "PRAGMA wal_checkpoint(TRUNCATE);")
            app.sql("SELECT count(*) FROM t")
            self.assert_replicated(app)
            app.sql(ROWS.format(10))
            self.assert_replicated(app)
        app.close()
        self.assert_restores()
        self.assertEqual(app.lines("ERROR"), [])

    def test_writes_after_a_kill(self):
        app = self.started()
        app.sql(ROWS.format(10))
        app.kill()
        self.shell(ROWS.format(300) + ";", "PRAGMA wal_checkpoint(TRUNCATE);", ROWS.format(10) + ";")
        app = App(self)
        app.sql(ROWS.format(10))
        self.assert_replicated(app)
        app.close()


class ModeTest(LifecycleCase):
    def test_journal_mode_there_and_back(self):
        app = self.started()
        for mode in ("delete", "wal", "truncate", "wal", "persist", "wal"):
            self.assertEqual(app.sql(f"PRAGMA journal_mode={mode}"), [[mode]])
            app.sql(ROWS.format(50))
            app.sql("UPDATE t SET text = 'y' WHERE id % 17 = 0")
            if mode == "wal":
                self.assert_replicated(app)
        app.close()
        self.assert_restores()
        self.assertEqual(app.lines("ERROR"), [])

    def test_vacuum(self):
        app = self.started(rows=3000)
        app.sql("DELETE FROM t WHERE id % 3 > 0")
        app.sql("VACUUM")
        self.assert_replicated(app)
        app.sql("DELETE FROM t")
        app.sql("VACUUM")
        app.sql(ROWS.format(100))
        self.assert_replicated(app)
        app.close()

    def test_checkpoints(self):
        app = self.started()
        for mode in ("PASSIVE", "FULL", "RESTART", "TRUNCATE", "TRUNCATE", "RESTART"):
            app.sql(ROWS.format(100))
            app.sql(f"PRAGMA wal_checkpoint({mode})")
            app.sql("UPDATE t SET text = hex(randomblob(100)) WHERE id % 7 = 0")
            self.assert_replicated(app)
        app.close()
        self.assertEqual(app.lines("WARN", "ERROR"), [])

    def test_exclusive_locking(self):
        app = App(self, open_it=False)
        app.do("c = connect(); sql('PRAGMA locking_mode=exclusive'); sql('PRAGMA journal_mode=wal')")
        app.sql(SCHEMA)
        for i in range(5):
            app.sql(ROWS.format(500))
            if i % 2 == 1:
                app.sql("PRAGMA wal_checkpoint(RESTART)")
            self.assert_replicated(app)
        app.sql("PRAGMA locking_mode=normal")
        app.sql(ROWS.format(10))
        self.assert_replicated(app)
        app.close()
        self.assert_restores()
        self.assertEqual(app.lines("ERROR"), [])


class ManyTest(LifecycleCase):
    def test_two_databases_in_one_process(self):
        other = os.path.join(self.disk, "other.db")
        url = "file://" + self.folder + "/replicas/{name}"
        app = App(self, BACKSTAY_DB=self.disk + "/*.db", BACKSTAY_REPLICA_URL=url)
        app.do(f"d = connect({other!r}); d.execute('PRAGMA journal_mode=wal'); d.execute({SCHEMA!r})")
        app.sql(SCHEMA)
        for _ in range(5):
            app.sql(ROWS.format(20))
            app.do(f"d.execute({ROWS.format(30)!r})")
        self.assert_replicated(app, url=url.replace("{name}", "app.db"))
        self.assertTrue(app.do("result = d.execute('SELECT backstay_sync(60000)').fetchone()[0]"))
        # Later than the last look began.
        at_once = "import time; time.sleep(0.05); result = d.execute('SELECT backstay_sync(0)').fetchone()[0]"
        self.assertTrue(app.do(at_once))
        self.assert_restores(other, url.replace("{name}", "other.db"))
        app.do("d.close()")
        app.close()
        self.assert_restores(other, url.replace("{name}", "other.db"))

    def test_two_replicas(self):
        urls = [f"file://{self.folder}/{name}" for name in ("one", "two")]
        config = os.path.join(self.folder, "backstay.json")
        with open(config, "w", encoding="utf-8") as file:
            json.dump({"dbs": [{"path": self.db, "replicas": [{"url": url} for url in urls]}]}, file)
        env = {"BACKSTAY_CONFIG": config}
        del self.env["BACKSTAY_DB"], self.env["BACKSTAY_REPLICA_URL"]
        for _ in range(2):
            app = App(self, **env)
            app.sql(SCHEMA)
            app.sql(ROWS.format(300))
            for url in urls:
                self.assert_replicated(app, url=url)
            # One of them fails; the other goes on.
            two = os.path.join(self.folder, "two")
            os.rename(two, two + ".away")
            open(two, "w", encoding="utf-8").close()
            app.sql(ROWS.format(300))
            self.wait_for_state(app, "retrying")
            self.wait_for("the first replica", lambda: app.status()["replicas"][0][
                "lag_transactions"] == 0)
            self.assert_restores(url=urls[0])
            os.remove(two)
            os.rename(two + ".away", two)
            for url in urls:
                self.assert_replicated(app, url=url)
            app.close()


@unittest.skipIf(os.geteuid() != 0, "one user is all there is")
class UsersTest(LifecycleCase):
    GROUP = 54321

    def works_as(self, user):
        """A life of the application; all that is committed is in the replica, which keeps nobody out, as a bucket does."""
        subprocess.run(["chmod", "-R", "a+rwX", self.replica], check=True)
        become = f"os.setgroups([]); os.setgid({self.GROUP}); os.setuid({user})" if user else ""
        app = App(self, before=f"import os, sys; sys.argv[2] = {self.libraries_for_anybody()!r}\n"
                               f"os.umask(0o002); {become}\n")
        app.sql(ROWS.format(10))
        self.assert_replicated(app)
        app.close()
        self.assertEqual(app.lines("WARN", "ERROR"), [])

    def test_a_group_and_root_share_what_root_has_restored(self):
        """An fsGroup: folders with its group and set-group-id. What one user leaves the next one can write."""
        self.started(rows=10).close()
        self.new_disk()
        os.chown(self.disk, 0, self.GROUP)
        os.chmod(self.disk, 0o2775)
        self.tool("restore", self.db)
        for user in (1001, 1002, 0, 1001):
            self.works_as(user)


class OutageTest(LifecycleCase):
    def outage(self):
        os.rename(self.replica, self.replica + ".away")
        open(self.replica, "w", encoding="utf-8").close()

    def over(self):
        os.remove(self.replica)
        os.rename(self.replica + ".away", self.replica)

    def test_outbox_collapses(self):
        app = self.started(BACKSTAY_OUTBOX_LIMIT="100KiB", BACKSTAY_DRAIN_TIMEOUT="0ms")
        self.outage()
        for i in range(20):
            app.sql(ROWS.format(200))
            if i % 5 == 0:
                app.sql("PRAGMA wal_checkpoint(TRUNCATE)")
        self.wait_for("the outbox to collapse",
                      lambda: any("outbox is full" in l["msg"] for l in app.lines("WARN")))
        self.wait_for_state(app, "retrying")
        app.sql(ROWS.format(20))
        self.over()
        self.assert_replicated(app)
        self.outage()
        app.sql(ROWS.format(2000))
        app.close()
        self.over()
        self.assertEqual(len(app.lines("ERROR")), 2)  # a third within 30 s would only be counted
        app = App(self)
        app.sql(ROWS.format(20))
        self.assert_replicated(app)
        app.close()

    def test_a_transaction_beyond_the_limit_while_the_replica_works(self):
        """It is shipped as it is, and so is what follows while it waits."""
        app = self.started(rows=10, BACKSTAY_OUTBOX_LIMIT="1MiB")
        app.do("sql('BEGIN')\nfor i in range(24): sql('INSERT INTO t(text) VALUES(randomblob(1000000))')\nsql('COMMIT')")
        for _ in range(10):
            app.sql(ROWS.format(1))
        self.assert_replicated(app)
        app.close()
        self.assertEqual(app.lines("WARN", "ERROR"), [])
        self.assertEqual(self.repairs(app), 0)

    def test_what_fills_an_object_is_not_paced(self):
        """The pause between uploads saves requests; here it would only keep things waiting."""
        app = self.started(rows=10, BACKSTAY_MIN_INTERVAL="1h")
        before = self.stored()
        for _ in range(3):
            app.sql("INSERT INTO t(text) VALUES(randomblob(8000000))")
        self.wait_for("all but the last part of an object", lambda: self.stored() - before > 20000000)
        app.close()

    def test_killed_in_an_outage(self):
        for limit in ("4KiB", "64MiB"):
            with self.subTest(limit=limit):
                self.doCleanups()
                self.setUp()
                app = self.started(BACKSTAY_OUTBOX_LIMIT=limit, BACKSTAY_DRAIN_TIMEOUT="0ms")
                self.outage()
                for _ in range(5):
                    app.sql(ROWS.format(200))
                self.wait_for_state(app, "retrying")
                app.kill()
                self.over()
                app = App(self)
                app.sql(ROWS.format(20))
                self.assert_replicated(app)
                app.close()


if __name__ == "__main__":
    unittest.main()
