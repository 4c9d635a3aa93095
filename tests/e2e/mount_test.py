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

    def test_first_start_beside_other_replicas(self):
        os.makedirs(self.mount + "/another")
        self.restore()
        self.assertFalse(os.path.exists(self.db))


if __name__ == "__main__":
    unittest.main()
