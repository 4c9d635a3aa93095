#!/usr/bin/python3
"""A copy of a live database, opened with the same URL, takes nothing away from the original; one that was moved,
restored or brought back from a volume's snapshot goes on without a word."""

import contextlib
import os
import shutil
import sqlite3
import subprocess

from fault_world import App, copy_folder, main
from state_world import StateCase


class CopyTest(StateCase):
    def setUp(self):
        super().setUp()
        self.copy = os.path.join(self.folder, "copy.db")
        self.app = App(self, BACKSTAY_DB="")
        self.work(self.app)
        self.app.sql("PRAGMA wal_checkpoint(TRUNCATE)")
        self.assertTrue(self.app.sync(), self.app.stderr())

    def assert_refused(self, copy, said, app=None):
        """And the original goes on. `app`: who has the copy open, if not an application of its own."""
        mine = app or App(self, db=copy, BACKSTAY_DB="")
        name = "app" if app else "copy"
        lines = self.wait_for("the copy to be refused",
                              lambda: [l for l in mine.lines("ERROR") if l["db"] == copy])
        self.assertIn(said, lines[0]["msg"])
        self.assertIn("backstay adopt " + copy, lines[0]["msg"])
        if not app:
            self.work(mine)
            self.assertFalse(mine.sync(1), name)
            mine.close()
        self.work(self.app)
        self.assertTrue(self.app.sync(), self.app.stderr())
        self.assertEqual(self.app.status()["state"], "replicating")
        self.assertEqual(self.troubles(self.app, self.db), [])
        self.assert_same(self.restored())

    def test_cp(self):
        shutil.copyfile(self.db, self.copy)
        self.assert_refused(self.copy, "of which this may be a copy")

    def test_cp_with_attributes(self):
        copy_folder(self.db, self.copy)
        self.assert_refused(self.copy, "this database is a copy of " + self.db)

    def test_cp_with_state_folder(self):
        shutil.copyfile(self.db, self.copy)
        shutil.copystat(self.db, self.copy)
        for name in os.listxattr(self.copy):
            os.removexattr(self.copy, name)
        copy_folder(self.state, self.copy + "-backstay")
        self.assert_refused(self.copy, "this database is a copy of " + self.db)

    def test_restored_to_look_at(self):
        said = self.tool("restore", "-copy", self.url, code=2).stderr
        self.assertIn("-o must say", said)
        self.tool("restore", "-copy", "-o", self.copy, self.url)
        self.assertFalse(os.path.exists(self.copy + "-backstay"))
        self.assert_same(self.copy)
        self.assert_refused(self.copy, "of which this may be a copy")
        self.app.close()
        self.tool("adopt", self.copy, self.url)
        again = App(self, db=self.copy, BACKSTAY_DB="")
        self.work(again)
        self.assertTrue(again.sync(), again.stderr())
        again.close()
        self.assertEqual(self.troubles(again, self.copy), [])
        self.assert_same(self.restored(), self.copy)

    def test_backup_of_the_same_process(self):
        self.app.do(f"d = connect({self.copy!r}); c.backup(d); d.execute('SELECT count(*) FROM t').fetchone()")
        self.assert_refused(self.copy, "of which this may be a copy", self.app)

    def test_vacuum_into_and_attach(self):
        self.app.sql("VACUUM")
        self.app.sql("PRAGMA wal_checkpoint(TRUNCATE)")
        self.assertTrue(self.app.sync())
        self.app.sql(f"VACUUM INTO '{self.copy}'")
        self.app.sql(f"ATTACH '{self.copy}' AS s")
        self.app.sql("SELECT count(*) FROM s.t")
        self.assert_refused(self.copy, "of which this may be a copy", self.app)

    def test_it_gets_a_replica_of_its_own(self):
        """Of another family: the original's is not mixed up with it."""
        url = self.url + "-copy"
        copy_folder(self.db, self.copy)
        app = App(self, db=self.copy, BACKSTAY_DB="", BACKSTAY_REPLICA_URL=url)
        self.work(app)
        self.assertTrue(app.sync(), app.stderr())
        app.close()
        self.assertEqual(self.troubles(app), [])
        self.assert_same(self.restored(url=url), self.copy)
        with open(self.replica + "/backstay.json") as one, open(self.replica + "-copy/backstay.json") as two:
            self.assertNotEqual(one.read().split('"family":')[1], two.read().split('"family":')[1])
        self.assert_refused(self.copy, "belongs to another database")

    def test_it_is_adopted(self):
        self.app.close()
        copy_folder(self.db, self.copy)
        self.tool("adopt", self.copy, self.url)
        app = App(self, db=self.copy, BACKSTAY_DB="")
        self.work(app)
        self.assertTrue(app.sync(), app.stderr())
        app.close()
        self.assertEqual(app.lines("ERROR"), [])
        self.assert_same(self.restored(), self.copy)


