#!/usr/bin/python3
"""Calls of the system that fail: the n-th, or a run of them, of SQLite's and ours alike; memory that our
threads ask for; every allocation of the shim. The application never crashes or hangs, errors stay SQLite's
own, the replica heals; where only ours fail no statement does. A long round goes through all calls, a few evenly
apart ones at a time; its failure repeats with `--seconds 1`.
"""

import errno
import json
import os
import shutil
import subprocess
import unittest

from fault_world import BUILD, PYTHON, SANITIZER, App, Corrupt, FaultCase, Lost, environment, main

STARVED = os.path.join(BUILD, "tests", "starved", "starved_host")
FAULT = os.path.join(BUILD, "tests", "syscall_fault")
MODES = ("wal", "delete", "truncate", "persist")
# argv: database, extension, note, seed, journal mode, busy timeout. Lives on through any error of SQLite's, which it
# prints in the end; a commit that returned counts.
APPLICATION = r"""
import json, os, random, sqlite3, sys, time
loader = sqlite3.connect(":memory:")
loader.enable_load_extension(True)
loader.load_extension(sys.argv[2])
rng = random.Random(sys.argv[4])
note = os.open(sys.argv[3], os.O_WRONLY | os.O_CREAT, 0o600)
def run(*sql):
    global c
    try:
        if c is None:
            c = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=float(sys.argv[6]))
            c.execute("PRAGMA journal_mode=" + sys.argv[5])
            c.execute("PRAGMA wal_autocheckpoint=20")
        return c.execute(*sql).fetchall()
    except (sqlite3.OperationalError, sqlite3.DatabaseError) as e:
        errors.append(str(e))
        if c is not None and not c.in_transaction and rng.random() < 0.3:
            try: c.close()
            except sqlite3.Error: pass
            c = None
c, errors, done = None, [], 0
end = time.monotonic() + 60  # a lock that SQLite could not release makes every statement wait
for i in range(150):
    if time.monotonic() > end: break
    top = run("SELECT coalesce(max(n), 0) FROM steps")
    if not top: continue
    n = top[0][0] + 1
    if run("INSERT INTO steps VALUES(?, randomblob(?))", (n, rng.choice((10, 3000, 200000 if i % 40 == 0 else 10)))) is not None:
        done = n
    if i % 13 == 0: run("DELETE FROM junk")
    if i % 7 == 0: run("INSERT INTO junk VALUES(randomblob(30000))")
    if i % 29 == 0: run("PRAGMA wal_checkpoint(TRUNCATE)")
    if rng.random() < 0.3: run("SELECT backstay_sync(50)")
    os.pwrite(note, b"%8d" % done, 0)
if c is not None: c.close()
print(json.dumps(errors))
"""


def spread(seed, rounds):
    """Where among the calls, from 0 to 1, evenly apart. It moves with the seed: each call gets its turn."""
    start = seed * 0.6180339887498949 % 1
    return [(i + start) / rounds for i in range(rounds)]


class FailingTest(FaultCase):
    def setUp(self):
        super().setUp()
        self.note = os.path.join(self.folder, "note")
        self.env["BACKSTAY_DRAIN_TIMEOUT"] = "1s"
        app = App(self)
        app.sql("CREATE TABLE steps(n INTEGER PRIMARY KEY, filler)")
        app.sql("CREATE TABLE junk(v)")
        self.assertTrue(app.sync())
        app.close()
        if subprocess.run([FAULT, self.disk, "all", "0", "0", "1", self.note, "true"]).returncode == 125:
            self.skipTest("ptrace is not permitted")

    def run_broken(self, mode, folder, which, error, first, count):
        """(calls seen, what was done); no statement fails unless SQLite's own calls do."""
        ours = folder != self.disk or which == "memory"
        busy_timeout = "30" if ours else "0.3"
        log, report = os.path.join(self.folder, "log"), os.path.join(self.folder, "report")
        with open(log, "wb") as stderr:
            done = subprocess.run(
                [FAULT, folder, which, str(error), str(first), str(count), report, PYTHON, "-c", APPLICATION, self.db,
                 os.path.join(BUILD, "backstay.so"), self.note, str(self.random.random()), mode, busy_timeout],
                env=self.env, timeout=180, stdout=subprocess.PIPE, stderr=stderr)
        with open(log, encoding="utf-8") as file:
            self.log = file.read()
        what = (f"{mode}, {which} below {os.path.basename(folder)}: calls {first} to {first + count - 1}: "
                f"{errno.errorcode[error]}\n{self.log}")
        self.assertEqual(done.returncode, 0, what)
        errors = json.loads(done.stdout)
        if ours or first == 0:
            self.assertEqual(errors, [], what)
        with open(report, encoding="utf-8") as file:
            return int(file.read() or 0), what

    def go_on(self, what):
        with open(self.note, encoding="utf-8") as file:
            committed = int(file.read() or 0)
        if self.rows(self.db, "PRAGMA integrity_check") != [("ok",)]:
            raise Corrupt(f"{what}: the local database is damaged")
        if self.rows(self.db, "SELECT max(n) FROM steps")[0][0] < committed:
            raise Lost(f"{what}: row {committed} was committed")
        # Either back to a WAL, or on as the application was.
        app = App(self, open_it=self.random.random() < 0.5)
        app.do("c = connect()")
        app.sql("INSERT INTO steps VALUES((SELECT coalesce(max(n), 0) + 1 FROM steps), 'after')")
        self.assertTrue(app.sync(), what + app.stderr())
        self.assert_same(self.restored())
        app.close()
        self.assertEqual([l["msg"] for l in app.lines("ERROR")], [], what)

    def each(self, folder, which, errors, rounds, modes=MODES):
        """A short pass takes the modes in turn, a long one's round one of them."""
        modes = self.random.sample(modes, len(modes))
        starts, calls = spread(self.seed, 6 if self.long else rounds), {}
        for i, start in enumerate(starts):
            mode = modes[0 if self.long else i % len(modes)]
            if mode not in calls:
                calls[mode] = self.run_broken(mode, folder, which, errors[0], 0, 1)[0]
            self.tally.faults += 1
            first = 1 + int(start * calls[mode])
            error, count = self.random.choice(errors), self.random.choice((1, 1, 5, 50, 500))
            self.go_on(self.run_broken(mode, folder, which, error, first, count)[1])

    def test_disk(self):
        self.each(self.disk, "all", (errno.EIO, errno.ENOSPC, errno.EACCES), 4)

    def test_state_folder(self):
        self.each(self.state, "all", (errno.EIO, errno.ENOSPC, errno.EMFILE, errno.EACCES), 3)

    def test_replica(self):
        self.each(self.replica, "all", (errno.EIO, errno.ENOSPC, errno.ESTALE), 2)

    @unittest.skipIf(SANITIZER, "a sanitizer's runtime gives up without memory")
    def test_memory(self):
        self.each(self.disk, "memory", (errno.ENOMEM,), 3, MODES[:1])


