#!/usr/bin/python3
"""Several processes use one database in turns, and close it in between: nothing is lost, and nobody compares every page.

Whoever ships follows a database that it has closed; the others tell it what they do, and do not end before it is
shipped. Also programs without Backstay, forks, other journal modes, a reader that heals.
"""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fault_world import BUILD, PATIENCE, PYTHON, SANITIZER, Corrupt, FaultCase, Lost, environment, main  # noqa: E402

# One row for each line, with a connection of its own; `mode`: of the journal.
WORKER = r"""
import sqlite3, sys
path, mode = sys.argv[1:3]
def turn(text):
    c = sqlite3.connect(path, isolation_level=None, timeout=60)
    c.execute("PRAGMA journal_mode=" + mode)
    c.execute("CREATE TABLE IF NOT EXISTS t(x)")
    c.execute("INSERT INTO t VALUES(?)", (text,))
    c.close()
"""
EACH_LINE = WORKER + r"""
for line in sys.stdin:
    turn(line.strip())
    print("done", flush=True)
"""
# A server that opens the database before it forks its workers, and ends them in good order.
SERVER = WORKER + r"""
import os, signal
turn("parent")
children = []
for n in range(int(sys.argv[3])):
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        for i in range(int(sys.argv[4])): turn(f"{n} {i}")
        os.write(1, b"done\n")
        while True: signal.pause()
    children.append(pid)
signal.signal(signal.SIGTERM, lambda *_: None)
signal.pause()
for pid in children: os.kill(pid, signal.SIGTERM)
for pid in children: os.waitpid(pid, 0)
print("over", flush=True)
sys.stdin.read()
"""
# SQLite's walthread-2, in short.
SWITCHER = r"""
import random, sqlite3, sys, time
path, mode, end = sys.argv[1], sys.argv[2], time.monotonic() + float(sys.argv[3])
while time.monotonic() < end:
    c = sqlite3.connect(path, isolation_level=None, timeout=2)
    try:
        try: c.execute("PRAGMA journal_mode=" + mode)
        except sqlite3.Error: pass
        for i in range(random.randint(1, 6)): c.execute("INSERT INTO t VALUES(randomblob(500))")
    except sqlite3.Error: pass
    c.close()
"""
READER = r"""
import sqlite3, sys
c = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
c.execute("PRAGMA locking_mode=" + sys.argv[2])
print(c.execute("SELECT count(*) FROM t").fetchone()[0], flush=True)
sys.stdin.readline()
c.close()
"""


