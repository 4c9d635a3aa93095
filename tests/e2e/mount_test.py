#!/usr/bin/python3
"""A replica in a folder of a file system that is not mounted is not taken for one that does not exist."""

import os
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
