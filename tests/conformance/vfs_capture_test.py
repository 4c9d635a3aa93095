"""When the shim calls the engine: the cut of a transaction, and before a WAL's content is gone."""

import unittest

from vfs_support import ShimCase


class Commits(ShimCase):
    def positions(self):
        return [(call["max_frame"], call["pages"]) for call in self.calls("committed")]

    def test_each_transaction_is_cut_at_its_last_frame(self):
        self.run_child("""
            load(connect(":memory:"))
            c = wal(connect())
            c.execute("CREATE TABLE t(x)")
            for i in range(5):
                frames = calls("committed")[-1]["max_frame"]
                c.execute("INSERT INTO t VALUES(?)", (i,))
                assert calls("committed")[-1]["max_frame"] == frames + 1, calls()
                assert calls("committed")[-1]["write_locked"], "told too late"
            before = len(calls("committed"))
            c.execute("SELECT * FROM t").fetchall()
            assert len(calls("committed")) == before
        """)
        changes = [call["change"] for call in self.calls("committed")]
        self.assertEqual(changes, list(range(changes[0], changes[0] + 6)))
        self.assertEqual(len({call["salts"] for call in self.calls("committed")}), 1)
        for call in self.calls("committed"):  # all frames are in the file when the engine hears it
            self.assertGreaterEqual(call["wal"], 32 + call["max_frame"] * (24 + 4096))
            self.assertEqual(call["exclusive"], 0)
        self.check()

    def test_a_spilled_transaction_is_one_commit(self):
        self.run_child("""
            load(connect(":memory:"))
            c = wal(connect())
            c.execute("CREATE TABLE t(x)")
            c.execute("PRAGMA cache_size=5")
            count = len(calls("committed"))
            c.execute("BEGIN")
            for i in range(300):
                c.execute("INSERT INTO t VALUES(randomblob(1000))")
            for i in range(20):
                c.execute("UPDATE t SET x=randomblob(1000) WHERE rowid%7=?", (i % 7,))
            assert os.path.getsize(db + "-wal") > 50 * 4096, "nothing was spilled"
            assert len(calls("committed")) == count, "a transaction was cut before its end"
            c.execute("COMMIT")
            new = calls("committed")[count:]
            assert len(new) == 1, new
            assert 32 + new[0]["max_frame"] * 4120 == os.path.getsize(db + "-wal")
        """)
        self.check()

    def test_rolled_back_transactions_are_not_commits(self):
        self.run_child("""
            load(connect(":memory:"))
            c = wal(connect())
            c.execute("CREATE TABLE t(x)")
            c.execute("PRAGMA cache_size=5")
            count = len(calls("committed"))
            c.execute("BEGIN")
            for i in range(300):
                c.execute("INSERT INTO t VALUES(randomblob(1000))")
            c.execute("ROLLBACK")
            c.execute("BEGIN IMMEDIATE")
            c.execute("ROLLBACK")
            assert len(calls("committed")) == count
            c.execute("INSERT INTO t VALUES(1)")
            assert calls("committed")[-1]["max_frame"] < 10
        """)
        self.check()

    def test_a_savepoint_that_rewinds_the_wal_does_not_end_a_generation(self):
        self.run_child("""
            load(connect(":memory:"))
            c = wal(connect())
            c.execute("CREATE TABLE t(x)")
            c.execute("PRAGMA wal_checkpoint(RESTART)")
            c.execute("PRAGMA cache_size=5")
            done = len(calls("finish_wal"))
            c.execute("BEGIN")
            c.execute("SAVEPOINT s")
            for i in range(100):
                c.execute("INSERT INTO t VALUES(randomblob(1000))")
            c.execute("ROLLBACK TO s")
            after = len(calls("finish_wal"))
            for i in range(100):
                c.execute("INSERT INTO t VALUES(randomblob(1000))")
            c.execute("COMMIT")
            assert after == done + 1, calls("finish_wal")
            assert len(calls("finish_wal")) == after, "a header with the same salts"
            assert c.execute("SELECT count(*) FROM t").fetchone() == (100,)
        """)
        self.check()

    def test_another_process_is_noticed_at_the_next_lock(self):
        self.run_child("""
            load(connect(":memory:"))
            c = wal(connect())
            c.execute("CREATE TABLE t(x)")
            mine = calls("committed")[-1]
            other_process("c.execute('INSERT INTO t VALUES(1)')").communicate("go on")
            assert calls("committed")[-1] == mine
            c.execute("SELECT * FROM t").fetchall()
            theirs = calls("committed")[-1]
            assert theirs["max_frame"] == mine["max_frame"] + 1
            assert theirs["change"] == mine["change"] + 1
        """)
        self.check()

    def test_exclusive_locking_mode(self):
        self.run_child("""
            load(connect(":memory:"))
            c = connect()
            c.execute("PRAGMA locking_mode=EXCLUSIVE")
            wal(c)
            c.execute("PRAGMA cache_size=5")
            c.execute("CREATE TABLE t(x)")
            for i in range(3):
                c.execute("INSERT INTO t VALUES(1)")
                last = calls("committed")[-1]
                assert last["exclusive"] == 1, last
                assert 32 + last["max_frame"] * 4120 == os.path.getsize(db + "-wal"), last
            c.execute("BEGIN")
            for i in range(300):
                c.execute("INSERT INTO t VALUES(randomblob(1000))")
            for i in range(10):
                c.execute("UPDATE t SET x=randomblob(1000) WHERE rowid%7=?", (i % 7,))
            count = len(calls("committed"))
            c.execute("COMMIT")
            assert len(calls("committed")) == count + 1
            last = calls("committed")[-1]
            assert 32 + last["max_frame"] * 4120 == os.path.getsize(db + "-wal"), last
            assert not os.path.exists(db + "-shm")
            assert "position" not in status(c)
            count = len(calls("finish_wal"))
            c.execute("PRAGMA wal_checkpoint")
            c.execute("INSERT INTO t VALUES(1)")
            assert len(calls("finish_wal")) == count + 1
            assert calls("committed")[-1]["salts"] != last["salts"]
        """)
        self.check()

    def test_exclusive_locking_mode_after_a_shared_start(self):
        self.run_child("""
            load(connect(":memory:"))
            c = wal(connect())
            c.execute("CREATE TABLE t(x)")
            c.execute("PRAGMA locking_mode=EXCLUSIVE")
            c.execute("SELECT * FROM t").fetchall()
            for i in range(3):
                count = len(calls("committed"))
                c.execute("INSERT INTO t VALUES(1)")
                assert len(calls("committed")) == count + 1, calls()
            c.execute("PRAGMA locking_mode=NORMAL")
            c.execute("SELECT * FROM t").fetchall()
            c.execute("INSERT INTO t VALUES(1)")
            last, new = calls("committed")[-2:]
            assert new["max_frame"] == last["max_frame"] + 1, (last, new)
        """)
        self.check()

    def test_sync_waits_after_the_write_lock_is_free(self):
        self.env["RECORDING_ENGINE_SYNC"] = "1"
        self.run_child("""
            load(connect(":memory:"))
            c = wal(connect())
            c.execute("CREATE TABLE t(x)")
            names = [call["call"] for call in calls("committed", "sync")]
            assert names[-2:] == ["committed", "sync"], names
            assert calls("sync")[-1]["timeout_ms"] == -2
            count = len(calls("sync"))
            c.execute("SELECT * FROM t").fetchall()
            assert len(calls("sync")) == count
        """)
        self.check()


