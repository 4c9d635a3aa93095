#!/usr/bin/python3
"""Power cuts: what was not synced is lost, torn or kept at random, in the database, its WAL and the state folder.

tests/support/syscall_fault copies every file when it is synced, notes what happens to names and kills the application
somewhere; then the disk is made what a power cut may leave of it: contents, and the names that no sync of their
folder made durable. The replica may be ahead of the disk afterwards. The application starts again, shipping goes
on by itself, and what the replica held before stays restorable by -txid.
"""

import json
import os
import shutil
import subprocess

from fault_world import BUILD, PYTHON, App, Corrupt, FaultCase, Lost, main

FAULT = os.path.join(BUILD, "tests", "syscall_fault")
SECTOR = 512
# argv: database, extension, note, seed, synchronous, journal mode, how often the power goes right behind an
# acknowledgement. Runs until it is killed.
APPLICATION = r"""
import json, os, random, signal, sqlite3, sys
loader = sqlite3.connect(":memory:")
loader.enable_load_extension(True)
loader.load_extension(sys.argv[2])
rng = random.Random(sys.argv[4])
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute("PRAGMA journal_mode=" + sys.argv[6])
c.execute("PRAGMA synchronous=" + sys.argv[5])
c.execute("CREATE TABLE IF NOT EXISTS steps(n INTEGER PRIMARY KEY, filler)")
c.execute("CREATE TABLE IF NOT EXISTS junk(v)")
c.execute(f"PRAGMA wal_autocheckpoint={rng.choice((10, 100, 1000))}")
note = os.open(sys.argv[3], os.O_WRONLY | os.O_CREAT, 0o600)
n = c.execute("SELECT coalesce(max(n), 0) FROM steps").fetchone()[0]
while True:
    n += 1
    if n % 5 == 0: c.execute("UPDATE steps SET filler = randomblob(50) WHERE n = ?", (rng.randrange(n),))
    if n % 13 == 0: c.execute("DELETE FROM junk")
    if n % 7 == 0: c.execute("INSERT INTO junk VALUES(randomblob(30000))")
    c.execute("BEGIN")
    if n % 2: c.execute("UPDATE steps SET filler = randomblob(1000) WHERE n = ?", (rng.randrange(n),))
    c.execute("INSERT INTO steps VALUES(?, randomblob(?))", (n, rng.randrange(rng.choice((30, 3000, 100000)))))
    c.execute("COMMIT")
    if rng.random() < 0.05: c.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    if rng.random() < 0.5 and c.execute("SELECT backstay_sync(20000)").fetchone()[0] == 1:
        status = json.loads(c.execute("SELECT backstay_status()").fetchone()[0])
        os.pwrite(note, json.dumps([n, status["replicas"][0]["replicated_txid"]]).encode().ljust(60), 0)
        if rng.random() < float(sys.argv[7]): os.kill(os.getpid(), signal.SIGKILL)
"""


