#!/usr/bin/python3
"""kill -9 of an application with several writers, again and again on the same disk and replica.

Each commit of a writer is one row (writer, n), n counting up. After each kill the local database is sound, the
replica restores to a committed prefix that has everything that backstay_sync() acknowledged, and shipping
goes on. Packs, snapshots, small checkpoints and VACUUM are under way while it is killed, in any journal mode.
"""

import os
import time

from fault_world import App, Corrupt, FaultCase, Lost, main

SCHEMA = "CREATE TABLE IF NOT EXISTS w(writer, n, filler, PRIMARY KEY(writer, n))"
# In the application. What is acknowledged is written to a file, which survives the kill.
WRITERS = r"""
import os, random, threading, time
acknowledged = os.open(acknowledged_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
rng, counts, checkpoint, size = random.Random(seed), {}, checkpoint_pages, filler_bytes
lock = threading.Lock()
def write(me):
    w = connect()
    w.execute(f"PRAGMA wal_autocheckpoint={checkpoint}")
    if mode != "wal": w.execute(f"PRAGMA journal_mode={mode}")
    n = w.execute("SELECT coalesce(max(n), 0) FROM w WHERE writer = ?", (me,)).fetchone()[0]
    while True:
        n += 1
        try:
            if n % 50 == 0:
                w.execute("BEGIN IMMEDIATE")
                w.execute("UPDATE w SET filler = randomblob(?) WHERE writer = ?", (size, me))
                w.execute("ROLLBACK")
            w.execute("INSERT INTO w VALUES(?, ?, randomblob(?))", (me, n, rng.randrange(size)))
            counts[me] = n
            if n % 97 == 0: w.execute("DELETE FROM junk")
            if n % 31 == 0: w.execute("INSERT INTO junk VALUES(randomblob(20000))")
        except sqlite3.OperationalError: n -= 1  # busy
def sync():
    s = connect()
    while True:
        before = dict(counts)
        if s.execute("SELECT backstay_sync(1000)").fetchone()[0] == 1:
            os.pwrite(acknowledged, json.dumps(before).encode().ljust(200), 0)
def tidy():
    v = connect()
    while True:
        time.sleep(rng.random() * 0.2)
        try: v.execute(rng.choice(("VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA wal_checkpoint(RESTART)",
                                   "PRAGMA incremental_vacuum")))
        except sqlite3.OperationalError: pass
threads = [threading.Thread(target=write, args=(str(i),), daemon=True) for i in range(writers)]
threads += [threading.Thread(target=f, daemon=True) for f in (sync, tidy)]
for t in threads: t.start()
"""


class CrashTest(FaultCase):
    def start(self):
        app = App(self, BACKSTAY_MIN_INTERVAL=self.random.choice(("0ms", "0ms", "100ms")),
                  BACKSTAY_OUTBOX_LIMIT=self.random.choice(("8KiB", "1MiB", "64MiB")),
                  BACKSTAY_PAGE_CACHE=self.random.choice(("0", "8MiB")))
        app.sql(SCHEMA)
        app.sql("CREATE TABLE IF NOT EXISTS junk(v)")
        self.acknowledged = os.path.join(self.folder, "acknowledged")
        setting = {"acknowledged_path": self.acknowledged, "seed": self.random.random(),
                   "checkpoint_pages": self.random.choice((20, 20, 1000)),
                   "filler_bytes": self.random.choice((10, 300, 30000)), "writers": self.random.choice((1, 3)),
                   "mode": self.random.choice(("wal", "wal", "wal", "delete", "truncate", "persist"))}
        app.sql(f"PRAGMA journal_mode={setting['mode']}")
        app.do("\n".join(f"{k} = {v!r}" for k, v in setting.items()) + WRITERS)
        return app

    def prefix(self, path):
        """{writer: last n}, each proven to be a prefix."""
        found = {}
        for writer, low, high, count in self.rows(
                path, "SELECT writer, min(n), max(n), count(*) FROM w GROUP BY writer"):
            if (low, high) != (1, count):
                raise Corrupt(f"writer {writer}: {low} to {high}, {count} rows")
            found[writer] = high
        return found

    def assert_sound(self):
        """After a kill, before the next start."""
        if self.rows(self.db, "PRAGMA integrity_check") != [("ok",)]:
            raise Corrupt("the local database is damaged")
        local = self.prefix(self.db)
        with open(self.acknowledged, encoding="utf-8") as file:
            acknowledged = eval(file.read() or "{}", {})
        self.restorable = bool(acknowledged)
        restored = self.prefix(self.restored()) if acknowledged else {}
        for writer, n in acknowledged.items():
            if restored.get(writer, 0) < n:
                raise Lost(f"writer {writer}: {n} acknowledged, {restored.get(writer, 0)} restored")
        for writer, n in restored.items():
            if local.get(writer, 0) < n:
                raise Corrupt(f"writer {writer}: {n} restored, {local.get(writer, 0)} committed")

    def test_rounds(self):
        """Rounds on one disk; sometimes it is lost and restored in between."""
        for number in range(16):
            self.tally.rounds += number > 0
            app = self.start()
            time.sleep(self.random.random() ** 2 * 1.2)
            self.killed(app)
            self.assert_sound()
            if self.restorable and self.random.random() < 0.15:
                for name in os.listdir(self.disk):
                    if not name.endswith("-backstay"):
                        os.remove(os.path.join(self.disk, name))
                self.tool("restore", "-force", self.db)
            app.log = os.devnull
        app = App(self)
        app.sql(SCHEMA)
        self.assertTrue(app.sync(), app.stderr())
        self.assert_same(self.restored())
        app.close()
        self.assertEqual([l["msg"] for l in app.lines("ERROR")], [])


if __name__ == "__main__":
    main("crash", CrashTest)
