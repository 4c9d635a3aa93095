#!/usr/bin/python3
"""The state folder lost, damaged, old or foreign: shipping goes on by itself, or says clearly why not. A new or foreign
database is never adopted."""

import contextlib
import json
import os
import shutil
import struct
import subprocess
import time

from fault_world import App, Corrupt, copy_folder, main
from state_world import ROWS, SCHEMA, StateCase


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

    def test_pipes_in_the_place_of_files(self):
        """Who opens one waits for the other end; nobody comes."""
        for names in (("index",), ("outbox",), ("status.json", "lock"), ("mark", "shared")):
            with self.subTest(names):
                self.acknowledged_and_killed()
                for name in names:
                    with contextlib.suppress(FileNotFoundError):
                        os.remove(self.state_file(name))
                    os.mkfifo(self.state_file(name))
                self.assert_heals()

    def test_an_index_that_is_too_large(self):
        """What a file says of its size is not how much memory is taken."""
        self.acknowledged_and_killed()
        os.truncate(self.state_file("index"), 3 << 30)
        app = self.assert_heals()
        self.assertIn("larger than", " ".join(line["msg"] for line in app.lines("WARN")))

    def test_leftovers_of_a_kill_are_removed(self):
        self.acknowledged_and_killed()
        for name, age in (("index.tmp1", 100), ("status.json.tmp2", 100), ("index.tmp3", 0)):
            with open(self.state_file(name), "w", encoding="utf-8"):
                pass
            os.utime(self.state_file(name), (time.time() - age,) * 2)
        app = App(self)
        self.work(app)
        self.assertTrue(app.sync())
        self.assertEqual([name for name in os.listdir(self.state) if name.startswith(("index.tmp", "status.json.tmp"))],
                         ["index.tmp3"])
        app.close()

    def test_folder_of_an_earlier_time(self):
        self.acknowledged_and_killed()
        copy_folder(self.state, self.state + ".old")
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
        copy_folder(self.state, self.state + ".old")
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
        copy_folder(other + "-backstay", self.state)
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

    def wait_for_settled(self):
        """The state names the file as it is, and as one that cannot have changed within a tick of its clock."""
        def kept():
            info = os.stat(self.db)
            stamp = struct.pack("<QQQQ", info.st_size | 1 << 62, info.st_mtime_ns, info.st_ctime_ns, info.st_ino)
            return any(stamp in self.content(name) for name in ("outbox", "index"))
        self.wait_for("a settled stamp of the file", kept)

    def content(self, name):
        with open(self.state_file(name), "rb") as file:
            return file.read()

    def test_settled_file_is_not_compared_again(self):
        for with_wal, kill in ((False, True), (False, False), (True, False), (True, True), (True, False)):
            app = App(self) if with_wal else self.without_wal()
            app.sql(SCHEMA)
            self.assertTrue(app.sync())
            self.assertNotIn("comparing all pages", app.stderr())
            app.sql(ROWS.format(50))
            self.assertTrue(app.sync())
            if kill:
                if not with_wal:
                    self.wait_for_settled()
                self.killed(app)
            else:
                app.close()
        self.assert_same(self.restored())


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

    def test_equal_without_a_mark(self):
        """So is a copy: equal pages do not tell them apart."""
        app = App(self)
        self.work(app)
        self.assertTrue(app.sync())
        app.close()
        for name in os.listxattr(self.db):
            os.removexattr(self.db, name)
        shutil.rmtree(self.state)
        self.assert_refused("of which this may be a copy")
        self.tool("adopt", self.db)
        self.assert_heals()

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
        self.assert_refused("the database file was replaced by another one")
        self.assert_refused()

    def test_restored_file_replaced_before_its_first_start(self):
        self.life(App(self))
        self.new_disk()
        self.tool("restore", self.db)
        os.remove(self.db)
        self.seeded_plain()
        self.assert_refused("the database file was replaced by another one")

    def seeded_plain(self):
        subprocess.run(["sqlite3", self.db, "PRAGMA journal_mode=wal", SCHEMA, ROWS.format(30)], check=True,
                       capture_output=True)

    def test_file_replaced_on_purpose(self):
        self.replaced()
        self.seeded_plain()
        if self.random.random() < 0.5:
            self.assert_refused("the database file was replaced by another one")
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


if __name__ == "__main__":
    main("state", LostTest, ForeignTest)
