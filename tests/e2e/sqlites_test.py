#!/usr/bin/python3
"""Two copies of SQLite in one process use one database in turn: what the engine keeps open of the first takes no lock of
the second away (sqlite.org/howtocorrupt.html, 2.2.1)."""

import os
import shutil
import subprocess
import unittest

from engine_world import BUILD, PATIENCE, PYTHON, App, EngineCase

# A second copy, by its C functions; `load`: with the extension in it.
SECOND = r"""
import ctypes
class Second:
    def __init__(self, library, path, load):
        self.lib = ctypes.CDLL(library)
        self.lib.sqlite3_exec.argtypes = [ctypes.c_void_p, ctypes.c_char_p] + [ctypes.c_void_p] * 3
        self.lib.sqlite3_close.argtypes = [ctypes.c_void_p]
        if load: self.load()
        self.db = self.open(path)
    def open(self, path):
        db = ctypes.c_void_p()
        assert self.lib.sqlite3_open(path.encode(), ctypes.byref(db)) == 0
        return db
    def load(self):
        db = self.open(":memory:")
        self.lib.sqlite3_enable_load_extension.argtypes = [ctypes.c_void_p, ctypes.c_int]
        self.lib.sqlite3_load_extension.argtypes = [ctypes.c_void_p, ctypes.c_char_p] + [ctypes.c_void_p] * 2
        assert self.lib.sqlite3_enable_load_extension(db, 1) == 0
        assert self.lib.sqlite3_load_extension(db, extension.encode(), None, None) == 0
        self.lib.sqlite3_close(db)
    def sql(self, text):
        rc = self.lib.sqlite3_exec(self.db, text.encode(), None, None, None)
        assert rc == 0, (rc, text)
    def close(self):
        assert self.lib.sqlite3_close(self.db) == 0
"""
# SQLite's lock bytes of a database (sqlite.org/fileformat2.html, 1.4).
LOCKED = r"""
import fcntl, sys
with open(sys.argv[1], "r+b") as file:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 512, 0x40000000)
    except BlockingIOError:
        print("locked")
"""
FOLLOWED = 16


class SqlitesTest(EngineCase):
    def app(self, mode):
        """The first copy has written, and closed the database, which is followed from then on."""
        self.env["BACKSTAY_DB"] = os.path.join(self.disk, "*.db")
        self.env["BACKSTAY_REPLICA_URL"] = self.url + "/{name}"
        self.library = os.path.join(self.folder, "second.so")
        if not os.path.exists(self.library):
            maps = subprocess.run([PYTHON, "-c", "import _sqlite3; print(open('/proc/self/maps').read())"],
                                  capture_output=True, text=True, check=True).stdout
            shutil.copy(next(w for w in maps.split() if "libsqlite3.so" in w), self.library)
        app = App(self, open_it=False)
        app.do(SECOND)
        app.do("c = connect()")
        app.sql(f"PRAGMA journal_mode={mode}")
        app.sql("CREATE TABLE t(x)")
        app.sql("INSERT INTO t VALUES('first')")
        self.assertTrue(app.sync())
        app.do("c.close()")
        return app

    def second(self, app, load):
        app.do(f"second = Second({self.library!r}, db, {load})")

    def open_files(self, app, path):
        folder = f"/proc/{app.process.pid}/fd"
        names = [os.path.join(folder, name) for name in os.listdir(folder)]
        return sum(os.readlink(name) == path for name in names if os.path.islink(name))

    def end_follow(self, app, name="other"):
        """So many others are closed behind it that it is followed no more."""
        others = [os.path.join(self.disk, f"{name}-{i}.db") for i in range(FOLLOWED + 2)]
        for other in others:
            app.do(f"c = connect({other!r})")
            app.sql("CREATE TABLE t(x)")
            self.assertTrue(app.sync())
            app.do("c.close()")
        for other in others[:2]:
            self.wait_for("the follow to end", lambda path=other: self.open_files(app, path) == 0)

    def assert_locked(self, app):
        said = subprocess.run([PYTHON, "-c", LOCKED, self.db], capture_output=True, text=True, check=True,
                              timeout=PATIENCE).stdout
        self.assertEqual(said, "locked\n", app.stderr())

    def first_again(self, app):
        app.do("second.close()")
        app.do("c = connect()")
        for statement in ("BEGIN", "SELECT * FROM t"):
            app.sql(statement)
        self.assert_locked(app)
        for statement in ("INSERT INTO t VALUES('first again')", "COMMIT"):
            app.sql(statement)
        self.assertTrue(app.sync(), app.stderr())
        self.assert_restores(url=self.url + "/app.db")
        self.assertEqual(app.lines("WARN", "ERROR"), [], app.stderr())
        app.close()

    def test_in_turn_without_a_wal(self):
        app = self.app("delete")
        self.second(app, load=True)
        for statement in ("BEGIN", "SELECT * FROM t"):
            app.do(f"second.sql({statement!r})")
        self.assert_locked(app)
        for statement in ("INSERT INTO t VALUES('second')", "COMMIT"):
            app.do(f"second.sql({statement!r})")
        self.first_again(app)

    def test_in_turn_with_a_wal(self):
        app = self.app("wal")
        self.second(app, load=True)
        for statement in ("BEGIN IMMEDIATE", "INSERT INTO t VALUES('second')", "COMMIT"):
            app.do(f"second.sql({statement!r})")
            self.assert_locked(app)
        self.first_again(app)

    def test_the_follow_ends_and_the_second_is_unknown(self):
        app = self.app("delete")
        self.second(app, load=False)
        app.do("second.sql('BEGIN EXCLUSIVE')")
        self.end_follow(app)
        self.assert_locked(app)
        app.do("second.sql('ROLLBACK')")
        app.do("second.close()")
        self.end_follow(app, "more")
        self.assertEqual(self.open_files(app, self.db), 0)
        app.close()


if __name__ == "__main__":
    unittest.main()
