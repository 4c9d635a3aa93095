#!/usr/bin/python3
"""Killed before every system call that changes a file: restore, pack, snapshot, retention, takeover, new base.

tests/support/syscall_fault counts the calls below a folder and kills at the n-th. Both passes try every step of a
restore. Of the application's a short one samples those of the job that the test names; a long one goes through all
calls below the replica, the state folder or the disk, a few evenly apart ones a round. A long round's failure repeats
with `--seconds 1`.
"""

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess

from fault_world import BUILD, PYTHON, App, Corrupt, FaultCase, Lost, copy_folder, main

FAULT = os.path.join(BUILD, "tests", "syscall_fault")
ROWS = ("INSERT INTO t(text) WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n "
        "WHERE i < {}) SELECT hex(randomblob(200)) FROM n")
# argv: database, extension, file for what was acknowledged. Ends when there is a pack and a second snapshot.
APPLICATION = r"""
import json, os, sqlite3, sys, time
loader = sqlite3.connect(":memory:")
loader.enable_load_extension(True)
loader.load_extension(sys.argv[2])
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute("PRAGMA journal_mode=wal")
big = int(sys.argv[6])
note = os.open(sys.argv[3], os.O_WRONLY | os.O_CREAT, 0o600)
first = c.execute("SELECT coalesce(max(n), 0) FROM steps").fetchone()[0] + 1
for n in range(first, first + 6):
    c.execute("INSERT INTO steps VALUES(?, randomblob(?))", (n, big if n - first in (1, 3) or big > 700000 else 300))
    if n == first + 4: c.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    if n == first + 1 and "page size" in sys.argv[4]:
        size = 12288 - c.execute("PRAGMA page_size").fetchone()[0]  # 4096 and 8192 in turn
        for text in ("journal_mode=delete", f"page_size={size}", "journal_mode=wal"):
            if text == "journal_mode=wal": c.execute("VACUUM")
            c.execute("PRAGMA " + text)
    if c.execute("SELECT backstay_sync(20000)").fetchone()[0] == 1: os.pwrite(note, b"%8d" % n, 0)
want = sys.argv[4].split(",")
end = time.monotonic() + 20
def done():
    log = open(sys.argv[5]).read()
    return all(text in log for text in want)
while not done() and time.monotonic() < end: time.sleep(0.005)
c.close()
"""


def spread(seed, calls, rounds):
    """Numbers of calls, evenly apart. Where they begin moves with the seed: each call gets its turn."""
    start = seed * 0.6180339887498949 % 1
    return sorted({1 + int((i + start) * calls / rounds) for i in range(rounds)})


class StepsCase(FaultCase):
    def setUp(self):
        super().setUp()
        self.report = os.path.join(self.folder, "report")
        if subprocess.run([FAULT, self.disk, "writes", "kill", "0", "1", self.report, "true"]).returncode == 125:
            self.skipTest("ptrace is not permitted")
        self.env["BACKSTAY_LOG_LEVEL"] = "debug"

    def broken(self, at, *command, folder=None, log=None):
        """Runs it, killed at the at-th call (0: never). True when it ran to its end."""
        with open(log or os.devnull, "wb") as stderr:
            done = subprocess.run([FAULT, folder or self.folder, "writes", "kill", str(at), "1", self.report, *command],
                                  env=self.env, timeout=120, stdout=subprocess.DEVNULL, stderr=stderr)
        self.tally.kills += done.returncode == 137
        if done.returncode not in (0, 137):
            self.fail(f"step {at}: status {done.returncode}\n" + (open(log, encoding="utf-8").read() if log else ""))
        return done.returncode == 0

    def steps(self):
        with open(self.report, encoding="utf-8") as file:
            return int(file.read())


