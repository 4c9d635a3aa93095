#!/usr/bin/python3
"""A replica in a folder of a file system that is not mounted is not taken for one that does not exist."""

import os
import tempfile
import unittest

from engine_world import App, EngineCase


class MountTest(EngineCase):
    def setUp(self):
        super().setUp()
        self.mount = os.path.join(self.folder, "mount")
        self.url = f"file://{self.mount}/app"
        self.env["BACKSTAY_REPLICA_URL"] = self.url

    def restore(self, code=0):
        return self.tool("restore", "-if-db-not-exists", "-if-replica-exists", self.db, code=code).stderr

    def test_missing_mount(self):
        os.makedirs(self.mount + "/app")
        self.restore()
        self.assertFalse(os.path.exists(self.db))
        app = App(self)
        app.sql("CREATE TABLE t(x)")
        self.assertTrue(app.sync())
        app.close()
        self.new_disk()
        os.rename(self.mount, self.mount + ".away")
        os.mkdir(self.mount)
        self.assertIn(self.mount + "/app does not exist", self.restore(code=1))
        self.assertFalse(os.path.exists(self.db))
        os.rmdir(self.mount)
        self.assertIn("mkdir -p " + self.mount + "/app", self.restore(code=1))
        os.rename(self.mount + ".away", self.mount)
        self.restore()
        self.assertTrue(os.path.exists(self.db))

    def test_unmounted_under_a_writer(self):
        os.makedirs(self.mount + "/app")
        app = App(self)
        app.sql("CREATE TABLE t(x)")
        self.assertTrue(app.sync(), app.stderr())
        os.rename(self.mount, self.mount + ".away")
        os.mkdir(self.mount)
        app.sql("INSERT INTO t VALUES(1)")
        self.wait_for("a word", lambda: any("mkdir -p " + self.mount + "/app" in line["msg"]
                                            for line in app.lines("ERROR")))
        self.assertFalse(app.sync(100))
        app.kill()
        # Nor by the next one, whose state knows of the replica.
        app = App(self)
        app.sql("INSERT INTO t VALUES(2)")
        self.wait_for("a word", lambda: app.lines("ERROR"))
        self.assertEqual(os.listdir(self.mount), [])
        os.rmdir(self.mount)
        os.rename(self.mount + ".away", self.mount)
        self.assertTrue(app.sync(), app.stderr())
        app.close()
        self.assert_restores()

    def test_unmounted_between_two_starts(self):
        """The folder below the mount is there, and empty."""
        device = os.stat(self.folder).st_dev
        others = [place for place in ("/dev/shm", "/var/tmp") if os.path.isdir(place) and os.stat(place).st_dev != device]
        if not others:
            self.skipTest("needs two file systems")
        with tempfile.TemporaryDirectory(dir=others[0]) as system:
            os.symlink(system, self.mount)
            os.mkdir(system + "/app")
            below = os.path.join(self.folder, "below")
            os.makedirs(below + "/app")
            app = App(self)
            app.sql("CREATE TABLE t(x)")
            self.assertTrue(app.sync(), app.stderr())
            app.close()
            for restored in (False, True):
                if restored:
                    self.new_disk()
                    self.restore()
                self.mount_at(below)
                app = App(self)
                app.sql("INSERT INTO t VALUES(1)")
                self.wait_for("a word", lambda: any("mount that" in line["msg"] for line in app.lines("ERROR")))
                self.assertFalse(app.sync(100))
                self.assertEqual(os.listdir(below + "/app"), [])
                self.mount_at(system)
                self.assertTrue(app.sync(), app.stderr())
                app.close()
                self.assert_restores()
            # For good.
            self.mount_at(below)
            app = App(self)
            app.sql("INSERT INTO t VALUES(2)")
            self.wait_for("a word", lambda: app.lines("ERROR"))
            self.assertIn("backstay adopt " + self.db, app.lines("ERROR")[0]["msg"])
            app.kill()
            self.assertIn("begins a replica", self.tool("adopt", self.db).stdout)
            app = App(self)
            app.sql("INSERT INTO t VALUES(3)")
            self.assertTrue(app.sync(), app.stderr())
            app.close()
            self.assertEqual(app.lines("ERROR"), [])
            self.assert_restores()

    def mount_at(self, system):
        os.remove(self.mount)
        os.symlink(system, self.mount)

    def test_emptied_under_a_writer(self):
        """With something beside it, the file system is there: told and made good with the next write."""
        for removed in (True, False):
            os.makedirs(self.mount + "/app", exist_ok=True)
            app = App(self)
            app.sql("CREATE TABLE IF NOT EXISTS t(x)")
            self.wait_for_state(app, "replicating")
            self.assertTrue(app.sync(), app.stderr())
            os.rename(self.mount + "/app", f"{self.mount}/other-{removed}")
            if not removed:
                os.mkdir(self.mount + "/app")
            app.sql("INSERT INTO t VALUES(1)")
            self.assertTrue(app.sync(), app.stderr())
            self.assertIn("is gone from the bucket", app.lines("ERROR")[0]["msg"])
            app.close()
            self.assert_restores()

    def test_first_start_beside_other_replicas(self):
        os.makedirs(self.mount + "/another")
        self.restore()
        self.assertFalse(os.path.exists(self.db))


if __name__ == "__main__":
    unittest.main()
