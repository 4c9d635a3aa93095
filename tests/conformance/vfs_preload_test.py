"""libbackstay_preload.so in programs that know nothing of it, with SQLite linked in every way."""

import json
import os
import shutil
import subprocess
import sys
import unittest

from vfs_support import BUILD, RECORDING, ShimCase

PRELOAD = os.path.join(RECORDING, "libbackstay_preload.so")
HOST = os.path.join(BUILD, "tests/vfs_static_host")
PLUGIN = os.path.join(BUILD, "tests/vfs_static_plugin.so")

WRITE = """
import os, sqlite3, sys
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute("PRAGMA journal_mode=WAL")
c.execute("CREATE TABLE t(x)")
c.execute("INSERT INTO t VALUES(1)")
"""


class PreloadCase(ShimCase):
    def setUp(self):
        super().setUp()
        self.env["BACKSTAY_DB"] = self.db
        self.env["LD_PRELOAD"] = PRELOAD

    def run_program(self, *command, stdin=None, said=""):
        child = subprocess.run(command, env=self.env, cwd=self.folder, input=stdin, text=True,
                               capture_output=True, timeout=60)
        self.assertEqual(child.returncode, 0, child.stdout + child.stderr)
        self.assertRegex(child.stderr, f"^{said}$")
        self.stdout = child.stdout
        return self.calls()

    def assert_replicated(self, name="app.db"):
        path = os.path.join(self.folder, name)
        mine = [call for call in self.calls() if call.get("db") == path]
        self.assertEqual(mine[0]["call"], "open", self.calls())
        frames = [call["max_frame"] for call in mine if call["call"] == "committed"]
        self.assertEqual(frames, sorted(frames))
        self.assertGreaterEqual(frames[-1], 3)
        del self.env["LD_PRELOAD"]
        self.check(path)


