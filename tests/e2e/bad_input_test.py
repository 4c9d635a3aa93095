#!/usr/bin/python3
"""Bad settings, places that cannot be written, damaged state: the application never notices, and one
ERROR line and the status say what to do."""

import json
import os
import shutil
import sqlite3
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from engine_world import App, EngineCase  # noqa: E402

ROWS = ("INSERT INTO t(text) WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n "
        "WHERE i < {}) SELECT hex(randomblob(200)) FROM n")


class BadInputCase(EngineCase):
    def work(self, app, rows=200):
        """The application goes about its business."""
        app.sql("CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, text)")
        app.sql(ROWS.format(rows))
        app.sql("DELETE FROM t WHERE id % 7 = 0")
        app.sql("PRAGMA wal_checkpoint(TRUNCATE)")
        app.sql(ROWS.format(rows))
        self.assertEqual(app.sql("PRAGMA integrity_check"), [["ok"]])

    def finish(self, app):
        app.close()
        self.dump(self.db)

    def write(self, name, content):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(content)
        return path

    def make_replica(self, folder, page_size=4096):
        """A replica of another database."""
        other = os.path.join(self.folder, "other.db")
        connection = sqlite3.connect(other)
        connection.execute(f"PRAGMA page_size={page_size}")
        connection.execute("VACUUM")
        connection.close()
        app = App(self, db=other, BACKSTAY_DB=other, BACKSTAY_REPLICA_URL="file://" + folder)
        self.work(app)
        self.assertTrue(app.sync())
        app.close()


class DescriptorsTest(BadInputCase):
    def test_descriptors_run_out_while_replication_begins(self):
        """At whichever of its opens: the next commit asks again once there are some."""
        more, starved = 0, 0
        while True:
            shutil.rmtree(self.disk)
            os.mkdir(self.disk)
            app = App(self, open_it=False, BACKSTAY_REPLICA_URL=f"{self.url}-{more}")
            app.do("import os, resource\nc = connect()\n"
                   "limit = max(map(int, os.listdir('/proc/self/fd'))) + 1\n"
                   "usual = resource.getrlimit(resource.RLIMIT_NOFILE)\n"
                   f"resource.setrlimit(resource.RLIMIT_NOFILE, (limit + {more}, usual[1]))\n"
                   "try: sql('PRAGMA journal_mode=wal'); sql('CREATE TABLE t(id INTEGER PRIMARY KEY, text)'); result = 1\n"
                   "except sqlite3.OperationalError: result = 0\n"
                   "resource.setrlimit(resource.RLIMIT_NOFILE, usual)")
            problems = len(app.lines("ERROR", "WARN"))
            starved += problems > 0
            self.work(app)
            self.assertTrue(app.sync(), f"{more} descriptors\n{app.stderr()}")
            self.finish(app)
            if problems == 0 and more > 12:
                break
            more += 3
        self.assertGreater(starved, 0)


