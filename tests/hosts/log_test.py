"""Programs that listen to SQLite's log: nothing in it is about a file handle of ours."""

import contextlib
import os
import shutil
import subprocess
import unittest

from host_world import EXTENSION, PATIENCE, PRELOAD, HostCase

# Before anything else is called, as the manual wants it: so not through Python's own module.
CODE = """
import ctypes, os, sys, time
lib = ctypes.CDLL("libsqlite3.so.0")
said = []
@ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p)
def log(_, code, text):
    said.append(text.decode())
assert lib.sqlite3_config(16, log, None) == 0
lib.sqlite3_close.argtypes = [ctypes.c_void_p]
lib.sqlite3_exec.argtypes = [ctypes.c_void_p, ctypes.c_char_p] + [ctypes.c_void_p] * 3
lib.sqlite3_enable_load_extension.argtypes = [ctypes.c_void_p, ctypes.c_int]
lib.sqlite3_load_extension.argtypes = [ctypes.c_void_p, ctypes.c_char_p] + [ctypes.c_void_p] * 2
def connect():
    c = ctypes.c_void_p()
    assert lib.sqlite3_open(db.encode(), ctypes.byref(c)) == 0
    return c
def run(c, sql):
    assert lib.sqlite3_exec(c, sql.encode(), None, None, None) == 0, sql
db, change, extension = sys.argv[1:4]
if extension:
    c = connect()
    lib.sqlite3_enable_load_extension(c, 1)
    assert lib.sqlite3_load_extension(c, extension.encode(), None, None) == 0
    lib.sqlite3_close(c)
c = connect()
run(c, "PRAGMA journal_mode=wal; CREATE TABLE t(x); INSERT INTO t VALUES(1)")
run(c, "PRAGMA backstay_sync(60000)")
if change == "linked": os.link(db, db + ".link")
if change == "renamed": os.rename(db, db + ".moved")
if change == "unlinked": os.unlink(db)
d = connect() if change == "linked" else None
for connection in (c, d):
    assert connection is None or lib.sqlite3_close(connection) == 0
def still_open():
    for fd in os.listdir("/proc/self/fd"):
        try:
            if os.readlink("/proc/self/fd/" + fd).startswith(db): return True
        except OSError:
            pass  # the one that was listing, or just closed
    return False
# The linked one is followed until the process ends; what SQLite said then would be said to a dead interpreter.
end = time.monotonic() + 60
while change != "linked" and still_open() and time.monotonic() < end: time.sleep(0.02)
print(said)
"""


class Log(HostCase):
    def test_as_without_backstay(self):
        for change in ("linked", "renamed", "unlinked"):
            self.new_disk()
            alone = self.run_host("/usr/bin/python3", "-c", CODE, self.db, change, "", preload=())
            self.assertIn(change if change != "linked" else "multiple links", alone)
            for extension, preload in ((EXTENSION, ()), ("", (PRELOAD,))):
                with self.subTest(change, extension=extension):
                    self.new_disk()
                    shutil.rmtree(self.replica, ignore_errors=True)
                    said = self.run_host("/usr/bin/python3", "-c", CODE, self.db, change, extension, preload=preload)
                    self.assertIn("replication started", self.stderr)
                    self.assertEqual(said, alone)


class Reader(HostCase):
    """Standard error is a pipe that nobody reads: the program does not notice."""

    def session(self, stderr):
        load = f".load {EXTENSION}\n.open {self.db}\n"
        for preload, script in (("", load), (PRELOAD, f".open {self.db}\n")):
            with self.subTest(preload=preload):
                self.new_disk()
                shutil.rmtree(self.replica, ignore_errors=True)
                done = subprocess.run(["sqlite3"], input=script + "PRAGMA journal_mode=wal; CREATE TABLE t(x);\n"
                                      "INSERT INTO t VALUES(1); SELECT 'done';\n", text=True, stdout=subprocess.PIPE,
                                      stderr=stderr, env={**self.env, "LD_PRELOAD": preload}, timeout=PATIENCE)
                self.assertEqual((done.returncode, done.stdout), (0, "wal\ndone\n"))
                self.assert_restores()

    def test_gone(self):
        reader, writer = os.pipe()
        os.close(reader)
        try:
            self.session(writer)
        finally:
            os.close(writer)

    def test_full(self):
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writer, b"x" * 4096)
        os.set_blocking(writer, True)
        try:
            self.session(writer)
        finally:
            os.close(reader)
            os.close(writer)


if __name__ == "__main__":
    unittest.main()
