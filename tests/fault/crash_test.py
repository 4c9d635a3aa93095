#!/usr/bin/python3
"""kill -9 of an application with several writers, again and again on the same disk and replica.

Each commit of a writer is one row (writer, n), n counting up, and g counts the commits of all of them. After each kill
the local database is sound, the replica restores to a committed prefix that has everything that backstay_sync()
acknowledged, shipping goes on, and no run says ERROR. Packs, snapshots, small checkpoints and VACUUM are under way
while it is killed, in any journal mode.
"""

import os
import time

from fault_world import App, Corrupt, FaultCase, Lost, main

# SQLite gives g, one more than the largest, in the transaction itself: the order of the commits.
SCHEMA = "CREATE TABLE IF NOT EXISTS w(g INTEGER PRIMARY KEY, writer, n, filler, UNIQUE(writer, n))"
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
            w.execute("INSERT INTO w(writer, n, filler) VALUES(?, ?, randomblob(?))", (me, n, rng.randrange(size)))
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
        # Shipping goes on by itself. (Behind the writers, with the smallest outbox and a WAL that begins anew all the
        # time, a comparison of all pages may be overtaken for as long as that lasts.)
        if self.random.random() < 0.5:
            self.assertTrue(app.sync(), app.stderr())
            self.synced = True
        self.acknowledged = os.path.join(self.folder, "acknowledged")
        setting = {"acknowledged_path": self.acknowledged, "seed": self.random.random(),
                   "checkpoint_pages": self.random.choice((20, 20, 1000)),
                   "filler_bytes": self.random.choice((10, 300, 30000)), "writers": self.random.choice((1, 3)),
                   "mode": self.random.choice(("wal", "wal", "wal", "delete", "truncate", "persist"))}
        app.sql(f"PRAGMA journal_mode={setting['mode']}")
        app.do("\n".join(f"{k} = {v!r}" for k, v in setting.items()) + WRITERS)
        return app

    def prefix(self, path):
        """All commits, (writer, n, size) each, in their order: no gap, neither in it nor in a writer's."""
        found = self.rows(path, "SELECT g, writer, n, length(filler) FROM w ORDER BY g")
        counts = {}
        for at, (g, writer, n, _) in enumerate(found, 1):
            counts[writer] = counts.get(writer, 0) + 1
            if (g, n) != (at, counts[writer]):
                raise Corrupt(f"row {at} is commit {g}, the writer's {n}th, found behind {counts[writer] - 1}")
        return [row[1:] for row in found]

    def assert_sound(self):
        """After a kill, before the next start."""
        if self.rows(self.db, "PRAGMA integrity_check") != [("ok",)]:
            raise Corrupt("the local database is damaged")
        local = self.prefix(self.db)
        with open(self.acknowledged, encoding="utf-8") as file:
            self.least.update(eval(file.read() or "{}", {}))
        if not self.least and not self.synced:
            return
        restored = self.prefix(self.restored())
        last = {writer: n for writer, n, _ in restored}
        for writer, n in self.least.items():
            if last.get(writer, 0) < n:
                raise Lost(f"writer {writer}: {n} acknowledged, {last.get(writer, 0)} restored")
        if restored != local[:len(restored)]:
            raise Corrupt(f"the {len(restored)} commits restored are not the first of the {len(local)} made")
        self.synced = True

    def test_rounds(self):
        """Rounds on one disk; sometimes it is lost and restored in between."""
        self.least, self.synced = {}, False  # writer: its last row acknowledged in any round; is there a snapshot
        for number in range(16):
            self.tally.rounds += number > 0
            app = self.start()
            time.sleep(self.random.random() ** 2 * 1.2)
            self.killed(app)
            self.assert_sound()
            self.assertEqual([l["msg"] for l in app.lines("ERROR")], [])
            if self.synced and self.random.random() < 0.15:
                for name in os.listdir(self.disk):
                    if not name.endswith("-backstay"):
                        os.remove(os.path.join(self.disk, name))
                self.tool("restore", "-force", self.db)
        app = App(self)
        app.sql(SCHEMA)
        self.assertTrue(app.sync(), app.stderr())
        self.assert_same(self.restored())
        app.close()
        self.assertEqual([l["msg"] for l in app.lines("ERROR")], [])

    def test_long_transaction(self):
        """Killed while the rest of a VACUUM, for which the next commit does not wait, is shipped by a repair."""
        for number, end in enumerate(("killed", "synced and killed", "closed")):
            app = App(self, BACKSTAY_MIN_INTERVAL="0ms")
            app.sql("CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, text)")
            app.sql("INSERT INTO t(text) WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n "
                    "WHERE i < 15000) SELECT hex(randomblob(400)) FROM n")
            app.sql("DELETE FROM t WHERE id % 2 = 0 OR length(text) % 3 = 0")
            self.assertTrue(app.sync(), app.stderr())
            app.do(f"sql('VACUUM'); sql('ALTER TABLE t ADD COLUMN c{number}')")
            if "synced" in end:
                self.assertTrue(app.sync(), app.stderr())
            if "killed" in end:
                time.sleep(self.random.random() * 0.1)
                self.killed(app)
                self.assertEqual(self.rows(self.db, "PRAGMA integrity_check"), [("ok",)])
            else:
                app.close()
            restored = self.restored()
            if end != "killed":
                self.assert_same(restored)
            self.assertEqual([l["msg"] for l in app.lines("ERROR")], [])


if __name__ == "__main__":
    main("crash", CrashTest)