class ConfigurationTest(BadInputCase):
    def assert_refused(self, *said, **env):
        """Nothing is replicated, the reason is said once, the application works."""
        app = App(self, **env)
        self.work(app)
        status = app.status()
        self.assertEqual(status["state"], "error", status)
        self.assertEqual(json.loads(app.sql("PRAGMA backstay_status")[0][0])["state"], "error")
        self.finish(app)
        [message] = self.error_lines(app)
        for text in said:
            self.assertIn(text, message)
            self.assertIn(text, status["error"])
        self.assertFalse(os.path.exists(self.replica))

    def test_unknown_setting_in_the_environment(self):
        self.assert_refused("BACKSTAY_DURABILTY", BACKSTAY_DURABILTY="sync")

    def test_unknown_setting_in_the_file(self):
        config = self.write("backstay.json", json.dumps(
            {"dbs": [{"path": self.db, "replicas": [{"url": self.url, "endpiont": "x"}]}]}))
        self.assert_refused("endpiont", config, BACKSTAY_CONFIG=config)

    def test_file_that_is_no_json(self):
        config = self.write("backstay.json", "dbs:\n- path: app.db\n")
        self.assert_refused(config, BACKSTAY_CONFIG=config)

    def test_file_that_is_missing(self):
        config = os.path.join(self.folder, "nowhere.json")
        self.assert_refused(config, BACKSTAY_CONFIG=config)

    def test_malformed_url(self):
        self.assert_refused("BACKSTAY_REPLICA_URL", BACKSTAY_REPLICA_URL="htp//bucket")

    def test_missing_bucket(self):
        self.assert_refused("bucket", BACKSTAY_REPLICA_URL="s3:///prefix")

    def test_no_replica(self):
        self.assert_refused("no replica", BACKSTAY_REPLICA_URL="")

    def test_bad_value(self):
        self.assert_refused("BACKSTAY_DRAIN_TIMEOUT", "soon", BACKSTAY_DRAIN_TIMEOUT="soon")


class UnreachableTest(BadInputCase):
    def test_no_server(self):
        app = App(self, BACKSTAY_REPLICA_URL="s3://bucket/app?endpoint=http://127.0.0.1:1",
                  BACKSTAY_ACCESS_KEY_ID="key", BACKSTAY_SECRET_ACCESS_KEY="hidden-secret",
                  BACKSTAY_DRAIN_TIMEOUT="300ms")
        self.work(app)
        status = self.wait_for_state(app, "retrying")
        self.assertIn("127.0.0.1", status["replicas"][0]["error"])
        self.work(app)
        self.assertFalse(app.sync(1))
        self.finish(app)  # the drain gave up
        [message] = self.error_lines(app)
        self.assertIn("cannot be written", message)
        self.assertIn("127.0.0.1", message)
        self.assertIn("before everything was shipped", app.lines("WARN")[-1]["msg"])
        self.assertNotIn("hidden-secret", app.stderr())

    def test_no_credentials(self):
        app = App(self, BACKSTAY_REPLICA_URL="s3://bucket/app?endpoint=http://127.0.0.1:1",
                  BACKSTAY_DRAIN_TIMEOUT="0ms", HOME=self.folder)
        self.work(app)
        self.wait_for("credentials in the status",
                      lambda: "credentials" in json.dumps(app.status()))
        self.finish(app)
        [message] = self.error_lines(app)
        self.assertIn("credentials", message)

    def test_replica_folder_not_writable(self):
        os.mkdir(self.replica, 0o555)
        self.give_to_nobody(self.disk)
        app = App(self, unprivileged=True, BACKSTAY_DRAIN_TIMEOUT="0ms")
        self.work(app)
        status = self.wait_for_state(app, "retrying")
        self.assertIn(self.replica, status["replicas"][0]["error"])
        # It goes on by itself once the folder is writable.
        os.chmod(self.replica, 0o777)
        self.assertTrue(app.sync())
        self.assertEqual(app.status()["state"], "replicating")
        self.finish(app)
        [message] = self.error_lines(app)
        self.assertIn(self.replica, message)
        self.assert_restores()


class StateFolderTest(BadInputCase):
    def test_plain_file_in_its_place(self):
        self.write("disk/app.db-backstay", "")
        app = App(self, BACKSTAY_DRAIN_TIMEOUT="0ms")
        self.work(app)
        status = self.wait_for_state(app, "error")
        self.assertIn(self.state, status["replicas"][0]["error"])
        self.finish(app)
        [message] = self.error_lines(app)
        self.assertIn(self.state, message)

    def test_not_writable(self):
        os.mkdir(self.state, 0o755)
        os.mkdir(self.replica)
        self.give_to_nobody(self.disk, self.replica)
        if os.geteuid() != 0:
            os.chmod(self.state, 0o555)
        app = App(self, unprivileged=True)
        self.work(app)
        status = self.wait_for_state(app, "error")
        self.assertIn("not writable", status["replicas"][0]["error"])
        os.chmod(self.state, 0o777)
        self.assertTrue(app.sync())
        self.finish(app)
        [message] = self.error_lines(app)
        self.assertIn(self.state, message)
        self.assert_restores()


