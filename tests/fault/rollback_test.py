#!/usr/bin/python3
"""Writers in rollback-journal modes while snapshots, repairs, restores, other programs and kills go on.

Every transaction changes pages all over the database and keeps an invariant (a sum, a number); many are rolled back
after they have spilled, some are too large to be handed over, some are made by a program without Backstay. Whatever
is restored, at whatever moment and from whatever restore point, keeps the invariant: it is a committed state. What
backstay_sync() acknowledged is in it.

A kill in journal mode MEMORY or OFF may leave the local database with half a transaction: SQLite promises nothing then.
What was acknowledged before stays restorable all the same.
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
# In modes without a journal on the disk: only commits, which spill, one writer. Notes what is acknowledged: [seq, txid].
SPILLER = r"""
import os, random, threading, time
note = os.open(note_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
def spill():
    w = connect()
    rng = random.Random(seed)
    w.execute(f"PRAGMA journal_mode={mode}")
    w.execute("PRAGMA cache_size=5")
    while True:
        w.execute("BEGIN IMMEDIATE")
        seq = w.execute("SELECT seq FROM meta").fetchone()[0] + 1
        for i in rng.sample(range(1, 301), rng.randrange(1, 200)):
            w.execute("UPDATE p SET v = ?, filler = randomblob(?) WHERE id = ?", (seq, size, i))
        time.sleep(rng.random() * 0.03)
        w.execute("UPDATE meta SET seq = ?, total = (SELECT sum(v) FROM p)", (seq,))
        w.execute("COMMIT")
        if rng.random() < 0.3 and w.execute("SELECT backstay_sync(5000)").fetchone()[0] == 1:
            os.write(note, json.dumps([seq, status(w)["replicas"][0]["replicated_txid"]]).encode() + b"\n")
threading.Thread(target=spill, daemon=True).start()
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

    def spilling(self, mode, size):
        """Kills the application somewhere in its transactions: what was acknowledged, [seq, txid] each."""
        note = os.path.join(self.folder, "note")
        open(note, "w", encoding="utf-8").close()
        app = App(self, open_it=False)
        app.do("c = connect()")
        [[seq]] = app.sql("SELECT seq FROM meta")
        self.assertTrue(app.sync(), app.stderr())
        first = [seq, app.status()["replicas"][0]["replicated_txid"]]
        app.do(f"note_path, seed, mode, size = {note!r}, {self.random.randrange(1 << 30)}, {mode!r}, {size}" + SPILLER)
        time.sleep(self.random.random() * 0.5)
        self.killed(app)
        self.assertEqual([l["msg"] for l in app.lines("ERROR")], [])
        with open(note, encoding="utf-8") as file:
            return [first, *map(json.loads, file)]

    def assert_restorable(self, acknowledged):
        for seq, txid in acknowledged:
            if (found := self.check(self.restored("-txid", str(txid)), seq)) != seq:
                raise Corrupt(f"txid {txid} was acknowledged with transaction {seq}, it gives {found}")

    def local_state(self):
        """'whole', 'half' (a sound database, of no committed state) or 'damaged'."""
        try:
            if self.rows(self.db, "PRAGMA integrity_check") != [("ok",)]:
                return "damaged"
            self.check(self.db)
            return "whole"
        except Corrupt:
            return "half"
        except sqlite3.DatabaseError:
            return "damaged"

    def start_after(self, state):
        """The next start, whatever the kill has left: the host lives; a sound database is shipped as it is."""
        app = App(self, open_it=False)
        if state == "damaged":
            app.do("try:\n c = connect(); sql('SELECT seq FROM meta'); sql('CREATE TABLE IF NOT EXISTS more(a)')\n"
                   " sql('INSERT INTO more VALUES(1)'); sql('SELECT backstay_sync(3000)')\n"
                   "except sqlite3.Error as e: result = str(e)")
        else:
            app.do("c = connect()")
            app.sql("UPDATE meta SET seq = seq")
            self.assertTrue(app.sync(), app.stderr())
            self.assert_same(self.restored())
        app.close()
        self.assertEqual([l["msg"] for l in app.lines("ERROR")], [])

    def killed_without_a_journal(self, mode):
        """At least three rounds, and one whose kill left half a transaction in the database."""
        with contextlib.closing(sqlite3.connect(self.db)) as connection:
            connection.executescript(SCHEMA)
        # Rows as long as before: the b-trees stay as they are, half a transaction is a sound database.
        size = self.random.choice((1500, 6000))
        everything, states = [], []
        while len(states) < 3 or set(states) == {"whole"}:
            self.assertLess(len(states), 20, "no kill came in the middle of a transaction")
            self.tally.rounds += bool(states)
            acknowledged = self.spilling(mode, size)
            everything += acknowledged
            states.append(self.local_state())
            self.assert_restorable(acknowledged[-4:])
            self.start_after(states[-1])
            self.assert_restorable(self.random.sample(everything, min(4, len(everything))))
            if states[-1] != "whole":
                self.tool("restore", "-force", "-txid", str(everything[-1][1]), "-o", self.db, self.url)
                self.tool("adopt", self.db)

    def test_killed_with_the_journal_in_memory(self):
        self.killed_without_a_journal("memory")

    def test_killed_without_a_journal(self):
        self.killed_without_a_journal("off")


if __name__ == "__main__":
    main("rollback", RollbackTest)