class Destruction(ShimCase):
    def test_restart_asks_before_the_header_is_overwritten(self):
        self.run_child("""
            load(connect(":memory:"))
            c = wal(connect())
            c.execute("CREATE TABLE t(x)")
            old = calls("committed")[-1]
            c.execute("PRAGMA wal_checkpoint(RESTART)")
            assert not calls("finish_wal"), "the old frames are still there"
            c.execute("INSERT INTO t VALUES(1)")
            [finish] = calls("finish_wal")
            assert finish["timeout_ms"] == 2000
            assert finish["commit_waits"] == 1
            assert finish["disk_salts"] == old["salts"], (finish, old)
            new = calls("committed")[-1]
            assert new["salts"] != old["salts"] and new["max_frame"] == 1
            assert not calls("wal_gone")
        """)
        self.check()

    def test_a_passive_checkpoint_that_empties_the_wal(self):
        self.run_child("""
            load(connect(":memory:"))
            c = wal(connect())
            c.execute("CREATE TABLE t(x)")
            c.execute("PRAGMA wal_checkpoint")
            c.execute("INSERT INTO t VALUES(1)")
            finish = [call["call"] for call in calls()].index("finish_wal")
            assert calls()[finish + 1]["call"] == "committed"
        """)
        self.check()

    def test_a_checkpoint_asks_before_it_writes(self):
        self.run_child("""
            load(connect(":memory:"))
            c = wal(connect())
            c.execute("CREATE TABLE t(x)")
            c.execute("INSERT INTO t VALUES(zeroblob(100000))")
            before = os.path.getsize(db)
            c.execute("PRAGMA wal_checkpoint")
            [asked] = calls("checkpoint")
            assert asked["size"] == before < os.path.getsize(db), asked
        """)
        self.check()

    def test_truncating_checkpoint(self):
        self.run_child("""
            load(connect(":memory:"))
            c = wal(connect())
            c.execute("CREATE TABLE t(x)")
            size = os.path.getsize(db + "-wal")
            c.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            [finish] = calls("finish_wal")
            [gone] = calls("wal_gone")
            assert finish["wal"] == size and gone["wal"] == 0, (finish, gone)
            assert finish["commit_waits"] == 0
            c.execute("INSERT INTO t VALUES(1)")
            assert len(calls("finish_wal")) == 1, "an empty WAL has nothing to finish"
            assert all(call["max_frame"] > 0 for call in calls("committed")), "not a commit"
        """)
        self.check()

    def test_journal_size_limit_cuts_only_old_frames(self):
        self.run_child("""
            load(connect(":memory:"))
            c = wal(connect())
            c.execute("PRAGMA journal_size_limit=10000")
            c.execute("CREATE TABLE t(x)")
            c.execute("INSERT INTO t VALUES(zeroblob(100000))")
            c.execute("PRAGMA wal_checkpoint(RESTART)")
            c.execute("INSERT INTO t VALUES(1)")
            assert os.path.getsize(db + "-wal") < 20000
            assert len(calls("finish_wal")) == 1, calls()
            assert not calls("wal_gone")
        """)
        self.check()

    def test_the_wait_of_a_close_comes_last(self):
        self.env["RECORDING_ENGINE_CLOSED"] = "1"
        self.run_child("""
            load(connect(":memory:"))
            a = wal(connect())
            b = connect()
            a.execute("CREATE TABLE t(x)")
            a.close()
            assert not calls("closed")
            b.close()
            assert [call["call"] for call in calls("close", "released", "closed")] == ["close", "released", "closed"]
            c = connect()
            c.execute("PRAGMA journal_mode=delete")
            c.execute("INSERT INTO t VALUES(1)")
            c.close()
            assert len(calls("closed")) == len(calls("close")) == 2
        """)

    def test_last_close(self):
        self.run_child("""
            load(connect(":memory:"))
            a = wal(connect())
            a.execute("CREATE TABLE t(x)")
            b = connect()
            b.execute("SELECT * FROM t").fetchall()
            a.close()
            assert not calls("close", "finish_wal")
            b.close()
            files = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
                     if os.path.exists(f"/proc/self/fd/{fd}")]
            assert db not in files, "the engine's handle stayed open"
        """)
        names = self.names()
        self.assertEqual(names[-5:], ["finish_wal", "wal_gone", "close", "released", "drain"])
        finish, gone, close = self.calls("finish_wal", "wal_gone", "close")
        self.assertGreater(finish["wal"], 0)
        self.assertEqual((gone["wal"], close["wal"], close["in_use"]), (-1, -1, 0))
        self.check()

    def test_a_wal_that_stays_is_not_gone(self):
        self.run_child("""
            load(connect(":memory:"))
            c = wal(connect())
            c.execute("CREATE TABLE t(x)")
            reader = other_process("c.execute('BEGIN');c.execute('SELECT * FROM t').fetchall()")
            c.close()
            assert [call["call"] for call in calls()][-2:] == ["close", "released"]
            assert not calls("wal_gone", "finish_wal")
            reader.communicate("go on")
        """)
        self.check()

    def test_leaving_wal_mode_and_coming_back(self):
        self.run_child("""
            load(connect(":memory:"))
            c = wal(connect())
            c.execute("CREATE TABLE t(x)")
            old = calls("committed")[-1]["salts"]
            c.execute("PRAGMA journal_mode=DELETE")
            assert [call["call"] for call in calls()][-4:] == \\
                ["finish_wal", "wal_gone", "writing", "written"]
            assert calls("written")[-1]["pgnos"] == [1]
            c.execute("PRAGMA page_size=8192")
            c.execute("VACUUM")
            wal(c)
            c.execute("INSERT INTO t VALUES(1)")
            assert calls("committed")[-1]["salts"] != old
            assert len(calls("open")) == 1
        """)
        self.check()

    def test_vacuum(self):
        self.run_child("""
            load(connect(":memory:"))
            c = wal(connect())
            c.execute("CREATE TABLE t(x)")
            c.execute("INSERT INTO t VALUES(zeroblob(1000000))")
            c.execute("DELETE FROM t")
            pages = calls("committed")[-1]["pages"]
            c.execute("VACUUM")
            assert calls("committed")[-1]["pages"] < pages
        """)
        self.check()


if __name__ == "__main__":
    unittest.main()
