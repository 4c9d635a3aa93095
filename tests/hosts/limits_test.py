"""Programs with narrow limits: what works without Backstay works with it, and it says why it does not."""

import json
import unittest

from host_world import CLOCK, EXTENSION, PRELOAD, WRITER, HostCase

# What the program needs is there in each.
LIMITS = {"-n 10": "ulimit -n", "-n 12": "ulimit -n", "-n 24": "ulimit -n", "-v 60000": "ulimit -v"}
RAISED = """
import resource, sqlite3, sys
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (20, hard))
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute("PRAGMA journal_mode=wal")
c.execute("CREATE TABLE t(x)")
assert "not replicated" in c.execute("PRAGMA backstay_status").fetchone()[0]
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
c.execute("INSERT INTO t VALUES(1)")
assert c.execute("PRAGMA backstay_sync(60000)").fetchone() == ("1",)
"""

# Opens databases until no more can be opened, lets go of them, and goes on with the first one, half a minute later.
# Prints how many.
GREEDY = """
import ctypes, resource, sqlite3, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80))
replicated = len(sys.argv) > 2
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute("PRAGMA journal_mode=wal")
c.execute("CREATE TABLE t(x)")
assert not replicated or c.execute("PRAGMA backstay_sync(60000)").fetchone() == ("1",)
others = []
try:
    while True:
        o = sqlite3.connect(f"{sys.argv[1]}.{len(others)}", isolation_level=None)
        others.append(o)
        o.execute("PRAGMA journal_mode=wal")
        o.execute("CREATE TABLE t(x)")
except sqlite3.OperationalError:
    print(len(others))
c.execute("INSERT INTO t VALUES(1)")
if replicated:
    assert "given back" in c.execute("PRAGMA backstay_status").fetchone()[0]
    for o in others:
        o.close()
    for i in range(3):
        c.execute("INSERT INTO t VALUES(2)")
        assert c.execute("PRAGMA backstay_sync(60000)").fetchone() == ("0",)
    assert "given back" in c.execute("PRAGMA backstay_status").fetchone()[0]
    ctypes.CDLL(sys.argv[2]).shift_clock(31)
    c.execute("INSERT INTO t VALUES(3)")
    assert c.execute("PRAGMA backstay_sync(60000)").fetchone() == ("1",)
"""

# All the address space that there is is in use when SQLite maps more of the wal-index.
STARVED = """
import resource, sqlite3, sys
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute("PRAGMA journal_mode=wal")
c.execute("PRAGMA wal_autocheckpoint=0")
c.execute("PRAGMA cache_size=100")
c.execute("CREATE TABLE t(x)")
def insert(rows):
    c.execute("BEGIN")
    for _ in range(rows):
        c.execute("INSERT INTO t VALUES(zeroblob(3000))")
    c.execute("COMMIT")
insert(100)
assert c.execute("PRAGMA backstay_sync(60000)").fetchone() == ("1",)
insert(3000)
pages = int(open("/proc/self/statm").read().split()[0])
hard = resource.getrlimit(resource.RLIMIT_AS)[1]
resource.setrlimit(resource.RLIMIT_AS, (pages * 4096, hard))
insert(2000)
status = c.execute("PRAGMA backstay_status").fetchone()[0]
resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
assert "given back" in status and "ulimit -v" in status, status
"""

# During an outage what waits for the replica reaches the limit for files.
SMALL_FILES = """
import os, resource, signal, sqlite3, sys
db, replica = sys.argv[1:]
c = sqlite3.connect(db, isolation_level=None)
c.execute("PRAGMA journal_mode=wal")
c.execute("PRAGMA wal_autocheckpoint=20")
c.execute("CREATE TABLE t(i INTEGER PRIMARY KEY, x)")
assert c.execute("PRAGMA backstay_sync(60000)").fetchone() == ("1",)
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (500000, hard))
os.rename(replica, replica + ".away")
open(replica, "w").close()
for _ in range(40):
    c.execute("INSERT OR REPLACE INTO t VALUES(1, randomblob(30000))")
    c.execute("PRAGMA backstay_sync(20)")
os.remove(replica)
os.rename(replica + ".away", replica)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
assert c.execute("PRAGMA backstay_sync(60000)").fetchone() == ("1",)
"""

# Threads commit, while descriptors run out and are there again, over and over.
THREADS = """
import os, resource, sqlite3, sys, threading, time
resource.setrlimit(resource.RLIMIT_NOFILE, (120, 120))
stop = []

def connect():
    c = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
    c.execute("PRAGMA synchronous=off")
    return c

def commits(c):
    while not stop:
        c.execute("INSERT INTO t VALUES(1)")

c = connect()
c.execute("PRAGMA journal_mode=wal")
c.execute("CREATE TABLE t(x)")
threads = [threading.Thread(target=commits, args=(sqlite3.connect(
    sys.argv[1], isolation_level=None, timeout=60, check_same_thread=False),)) for _ in range(6)]
for thread in threads:
    thread.start()
end = time.monotonic() + 3
while time.monotonic() < end:
    held = []
    try:
        while True:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    try:
        sqlite3.connect(sys.argv[1] + ".other").execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.OperationalError:
        pass
    for fd in held:
        os.close(fd)
    time.sleep(0.02)
stop.append(1)
for thread in threads:
    thread.join()
"""


class Limits(HostCase):
    def assert_only_said(self, cure):
        [line] = [json.loads(text) for text in self.stderr.splitlines()]
        self.assertEqual(line["level"], "WARN")
        self.assertIn(cure, line["msg"])

    def each(self, *more, **how):
        for limit, cure in LIMITS.items():
            with self.subTest(limit):
                command = ("sh", "-c", f'ulimit {limit}; exec "$@"', "sh", WRITER, self.db)
                self.run_host(*command, preload=())
                self.run_host(*command, *more, **how)
                self.assert_only_said(cure)

    def test_preload(self):
        self.each(preload=(PRELOAD,))

    def test_extension(self):
        self.each(EXTENSION, preload=())

    def test_a_limit_that_is_raised(self):
        self.run_host("/usr/bin/python3", "-c", RAISED, self.db)
        self.assert_replicated()

    def test_a_limit_to_the_size_of_files_ends_nobody(self):
        self.run_host("/usr/bin/python3", "-c", SMALL_FILES, self.db, self.replica)
        self.assertIn("ulimit -f", self.stderr)
        self.assert_restores()

    def test_it_is_given_back_while_others_commit(self):
        self.run_host("/usr/bin/python3", "-c", THREADS, self.db)

    def test_what_the_application_needs_is_given_back(self):
        alone = self.run_host("/usr/bin/python3", "-c", GREEDY, self.db, preload=())
        self.new_disk()
        greedy = ("/usr/bin/python3", "-c", GREEDY, self.db, CLOCK)
        self.assertEqual(self.run_host(*greedy, preload=(CLOCK, PRELOAD)), alone)
        said = [json.loads(line) for line in self.stderr.splitlines()]
        self.assertEqual([line["level"] for line in said if line["level"] != "INFO"], ["WARN"], said)
        self.assert_restores()

    def test_so_is_memory(self):
        self.run_host("/usr/bin/python3", "-c", STARVED, self.db)
        self.assertEqual(self.stderr.count("given back"), 1, self.stderr)


if __name__ == "__main__":
    unittest.main()