class PowerTest(FaultCase):
    def setUp(self):
        super().setUp()
        self.note = os.path.join(self.folder, "note")
        self.synced = os.path.join(self.folder, "synced")
        os.mkdir(self.synced)
        self.run_broken(0, "true")
        if self.code == 125:
            self.skipTest("ptrace is not permitted")

    def run_broken(self, at, *command):
        with open(os.path.join(self.folder, "application"), "wb") as stderr:
            self.code = subprocess.run(
                [FAULT, self.disk, "writes", "kill", str(at), "1", os.path.join(self.folder, "report"), *command],
                env={**self.env, "SYSCALL_FAULT_SYNCED": self.synced}, timeout=120, stdout=stderr,
                stderr=stderr).returncode

    def cut(self, kept, names):
        """Makes the disk what a power cut may have left of it: shares of what was not synced that are kept."""
        self.tally.faults += 1
        self.undo_names(names)
        for path in self.files():
            if path.endswith("-shm") and self.random.random() < 0.5:
                os.remove(path)
            elif not path.endswith("-shm") and os.path.isfile(path):
                self.tear(path, kept)
        shutil.rmtree(self.synced)
        os.mkdir(self.synced)

    def undo_names(self, kept):
        """Undoes the last changes of names in each folder. A file that is synced is durable with its name."""
        changes = {}  # folder: those that may be undone, in order
        with open(os.path.join(self.synced, "names"), "a+", encoding="utf-8") as file:
            file.seek(0)
            for what, path, *more in (line.rstrip("\n").split("\t") for line in file):
                here = changes.setdefault(path if path == self.state else os.path.dirname(path), [])
                if what == "sync" and path in (self.disk, self.state):
                    changes[path] = []
                elif what == "sync":
                    made = [at for at, change in enumerate(here) if change[:2] == ["create", path]]
                    del here[:made[-1] + 1 if made else 0]
                elif not path.endswith("-shm"):
                    here.append([what, path, *more])
        for here in changes.values():
            for change in reversed(here[round(len(here) * kept):]):
                self.undo(*change)

    def undo(self, what, path, *more):
        """Nothing if the call was the one before which the application died, or if it failed."""
        to, kept = more if what == "rename" else (path, *more, "-")[:2]
        if what == "create" and os.path.isdir(path):
            shutil.rmtree(path)
        elif what == "create" and os.path.exists(path):
            os.remove(path)
        if what == "rename" and os.path.exists(to) and not os.path.exists(path):
            os.rename(to, path)
        if kept != "-" and not os.path.exists(to):
            os.rename(kept, to)
            self.revived.add(to)

    def files(self):
        return [os.path.join(folder, name) for folder, _, names in os.walk(self.disk) for name in names]

    def synced_copy(self, path):
        """Where the content of the file is that was synced last."""
        inode = os.stat(path).st_ino
        born = subprocess.run(["stat", "-c", "%.9W", path], capture_output=True, text=True, check=True).stdout.strip()
        seconds, nanoseconds = born.split(".")
        return os.path.join(self.synced, f"{inode}-{seconds}.{int(nanoseconds)}")

    def tear(self, path, kept):
        with open(path, "rb") as file:
            now = file.read()
        then = b""
        if os.path.exists(copy := self.synced_copy(path)):
            with open(copy, "rb") as file:
                then = file.read()
        size = len(now) if self.random.random() < kept else len(then)
        result = bytearray(size)
        block = self.random.choice((SECTOR, 4096))
        for at in range(0, size, block):
            source = now if self.random.random() < kept else then
            part = source[at:min(at + block, size)]
            result[at:at + len(part)] = part
        if result == now:
            return  # its times stay, too
        with open(path, "r+b") as file:
            file.truncate()
            file.write(result)

    def assert_prefix(self, path, least, what):
        low, high, count = self.rows(path, "SELECT min(n), max(n), count(*) FROM steps")[0]
        if (high or 0) < least:
            raise Lost(f"{what}: {high}, acknowledged {least}")
        if count and (low, high) != (1, count):
            raise Corrupt(f"{what}: {low} to {high}, {count} rows")

    def life(self, synchronous, mode="wal", kept=None, names=None, behind=0):
        """One run until a power cut: what was acknowledged last (row, txid)."""
        if kept is None:
            kept = self.random.choice((0, 0, 0.1, 0.5, 0.9, 1))
        if names is None:
            names = self.random.choice((0, 0, 1, self.random.random()))
        self.revived = set()
        settled = self.random.random() < 0.6  # what is there already is durable; else the state folder may be lost
        for path in self.files():
            if settled or path == self.db:
                shutil.copyfile(path, self.synced_copy(path))
        with open(self.note, "w", encoding="utf-8"):
            pass
        at = self.random.randrange(20, 1200 if os.path.exists(self.db) else 300)
        self.run_broken(at, PYTHON, "-c", APPLICATION, self.db, os.path.join(BUILD, "backstay.so"), self.note,
                        str(self.random.random()), synchronous, mode, str(behind))
        self.tally.kills += 1
        with open(os.path.join(self.folder, "application"), encoding="utf-8") as file:
            self.assertEqual(self.code, 137, file.read())
        with open(self.note, encoding="utf-8") as file:
            acknowledged = json.loads(file.read() or "[0, 0]")
        self.cut(kept, names)
        return acknowledged

    def ahead(self):
        """Whether the replica has rows that the disk has not."""
        newest = "SELECT coalesce(max(n), 0) FROM steps"
        return self.rows(self.restored(), newest) > self.rows(self.db, newest)

    def begin(self, **env):
        self.env.update(env)
        app = App(self)
        app.sql("CREATE TABLE steps(n INTEGER PRIMARY KEY, filler)")
        app.sql("CREATE TABLE junk(v)")
        self.assertTrue(app.sync())
        app.close()

    def go_on(self, acknowledged, mode="wal"):
        """The next start: shipping goes on, and nothing that was in the bucket is lost."""
        row, txid = acknowledged
        app = App(self, open_it=False)
        app.do(f"c = connect(); sql('PRAGMA journal_mode={mode}')")
        if app.sql("PRAGMA integrity_check") != [["ok"]]:
            raise Corrupt("the local database is damaged")
        app.sql("INSERT INTO steps VALUES((SELECT coalesce(max(n), 0) + 1 FROM steps), 'after')")
        self.assertTrue(app.sync(), app.stderr())
        self.assert_same(self.restored())
        app.close()
        self.assertEqual([l["msg"] for l in app.lines("ERROR")], [])
        if txid:
            self.assert_prefix(self.restored("-txid", str(txid)), row, f"restored -txid {txid}")

    def test_synchronous_normal(self):
        """The WAL is synced before a PUT: what is acknowledged is on the disk too."""
        self.begin()
        for _ in range(5):
            self.tally.rounds += 1
            acknowledged = self.life("normal")
            self.assert_prefix(self.db, acknowledged[0], "after the power cut")
            self.go_on(acknowledged)

    def test_first_start(self):
        """The database, its state folder and the replica are made while the power goes."""
        for mode in ("wal", "delete") * 2:
            self.tally.rounds += 1
            self.new_disk()
            shutil.rmtree(self.replica, ignore_errors=True)
            acknowledged = self.life("full", mode)
            app = App(self)
            app.sql("CREATE TABLE IF NOT EXISTS steps(n INTEGER PRIMARY KEY, filler)")
            app.sql("CREATE TABLE IF NOT EXISTS junk(v)")
            app.close()
            back = self.db + "-journal" in self.revived
            self.assert_prefix(self.db, acknowledged[0] - back, "after the power cut")
            self.go_on(acknowledged)

    def test_rollback_journal(self):
        """FULL: with NORMAL such a journal may be torn by a power cut, and the database with it."""
        self.begin()
        for mode in self.random.sample(("truncate", "persist"), 1):
            self.tally.rounds += 1
            acknowledged = self.life("full", mode)
            self.assert_prefix(self.db, acknowledged[0], "after the power cut")
            self.go_on(acknowledged, mode)

    def test_deleted_journal_is_back(self):
        """FULL does not sync the folder behind the deletion that commits: the last transaction may be rolled back."""
        self.begin()
        ahead = 0
        for number in range(20):
            self.tally.rounds += 1
            sought = {"kept": self.random.choice((0, 1)), "names": 0, "behind": 0.2} if number % 3 else {}
            acknowledged = self.life("full", "delete", **sought)
            back = self.db + "-journal" in self.revived
            self.assert_prefix(self.db, acknowledged[0] - back, "after the power cut")
            ahead += back and self.ahead()
            self.go_on(acknowledged, self.random.choice(("wal", "delete", "delete")))
            if ahead and number >= 2:
                return
        self.fail("the replica was never ahead of the disk")

    def test_replica_ahead_of_the_disk(self):
        self.begin(BACKSTAY_SYNC_WAL="false")
        ahead = 0
        for number in range(20):
            self.tally.rounds += 1
            acknowledged = self.life("normal", kept=0 if number % 3 else None)
            self.assert_prefix(self.db, 0, "after the power cut")
            ahead += self.ahead()
            self.go_on(acknowledged)
            if ahead and number >= 4:
                return
        self.fail("the replica was never ahead of the disk")

    def test_synchronous_off(self):
        """SQLite promises nothing then; the replica's history is kept all the same."""
        for _ in range(4):
            self.doCleanups()
            self.setUp()
            self.begin()
            acknowledged = self.life("off")
            row, txid = acknowledged
            try:
                sound = self.rows(self.db, "PRAGMA integrity_check") == [("ok",)]
            except Exception:  # not a database any more
                sound = False
            if sound:
                self.go_on(acknowledged)
                continue
            app = App(self, open_it=False)
            app.do("try:\n c = connect(); result = sql('PRAGMA journal_mode=wal')\n"
                   " sql(\"INSERT INTO steps VALUES(100000, 'after')\"); sql('SELECT backstay_sync(3000)')\n"
                   "except sqlite3.Error as e: result = str(e)")
            app.close()
            if txid:
                self.assert_prefix(self.restored("-txid", str(txid)), row, f"restored -txid {txid}")


if __name__ == "__main__":
    main("power", PowerTest)
