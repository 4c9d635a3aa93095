#!/usr/bin/python3
"""The state folder lost, damaged, old, foreign, unwritable, full: the application never notices, and
shipping goes on by itself, or says clearly why not. A new or foreign database is never adopted."""

import json
import os
import shutil
import subprocess
import time

from fault_world import App, Corrupt, FaultCase, main

SCHEMA = "CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, text)"
ROWS = ("INSERT INTO t(text) WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n "
        "WHERE i < {}) SELECT hex(randomblob(200)) FROM n")


class StateCase(FaultCase):
    def work(self, app):
        app.sql(SCHEMA)
        app.sql(ROWS.format(self.random.randint(1, 200)))
        if self.random.random() < 0.5:
            app.sql("PRAGMA wal_checkpoint(TRUNCATE)")
        app.sql("DELETE FROM t WHERE id % 7 = 0")
        app.sql(ROWS.format(self.random.randint(1, 50)))
        self.assertEqual(app.sql("PRAGMA integrity_check"), [["ok"]])

    def packed(self, app):
        """Writes until a pack has replaced single log objects."""
        app.sql("CREATE TABLE IF NOT EXISTS big(v)")
        folder = os.path.join(self.replica, "pack")
        before = os.listdir(folder) if os.path.exists(folder) else []
        for _ in range(9):
            app.sql("INSERT INTO big VALUES(randomblob(600000))")
            self.assertTrue(app.sync())
        self.wait_for("a pack", lambda: os.path.exists(folder) and len(os.listdir(folder)) > len(before))

    def life(self, app):
        """Some life that ends somehow; perhaps with commits that were not shipped."""
        self.work(app)
        self.assertTrue(app.sync())
        away = self.random.random() < 0.3
        if away:
            os.rename(self.replica, self.replica + ".away")
            open(self.replica, "w", encoding="utf-8").close()
            self.work(app)
        self.killed(app) if away or self.random.random() < 0.5 else app.close()
        if away:
            os.remove(self.replica)
            os.rename(self.replica + ".away", self.replica)

    def assert_heals(self, errors=0):
        app = App(self)
        for _ in range(2):
            self.work(app)
            self.assertTrue(app.sync(), app.stderr())
            self.assert_same(self.restored())
        self.assertEqual(app.status()["state"], "replicating")
        app.close()
        self.assertEqual(len(app.lines("ERROR")), errors, app.stderr())
        self.assert_same(self.restored())
        return app

    def state_file(self, name):
        return os.path.join(self.state, name)

    def acknowledged_and_killed(self):
        app = App(self)
        self.work(app)
        self.assertTrue(app.sync())
        self.killed(app)

    def return_state(self):
        """The state folder is the one that was set aside."""
        shutil.rmtree(self.state)
        os.rename(self.state + ".old", self.state)
        self.tally.faults += 1

    def damage(self, name):
        self.tally.faults += 1
        path = self.state_file(name)
        how = self.random.choice(("remove", "cut", "flip", "zeros"))
        if how == "remove" or os.path.getsize(path) == 0:
            os.remove(path)
            return
        with open(path, "r+b") as file:
            content = bytearray(file.read())
            at = self.random.randrange(len(content))
            if how == "flip":
                content[at] ^= 1 << self.random.randrange(8)
            elif how == "zeros":
                content[at:at + 512] = bytes(len(content[at:at + 512]))
            else:
                del content[at:]
            file.seek(0)
            file.truncate()
            file.write(content)


