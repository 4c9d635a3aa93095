"""Loading the extension into connections in every state, and what the application sees of it."""

import json
import os
import shutil
import subprocess
import unittest

from vfs_support import BUILD, RECORDING, ShimCase


class Adoption(ShimCase):
    def test_an_open_connection_with_its_wal_open(self):
        self.run_child("""
            c = wal(connect())
            c.execute("CREATE TABLE t(x)")
            load(c)
            assert len(calls("open")) == 1
            c.execute("INSERT INTO t VALUES(1)")
            assert calls("committed")[-1]["max_frame"] == 3, calls()
            assert status(c)["position"]["max_frame"] == 3
            c.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            assert [call["call"] for call in calls()][-2:] == ["finish_wal", "wal_gone"]
            c.execute("INSERT INTO t VALUES(1)")
            c.close()
            assert [call["call"] for call in calls()][-4:] == \\
                ["finish_wal", "wal_gone", "close", "released"], calls()
            assert not os.path.exists(db + "-wal")
        """)
        self.check()

    def test_an_open_connection_that_has_read_nothing(self):
        self.run_child("""
            c = wal(connect())
            c.execute("CREATE TABLE t(x)")
            c.close()
            c = load(connect())
            assert not calls("open"), "loading reads nothing"
            c.execute("INSERT INTO t VALUES(1)")
            assert len(calls("open")) == 1
            assert calls("committed")[-1]["max_frame"] == 1, calls()
        """)
        self.check()

    def test_a_connection_that_turns_to_wal_mode_later(self):
        self.run_child("""
            c = connect()
            c.execute("CREATE TABLE t(x)")
            load(c)
            assert not calls()
            wal(c).execute("INSERT INTO t VALUES(1)")
            assert calls("committed")[-1]["max_frame"] == 1
        """)
        self.check()

    def test_inside_a_transaction(self):
        self.run_child("""
            c = wal(connect())
            c.execute("CREATE TABLE t(x)")
            c.execute("BEGIN")
            c.execute("INSERT INTO t VALUES(1)")
            rows = c.execute("SELECT * FROM t")
            load(c)
            c.execute("INSERT INTO t VALUES(2)")
            c.execute("COMMIT")
            assert calls("committed")[-1]["max_frame"] == 3, calls()
        """)
        self.check()

    def test_in_exclusive_locking_mode(self):
        self.run_child("""
            c = connect()
            c.execute("PRAGMA locking_mode=EXCLUSIVE")
            wal(c).execute("CREATE TABLE t(x)")
            load(c)
            c.execute("INSERT INTO t VALUES(1)")
            assert calls("committed")[-1]["max_frame"] == 3, calls()
            assert calls("committed")[-1]["exclusive"] == 1
        """)
        self.check()

    def test_twice_and_from_two_connections(self):
        self.run_child("""
            a = wal(connect())
            b = connect()
            a.execute("CREATE TABLE t(x)")
            b.execute("SELECT * FROM t").fetchall()
            for c in (a, b, a, connect(), b):
                load(c)
            count = len(calls("committed"))
            a.execute("INSERT INTO t VALUES(1)")
            b.execute("INSERT INTO t VALUES(1)")
            new = [call["max_frame"] for call in calls("committed")[count:]]
            assert new == [2, 3, 4], new
            assert len(calls("open")) == 1
            assert status(a)["in_use"] == 1
        """)
        self.check()

    def test_attached_databases(self):
        self.run_child("""
            other = os.path.join(folder, "other.db")
            c = wal(connect())
            c.execute("ATTACH ? AS 'an \\"odd\\" name'", (other,))
            c.execute('CREATE TABLE t(x)')
            c.execute('PRAGMA "an ""odd"" name".journal_mode=WAL')
            c.execute('CREATE TABLE "an ""odd"" name".u(x)')
            load(c)
            assert {call["db"] for call in calls("open")} == {db, other}
            c.execute("ATTACH ? AS third", (os.path.join(folder, "third.db"),))
            wal(c, "third").execute("CREATE TABLE third.v(x)")
            count = len(calls("committed"))
            c.execute("BEGIN")
            c.execute("INSERT INTO t VALUES(1)")
            c.execute("INSERT INTO u VALUES(1)")
            c.execute("INSERT INTO v VALUES(1)")
            c.execute("COMMIT")
            new = {os.path.basename(call["db"]) for call in calls("committed")[count:]}
            assert new == {"app.db", "other.db", "third.db"}, new
            third = json.loads(c.execute("PRAGMA third.backstay_status").fetchone()[0])
            assert third["state"] == "recording"
            c.execute("DETACH third")
            assert calls("close")[-1]["db"].endswith("third.db")
        """)
        self.check()
        self.check(os.path.join(self.folder, "other.db"))

    def test_memory_and_temporary_databases_are_untouched(self):
        self.run_child("""
            for name in (":memory:", "", "file::memory:?cache=shared"):
                c = load(connect(name, uri=True))
                c.execute("CREATE TABLE t(x)")
                c.execute("CREATE TEMP TABLE u(x)")
                c.execute("INSERT INTO t VALUES(zeroblob(10000000))")
                c.execute("INSERT INTO u VALUES(zeroblob(10000000))")
                assert status(c)["state"] == "off"
                c.close()
            c = connect("file:/memdb-test?vfs=memdb", uri=True)
            load(c)
            c.execute("CREATE TABLE t(x)")
            assert not calls()
            maps = open("/proc/self/maps").read()
            assert "libbackstay_engine" not in maps, "nothing was to be replicated"
            assert len(os.listdir("/proc/self/task")) == 1
        """)

    def test_the_shell(self):
        self.env["LC_ALL"] = "C"
        self.run_shell(f""".load {self.extension}
.open {self.db}
PRAGMA journal_mode=WAL;
CREATE TABLE t(x);
INSERT INTO t VALUES(1);
.vfsname
SELECT backstay_version();
SELECT json_extract(backstay_status(),'$.state');
""")
        self.assertRegex(self.stdout, r"^wal\nbackstay/unix\n\d+\.\d+\.\d+\nrecording\n$")
        self.assertEqual(self.stderr, "")
        self.assertEqual(self.calls("committed")[-1]["max_frame"], 3)
        self.check()

    def run_shell(self, script):
        shell = subprocess.run(["sqlite3", "-batch"], input=script, env=self.env, text=True,
                               cwd=self.folder, capture_output=True, timeout=60)
        self.stdout, self.stderr = shell.stdout, shell.stderr