class ForeignReplicaTest(BadInputCase):
    def assert_untouched(self, said, state="error"):
        """The replica is another's: said, and not one byte of it is changed."""
        before = self.snapshot_of_replica()
        app = App(self)
        self.work(app)
        status = self.wait_for_state(app, state)
        self.assertIn(said, status["replicas"][0]["error"])
        self.work(app)
        self.assertFalse(app.sync(1))
        self.finish(app)
        [message] = self.error_lines(app)
        self.assertIn(said, message)
        self.assertIn(self.url, message)
        self.assertEqual(self.snapshot_of_replica(), before)

    def test_another_database(self):
        self.make_replica(self.replica)
        self.assert_untouched("belongs to another database")

    def test_another_page_size(self):
        self.make_replica(self.replica, page_size=1024)
        self.assert_untouched("belongs to another database")

    def state_folder_lost(self, write):
        """Nor does the file say whose replica it is: copied by a tool that leaves attributes out."""
        app = App(self)
        self.work(app)
        self.assertTrue(app.sync())
        app.close()
        shutil.rmtree(self.state)
        for name in os.listxattr(self.db):
            os.removexattr(self.db, name)
        if write:
            app = App(self, BACKSTAY_DB="/nowhere")
            self.work(app)
            app.close()

    def test_state_folder_lost(self):
        """For all that is known the replica may be another's: no guess is made."""
        self.state_folder_lost(write=True)
        self.assert_untouched("belongs to another database")

    def test_identity_damaged(self):
        self.make_replica(self.replica)
        with open(os.path.join(self.replica, "backstay.json"), "w", encoding="utf-8") as file:
            file.write('{"format": 1, "id"')
        self.assert_untouched("backstay.json: not a JSON object", state="retrying")

    def test_identity_of_a_newer_version(self):
        self.make_replica(self.replica)
        with open(os.path.join(self.replica, "backstay.json"), "w", encoding="utf-8") as file:
            file.write('{"format": 9, "id": "00112233445566778899aabbccddeeff", "page-size": 4096}')
        self.assert_untouched("upgrade")

    def test_other_objects(self):
        os.mkdir(self.replica)
        self.write("replica/holiday.jpg", "x")
        self.assert_untouched("holiday.jpg")


class ForeignWalTest(BadInputCase):
    """Another database's WAL lies beside this one: SQLite recovers it, whatever its page size, and then it is the database."""

    def make(self, path, page_size, keep):
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute(f"PRAGMA page_size={page_size}")
        connection.execute("PRAGMA journal_mode=wal")
        connection.execute("CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, text)")
        connection.execute(f"INSERT INTO t(text) VALUES (hex(randomblob({page_size})))")
        if keep:
            shutil.copyfile(path + "-wal", self.db + "-wal")
        connection.close()

    def test_of_another_page_size(self):
        for mine, other in ((1024, 4096), (4096, 1024), (512, 65536), (65536, 4096)):
            self.new_disk()
            shutil.rmtree(self.replica, ignore_errors=True)
            self.make(self.db, mine, keep=False)
            self.make(os.path.join(self.disk, "other.db"), other, keep=True)
            app = App(self)
            self.assertEqual(app.sql("PRAGMA page_size"), [[other]])
            app.sql("INSERT INTO t(text) VALUES (1)")
            self.assertTrue(app.sync(), app.stderr())
            self.finish(app)
            out = os.path.join(self.folder, f"out-{mine}.db")
            self.tool("restore", "-o", out, self.url)
            self.assertEqual(self.dump(out), self.dump(self.db))

    def test_beside_a_database_that_was_replicated(self):
        self.make(self.db, 1024, keep=False)
        app = App(self)
        self.work(app)
        self.assertTrue(app.sync())
        before, last = self.dump(self.db), app.status()["replicas"][0]["txid"]
        self.finish(app)
        self.make(os.path.join(self.disk, "other.db"), 4096, keep=True)
        app = App(self)
        self.work(app)
        self.finish(app)
        self.assert_restores()
        self.tool("restore", "-o", self.db + "2", "-txid", str(last), self.url)
        self.assertEqual(self.dump(self.db + "2"), before)


