"""What the tests of the state folder share: lives that end somehow, and what must be true after the next start."""

import os
import shutil

from fault_world import App, FaultCase

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
        for _ in range(33):
            app.sql("INSERT INTO big VALUES(randomblob(6000))")
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

    def troubles(self, app, db=None):
        """What it said at WARN and ERROR, except that a busy machine made it compare."""
        return [line["msg"] for line in app.lines("WARN", "ERROR")
                if "commits were missed" not in line["msg"] and line["db"] == (db or line["db"])]

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