class Troubles(ShimCase):
    def test_without_a_journal_one_warning(self):
        self.run_child("""
            load(connect(":memory:"))
            for i in range(3):
                c = connect()
                c.execute("PRAGMA journal_mode=OFF")
                c.execute(f"CREATE TABLE t{i}(x)")
                c.execute(f"INSERT INTO t{i} VALUES(1)")
                c.close()
        """)
        [warning] = self.told()
        self.assertEqual((warning["level"], warning["db"]), (2, self.db))
        self.assertIn("can lose the local database", warning["message"])

    def test_other_journal_modes_are_no_reason_to_warn(self):
        self.run_child("""
            load(connect(":memory:"))
            c = connect()
            for mode in ("delete", "truncate", "persist", "memory"):
                assert c.execute(f"PRAGMA journal_mode={mode}").fetchone() == (mode,)
                c.execute(f"CREATE TABLE {mode}_(x)")
            assert status(c)["state"] == "recording"
        """)
        self.assertEqual(self.told(), [])

    def test_a_file_that_is_not_plain_is_said_once(self):
        self.run_child("""
            with open(db, "wb") as file: file.write(os.urandom(8192))
            load(connect(":memory:"))
            for i in range(3):
                c = connect()
                try: c.execute("SELECT * FROM sqlite_master").fetchall()
                except sqlite3.DatabaseError: pass
                else: raise SystemExit("it could be read")
                assert "PRAGMA journal_mode=WAL" in status(c)["reason"]
        """)
        self.assertEqual(len(self.told()), 1)
        self.assertEqual(self.calls("open"), [])

    def test_turning_wal_mode_on_is_no_reason_to_warn(self):
        self.run_child("""
            load(connect(":memory:"))
            wal(connect()).execute("CREATE TABLE t(x)")
        """)
        self.assertEqual(self.told(), [])

    def test_a_vfs_without_shared_memory(self):
        self.run_child("""
            load(connect("file:" + db + "?vfs=unix-dotfile", uri=True))
            c = connect("file:" + db + "?vfs=unix-dotfile", uri=True)
            c.execute("CREATE TABLE t(x)")
            mode = c.execute("PRAGMA journal_mode=WAL").fetchone()[0]
            assert mode == "delete", mode
            c.execute("INSERT INTO t VALUES(1)")
            assert c.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        """)
        self.assertTrue(self.calls("written")[-1]["committed"])
        self.assertEqual(self.told(), [])

    def test_the_engines_refusal_is_said_once_and_harms_nothing(self):
        self.env["RECORDING_ENGINE_FAIL"] = "bad \"setting\""
        self.run_child("""
            load(connect(":memory:"))
            for i in range(3):
                c = wal(connect())
                c.execute(f"CREATE TABLE t{i}(x)")
                assert status(c) == {"state": "error", "error": 'bad "setting"', "db": db}
                assert c.execute("SELECT backstay_sync()").fetchone() == (0,)
                c.close()
        """)
        [error] = self.told()
        self.assertEqual((error["level"], error["db"]), (3, self.db))
        self.check()

    def test_without_the_engine_file(self):
        alone = os.path.join(self.folder, "alone")
        os.mkdir(alone)
        self.extension = os.path.join(alone, "backstay.so")
        shutil.copy(os.path.join(BUILD, "backstay.so"), self.extension)
        self.run_child("""
            load(connect(":memory:"))
            for i in range(3):
                c = wal(connect())
                c.execute(f"CREATE TABLE t{i}(x)")
                assert status(c)["state"] == "error", status(c)
                assert "libbackstay_engine.so" in status(c)["error"]
                c.close()
        """)
        [line] = self.stderr.splitlines()
        self.assertEqual(json.loads(line)["level"], "ERROR")
        self.assertIn("libbackstay_engine.so", line)
        self.assertEqual(self.stdout, "")
        self.check()

    def test_answers(self):
        self.run_child("""
            load(connect(":memory:"))
            c = wal(connect())
            assert status(c)["state"] == "off"
            c.execute("CREATE TABLE t(x)")
            assert c.execute("SELECT backstay_sync()").fetchone() == (1,)
            assert c.execute("SELECT backstay_sync(250)").fetchone() == (1,)
            assert c.execute("PRAGMA backstay_sync(40)").fetchone() == ("1",)
            assert [call["timeout_ms"] for call in calls("sync")] == [-1, 250, 40]
            assert json.loads(c.execute("PRAGMA backstay_status").fetchone()[0]) == status(c)
            assert c.execute("PRAGMA no_such_pragma").fetchall() == []
        """)

    def test_loaded_by_a_relative_name(self):
        os.symlink(os.path.join(RECORDING, "backstay.so"), os.path.join(self.folder, "backstay.so"))
        os.symlink(os.path.join(RECORDING, "libbackstay_engine.so"),
                   os.path.join(self.folder, "libbackstay_engine.so"))
        self.extension = "./backstay"
        self.run_child("""
            load(connect(":memory:"))
            os.chdir("/")
            wal(connect()).execute("CREATE TABLE t(x)")
            assert len(calls("open")) == 1
        """)


if __name__ == "__main__":
    unittest.main()