class Programs(PreloadCase):
    def test_the_shell(self):
        self.run_program("sqlite3", self.db, stdin="PRAGMA journal_mode=WAL;CREATE TABLE t(x);"
                         "INSERT INTO t VALUES(1);PRAGMA backstay_status;\n.vfsname\n")
        mode, status, vfs = self.stdout.splitlines()
        self.assertEqual((mode, vfs), ("wal", "backstay/unix"))
        self.assertEqual(json.loads(status)["state"], "recording")
        self.assert_replicated()

    def test_python(self):
        self.run_program(sys.executable, "-c", WRITE, self.db)
        self.assert_replicated()

    def test_a_library_that_is_loaded_late_by_hand(self):
        self.run_program(sys.executable, "-c", """
import ctypes, sys
db, library = ctypes.c_void_p(), ctypes.CDLL("libsqlite3.so.0")
library.sqlite3_exec.argtypes = [ctypes.c_void_p, ctypes.c_char_p] + [ctypes.c_void_p] * 3
assert library.sqlite3_open(sys.argv[1].encode(), ctypes.byref(db)) == 0
sql = b"PRAGMA journal_mode=WAL; CREATE TABLE t(x); INSERT INTO t VALUES(1)"
assert library.sqlite3_exec(db, sql, None, None, None) == 0
""", self.db)
        self.assert_replicated()

    def test_a_child_process_of_a_shell(self):
        script = 'exec "$1" -c "$2" "$3"'
        self.run_program("sh", "-c", script, "sh", sys.executable, WRITE, self.db)
        self.assert_replicated()

    @unittest.skipUnless(shutil.which("perl"), "no perl")
    def test_perl(self):
        if subprocess.run(["perl", "-MDBD::SQLite", "-e", "1"], capture_output=True).returncode:
            self.skipTest("no DBD::SQLite")
        self.run_program("perl", "-MDBI", "-e", """
my $c = DBI->connect("dbi:SQLite:dbname=$ARGV[0]", "", "", {RaiseError => 1});
$c->do("PRAGMA journal_mode=WAL"); $c->do("CREATE TABLE t(x)"); $c->do("INSERT INTO t VALUES(1)");
""", self.db)
        self.assert_replicated()

    def test_linked_statically_with_hidden_symbols(self):
        self.run_program(HOST, self.db)
        self.assert_replicated()

    def test_a_library_that_writes_while_it_is_loaded(self):
        self.env["VFS_PLUGIN_WRITES"] = self.db
        self.run_program(sys.executable, "-c", "import ctypes,sys;ctypes.CDLL(sys.argv[1])", PLUGIN)
        self.assert_replicated()

    def test_two_copies_in_one_process(self):
        second = os.path.join(self.folder, "second.db")
        self.env["BACKSTAY_DB"] = self.folder + "/*.db"
        self.run_program(HOST, self.db, PLUGIN, second)
        self.assertEqual({call["db"] for call in self.calls("open")}, {self.db, second})
        self.assertEqual(self.calls("log"), [])
        self.assert_replicated()
        self.check(second)

    def test_two_copies_on_one_database(self):
        self.run_program(HOST, self.db, PLUGIN)
        [warning] = self.calls("log")
        self.assertIn("a second copy of SQLite", warning["message"])
        self.assertEqual(len(self.calls("open")), 1)

    def test_together_with_the_extension(self):
        self.run_child("""
            c = load(connect())
            wal(c).execute("CREATE TABLE t(x)")
            c.execute("INSERT INTO t VALUES(1)")
            assert status(c)["state"] == "recording"
            assert c.execute("SELECT backstay_sync(7)").fetchone() == (1,)
            assert calls("sync")[-1]["timeout_ms"] == 7
            d = connect()
            d.execute("INSERT INTO t VALUES(1)")
            assert len(calls("open")) == 1
            assert [call["max_frame"] for call in calls("committed")] == [2, 3, 4], calls()
        """)
        self.assert_replicated()

    def test_functions_that_pass_on_through_dlsym(self):
        self.env["LD_PRELOAD"] = PRELOAD + " " + os.path.realpath(PLUGIN)
        self.run_program(sys.executable, "-c", WRITE + "print(os.getppid())", self.db)
        self.assertEqual(int(self.stdout), os.getpid())
        self.assert_replicated()


class Bystanders(PreloadCase):
    def test_a_program_without_sqlite(self):
        self.run_program("cat", "/proc/self/maps")
        self.assertIn("libbackstay_preload", self.stdout)
        self.assertNotIn("libbackstay_engine", self.stdout)
        self.assertEqual(self.calls(), [])

    def bystander(self, said):
        self.run_program(sys.executable, "-c", WRITE + """
assert "libbackstay_engine" not in open("/proc/self/maps").read()
assert os.listdir("/proc/self/task") == [str(os.getpid())]
assert c.execute("PRAGMA backstay_status").fetchall() == []
""", self.db, said=f"[^\n]*{said}[^\n]*\n")
        self.assertEqual(self.calls(), [])

    def test_a_database_that_nothing_selects(self):
        self.env["BACKSTAY_DB"] = "/other.db"
        self.bystander("BACKSTAY_DB names /other.db")

    def test_a_replica_alone_selects_nothing(self):
        del self.env["BACKSTAY_DB"]
        self.bystander("BACKSTAY_REPLICA_URL alone")

    def test_without_the_engine_file(self):
        alone = os.path.join(self.folder, "alone")
        os.mkdir(alone)
        shutil.copy(os.path.join(BUILD, "libbackstay_preload.so"), alone)
        self.env["LD_PRELOAD"] = os.path.join(alone, "libbackstay_preload.so")
        child = subprocess.run([sys.executable, "-c", WRITE, self.db], env=self.env, text=True,
                               capture_output=True, timeout=60)
        self.assertEqual((child.returncode, child.stdout), (0, ""))
        [line] = child.stderr.splitlines()
        self.assertIn("libbackstay_engine.so", json.loads(line)["msg"])


if __name__ == "__main__":
    unittest.main()