class LostTest(StateCase):
    def test_folder_removed(self):
        self.life(App(self))
        shutil.rmtree(self.state)
        self.tally.faults += 1
        self.assert_heals()

    def test_folder_removed_behind_a_pack(self):
        app = App(self)
        self.packed(app)
        self.life(app)
        shutil.rmtree(self.state)
        self.assert_heals()

    def test_folder_removed_during_the_first_snapshot(self):
        app = App(self)
        app.sql(SCHEMA)
        app.sql(ROWS.format(50000))
        self.killed(app)
        shutil.rmtree(self.state)
        self.assert_heals()

    def test_file_damaged(self):
        for _ in range(3):
            self.life(App(self))
            for name in self.random.sample(("index", "outbox"), self.random.randint(1, 2)):
                self.damage(name)
            self.assert_heals()

    def test_folder_of_an_earlier_time(self):
        self.acknowledged_and_killed()
        shutil.copytree(self.state, self.state + ".old")
        app = App(self)
        if self.random.random() < 0.7:
            self.packed(app)
        self.life(app)
        self.return_state()
        self.assert_heals()

    def test_folder_from_before_a_takeover(self):
        self.life(App(self))
        self.new_disk()
        self.tool("restore", self.db)
        shutil.copytree(self.state, self.state + ".old")
        app = App(self)
        if self.random.random() < 0.5:
            self.packed(app)
        self.life(app)
        self.return_state()
        self.assert_heals()

    def test_folder_from_before_the_last_one_was_lost(self):
        """It knows its writer, but not that the same database took the log over since."""
        self.acknowledged_and_killed()
        os.rename(self.state, self.state + ".old")
        self.life(App(self))
        self.return_state()
        self.assert_heals()

    def test_folder_of_another_database(self):
        other = os.path.join(self.folder, "other.db")
        app = App(self, db=other, BACKSTAY_DB=other, BACKSTAY_REPLICA_URL=self.url + "-other")
        self.work(app)
        app.close()
        self.life(App(self))
        shutil.rmtree(self.state)
        shutil.copytree(other + "-backstay", self.state)
        self.tally.faults += 1
        self.assert_heals()

    def mount_coarse(self):
        """A file system whose clock ticks once a second."""
        image, disk = os.path.join(self.folder, "image"), os.path.dirname(self.db)
        with open(image, "wb") as file:
            file.truncate(16 << 20)
        subprocess.run(["mke2fs", "-q", "-t", "ext2", "-I", "128", image], check=True, capture_output=True)
        if subprocess.run(["mount", "-o", "loop", image, disk], stderr=subprocess.DEVNULL).returncode != 0:
            self.skipTest("no right to mount a disk")
        self.addCleanup(subprocess.run, ["umount", "-l", disk])

    def without_wal(self):
        app = App(self, open_it=False)
        app.do("c = connect()")
        app.sql("SELECT count(*) FROM sqlite_schema")
        return app

    def test_change_that_the_times_of_the_file_do_not_show(self):
        self.mount_coarse()
        app = self.without_wal()
        app.sql(SCHEMA)
        app.sql(ROWS.format(50))
        app.sql("UPDATE t SET text = 'the same size'")
        self.assertTrue(app.sync())
        time.sleep(1.05 - time.time() % 1)
        begun = time.time()
        app.sql("UPDATE t SET text = 'THE SAME SIZE' WHERE id = 1")
        self.assertTrue(app.sync())
        self.killed(app)
        subprocess.run(["sqlite3", self.db, "UPDATE t SET text = 'other content'"], check=True)
        self.assertEqual(int(begun), int(time.time()), "too slow to tell anything")
        app = self.without_wal()
        self.assertTrue(app.sync())
        self.assert_same(self.restored())
        app.close()
        app = self.without_wal()
        self.assertTrue(app.sync())
        app.close()
        self.assert_same(self.restored())

    def test_settled_file_is_not_compared_again(self):
        for with_wal, kill in ((False, True), (False, False), (True, False), (True, True), (True, False)):
            app = App(self) if with_wal else self.without_wal()
            app.sql(SCHEMA)
            self.assertTrue(app.sync())
            self.assertNotIn("comparing all pages", app.stderr())
            app.sql(ROWS.format(50))
            self.assertTrue(app.sync())
            if kill:
                time.sleep(1.5)  # it looks once a second
                self.killed(app)
            else:
                app.close()
        self.assert_same(self.restored())

    def test_equal_without_a_mark(self):
        app = App(self)
        self.work(app)
        self.assertTrue(app.sync())
        app.close()
        self.unmark()
        shutil.rmtree(self.state)
        app = App(self)
        self.wait_for_state(app, "replicating")
        app.close()
        self.assert_heals()

    def unmark(self):
        for name in os.listxattr(self.db):
            os.removexattr(self.db, name)