@unittest.skipIf(SANITIZER, "a sanitizer's runtime has to come first, and does not survive a fork")
class TurnsTest(FaultCase):
    def setUp(self):
        super().setUp()
        self.log = os.path.join(self.folder, "log")
        self.processes = []
        self.addCleanup(self.end_all)
        self.env["BACKSTAY_DRAIN_TIMEOUT"] = "20s"

    def end_all(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()

    def start(self, code, *arguments, backstay=True):
        env = environment(**self.env)
        if backstay:
            env.update(LD_PRELOAD=os.path.join(BUILD, "libbackstay_preload.so"), BACKSTAY_LOG_FILE=self.log)
        process = subprocess.Popen([PYTHON, "-c", code, self.db, *map(str, arguments)], env=env, text=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.processes.append(process)
        return process

    def turn(self, process, text):
        process.stdin.write(f"{text}\n")
        process.stdin.flush()
        self.assertEqual(process.stdout.readline(), "done\n")

    def end(self, *processes):
        for process in processes:
            process.stdin.close()
        for process in processes:
            self.assertEqual(process.wait(PATIENCE), 0)

    def said(self):
        if not os.path.exists(self.log):
            return ""
        with open(self.log, encoding="utf-8") as file:
            return "".join(line for line in file if "WAL-reset bug" not in line)

    def replica_is_the_database(self):
        """Whether a restore would give all rows: None while there is nothing to restore."""
        out = os.path.join(self.folder, "look.db")
        done = subprocess.run([os.path.join(BUILD, "backstay"), "restore", "-force", "-o", out, self.url],
                              env=self.env, capture_output=True)
        return done.returncode == 0 and self.dump(out) == self.dump(self.db)

    def assert_followed(self):
        """While all processes are alive."""
        self.wait_for("all rows in the replica\n" + self.said(), self.replica_is_the_database)

    def assert_whole(self):
        out = self.restored()
        if self.dump(out) != self.dump(self.db):
            raise Lost("commits are missing after all processes have ended:\n" + self.said())

    def assert_nothing_compared(self):
        self.assertNotIn("comparing all pages", self.said())
        self.assertNotIn('"WARN"', self.said())

    def take_turns(self, mode, count, turns, foreign=()):
        workers = [self.start(EACH_LINE, mode, backstay=n not in foreign) for n in range(count)]
        for i in range(turns):
            self.turn(workers[i % count], i)
            time.sleep(self.random.choice((0, 0.01, 0.05)))
        return workers

    def test_in_wal_mode(self):
        workers = self.take_turns("wal", self.random.randint(2, 4), 24)
        self.assert_followed()
        self.end(*workers)
        self.assert_whole()
        self.assert_nothing_compared()

    def test_without_a_wal(self):
        for mode in ("delete", "persist"):
            with self.subTest(mode=mode):
                self.new_disk()
                shutil.rmtree(self.replica, ignore_errors=True)
                workers = self.take_turns(mode, 3, 18)
                self.assert_followed()
                self.end(*workers)
                self.assert_whole()
                self.assert_nothing_compared()

    def test_at_the_same_time(self):
        """What is handed over from one to the next at the end may have to be compared, which is an INFO; whoever is
        held up for long between its commit and telling of it is taken for another program."""
        for mode in ("delete", "wal"):
            with self.subTest(mode=mode):
                self.new_disk()
                shutil.rmtree(self.replica, ignore_errors=True)
                # SQLite itself refuses one of two that turn WAL mode on at the same time.
                first = self.start(EACH_LINE, mode)
                self.turn(first, "x")
                self.end(first)
                workers = [self.start(EACH_LINE, mode) for _ in range(3)]
                for worker in workers:
                    worker.stdin.write("x\n" * 25)
                self.end(*workers)
                self.assert_whole()
                self.assertEqual(len(self.rows(self.db, "SELECT x FROM t")), 76)
                self.assertLess(self.said().count("commits were missed"), 3, self.said())
                self.assertNotIn("do not fit together", self.said())

    def test_with_a_program_without_backstay(self):
        for mode in ("wal", "delete"):
            with self.subTest(mode=mode):
                self.new_disk()
                shutil.rmtree(self.replica, ignore_errors=True)
                workers = self.take_turns(mode, 2, 8, foreign=(1,))
                self.assert_followed()
                self.end(*workers)
                self.assert_whole()

    def test_a_program_without_backstay_keeps_it_open(self):
        """What it commits is found while it has not closed the database, which nobody with Backstay has open."""
        own = self.start(EACH_LINE, "wal")
        self.turn(own, "own")
        self.assert_followed()
        foreign = sqlite3.connect(self.db, isolation_level=None)
        for i in range(3):
            foreign.execute("INSERT INTO t VALUES('foreign')")
            self.assert_followed()
        foreign.close()
        self.end(own)
        self.assert_whole()

    def test_a_start_that_only_reads_heals(self):
        self.end(*self.take_turns("wal", 1, 3))
        foreign = self.start(EACH_LINE, "wal", backstay=False)
        self.turn(foreign, "foreign")
        self.end(foreign)
        self.assertFalse(self.replica_is_the_database())
        reader = self.start(READER, "normal")
        reader.stdout.readline()
        self.end(reader)
        self.assert_whole()

    def test_a_server_that_opened_it_before_it_forked(self):
        for mode in ("wal", "delete"):
            with self.subTest(mode=mode):
                self.new_disk()
                shutil.rmtree(self.replica, ignore_errors=True)
                server = self.start(SERVER, mode, 3, 10)
                for _ in range(3):
                    self.assertEqual(server.stdout.readline(), "done\n")
                self.assert_followed()
                server.send_signal(signal.SIGTERM)
                self.assertEqual(server.stdout.readline(), "over\n")
                self.assert_followed()
                self.end(server)
                self.assert_whole()
                # What neighbours tell of is daily business.
                self.assertLess(self.said().count("replica and database compared"), 15, self.said())

    def test_killed_after_the_last_commit_was_followed(self):
        workers = self.take_turns("wal", 3, 9)
        self.assert_followed()
        for worker in workers:
            worker.kill()
            worker.wait()
            self.tally.kills += 1
        self.assert_whole()

    def test_journal_modes_that_change(self):
        with sqlite3.connect(self.db) as connection:
            connection.execute("CREATE TABLE t(x)")
        connection.close()
        for _ in range(3 if self.long else 1):
            self.end(*[self.start(SWITCHER, mode, 1.5) for mode in ("wal", "delete", "wal", "delete")])
            self.assert_whole()

    def test_an_exclusive_reader_recovers_what_another_program_left(self):
        own = self.start(EACH_LINE, "delete")
        self.turn(own, "own")
        self.assert_followed()
        dies = "import os\nfor i in range(5): c.execute(\"INSERT INTO t VALUES('foreign')\")\nos._exit(0)"
        opens = "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        foreign = self.start(opens + "c.execute('PRAGMA journal_mode=wal')\n" + dies, backstay=False)
        self.assertEqual(foreign.wait(PATIENCE), 0)
        reader = self.start(READER, "exclusive")
        self.assertEqual(reader.stdout.readline(), "6\n")
        self.end(reader)
        self.assert_followed()
        self.end(own)
        self.assert_whole()


if __name__ == "__main__":
    main("turns", TurnsTest)
