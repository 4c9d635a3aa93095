"""Programs that close descriptors which they did not open: nothing of theirs is written to, read for ours or closed."""

import unittest

from host_world import HostCase

# Uses a database, closes all that it does not know, and takes the numbers for files, pipes, sockets and a database of
# its own. `keep`: the connection stays open, and what is not SQLite's is closed.
HOST = """
import contextlib, os, socket, sqlite3, sys

def rows(c, first, last):
    with c:
        for i in range(first, last):
            c.execute("INSERT INTO t VALUES(?, zeroblob(2000))", (i,))

def names():
    found = {}
    for n in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # closed by whoever had opened it for a moment
            found[int(n)] = os.readlink("/proc/self/fd/" + n)
    return found

db, mode, keep = sys.argv[1], sys.argv[2], sys.argv[3] == "keep"
others = sqlite3.connect(os.path.dirname(db) + "/other.db", isolation_level=None)
others.execute("CREATE TABLE o(x)")
others.close()
c = sqlite3.connect(db)
c.execute("PRAGMA journal_mode=" + mode)
c.execute("CREATE TABLE t(x, y)")
rows(c, 0, 10)
assert c.execute("PRAGMA backstay_sync(60000)").fetchone() == ("1",)
if not keep:
    c.close()
seen = 0
for fd, name in sorted(names().items()):
    own = keep and name.startswith(db) and not name.startswith(db + "-backstay")
    if fd > 2 and not own:
        with contextlib.suppress(OSError):  # closed by whoever had opened it for a moment
            os.close(fd)
            seen += 1
assert seen > 3, names()
taken = {}
for i in range(20):
    path = f"{db}.file{i}"
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    os.pwrite(fd, b"application" * 400, 0)
    taken[fd] = path
for i in range(4):
    for end in socket.socketpair() + tuple(os.fdopen(f, "rb", 0) for f in os.pipe()):
        taken[end.fileno()] = end
others = sqlite3.connect(os.path.dirname(db) + "/other.db", isolation_level=None)
others.execute("BEGIN EXCLUSIVE")
others.executemany("INSERT INTO o VALUES(?)", [(i,) for i in range(100)])
before = names()
if not keep:
    c = sqlite3.connect(db)
rows(c, 10, 30)
assert c.execute("PRAGMA backstay_sync(20000)").fetchone() == ("1",), c.execute("PRAGMA backstay_status").fetchone()
c.close()
now = names()
for fd, what in taken.items():
    assert now[fd] == before[fd], (fd, now, before)
    if isinstance(what, str):
        assert open(what, "rb").read() == b"application" * 400, what
    elif isinstance(what, socket.socket):
        what.setblocking(False)
        try:
            assert not what.recv(1), "something was sent"
        except BlockingIOError:
            pass
others.execute("COMMIT")
assert others.execute("PRAGMA integrity_check").fetchone() == ("ok",)
assert others.execute("SELECT count(*) FROM o").fetchone() == (100,)
"""


# The connection stays, all else is closed, for "bare" Backstay's handle of the database, too. What comes then is little,
# or nothing.
AFTER = """
import json, os, sqlite3, sys, time
db, mode, then = sys.argv[1:]
c = sqlite3.connect(db, isolation_level=None)
c.execute("PRAGMA journal_mode=" + mode)
own = [n for n in os.listdir("/proc/self/fd") if os.path.realpath("/proc/self/fd/" + n) == db]
c.execute("CREATE TABLE t(x)")
assert c.execute("PRAGMA backstay_sync(60000)").fetchone() == ("1",)

def rob():
    for n in os.listdir("/proc/self/fd"):
        try:
            name = os.readlink("/proc/self/fd/" + n)
            handle = then == "bare" and name == db and n not in own
            if int(n) > 2 and (handle or not name.startswith(db) or "-backstay/" in name):
                os.close(int(n))
        except OSError:
            pass

def await_status(text, at_least=0):
    start = time.monotonic()
    while text not in c.execute("PRAGMA backstay_status").fetchone()[0] or time.monotonic() < start + at_least:
        assert time.monotonic() < start + 20, c.execute("PRAGMA backstay_status").fetchone()
        time.sleep(0.1)

rob()
if then == "commit":
    c.execute("INSERT INTO t VALUES(1)")
    c.close()
elif then == "exit":
    c.execute("INSERT INTO t VALUES(1)")
elif then == "again":
    # By itself once in 10 s, whenever the application has something to do.
    end = time.monotonic() + 20
    while "again and again" not in c.execute("PRAGMA backstay_status").fetchone()[0]:
        assert time.monotonic() < end, c.execute("PRAGMA backstay_status").fetchone()
        time.sleep(0.5)
        rob()
    c.execute("INSERT INTO t VALUES(1)")
    assert c.execute("PRAGMA backstay_sync(20000)").fetchone() == ("1",)
    waits = []
    for i in range(4):
        rob()
        start = time.monotonic()
        assert c.execute("PRAGMA backstay_sync(20000)").fetchone() == ("1",)
        waits.append(time.monotonic() - start)
    assert min(waits) < 0.3, waits
else:
    await_status('"replicating"', at_least=3)
"""


class Descriptors(HostCase):
    def goes_on(self, mode, then):
        self.run_host("/usr/bin/python3", "-c", AFTER, self.db, mode, then)
        self.assertEqual(self.stderr.count("closed descriptors"), 1, self.stderr)
        self.assertNotIn("before everything was shipped", self.stderr)
        self.assertNotIn('"ERROR"', self.stderr)
        self.assert_restores()

    def test_what_is_committed_last(self):
        for mode in ("delete", "wal"):
            for then in ("commit", "exit"):
                with self.subTest(mode=mode, then=then):
                    self.doCleanups()
                    self.setUp()
                    self.goes_on(mode, then)

    def test_it_goes_on_by_itself(self):
        for then in ("wait", "bare"):
            with self.subTest(then=then):
                self.doCleanups()
                self.setUp()
                self.goes_on("delete", then)

    def test_again_and_again(self):
        self.run_host("/usr/bin/python3", "-c", AFTER, self.db, "delete", "again")
        self.assertEqual(self.stderr.count("again and again"), 1, self.stderr)
        self.assert_restores()

    def uses(self, mode, keep=""):
        self.run_host("/usr/bin/python3", "-c", HOST, self.db, mode, keep)
        self.assertEqual(self.stderr.count("closed descriptors"), 1, self.stderr)
        self.assert_restores()

    def test_closed_database_in_wal_mode(self):
        self.uses("wal")

    def test_closed_database_without_a_wal(self):
        self.uses("delete")

    def test_open_database(self):
        self.uses("wal", "keep")


if __name__ == "__main__":
    unittest.main()