class ForeignTest(StateCase):
    """The replica stays as it is, to the byte."""

    def assert_refused(self, said="belongs to another database"):
        before = self.snapshot_of_replica()
        app = App(self)
        self.work(app)
        status = self.wait_for_state(app, "error")
        self.assertIn(said, status["replicas"][0]["error"])
        self.assertFalse(app.sync(1))
        app.close()
        self.assertEqual(len(app.lines("ERROR")), 1)
        if self.snapshot_of_replica() != before:
            raise Corrupt("the replica of another database was changed")

    def seeded(self):
        """What every new database of this application holds."""
        app = App(self)
        app.sql("CREATE TABLE settings(name PRIMARY KEY, value)")
        app.sql("INSERT INTO settings WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 2000)"
                " SELECT 'setting ' || i, hex(zeroblob(100)) FROM n")
        app.sql(SCHEMA)
        return app

    def test_new_database_because_the_restore_was_forgotten(self):
        app = self.seeded()
        self.assertTrue(app.sync())
        app.sql("INSERT INTO t(text) VALUES('a year of work')")
        self.assertTrue(app.sync())
        app.close()
        self.new_disk()
        self.seeded().close()
        self.assert_refused()
        self.new_disk()
        self.tool("restore", self.db)
        self.assert_heals()

    def test_database_of_another_application(self):
        self.life(App(self))
        self.new_disk()
        self.assert_refused()

    def replaced(self):
        """Another file in place of the database, whose state folder is still there."""
        self.life(App(self))
        self.assertIn("user.backstay", "".join(os.listxattr(self.db)))
        for suffix in ("", "-wal", "-shm"):
            if os.path.exists(self.db + suffix):
                os.remove(self.db + suffix)
        self.tally.faults += 1

    def test_file_replaced_beside_its_folder(self):
        self.replaced()
        self.seeded_plain()
        self.assert_refused()
        self.assert_refused()

    def test_restored_file_replaced_before_its_first_start(self):
        self.life(App(self))
        self.new_disk()
        self.tool("restore", self.db)
        os.remove(self.db)
        self.seeded_plain()
        self.assert_refused()

    def seeded_plain(self):
        subprocess.run(["sqlite3", self.db, "PRAGMA journal_mode=wal", SCHEMA, ROWS.format(30)], check=True,
                       capture_output=True)

    def test_file_replaced_on_purpose(self):
        self.replaced()
        self.seeded_plain()
        if self.random.random() < 0.5:
            self.assert_refused()
        if self.random.random() < 0.3:
            shutil.rmtree(self.state)
        earlier = json.loads(self.tool("restore", "-dry-run", "-json", "-o", "none", self.url).stdout)["txid"]
        self.tool("adopt", self.db)
        self.assert_heals()
        self.restored("-txid", str(earlier))

    def test_lost_folder_after_another_has_taken_over(self):
        self.acknowledged_and_killed()
        copy = os.path.join(self.folder, "elsewhere.db")
        self.tool("restore", "-o", copy, self.url)
        other = App(self, db=copy, BACKSTAY_DB=copy)
        self.work(other)
        self.assertTrue(other.sync())
        shutil.rmtree(self.state)
        app = App(self)
        self.work(app)
        self.wait_for_state(app, "fenced")
        app.close()
        self.work(other)
        self.assertTrue(other.sync())
        self.assert_same(self.restored(), copy)
        other.close()


class UnusableTest(StateCase):
    """Nothing can be kept beside the database."""

    def assert_works(self, app):
        self.work(app)
        self.work(app)
        self.assertLess(app.do("import time; t = time.monotonic(); sql('SELECT backstay_sync(100)');"
                               "result = time.monotonic() - t"), 10)

    def test_folder_is_a_file(self):
        self.life(App(self))
        shutil.rmtree(self.state)
        open(self.state, "w", encoding="utf-8").close()
        app = App(self)
        self.assert_works(app)
        self.wait_for_state(app, "error")
        self.assertIn(self.state, app.status()["replicas"][0]["error"])
        os.remove(self.state)
        self.assertTrue(app.sync(), app.stderr())
        self.assert_same(self.restored())
        app.close()
        self.assert_heals()

    def test_folder_is_a_link(self):
        there = os.path.join(self.folder, "state elsewhere")
        os.mkdir(there, 0o700)
        os.symlink(there, self.state)
        self.life(App(self))
        self.assert_heals()
        self.assertTrue(os.path.exists(os.path.join(there, "index")))

    def test_folder_is_a_dangling_link(self):
        os.symlink(os.path.join(self.folder, "nowhere"), self.state)
        app = App(self)
        self.assert_works(app)
        self.wait_for_state(app, "error")
        os.remove(self.state)
        self.assertTrue(app.sync(), app.stderr())
        app.close()
        self.assert_same(self.restored())

    def test_disk_full(self):
        self.disk_full(self.random.choice((4, 16, 64, 256)))

    def test_disk_without_a_free_block(self):
        """Nor for the page that processes share: memory without a block would end the host."""
        self.disk_full(0)

    def disk_full(self, size):
        os.mkdir(self.state)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={max(size, 4)}k,nr_inodes=64", "none", self.state],
                          stderr=subprocess.DEVNULL).returncode != 0:
            self.skipTest("no right to mount a small disk")
        self.addCleanup(subprocess.run, ["umount", "-l", self.state])
        self.tally.faults += 1
        if size == 0:
            with open(self.state_file("filler"), "wb") as file:
                file.write(bytes(4096))
        app = App(self)
        for _ in range(4):
            self.assert_works(app)
        self.assertTrue(app.sync(), app.stderr())
        self.assert_same(self.restored())
        self.killed(app)
        app = App(self)
        self.assert_works(app)
        # Without an index there is no room to read the replica back either.
        if not app.sync(3000):
            self.assertIn("No space left", app.status()["replicas"][0]["error"])
        subprocess.run(["mount", "-o", "remount,size=100m", self.state], check=True)
        self.work(app)
        self.assertTrue(app.sync(60000), app.stderr())
        app.close()
        self.assert_heals()


if __name__ == "__main__":
    main("state", LostTest, ForeignTest, UnusableTest)
