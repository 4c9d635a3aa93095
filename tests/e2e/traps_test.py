#!/usr/bin/python3
"""Ways in which replication inside a process can lose or corrupt data, each tried in a real application.

Numbers are those of the table in tests/README.md, which names the tests of the other traps.
"""

import contextlib
import os
import sqlite3
import struct
import subprocess
import time
import unittest

from engine_world import BUILD, PATIENCE, PYTHON, SANITIZER, App, EngineCase, environment

TABLE = "CREATE TABLE t(id INTEGER PRIMARY KEY, x)"
ROWS = ("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<{}) "
        "INSERT INTO t(x) SELECT randomblob(300) FROM n")


def swap_byte_order(path):
    """A WAL as a machine of the other byte order writes it (sqlite.org/fileformat2.html, 4.2)."""
    def add(sums, data):
        s1, s2 = sums
        for a, b in struct.iter_unpack(">II", data):
            s1 = (s1 + a + s2) & 0xffffffff
            s2 = (s2 + b + s1) & 0xffffffff
        return s1, s2

    with open(path, "rb") as file:
        wal = bytearray(file.read())
    wal[3] = 0x83
    page_size, salts = struct.unpack_from(">I", wal, 8)[0], wal[16:24]
    sums = add((0, 0), wal[:24])
    struct.pack_into(">II", wal, 24, *sums)
    for at in range(32, len(wal) - page_size - 23, page_size + 24):
        if wal[at + 8:at + 16] != salts:
            break
        sums = add(add(sums, wal[at:at + 8]), wal[at + 24:at + 24 + page_size])
        struct.pack_into(">II", wal, at + 16, *sums)
    with open(path, "wb") as file:
        file.write(wal)