class MovedTest(StateCase):
    def setUp(self):
        super().setUp()
        app = App(self)
        self.work(app)
        self.assertTrue(app.sync())
        app.close()
        self.elsewhere = os.path.join(self.folder, "elsewhere")

    def assert_goes_on(self, db=None):
        with open(self.replica + "/backstay.json", encoding="utf-8") as file:
            identity = file.read()
        for _ in range(2):
            app = App(self, db=db or self.db, BACKSTAY_DB=db or self.db)
            self.work(app)
            self.assertTrue(app.sync(), app.stderr())
            app.close()
            self.assertEqual(self.troubles(app), [])
            self.assert_same(self.restored(), db or self.db)
        with open(self.replica + "/backstay.json", encoding="utf-8") as file:
            self.assertEqual(file.read(), identity)

    def copied_to(self, folder, *options):
        """As it comes to another machine."""
        subprocess.run(["cp", "-r", *options, self.disk, folder], check=True)
        shutil.rmtree(self.disk)
        return os.path.join(folder, "app.db")

    def test_renamed(self):
        os.rename(self.disk, self.elsewhere)
        self.assert_goes_on(os.path.join(self.elsewhere, "app.db"))

    def test_to_another_disk(self):
        self.assert_goes_on(self.copied_to(self.elsewhere, "-a"))

    def test_by_a_program_that_loses_attributes(self):
        db = self.copied_to(self.elsewhere, "--preserve=timestamps")
        self.assertEqual(os.listxattr(db), [])
        self.assert_goes_on(db)

    def test_by_a_program_that_keeps_whole_seconds(self):
        db = self.copied_to(self.elsewhere, "--preserve=timestamps")
        os.utime(db, (int(os.stat(db).st_mtime),) * 2)
        self.assert_goes_on(db)

    def test_into_the_same_place_of_another_disk(self):
        db = self.copied_to(self.elsewhere, "--preserve=timestamps")
        os.rename(os.path.dirname(db), self.disk)
        self.assert_goes_on()

    def test_restored(self):
        self.new_disk()
        self.tool("restore", self.db)
        self.assert_goes_on()

    def test_restored_and_started_on_another_node(self):
        """The volume was filled by the init container, and is mounted elsewhere."""
        self.new_disk()
        self.tool("restore", self.db)
        self.assert_goes_on(self.copied_to(self.elsewhere, "--preserve=timestamps"))

    def mounted(self, image, folder):
        os.makedirs(folder, exist_ok=True)
        if subprocess.run(["mount", "-o", "loop", image, folder], stderr=subprocess.DEVNULL).returncode != 0:
            self.skipTest("no right to mount a disk")
        self.addCleanup(subprocess.run, ["umount", "-l", folder], stderr=subprocess.DEVNULL)

    def test_snapshot_of_a_volume(self):
        """Taken while the application runs, restored after the disk is lost."""
        image = os.path.join(self.folder, "image")
        with open(image, "wb") as file:
            file.truncate(64 << 20)
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", self.disk, image], check=True, capture_output=True)
        self.new_disk()
        self.mounted(image, self.disk)
        app = App(self)
        self.work(app)
        self.assertTrue(app.sync(), app.stderr())
        os.sync()
        shutil.copyfile(image, image + ".taken")
        self.killed(app)
        subprocess.run(["umount", "-l", self.disk], check=True)
        self.mounted(image + ".taken", self.elsewhere)
        self.assert_goes_on(os.path.join(self.elsewhere, "app.db"))


class LookTest(StateCase):
    def test_at_a_restored_copy(self):
        """The application goes on while somebody looks at what a restore gave, with the same URL."""
        app = App(self, BACKSTAY_DB="")
        self.work(app)
        self.assertTrue(app.sync())
        copy = os.path.join(self.folder, "look.db")
        self.tool("restore", "-o", copy, self.url)
        look = App(self, db=copy, BACKSTAY_DB="")
        self.assertEqual(look.sql("PRAGMA integrity_check"), [["ok"]])
        self.wait_for_state(look, "replicating")
        look.close()
        self.assertEqual(self.troubles(look), [])
        self.work(app)
        self.assertTrue(app.sync(), app.stderr())
        app.close()
        self.assertEqual(self.troubles(app), [])
        self.assert_same(self.restored())


if __name__ == "__main__":
    main("copies", CopyTest, MovedTest, LookTest)