class DamagedStateTest(BadInputCase):
    """What a process left in the state folder is damaged; the next one ships on as if nothing was."""

    def setUp(self):
        super().setUp()
        self.env["BACKSTAY_DRAIN_TIMEOUT"] = "0ms"

    def leave(self, unshipped):
        """A life that ends suddenly; `unshipped`: its last commits are in the outbox only, and gone
        from the WAL."""
        app = App(self)
        self.work(app)
        self.assertTrue(app.sync())
        self.work(app)
        self.assertTrue(app.sync())
        if unshipped:
            self.outage()
            self.work(app)
            self.work(app)
            self.wait_for("an outbox", lambda: app.status()["replicas"][0]["outbox_bytes"] > 0)
        app.kill()
        if unshipped:
            self.end_of_outage()

    def outage(self):
        os.rename(self.replica, self.replica + ".away")
        self.write("replica", "")

    def end_of_outage(self):
        os.remove(self.replica)
        os.rename(self.replica + ".away", self.replica)

    def state_file(self, name):
        return os.path.join(self.state, name)

    def flip(self, name, at):
        """Flips a bit at this fraction of the file."""
        with open(self.state_file(name), "r+b") as file:
            content = bytearray(file.read())
            content[int(at * (len(content) - 1))] ^= 4
            file.seek(0)
            file.write(content)

    def cut(self, name, at):
        os.truncate(self.state_file(name), int(at * os.path.getsize(self.state_file(name))))

    def assert_heals(self):
        app = App(self)
        self.work(app)
        self.assertTrue(app.sync(), app.status())
        self.assertEqual(app.status()["state"], "replicating")
        self.assert_restores()
        self.work(app)
        self.assertTrue(app.sync())
        self.finish(app)
        self.assertEqual(app.lines("ERROR"), [])
        self.assert_restores()

    def each(self, damage, places):
        """`damage` at each place, after each kind of end, with a database of its own each time."""
        for unshipped in (False, True):
            for at in places:
                with self.subTest(unshipped=unshipped, at=at):
                    self.doCleanups()
                    self.setUp()
                    self.leave(unshipped)
                    damage(at)
                    self.assert_heals()

    def test_outbox_deleted(self):
        self.each(lambda at: os.remove(self.state_file("outbox")), (0,))

    def test_outbox_cut(self):
        self.each(lambda at: self.cut("outbox", at), (0.1, 0.5, 0.9))

    def test_outbox_flipped(self):
        self.each(lambda at: self.flip("outbox", at), (0, 0.1, 0.5, 0.9, 1))

    def test_index_of_an_earlier_time(self):
        app = App(self)
        self.work(app)
        self.assertTrue(app.sync())
        app.close()
        shutil.copy(self.state_file("index"), self.folder)
        self.leave(unshipped=False)
        shutil.copy(os.path.join(self.folder, "index"), self.state)
        self.assert_heals()

    def test_index_deleted(self):
        self.each(lambda at: os.remove(self.state_file("index")), (0,))

    def test_index_cut(self):
        self.each(lambda at: self.cut("index", at), (0, 0.5))

    def test_index_flipped(self):
        self.each(lambda at: self.flip("index", at), (0, 0.5, 1))
        self.assertIn("damaged", self.apps[-1].lines("WARN")[0]["msg"])


if __name__ == "__main__":
    unittest.main()