class ReaderTest(FaultCase):
    """A call fails below the replica while it is read: the newest state is restored, or none."""

    def test_restore(self):
        app = App(self)
        app.sql("CREATE TABLE t(v)")
        self.assertTrue(app.sync())
        packs = os.path.join(self.replica, "pack")
        while not os.path.exists(packs) or not os.listdir(packs):
            app.sql("INSERT INTO t VALUES(randomblob(900))")
            self.assertTrue(app.sync())
        app.close()
        out = os.path.join(self.folder, "out.db")
        n, failed, report = 1, True, os.path.join(self.folder, "report")
        while failed:
            self.tally.faults += 1
            done = subprocess.run([FAULT, self.replica, "all", str(errno.EIO), str(n), "1", report,
                                   os.path.join(BUILD, "backstay"), "restore", "-force", "-o", out, self.url],
                                  env=self.env, text=True, capture_output=True, timeout=180)
            if done.returncode == 125:
                self.skipTest("ptrace is not permitted")
            if done.returncode == 0:
                self.assert_same(out)
            with open(report, encoding="utf-8") as file:
                failed = int(file.read()) >= n
            n += 1
        self.assertGreater(n, 20)


class StarvedTest(FaultCase):
    """The shim's n-th allocation fails, alone or with all behind it: no statement of the application does."""

    NOTHING_FAILED = 3  # statuses of starved_host

    def starve(self, n, how, by_file):
        shutil.rmtree(self.folder)
        os.makedirs(self.disk)
        if by_file:
            config = os.path.join(self.folder, "backstay.json")
            with open(config, "w", encoding="utf-8") as file:
                json.dump({"dbs": [{"path": self.db, "replicas": [{"url": self.url}]}]}, file)
            env = environment(BACKSTAY_CONFIG=config)
        else:
            env = environment(BACKSTAY_DB=self.db, BACKSTAY_REPLICA_URL=self.url)
        return subprocess.run([STARVED, self.db, str(n), how], env=env, text=True, capture_output=True, timeout=180)

    def each_allocation(self, how, by_file):
        # Of a long run each round takes every eighth, the next round the ones behind them.
        n = 1 + self.seed % 8 if self.long else 1
        while True:
            self.tally.faults += 1
            what = f"allocation {n}, {how}, settings by {'file' if by_file else 'environment'}"
            done = self.starve(n, how, by_file)
            self.assertIn(done.returncode, (0, self.NOTHING_FAILED), f"{what}\n{done.stderr}")
            self.assertEqual(done.stdout, "", what)
            self.assert_same(self.restored())
            if done.returncode == self.NOTHING_FAILED:
                break
            n += 8 if self.long else 1 + n // 8
        self.assertGreater(n, 100)

    def test_one(self):
        self.each_allocation("once", by_file=False)

    def test_one_by_file(self):
        self.each_allocation("once", by_file=True)

    def test_all_behind_it(self):
        self.each_allocation("lasting", by_file=False)

    def test_all_behind_it_by_file(self):
        self.each_allocation("lasting", by_file=True)


if __name__ == "__main__":
    main("failing", FailingTest, ReaderTest, StarvedTest)
