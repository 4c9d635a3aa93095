#!/usr/bin/python3
"""A forked child replicates what it opens itself, and leaves its parent's databases to its parent."""

import os
import unittest

from engine_world import SANITIZER, App, EngineCase


# Its own locks stay locked in a child that was forked while another thread held them, and TSan knows no threads there.
@unittest.skipIf(SANITIZER, "a sanitizer's runtime does not survive a fork beside other threads")
class ForkTest(EngineCase):
    def test_a_child_gets_an_engine_of_its_own(self):
        self.env["BACKSTAY_DB"] = os.path.join(self.disk, "*.db")
        self.env["BACKSTAY_REPLICA_URL"] = self.url + "/{name}"
        app = App(self)
        app.sql("CREATE TABLE t(x)")
        app.sql("INSERT INTO t VALUES('parent')")
        self.assertTrue(app.sync())
        other = os.path.join(self.disk, "child.db")
        code = app.do(f"""
import time
pid = os.fork()
if pid == 0:
    child = connect({other!r})
    child.execute("PRAGMA journal_mode=wal")
    child.execute("CREATE TABLE t(x)")
    synced = child.execute("SELECT backstay_sync(60000)").fetchone() == (1,)
    shared = connect()
    shared.execute("INSERT INTO t VALUES('child')")
    end = time.monotonic() + 60
    while status(shared)["state"] != "passive" and time.monotonic() < end: time.sleep(0.01)
    passive = status(shared)["state"] == "passive"
    child.close(); shared.close()
    os._exit(0 if synced and passive else 1)
result = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])""")
        self.assertEqual(code, 0, app.stderr())
        app.sql("INSERT INTO t VALUES('parent again')")
        self.assertTrue(app.sync())
        self.assert_restores(url=self.url + "/app.db")
        self.assert_restores(db=other, url=self.url + "/child.db")
        app.close()

    def test_a_child_takes_over(self):
        """A lock lives as long as any copy of its descriptor: the child's own must not be one."""
        app = App(self)
        app.sql("CREATE TABLE t(x)")
        app.sql("INSERT INTO t VALUES('parent')")
        self.assertTrue(app.sync())
        done = os.path.join(self.folder, "done")
        app.do(f"""
import time
parent = os.getpid()
pid = os.fork()
if pid == 0:
    own = connect()
    own.execute("INSERT INTO t VALUES('child')")
    end = time.monotonic() + 60
    while os.getppid() == parent and time.monotonic() < end: time.sleep(0.01)
    own.execute("INSERT INTO t VALUES('orphan')")
    synced = own.execute("SELECT backstay_sync(30000)").fetchone()[0]
    with open({done!r} + "~", "w") as file: file.write(f"{{synced}} {{status(own)['state']}}")
    os.rename({done!r} + "~", {done!r})
    os._exit(0)
""")
        app.process.kill()
        app.process.wait()
        self.wait_for("the child to end", lambda: os.path.exists(done))
        with open(done, encoding="utf-8") as file:
            self.assertEqual(file.read(), "1 replicating", app.stderr())
        self.assert_restores()


if __name__ == "__main__":
    unittest.main()
