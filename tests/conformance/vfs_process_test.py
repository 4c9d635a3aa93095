"""The shim among threads, forks, locks and reads of the main file."""

import os
import unittest

from vfs_support import ShimCase


class Reading(ShimCase):
    SAME = """
        def check_content(c):
            told = status(c)
            content = open(db, "rb").read()
            expected = 0
            for byte in content:
                expected = (expected * 31 + byte) & 0xffffffff
            assert told["size"] == told["read"] == len(content), told
            assert told["sum"] == expected, told
    """

    def child(self, code):
        import textwrap
        self.run_child(textwrap.dedent(self.SAME) + textwrap.dedent(code))
        self.check()

    def test_the_host_reads_what_the_file_holds(self):
        # The file is read directly only where no lock of the process can be lost by it.
        self.child("""
            load(connect(":memory:"))
            c = wal(connect())
            c.execute("CREATE TABLE t(x)")
            c.execute("INSERT INTO t VALUES(randomblob(50000))")
            c.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            check_content(c)
        """)

    def test_with_mmap(self):
        self.child("""
            load(connect(":memory:"))
            c = wal(connect())
            assert c.execute("PRAGMA mmap_size=10000000").fetchone() == (10000000,)
            c.execute("CREATE TABLE t(x)")
            for i in range(50):
                c.execute("INSERT INTO t VALUES(randomblob(5000))")
            c.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            c.execute("DELETE FROM t WHERE rowid%2")
            c.execute("VACUUM")
            c.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            c.execute("SELECT sum(length(x)) FROM t").fetchone()
            check_content(c)
        """)

    def test_position_follows_the_wal_index(self):
        self.child("""
            load(connect(":memory:"))
            a = wal(connect())
            b = connect()
            a.execute("CREATE TABLE t(x)")
            b.execute("SELECT * FROM t").fetchall()
            assert status(a)["position"]["max_frame"] == 2
            a.close()
            b.execute("INSERT INTO t VALUES(1)")
            assert status(b)["position"]["max_frame"] == 3
            b.execute("PRAGMA journal_mode=DELETE")
            assert "position" not in status(b)
        """)


class Locks(ShimCase):
    def test_closing_the_engines_handle_keeps_the_locks(self):
        self.run_child("""
            import fcntl
            load(connect(":memory:"))
            c = wal(connect())
            c.execute("CREATE TABLE t(x)")
            other = connect()
            # Another database's handle closes on the same inode while `c` holds a write lock.
            c.execute("BEGIN IMMEDIATE")
            c.execute("INSERT INTO t VALUES(1)")
            locks = open("/proc/locks").read().count(f" {os.getpid()} ")
            assert locks > 0
            other.execute("SELECT * FROM t").fetchall()
            other.close()
            json.loads(c.execute("PRAGMA backstay_status").fetchone()[0])
            assert open("/proc/locks").read().count(f" {os.getpid()} ") >= locks
            code = "c.execute('PRAGMA busy_timeout=0')\\ntry:\\n  c.execute('BEGIN IMMEDIATE')\\n" \\
                   "  sys.exit('it could write')\\nexcept sqlite3.OperationalError: pass\\nif 1: pass"
            other_process(code).communicate("go on")
            c.execute("COMMIT")
            assert c.execute("SELECT count(*) FROM t").fetchone() == (1,)
        """)
        self.check()

    def test_release_while_another_connection_holds_locks(self):
        # The engine's handle of a database closes while a connection past the shim, opened before
        # the library was loaded, is in the middle of a transaction.
        self.run_child("""
            outside = wal(connect())
            outside.execute("CREATE TABLE t(x)")
            load(connect(":memory:"))
            c = connect()
            c.execute("SELECT * FROM t").fetchall()
            outside.execute("BEGIN IMMEDIATE")
            outside.execute("INSERT INTO t VALUES(1)")
            locks = open("/proc/locks").read().count(f" {os.getpid()} ")
            c.close()
            assert calls()[-1]["call"] == "released"
            # The shared lock of `c` goes with it, and nothing else.
            left = open("/proc/locks").read().count(f" {os.getpid()} ")
            assert left >= locks - 1 and left > 0, (locks, left)
            code = "c.execute('PRAGMA busy_timeout=0')\\ntry:\\n  c.execute('BEGIN IMMEDIATE')\\n" \\
                   "  sys.exit('it could write')\\nexcept sqlite3.OperationalError: pass\\nif 1: pass"
            other_process(code).communicate("go on")
            outside.execute("COMMIT")
            assert outside.execute("SELECT count(*) FROM t").fetchone() == (1,)
        """)
        self.check()


