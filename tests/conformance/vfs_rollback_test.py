#!/usr/bin/env python3
"""What the shim tells of transactions in rollback-journal modes: which pages, what they were, when."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from vfs_support import ShimCase  # noqa: E402

START = """
load(connect(":memory:"))
def start(mode="delete", **more):
    c = connect(**more)
    assert c.execute(f"PRAGMA journal_mode={mode}").fetchone() == (mode,)
    c.execute("CREATE TABLE t(x)")
    return c
def ended():
    return calls("written")[-1]
def fill(c, rows=300):
    c.execute("INSERT INTO t WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n "
              f"WHERE i < {rows}) SELECT hex(randomblob(500)) FROM n")
"""


class Rollback(ShimCase):
    def child(self, code):
        return self.run_child(START + "\nif 1:\n" + code)

    def check_pairs(self):
        """Each transaction begins and ends, and what was told of it was in the file."""
        calls = self.calls("writing", "written")
        self.assertEqual([call["call"] for call in calls], ["writing", "written"] * (len(calls) // 2))
        for call in self.calls("written"):
            self.assertTrue(call["in_file"])
            self.assertTrue(call["complete"])
            self.assertEqual(call["pgnos"], sorted(set(call["pgnos"])))

    def test_every_mode(self):
        for mode in ("delete", "truncate", "persist", "memory", "off"):
            with self.subTest(mode=mode):
                self.doCleanups()
                self.setUp()
                self.child(f"""
                    c = start("{mode}")
                    c.execute("INSERT INTO t VALUES(1)")
                    end = ended()
                    assert end["committed"] and end["images"] and end["pgnos"] == [1, 2], end
                    assert end["changed"] == 2
                    c.execute("SELECT * FROM t").fetchall()
                    assert end == ended()
                """)
                self.check_pairs()

    def test_rolled_back_after_a_spill(self):
        self.child("""
            c = start()
            fill(c)
            c.execute("PRAGMA cache_size=5")
            c.execute("BEGIN")
            c.execute("UPDATE t SET x='y'")
            assert calls("writing", "written")[-1]["call"] == "writing"
            c.execute("ROLLBACK")
            assert not ended()["committed"] and len(ended()["pgnos"]) > 5
            assert ended()["changed"] == 0
        """)
        self.check_pairs()

    def test_nothing_written_is_nothing_told(self):
        self.child("""
            c = start()
            count = len(calls("writing", "written"))
            c.execute("BEGIN IMMEDIATE"); c.execute("INSERT INTO t VALUES(1)"); c.execute("ROLLBACK")
            c.execute("BEGIN EXCLUSIVE"); c.execute("COMMIT")
            assert len(calls("writing", "written")) == count
        """)

    def test_whose_transaction_keeps_others_from_writing_is_known(self):
        self.child("""
            seen = []
            def open_now(): return status(c)["writing"]
            for mode in ("delete", "wal"):
                c = start(mode)
                d = connect()
                assert open_now() == 0
                for end in ("COMMIT", "ROLLBACK"):
                    d.execute("SELECT count(*) FROM t").fetchone()
                    assert open_now() == 0
                    c.execute("BEGIN IMMEDIATE")
                    seen.append(open_now())
                    assert status(d)["writing"] == seen[-1] != 0
                    c.execute("INSERT INTO t VALUES(1)")
                    assert open_now() == seen[-1]
                    c.execute(end)
                    assert open_now() == 0
                d.close()
                c.execute("PRAGMA locking_mode=exclusive")
                c.execute("INSERT INTO t VALUES(1)")
                assert open_now() == 0
                c.close()
                os.remove(db)
            assert len(set(seen)) == 4, seen
        """)

    def test_hot_journal_of_another_process(self):
        self.child("""
            c = start()
            fill(c)
            c.close()
            # A database in the middle of a transaction, and its journal: what a crash leaves.
            code = "c.execute('PRAGMA cache_size=5');c.execute('BEGIN');" \\
                   "c.execute('UPDATE t SET x=1')"
            child = other_process(code)
            child.kill(); child.wait()
            assert os.path.exists(db + "-journal")
            c = connect()
            assert c.execute("SELECT count(*) FROM t WHERE x=1").fetchone() == (0,)
            assert not os.path.exists(db + "-journal")
            assert not ended()["committed"] and ended()["changed"] > 5
        """)
        self.check_pairs()

    def test_large_transactions_are_told_by_number(self):
        self.child("""
            c = start()
            c.execute("INSERT INTO t VALUES(zeroblob(20000000))")
            end = ended()
            assert not end["images"] and len(end["pgnos"]) > 4800
            c.execute("INSERT INTO t VALUES(1)")
            assert ended()["images"] and len(ended()["pgnos"]) < 4
        """)
        self.check_pairs()

    def test_vacuum_and_growth_after_a_cut(self):
        self.child("""
            c = start()
            fill(c, 1000)
            c.execute("DELETE FROM t WHERE rowid % 3")
            c.execute("VACUUM")
            assert ended()["committed"] and ended()["images"]
            c.execute("PRAGMA page_size=8192")
            c.execute("VACUUM")
            assert ended()["page_size"] == 4096 and not ended()["complete"]
            c.execute("INSERT INTO t VALUES(1)")
            assert ended()["page_size"] == 8192 and ended()["complete"]
        """)

    def test_mmap_and_size_hints(self):
        self.child("""
            c = start()
            c.execute("PRAGMA mmap_size=100000000")
            for i in range(5):
                fill(c)
                c.execute("DELETE FROM t WHERE rowid % 2")
        """)
        self.check_pairs()
        # Growing begins with a size hint, which belongs to the transaction.
        calls = self.calls("writing", "written")[1:]
        for before, after in zip(calls[::2], calls[1::2]):
            self.assertEqual(before["size"], after["size"])

    def test_who_was_told_of_the_beginning_is_told_of_the_end(self):
        self.env["RECORDING_ENGINE_LOSES"] = os.path.join(self.folder, "loses")
        self.child("""
            def lose(sync=None):
                open(os.environ["RECORDING_ENGINE_LOSES"], "w").close()
                if sync: sync.execute("SELECT backstay_sync(0)")
            def found(): os.unlink(os.environ["RECORDING_ENGINE_LOSES"])
            def handles(n): return [(call["call"], call["handle"]) for call in calls("writing", "written")[-n:]]
            c = start("memory")
            other = connect()
            fill(c)
            c.execute("PRAGMA cache_size=5")
            assert handles(2) == [("writing", 1), ("written", 1)], handles(2)

            # Found out by the commit itself.
            c.execute("BEGIN")
            c.execute("UPDATE t SET x = 1")
            lose()
            c.execute("COMMIT")
            found()
            assert handles(2) == [("writing", 1), ("written", 1)], handles(2)
            assert status(c)["untold"] == 0

            # By somebody else, in the middle of it.
            for n, end in (2, "COMMIT"), (3, "ROLLBACK"):
                fill(c)
                c.execute("BEGIN")
                c.execute("UPDATE t SET x = hex(randomblob(500))")
                assert status(other)["untold"] == 0
                lose(sync=other)
                found()
                assert status(other)["untold"] == 1
                c.execute("UPDATE t SET x = hex(randomblob(500))")
                assert handles(1) == [("writing", n)], handles(1)
                c.execute(end)
                assert handles(2) == [("writing", n), ("written", n)], handles(2)
                assert status(other)["untold"] == 0
                fill(c)
                assert handles(2) == [("writing", n + 1), ("written", n + 1)], handles(2)
        """)
        self.check()

    def test_a_transaction_that_began_before_anybody_was_told(self):
        self.env["RECORDING_ENGINE_LOSES"] = os.path.join(self.folder, "loses")
        self.child("""
            import resource
            c = start("memory")
            other = connect()
            fill(c)
            c.execute("PRAGMA cache_size=5")
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (20, hard))
            open(os.environ["RECORDING_ENGINE_LOSES"], "w").close()
            other.execute("SELECT backstay_sync(0)")
            os.unlink(os.environ["RECORDING_ENGINE_LOSES"])
            before = calls("writing", "written")
            c.execute("BEGIN")
            c.execute("UPDATE t SET x = 1")
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            other.execute("SELECT backstay_sync(0)")
            assert status(other)["untold"] == 1
            c.execute("UPDATE t SET x = 2")
            c.execute("COMMIT")
            assert calls("writing", "written") == before
            assert status(other)["untold"] == 0
        """)

    def test_exclusive_locking(self):
        self.child("""
            c = connect()
            c.execute("PRAGMA locking_mode=EXCLUSIVE")
            c.execute("CREATE TABLE t(x)")
            for i in range(3):
                c.execute("INSERT INTO t VALUES(1)")
                assert ended()["committed"] and 2 in ended()["pgnos"]
        """)
        self.check_pairs()

    def test_attached_databases_commit_together(self):
        self.child("""
            c = start()
            other = os.path.join(folder, "other.db")
            c.execute("ATTACH ? AS o", (other,))
            c.execute("CREATE TABLE o.u(x)")
            c.execute("BEGIN")
            c.execute("INSERT INTO t VALUES(1)")
            c.execute("INSERT INTO u VALUES(1)")
            c.execute("COMMIT")
            ends = calls("written")[-2:]
            assert {end["db"] for end in ends} == {db, other} and all(e["committed"] for e in ends)
        """)

    def test_sync_waits_with_the_lock_held(self):
        self.env["RECORDING_ENGINE_SYNC"] = "1"
        self.child("""
            c = start()
            c.execute("INSERT INTO t VALUES(1)")
            assert [call["call"] for call in calls()][-2:] == ["written", "sync"]
        """)

    def test_closed_in_the_middle(self):
        self.child("""
            c = start()
            fill(c)
            c.execute("PRAGMA cache_size=5")
            c.execute("BEGIN")
            c.execute("UPDATE t SET x='y'")
            c.close()
            names = [call["call"] for call in calls()]
            assert names[-3:] == ["written", "close", "released"], names
            assert not ended()["committed"]
        """)
        self.check_pairs()

    def test_backup_into_the_database(self):
        self.child("""
            c = start()
            fill(c)
            source = connect(os.path.join(folder, "source"), **{})
            source.execute("CREATE TABLE t(x)")
            fill(source, 900)
            source.backup(c)
            assert ended()["committed"] and len(ended()["pgnos"]) > 100
        """)
        self.check_pairs()


if __name__ == "__main__":
    unittest.main()
