#!/usr/bin/python3
"""The state folder cannot be written, or its disk is full: the application never notices, and shipping goes on by itself
once it can."""

import os
import shutil
import subprocess
import time

from fault_world import App, main
from state_world import StateCase


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

    def assert_marked(self):
        """The file says whose replica it is the source of, where files can."""
        try:
            os.setxattr(self.db, "user.test", b"")
        except OSError:
            return
        marks = [name for name in os.listxattr(self.db) if len(name) == len("user.backstay.") + 32]
        self.assertEqual(len(marks), 1, os.listxattr(self.db))

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
        self.assert_marked()
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
    main("unusable", UnusableTest)