class RestoreTest(StepsCase):
    def begin(self):
        app = App(self)
        app.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, text)")
        app.sql(ROWS.format(500))
        self.assertTrue(app.sync())
        app.sql(ROWS.format(20))
        self.assertTrue(app.sync())
        app.close()
        return self.dump(self.db)

    def killed_at_each_step(self, out, *options, prepare=lambda out: None):
        """Restores to `out` in a folder of its own, killed ever later: yields the step, and whether it came to its end."""
        at, survived = 0, False
        while not survived:
            at += 1
            shutil.rmtree(os.path.dirname(out), ignore_errors=True)
            os.mkdir(os.path.dirname(out))
            prepare(out)
            survived = self.broken(at, os.path.join(BUILD, "backstay"), "restore", *options, "-o", out, self.url)
            yield at, survived
        self.assertGreater(at, 8)

    def test_new(self):
        content = self.begin()
        out = os.path.join(self.folder, "out", "new.db")
        for at, survived in self.killed_at_each_step(out):
            if os.path.exists(out) and self.dump(out) != content:
                raise Corrupt(f"killed at step {at}: the target is not whole")
            if not survived:
                self.tool("restore", *(["-force"] if os.path.exists(out) else []), "-o", out, self.url)
            self.assertEqual(self.dump(out), content)
            self.assertEqual(sorted(os.listdir(os.path.dirname(out))), ["new.db", "new.db-backstay"])

    def test_over_an_old_database(self):
        content = self.begin()
        out = os.path.join(self.folder, "out", "old.db")
        for _, survived in self.killed_at_each_step(out, "-force", prepare=self.make_old):
            if not survived:
                with contextlib.closing(sqlite3.connect(out)) as connection:
                    self.assertEqual(connection.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
                self.tool("restore", "-force", "-o", out, self.url)
            self.assertEqual(self.dump(out), content)

    def make_old(self, out):
        """A database whose WAL holds a part of it, as after a crash."""
        source = out + ".source"
        with contextlib.closing(sqlite3.connect(source, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode=wal")
            connection.execute("CREATE TABLE old(a)")
            connection.execute("PRAGMA wal_checkpoint")
            connection.execute("INSERT INTO old VALUES(1)")
            shutil.copy(source, out)
            shutil.copy(source + "-wal", out + "-wal")
        os.remove(source)


class ApplicationTest(StepsCase):
    short, long_rounds = 2, 6  # kills of a job, of a long round
    big = 600000  # bytes of the large rows
    bases = 1  # page sizes that the log may have
    lose_disk = False  # after a kill
    first_txid = None  # where the log begins and stays; None: anywhere

    def template(self):
        """A database whose next commits bring a pack and a snapshot."""
        app = App(self)
        app.sql("CREATE TABLE steps(n INTEGER PRIMARY KEY, filler)")
        for _ in range(7):
            app.sql("INSERT INTO steps(filler) VALUES(randomblob(560000))")
            self.assertTrue(app.sync())
        app.sql("CREATE TABLE small(n)")
        while app.status()["replicas"][0]["log_number"] < 28:  # a pack takes 32
            app.sql("INSERT INTO small VALUES(1)")
            self.assertTrue(app.sync())
        app.close()
        self.first_txid = self.ranges()[0]["first_txid"]
        shutil.copytree(self.replica, self.replica + ".template")
        copy_folder(self.disk, self.disk + ".template")

    def reset(self):
        for path in (self.replica, self.disk):
            shutil.rmtree(path)
            copy_folder(path + ".template", path)

    def play(self, at, folder, want):
        """Killed at the at-th call below `folder`."""
        log = os.path.join(self.folder, "log")
        note = os.path.join(self.folder, "note")
        open(note, "w", encoding="utf-8").close()
        open(log, "w", encoding="utf-8").close()
        code = [PYTHON, "-c", APPLICATION, self.db, os.path.join(BUILD, "backstay.so"), note, want, log, str(self.big)]
        survived = self.broken(at, *code, folder=folder, log=log)
        with open(note, encoding="utf-8") as file:
            return survived, int(file.read() or 0), open(log, encoding="utf-8").read()

    def check(self, at, acknowledged):
        rows = self.rows(self.db, "SELECT max(n), count(*) FROM steps")[0]
        self.assertEqual(self.rows(self.db, "PRAGMA integrity_check"), [("ok",)])
        try:
            restored = self.rows(self.restored(), "SELECT max(n), count(*) FROM steps")[0]
        except Corrupt as error:
            begun = "its first snapshot was never finished" in str(error) or "no replica" in str(error)
            if acknowledged or not begun:
                raise
            restored = (0, 0)
        restored = [n or 0 for n in restored]
        if restored[0] < acknowledged:
            raise Lost(f"step {at}: {acknowledged} acknowledged, {restored[0]} restored")
        if restored[0] != restored[1] or restored[0] > (rows[0] or 0):
            raise Corrupt(f"step {at}: {restored} restored, {rows} committed")
        if restored[0]:
            self.check_past(at)
        if self.lose_disk:
            self.new_disk()
            self.tool("restore", self.db)
        app = App(self)
        app.sql("INSERT INTO steps VALUES((SELECT coalesce(max(n), 0) + 1 FROM steps), 'after')")
        self.assertTrue(app.sync(), app.stderr())
        self.assert_same(self.restored())
        app.close()
        self.assertEqual([l["msg"] for l in app.lines("ERROR")], [], f"step {at}")

    def ranges(self):
        done = subprocess.run([os.path.join(BUILD, "backstay"), "list", "-json", self.url], env=self.env, text=True,
                              capture_output=True, timeout=120)
        if done.returncode != 0:
            raise Lost(f"list: status {done.returncode}\n{done.stdout}{done.stderr}")
        return json.loads(done.stdout)["replicas"][0]["ranges"]

    def check_past(self, at):
        """The log has no hole, nor has it lost its beginning: any transaction of it can be restored."""
        ranges = self.ranges()
        first = self.first_txid if self.first_txid is not None else ranges[0]["first_txid"]
        if len(ranges) > self.bases or any(r["damage"] for r in ranges) or ranges[0]["first_txid"] != first:
            raise Lost(f"step {at}: from {first} on: {ranges}")
        chosen = self.random.choice(ranges)
        txid = self.random.randint(chosen["first_txid"], chosen["last_txid"])
        last, count = self.rows(self.restored("-txid", str(txid)), "SELECT max(n), count(*) FROM steps")[0]
        if (last or 0) != count:
            raise Corrupt(f"step {at}: row {last} of {count} in transaction {txid}")

    def count(self, folder, want):
        """Calls below the folder when nothing is killed."""
        self.reset()
        survived, _, log = self.play(0, folder, want)
        self.assertTrue(survived)
        self.assertTrue(all(text in log for text in want.split(",")), log)
        self.assertGreater(self.steps(), 0, folder)
        return self.steps()

    def kill_at(self, steps, folder, want):
        for at in steps:
            self.reset()
            _, acknowledged, _ = self.play(at, folder, want)
            self.check(f"{at} below {folder[len(self.folder) + 1:]}", acknowledged)

    def each(self, want, **jobs):
        """jobs: folders of the replica that a job changes, and how many of the calls there are the job's (0: all)."""
        self.random.seed(f"{self.seed} {want}")  # the tests of a short pass share their seed
        anywhere = self.random.choice((self.replica, self.state, self.disk))
        calls = self.count(anywhere, want)
        if self.long:
            return self.kill_at(spread(self.seed, calls, self.long_rounds), anywhere, want)
        self.kill_at([self.random.randint(1, calls)], anywhere, want)
        for name, first in jobs.items():
            folder = os.path.join(self.replica, name)
            calls = self.count(folder, want)
            steps = range(1, min(first or calls, calls) + 1)
            self.kill_at(self.random.sample(steps, self.short), folder, want)

    def test_pack_and_snapshot(self):
        self.template()
        self.each("packed log objects,snapshot complete", pack=0, snapshot=0)

    def test_takeover(self):
        """The same in a database that was restored: it takes over, then packs."""
        self.big = 800000
        self.template()
        for folder in (self.disk, self.disk + ".template"):
            shutil.rmtree(folder)
        os.mkdir(self.disk)
        self.tool("restore", "-o", self.db, self.url)
        copy_folder(self.disk, self.disk + ".template")
        self.each("took over the log,packed log objects", log=6)

    def test_retention(self):
        """What the template's snapshots and packs leave is too old once the first pack of the application is made."""
        self.env["BACKSTAY_RETENTION"] = "off"
        app = App(self)
        app.sql("CREATE TABLE steps(n INTEGER PRIMARY KEY, filler)")
        app.sql("CREATE TABLE other(id INTEGER PRIMARY KEY, filler)")

        def several():
            for size in (560000, *[100] * 8):
                app.sql(f"INSERT OR REPLACE INTO other VALUES({size}, randomblob({size}))")
                self.assertTrue(app.sync())
            found = [path for path in self.objects_of_replica() if path.endswith("/manifest") or "/pack/" in path]
            return len(found) > 4 and app.status()["replicas"][0]["snapshot_number"]
        snapshot = self.wait_for("snapshots and packs", several)
        self.wait_for("another snapshot", lambda: several() > snapshot)
        for _ in range(5):
            several()
        app.close()
        shutil.copytree(self.replica, self.replica + ".template")
        copy_folder(self.disk, self.disk + ".template")
        self.env["BACKSTAY_RETENTION"] = "1s"
        self.big = 800000
        self.each("retention: deleted", pack=0, snapshot=0)

    def test_new_base(self):
        """The page size changes; the next life is on the same disk, or on a new one."""
        self.big, self.bases = 3000, 2
        app = App(self)
        app.sql("CREATE TABLE steps(n INTEGER PRIMARY KEY, filler)")
        app.sql("INSERT INTO steps VALUES(1, 'x')")
        self.assertTrue(app.sync())
        app.close()
        self.first_txid = self.ranges()[0]["first_txid"]
        shutil.copytree(self.replica, self.replica + ".template")
        copy_folder(self.disk, self.disk + ".template")
        want = "the page size of the database changed,took over the log,snapshot complete"
        self.random.seed(f"{self.seed} {want}")
        folders = [self.disk] + [os.path.join(self.replica, name) for name in ("log", "snapshot")]
        for folder in [self.random.choice(folders)] if self.long else folders:
            calls = self.count(folder, want)
            steps = self.random.sample(range(1, calls + 1), self.short) if not self.long else spread(
                self.seed, calls, self.long_rounds)
            self.lose_disk = self.random.random() < 0.5
            self.kill_at(steps, folder, want)

    def test_first_snapshot(self):
        with contextlib.closing(sqlite3.connect(self.db, isolation_level=None)) as connection:
            connection.execute("CREATE TABLE steps(n INTEGER PRIMARY KEY, filler)")
        os.mkdir(self.replica)
        shutil.copytree(self.replica, self.replica + ".template")
        copy_folder(self.disk, self.disk + ".template")
        self.each("snapshot complete", snapshot=0)


if __name__ == "__main__":
    main("steps", RestoreTest, ApplicationTest)