class Threads(ShimCase):
    def test_connections_on_many_threads(self):
        self.run_child("""
            load(connect(":memory:"))
            keep = wal(connect())
            keep.execute("CREATE TABLE t(x)")
            failures = []
            def work(number):
                try:
                    for i in range(15):
                        c = connect(timeout=60)
                        c.execute("PRAGMA cache_size=5")
                        for j in range(5):
                            c.execute("INSERT INTO t VALUES(randomblob(3000))")
                            c.execute("SELECT count(*) FROM t").fetchone()
                        if i % 5 == number:
                            c.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                        c.close()
                except Exception as problem:
                    failures.append(problem)
            threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
            assert not failures, failures
            assert keep.execute("SELECT count(*) FROM t").fetchone() == (300,)
            assert len(calls("open")) == 1
            keep.close()
        """)
        self.check()
        last, frames = {}, {}
        for call in self.calls("committed"):  # within a generation no position goes back
            self.assertGreaterEqual(call["max_frame"], frames.get(call["salts"], 0))
            frames[call["salts"]] = call["max_frame"]
        changes = [call["change"] for call in self.calls("committed")]
        self.assertEqual(changes, sorted(changes))
        self.assertEqual(len(set(changes)), 301)  # every transaction was told
        # Each generation's end was told before the engine had to finish it.
        for finish in self.calls("finish_wal"):
            self.assertIn(finish["disk_salts"], frames)

    def test_open_and_close_on_many_threads(self):
        self.run_child("""
            load(connect(":memory:"))
            wal(connect()).execute("CREATE TABLE t(x)")
            failures = []
            def work():
                try:
                    for i in range(40):
                        c = connect(timeout=60)
                        c.execute("SELECT count(*) FROM t").fetchone()
                        c.close()
                except Exception as problem:
                    failures.append(problem)
            threads = [threading.Thread(target=work) for i in range(4)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
            assert not failures, failures
        """)
        self.check()
        balance = 0
        for call in self.calls("open", "close"):  # one at a time: never opened twice
            balance += 1 if call["call"] == "open" else -1
            self.assertIn(balance, (0, 1))
        self.assertEqual(balance, 0)


class Forks(ShimCase):
    def test_a_child_starts_anew(self):
        self.run_child("""
            load(connect(":memory:"))
            c = wal(connect())
            c.execute("CREATE TABLE t(x)")
            count = len(calls("committed"))
            child = os.fork()
            if child == 0:
                # What it inherited only passes through; what it opens is replicated anew.
                c.execute("SELECT * FROM t").fetchall()
                mine = connect(os.path.join(folder, "child.db"))
                wal(mine).execute("CREATE TABLE u(x)")
                mine.close()
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            c.execute("INSERT INTO t VALUES(1)")
            assert calls("committed")[-1]["pid"] == os.getpid()
            c.close()
        """)
        parent = self.calls("open")[0]["pid"]
        child = [(call["call"], os.path.basename(call.get("db", ""))) for call in self.calls()
                 if call["pid"] != parent and call["call"] != "log"]
        self.assertEqual(child[0], ("forked", ""))
        self.assertEqual({db for _, db in child[1:]}, {"child.db"})
        self.assertEqual([name for name, _ in child[1:]],
                         ["open", "committed", "checkpoint", "finish_wal", "wal_gone", "close",
                          "released"])
        self.assertIn("drain", self.names())
        self.check()
        self.check(os.path.join(self.folder, "child.db"))

    def test_a_child_that_closes_what_it_inherited(self):
        self.run_child("""
            load(connect(":memory:"))
            c = wal(connect())
            c.execute("CREATE TABLE t(x)")
            reader = other_process("c.execute('BEGIN');c.execute('SELECT * FROM t').fetchall()")
            child = os.fork()
            if child == 0:
                c.close()
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            assert not calls("close")
            c.execute("INSERT INTO t VALUES(1)")
            reader.communicate("go on")
        """)
        self.check()

    def test_a_fork_before_any_database(self):
        self.run_child("""
            load(connect(":memory:"))
            children = []
            for name in ("a.db", "b.db"):
                child = os.fork()
                if child == 0:
                    c = connect(os.path.join(folder, name))
                    wal(c).execute("CREATE TABLE t(x)")
                    c.close()
                    sys.exit(0)
                children.append(child)
            for child in children:
                assert os.waitpid(child, 0)[1] == 0
        """)
        self.assertEqual(len({call["pid"] for call in self.calls("open")}), 2)
        self.assertEqual(len(self.calls("drain")), 2)


if __name__ == "__main__":
    unittest.main()
