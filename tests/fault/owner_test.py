#!/usr/bin/python3
"""Who owns a replica, and what its owner does when the bucket has lost part of it."""

import os
import shutil

from fault_world import App, main
from state_world import StateCase


class LossTest(StateCase):
    """Objects deleted under a writer, or between two: told, and made good."""

    def lose(self, what):
        self.tally.faults += 1
        if what == "log end":
            folder = os.path.join(self.replica, "log")
            os.remove(os.path.join(folder, max(os.listdir(folder))))
        elif what == "all":
            for name in os.listdir(self.replica):
                self.remove(name)
        else:
            for name in what.split():
                self.remove(name)

    def remove(self, name):
        path = os.path.join(self.replica, name)
        shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)

    def assert_told(self, app):
        self.wait_for("the loss to be told", lambda: app.lines("ERROR"))
        self.assertIn("is gone from the bucket", app.lines("ERROR")[0]["msg"])
        self.wait_for("the recovery line", lambda: any("whole again" in l["msg"] for l in app.lines("INFO")))
        self.assertTrue(app.sync(), app.stderr())
        self.assert_same(self.restored())

    def test_while_it_runs(self):
        """A pack is due, at the latest."""
        for what in ("all", "backstay.json", "snapshot", "backstay.json snapshot"):
            with self.subTest(what=what):
                app = App(self)
                self.work(app)
                self.assertTrue(app.sync())
                self.lose(what)
                app.sql("CREATE TABLE IF NOT EXISTS big(v)")
                for _ in range(9):
                    app.sql("INSERT INTO big VALUES(randomblob(600000))")
                    app.sync()
                self.assert_told(app)
                app.close()

    def test_between_two_starts(self):
        for what in ("all", "backstay.json", "snapshot", "snapshot log", "log end", "backstay.json snapshot"):
            with self.subTest(what=what):
                app = App(self)
                self.work(app)
                self.assertTrue(app.sync())
                app.close()
                self.lose(what)
                app = App(self)
                self.assert_told(app)
                self.work(app)
                self.assertTrue(app.sync())
                app.close()
                self.assert_same(self.restored())
                self.assert_heals()


if __name__ == "__main__":
    main("owner", LossTest)
