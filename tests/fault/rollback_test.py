#!/usr/bin/python3
"""Writers in rollback-journal modes while snapshots, repairs, restores, other programs and kills go on.

Every transaction changes pages all over the database and keeps an invariant (a sum, a number); many are rolled back
after they have spilled, some are too large to be handed over, some are made by a program without Backstay. Whatever
is restored, at whatever moment and from whatever restore point, keeps the invariant: it is a committed state. What
backstay_sync() acknowledged is in it.
"""

import contextlib
import json
import os
import sqlite3
import time

from fault_world import App, Corrupt, FaultCase, Lost, main

ROWS = 300
# One transaction: every restore point keeps the invariant.
SCHEMA = f"""
BEGIN; CREATE TABLE meta(seq, total); CREATE TABLE p(id INTEGER PRIMARY KEY, v, filler); INSERT INTO meta VALUES(0, 0);
INSERT INTO p WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})
  SELECT i, 0, randomblob(1500) FROM n; COMMIT;"""
# One transaction on a connection; in the application, and in the program without Backstay.
CHANGE = r"""
def change(w, rng, count, size):
    w.execute("BEGIN IMMEDIATE")
    try:
        seq = w.execute("SELECT seq FROM meta").fetchone()[0] + 1
        if rng.random() < 0.25:
            w.execute("UPDATE p SET v = v + 7, filler = randomblob(?)", (size,))
            w.execute("ROLLBACK")
            return
        for i in rng.sample(range(1, 301), count):
            w.execute("UPDATE p SET v = ?, filler = randomblob(?) WHERE id = ?", (seq, rng.randrange(size), i))
        w.execute("UPDATE meta SET seq = ?, total = (SELECT sum(v) FROM p)", (seq,))
        w.execute("COMMIT")
    except sqlite3.OperationalError:
        if w.in_transaction: w.execute("ROLLBACK")
        raise
"""
WRITERS = r"""
import random, threading, time
def writer(me):
    w = connect()
    rng = random.Random(seed + me)
    w.execute(f"PRAGMA journal_mode={mode}")
    w.execute(f"PRAGMA cache_size={cache}")
    w.execute("PRAGMA synchronous=off")
    while not over:
        try:
            if rng.random() < 0.01: w.execute("VACUUM")
            huge = rng.random() < 0.02
            change(w, rng, 250 if huge else rng.randrange(1, 40), 40000 if huge else size)
        except sqlite3.OperationalError: pass  # busy
        time.sleep(rng.random() * pause)
def acknowledged():
    seq = sql("SELECT seq FROM meta")[0][0]
    return seq if sql("SELECT backstay_sync(5000)")[0][0] == 1 else 0
over = False
threads = [threading.Thread(target=writer, args=(i,), daemon=True) for i in range(writers)]
for t in threads: t.start()
"""
scope = {"sqlite3": sqlite3}
exec(CHANGE, scope)


class RollbackTest(FaultCase):
    def start(self, mode):
        app = App(self, open_it=False, **self.settings)
        app.do("c = connect()")
        if not os.path.getsize(self.db):
            app.do(f"c.executescript({SCHEMA!r})")
        setting = {"mode": mode, "seed": self.random.randrange(1 << 30), "cache": self.random.choice((5, 2000)),
                   "writers": self.random.choice((1, 3)), "size": self.random.choice((50, 1500, 6000)),
                   "pause": self.random.choice((0, 0.01))}
        app.do(CHANGE + "\n".join(f"{k} = {v!r}" for k, v in setting.items()) + WRITERS)
        return app

    def check(self, path, least=0):
        """Number of the last transaction in a database that must keep the invariant."""
        [(seq, total)] = self.rows(path, "SELECT seq, total FROM meta")
        [(count, real, high)] = self.rows(path, "SELECT count(*), sum(v), max(v) FROM p")
        if (count, real) != (ROWS, total) or high > seq:
            raise Corrupt(f"transaction {seq}: {count} rows, sum {real} for {total}, newest {high}")
        if seq < least:
            [(local,)] = self.rows(self.db, "SELECT seq FROM meta")
            logs = "".join(app.stderr() for app in self.apps)
            raise Lost(f"{least} acknowledged, {seq} restored, {local} in the database\n{logs}")
        return seq

    def other_program(self):
        """Commits without Backstay."""
        with contextlib.closing(sqlite3.connect(self.db, isolation_level=None, timeout=20)) as w:
            w.execute("PRAGMA cache_size=5")
            for _ in range(self.random.randrange(1, 4)):
                with contextlib.suppress(sqlite3.OperationalError):
                    scope["change"](w, self.random, 20, 1500)

    def any_restore_point(self):
        """Restores the state after a transaction somewhere in the log."""
        done = self.tool("restore", "-dry-run", "-json", "-o", self.db + ".not", self.url).stdout
        newest = json.loads(done).get("txid", 0)
        txid = str(self.random.randrange(max(1, newest - 200), newest + 1))
        try:
            self.check(self.restored("-txid", txid))
        except Corrupt as error:
            if "nothing that old" not in str(error):
                raise

    def test_round(self):
        self.settings = {"BACKSTAY_MIN_INTERVAL": self.random.choice(("0ms", "50ms"))}
        open(self.db, "w", encoding="utf-8").close()
        least = 0
        for _ in range(3):
            mode = self.random.choice(("delete", "truncate", "persist", "memory"))
            app = self.start(mode)
            for _ in range(self.random.randrange(1, 4)):
                time.sleep(self.random.random() * 0.3)
                least = max(least, app.do("result = acknowledged()"))
                if least:
                    self.check(self.restored(), least)
                    self.any_restore_point()
                if self.random.random() < 0.3:
                    self.other_program()
                    self.tally.faults += 1
            if mode != "memory" and self.random.random() < 0.7:
                self.killed(app)
            else:
                app.do("over = True\nfor t in threads: t.join()")
                app.close()
        app = App(self, open_it=False)
        app.do("c = connect()")
        app.sql("SELECT count(*) FROM meta")
        self.assertTrue(app.sync(), app.stderr())
        self.check(self.restored(), least)
        self.assert_same(self.restored())
        app.close()
        self.assertEqual([l["msg"] for a in self.apps for l in a.lines("ERROR")], [])


if __name__ == "__main__":
    main("rollback", RollbackTest)