class Traps(EngineCase):
    def started(self, **env):
        app = App(self, **env)
        app.sql(TABLE)
        app.sql(ROWS.format(200))
        self.assertTrue(app.sync())
        return app

    def assert_replicated(self, app, unwanted=("WARN", "ERROR")):
        self.assertTrue(app.sync(), app.stderr())
        self.assert_restores()
        self.assertEqual(app.lines(*unwanted), [], app.stderr())

    def shell(self, *statements):
        """The sqlite3 shell, without Backstay."""
        subprocess.run(["sqlite3", self.db, *statements], env=environment(), check=True,
                       capture_output=True, timeout=PATIENCE)

    def test_trap_01_spilled_pages_are_rewritten_after_they_went_to_the_wal(self):
        app = self.started()
        app.sql("PRAGMA cache_size=5")
        for _ in range(5):
            app.do("sql('BEGIN')")
            app.sql(ROWS.format(200))
            for i in range(1, 200, 7):
                app.sql(f"UPDATE t SET x = randomblob(310) WHERE id % 200 = {i}")
            app.sql("UPDATE t SET x = id")
            app.sql("COMMIT")
        self.assert_replicated(app)

    def test_trap_02_rolled_back_frames_and_savepoints(self):
        app = self.started()
        app.sql("PRAGMA cache_size=5")
        for _ in range(3):
            app.sql("PRAGMA wal_checkpoint(RESTART)")
            app.sql("BEGIN")
            app.sql("SAVEPOINT a")
            app.sql(ROWS.format(300))
            app.sql("ROLLBACK TO a")
            app.sql("INSERT INTO t(x) VALUES('kept')")
            app.sql("COMMIT")
            app.sql("BEGIN")
            app.sql(ROWS.format(300))
            app.sql("ROLLBACK")
        self.assert_replicated(app)

    def test_trap_06_wal_begun_anew_by_another_connection(self):
        app = self.started()
        app.do("d = connect()")
        for i in range(30):
            app.sql(ROWS.format(5))
            app.do(f"d.execute('PRAGMA wal_checkpoint({('PASSIVE', 'RESTART', 'TRUNCATE')[i % 3]})')")
            app.do("d.execute('UPDATE t SET x = 1 WHERE id = 7')")
        self.assert_replicated(app)

    def test_trap_07_killed_after_the_wal_began_anew_before_anything_was_shipped(self):
        app = self.started(BACKSTAY_MIN_INTERVAL="1h")
        app.sql(ROWS.format(50))
        app.sql("PRAGMA wal_checkpoint(RESTART)")
        app.sql("INSERT INTO t(x) VALUES('in the new WAL')")
        app.kill()
        self.assert_replicated(App(self))

    def test_trap_08_another_program_writes_and_checkpoints(self):
        app = self.started()
        self.shell("UPDATE t SET x = 'foreign' WHERE id < 20")
        app.sql("UPDATE t SET x = 'ours' WHERE id = 5")
        self.assert_replicated(app)
        self.shell("UPDATE t SET x = 'foreign again'", "PRAGMA wal_checkpoint(TRUNCATE)",
                   "INSERT INTO t(x) VALUES('in a WAL that we did not see begin')")
        app.sql("UPDATE t SET x = 'ours' WHERE id = 6")
        self.assert_replicated(app, unwanted=("ERROR",))

    def test_trap_08_a_whole_wal_of_another_program_right_after_the_open(self):
        """The file is as this database was closed with; the first WAL since is gone again before it was read."""
        self.started().close()
        for statement in ("SELECT count(*) FROM t", "INSERT INTO t(x) VALUES('ours')"):
            app = App(self)
            app.sql(statement)
            self.shell("INSERT INTO t(x) VALUES('foreign')", "PRAGMA wal_checkpoint(RESTART)",
                       "INSERT INTO t(x) VALUES('in the next WAL')")
            self.assert_replicated(app, unwanted=("ERROR",))
            app.close()
            self.assert_restores()

    def test_trap_07_a_wal_that_was_shipped_is_lost(self):
        self.started().close()
        app = App(self)
        app.sql("INSERT INTO t(x) VALUES('in the WAL')")
        self.assertTrue(app.sync())
        app.kill()
        for suffix in ("-wal", "-shm"):
            os.remove(self.db + suffix)
        app = App(self)
        app.sql("SELECT count(*) FROM t")
        self.assert_replicated(app, unwanted=("ERROR",))
        app.sql("INSERT INTO t(x) VALUES('later')")
        self.assert_replicated(app, unwanted=("ERROR",))

    def test_trap_08_a_gap_while_the_replica_is_away(self):
        app = self.started()
        os.rename(self.replica, self.replica + ".away")
        with open(self.replica, "w", encoding="utf-8"):
            pass
        app.sql("INSERT INTO t(x) VALUES('ours')")
        self.wait_for_state(app, "retrying")
        self.shell("UPDATE t SET x = 'foreign'", "PRAGMA wal_checkpoint(TRUNCATE)", ROWS.format(3000))
        app.sql("INSERT INTO t(x) VALUES('ours')")
        self.wait_for("the gap to be seen", lambda: any("missed" in line["msg"] for line in app.lines("WARN")))
        before = self.capture_ticks(app)
        time.sleep(1)
        # Waiting for the replica takes no processor: that would be a hundred.
        self.assertLess(self.capture_ticks(app) - before, os.sysconf("SC_CLK_TCK") / 2)
        os.remove(self.replica)
        os.rename(self.replica + ".away", self.replica)
        self.assertTrue(app.sync(), app.stderr())
        self.assert_restores()

    def capture_ticks(self, app):
        """Processor time of the capture thread so far."""
        for task in os.listdir(f"/proc/{app.process.pid}/task"):
            with open(f"/proc/{app.process.pid}/task/{task}/stat", encoding="utf-8") as file:
                name, fields = file.read().rsplit(")", 1)
            if "backstay-work" in name:
                return sum(int(field) for field in fields.split()[11:13])
        return self.fail("no capture thread")

    def test_trap_09_several_processes_and_the_shipping_one_is_killed(self):
        self.started()
        for _ in range(3):
            shipping = self.apps[-1]
            other = App(self)
            other.sql("INSERT INTO t(x) VALUES('from a process that does not ship')")
            shipping.sql("INSERT INTO t(x) VALUES('from the one that does')")
            shipping.kill()
            other.sql("INSERT INTO t(x) VALUES('from the heir')")
            self.wait_for("the heir to ship", lambda app=other: app.sync(2000))
            self.assert_restores()

    def test_trap_13_a_transaction_larger_than_what_is_held_in_memory(self):
        memory = "int(re.search(r'{}:\\s*(\\d+)', open('/proc/self/status').read())[1]) >> 10"
        app = self.started(BACKSTAY_OUTBOX_LIMIT="2MiB")
        app.sql("INSERT INTO t(x) SELECT randomblob(40000) FROM t, (VALUES(1), (2), (3), (4), (5), (6))")
        app.sql("DELETE FROM t WHERE id < 200")
        self.assertTrue(app.sync())
        app.do("import re; open('/proc/self/clear_refs', 'w').write('5')")
        before = app.do("result = " + memory.format("VmRSS"))
        app.sql("VACUUM")
        self.assertTrue(app.sync())
        self.assertGreater(os.path.getsize(self.db + "-wal"), 40 << 20)
        if not SANITIZER:  # whose own memory would count
            self.assertLess(app.do("result = " + memory.format("VmHWM")) - before, 40, "MiB")
        self.assert_restores()

    def test_trap_14_attached_databases(self):
        other = os.path.join(self.disk, "other.db")
        app = App(self, BACKSTAY_DB=os.path.join(self.disk, "*.db"),
                  BACKSTAY_REPLICA_URL=self.url + "/{name}")
        app.sql(f"ATTACH '{other}' AS other")
        app.sql("PRAGMA other.journal_mode=wal")
        app.sql(TABLE)
        app.sql(TABLE.replace("t(", "other.u("))
        for i in range(20):
            app.sql("BEGIN")
            app.sql(f"INSERT INTO t VALUES({i}, 'a')")
            app.sql(f"INSERT INTO u VALUES({i}, 'b')")
            app.sql("COMMIT")
        self.assertTrue(app.sync())
        app.close()
        for db, name in ((self.db, "app.db"), (other, "other.db")):
            self.assert_restores(db, f"{self.url}/{name}")

    def test_trap_15_mmap(self):
        app = self.started()
        app.sql("PRAGMA mmap_size=268435456")
        for _ in range(5):
            app.sql(ROWS.format(300))
            app.sql("DELETE FROM t WHERE id % 5 = 0")
            app.sql("PRAGMA wal_checkpoint")
        app.sql("VACUUM")
        self.assert_replicated(app)

    def test_trap_18_what_lies_behind_the_end_of_the_wal_is_stale(self):
        app = self.started()
        app.sql(ROWS.format(2000))
        app.sql("PRAGMA wal_checkpoint(RESTART)")
        size = os.path.getsize(self.db + "-wal")
        app.sql("INSERT INTO t(x) VALUES('at the start of a long WAL')")
        self.assertEqual(os.path.getsize(self.db + "-wal"), size)
        self.assert_replicated(app)
        app.kill()
        self.assert_replicated(App(self))

    def test_trap_19_checksums_in_the_other_byte_order(self):
        app = self.started(BACKSTAY_MIN_INTERVAL="1h")
        app.sql(ROWS.format(20))
        app.kill()
        os.remove(self.db + "-shm")
        swap_byte_order(self.db + "-wal")
        app = App(self)
        self.assertEqual(app.sql("SELECT count(*) FROM t")[0][0], 220)
        app.sql("INSERT INTO t(x) VALUES('appended')")
        with open(self.db + "-wal", "rb") as file:
            self.assertEqual(file.read(4), b"\x37\x7f\x06\x83")
        self.assertTrue(app.sync(), app.stderr())
        compared = [l for l in app.lines("INFO") if "compared" in l["msg"]]
        app.sql("INSERT INTO t(x) VALUES('followed, not compared')")
        self.assert_replicated(app, unwanted=("ERROR",))
        self.assertEqual([l for l in app.lines("INFO") if "compared" in l["msg"]], compared)

    def test_trap_20_temporary_databases(self):
        app = self.started()
        app.sql("CREATE TEMP TABLE u AS SELECT * FROM t")
        app.sql("UPDATE u SET x = 'not to be shipped'")
        app.do("m = connect(':memory:'); m.execute('CREATE TABLE v(x)')")
        app.sql("INSERT INTO t(x) SELECT x FROM u LIMIT 5")
        self.assert_replicated(app)
        self.assertEqual(os.listdir(self.replica).count("backstay.json"), 1)

    def test_trap_24_a_sqlite_that_can_lose_commits_is_named_once(self):
        app = self.started(BACKSTAY_DB=os.path.join(self.disk, "*.db"), BACKSTAY_REPLICA_URL=self.url + "/{name}")
        app.do("d = connect()")
        app.sql("INSERT INTO t(x) VALUES(1)")
        app.do("e = connect(db.replace('app.db', 'other.db')); e.execute('PRAGMA journal_mode=wal')")
        app.do("e.execute('CREATE TABLE t(x)')")
        self.assertTrue(app.do("result = e.execute('SELECT backstay_sync(60000)').fetchone()[0]"))
        version = app.do("result = list(sqlite3.sqlite_version_info)")
        affected = [3, 7, 0] <= version < [3, 51, 3] and not (
            [3, 50, 7] <= version < [3, 51] or [3, 44, 6] <= version < [3, 45])

        def assert_said(*levels):
            said = [line["level"] for line in app.all_lines() if "WAL-reset bug" in line["msg"]]
            self.assertEqual(said, list(levels) if affected else [], app.stderr())

        app.sql("PRAGMA wal_checkpoint")
        app.do("e.execute('PRAGMA wal_checkpoint')")
        assert_said("INFO")
        app.sql("INSERT INTO t(x) VALUES(1)")
        app.do("d.execute('PRAGMA wal_checkpoint').fetchall()")
        assert_said("INFO", "WARN")
        app.do("f = connect(); f.execute('INSERT INTO t(x) VALUES(1)'); f.execute('PRAGMA wal_checkpoint').fetchall()")
        assert_said("INFO", "WARN")

    def test_trap_27_serialize_reads_and_deserialize_leaves(self):
        app = self.started()
        # In memory there is no WAL: the header must not ask for one.
        app.do("image = bytearray(c.serialize()); image[18:20] = b'\\1\\1'")
        app.do("d = connect(); d.execute('SELECT count(*) FROM t').fetchall(); d.deserialize(bytes(image))")
        app.do("d.execute('DELETE FROM t')")
        self.assertEqual(app.sql("SELECT count(*) FROM t")[0][0], 200, "only the copy in memory")
        app.sql("INSERT INTO t(x) VALUES(1)")
        self.assert_replicated(app)

    def test_trap_29_read_only_media(self):
        app = self.started()
        app.close()
        before = self.snapshot_of_replica()
        reader = App(self, open_it=False)
        reader.do(f"c = sqlite3.connect('file:{self.db}?immutable=1', uri=True)")
        self.assertEqual(reader.sql("SELECT count(*) FROM t")[0][0], 200)
        reader.close()
        self.assertEqual(self.snapshot_of_replica(), before)

    def test_trap_30_a_connection_past_the_shim_in_the_same_process(self):
        app = self.started()
        app.do("d = connect('file:' + db + '?vfs=unix', uri=True)")
        app.do("d.execute(\"UPDATE t SET x = 'past the shim' WHERE id < 50\")")
        app.sql("INSERT INTO t(x) VALUES(1)")
        app.do("d.execute('PRAGMA wal_checkpoint(TRUNCATE)').fetchall()")
        app.do("d.execute(\"UPDATE t SET x = 'again' WHERE id < 50\")")
        app.sql("INSERT INTO t(x) VALUES(2)")
        self.assert_replicated(app, unwanted=("ERROR",))

    def test_trap_30_a_database_that_is_renamed_while_open(self):
        app = self.started()
        moved = self.db + ".moved"
        for suffix in ("", "-wal", "-shm"):
            os.rename(self.db + suffix, moved + suffix)
        app.sql("INSERT INTO t(x) VALUES('after the move')")
        app.do("c.close(); c = connect(); sql('PRAGMA journal_mode=wal')")
        self.assertEqual(app.sql("SELECT count(*) FROM sqlite_schema")[0][0], 0, "a new database")
        app.sql(TABLE)
        self.wait_for_state(app, "error")
        self.assertIn("replaced by another", app.status()["replicas"][0]["error"])
        app.close()
        self.assertEqual(len(app.lines("ERROR")), 1, app.stderr())
        out = os.path.join(self.folder, "restored.db")
        self.tool("restore", "-o", out, self.url)
        with contextlib.closing(sqlite3.connect(out)) as restored:
            self.assertEqual(restored.execute("SELECT count(*) FROM t").fetchone(), (201,),
                             "what was committed before its close, and no empty database")

    def test_trap_31_signals_and_exit_are_the_hosts(self):
        code = """
import os, signal, sqlite3, sys, threading, time
seen = []
signal.signal(signal.SIGALRM, lambda *_: seen.append(threading.current_thread().name))
handlers = [signal.getsignal(n) for n in range(1, 32)]
l = sqlite3.connect(":memory:"); l.enable_load_extension(True); l.load_extension(sys.argv[2])
l.close()
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute("PRAGMA journal_mode=wal"); c.execute("CREATE TABLE t(x)")
signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
for i in range(300): c.execute("INSERT INTO t VALUES(?)", (i,))
signal.setitimer(signal.ITIMER_REAL, 0)
assert [signal.getsignal(n) for n in range(1, 32)] == handlers
assert set(seen) <= {"MainThread"}
status = [open(f"/proc/self/task/{t}/status").read() for t in os.listdir("/proc/self/task")]
ours = [s for s in status if "backstay" in s.splitlines()[0]]
assert ours
for s in ours:
    blocked = int(next(l for l in s.splitlines() if l.startswith("SigBlk")).split()[1], 16)
    assert all(blocked >> (n - 1) & 1 for n in range(1, 32) if n not in (9, 19)), s
"""
        done = subprocess.run([PYTHON, "-c", code, self.db, os.path.join(BUILD, "backstay.so")],
                              env=self.env, capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)
        self.assert_restores()

    def test_trap_32_the_page_of_the_lock_bytes(self):
        app = App(self, open_it=False)
        app.do("c = connect()")
        app.sql("PRAGMA page_size=65536")
        app.sql("PRAGMA journal_mode=wal")
        app.sql(TABLE)
        app.sql("PRAGMA wal_autocheckpoint=200")
        # A little over 1 GiB of zeros, most of them never written to the disk at once.
        for _ in range(21):
            app.sql("INSERT INTO t(x) VALUES(zeroblob(52000000))")
        app.sql("INSERT INTO t(x) VALUES('behind the lock-byte page')")
        self.assertTrue(app.sync(), app.stderr())
        self.assertGreater(os.path.getsize(self.db), (1 << 30) + 65536)
        out = os.path.join(self.folder, "restored.db")
        self.tool("restore", "-o", out, "-integrity-check", "quick", self.url)
        app.close()
        with open(out, "rb") as restored, open(self.db, "rb") as original:
            while block := restored.read(1 << 22):
                theirs = original.read(1 << 22)
                at = restored.tell() - len(block)
                if at <= 1 << 30 < at + len(block):  # SQLite never reads that page
                    lock = (1 << 30) - at
                    block, theirs = (b[:lock] + b[lock + 65536:] for b in (block, theirs))
                self.assertEqual(block, theirs)
            self.assertEqual(original.read(1), b"")


if __name__ == "__main__":
    unittest.main()
