#!/usr/bin/python3
"""The ground under an open database gives way: files are renamed, deleted or cannot be written, there is no shared
memory, other VFSes are named. The application gets SQLite's own answers, and nothing is called safe that is not.
"""

import contextlib
import errno
import os
import sqlite3
import subprocess
import unittest

from engine_world import BUILD, PATIENCE, PYTHON, SANITIZER, App, EngineCase, environment

FAULT = os.path.join(BUILD, "tests", "syscall_fault")
FILES = ("", "-wal", "-shm")
ROWS = "SELECT x FROM t ORDER BY id"
# An application's statement that may fail; the answer is then what SQLite says.
TRIED = """
try: result = sql({!r})
except sqlite3.Error as e: result = str(e)
"""


class GroundCase(EngineCase):
    def setUp(self):
        super().setUp()
        self.env["BACKSTAY_DRAIN_TIMEOUT"] = "1s"

    def started(self, mode="wal"):
        app = App(self, open_it=False)
        app.do("c = connect()")
        app.sql(f"PRAGMA journal_mode={mode}")
        app.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, x)")
        app.sql("INSERT INTO t(x) VALUES('one')")
        self.assertTrue(app.sync(), app.stderr())
        return app

    def broken(self, path, which, error, first, count=1, **more):
        """An application whose calls on `path` fail."""
        report = os.path.join(self.folder, "calls")
        fault = [FAULT, path, which, str(error), str(first), str(count), report]
        if subprocess.run([*fault, "true"], env=environment()).returncode == 125:
            self.skipTest("ptrace is not permitted")
        return App(self, under=fault, **more)

    def tried(self, app, text):
        return app.do(TRIED.format(text))

    def rows(self, app):
        return [x for x, in app.sql(ROWS)]

    def restored(self, url=None):
        """The rows of a restore, which is sound."""
        out = os.path.join(self.folder, "restored.db")
        self.tool("restore", "-force", "-o", out, "-integrity-check", "full", url or self.url)
        with contextlib.closing(sqlite3.connect(out)) as connection:
            return [x for x, in connection.execute(ROWS)]

    def assert_replicated(self, app):
        self.assertTrue(app.sync(), app.stderr())
        self.assertEqual(self.restored(), self.rows(app))

    def assert_admitted(self, app):
        """What is called safe is in the replica; of the rest nothing says that all is well."""
        safe, rows = app.sync(1500), self.rows(app)
        there = self.restored()
        self.assertEqual(there, rows[:len(there)])
        if safe:
            self.assertEqual(there, rows, "called safe, but not in the replica\n" + app.stderr())
        else:
            self.assertNotEqual(app.status()["state"], "replicating")
        return safe

    def plain(self, code):
        """Another program, without Backstay, that stays until its connection `c` is not needed any more."""
        script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None)\n" + code + \
                 "\nprint(flush=True); sys.stdin.readline()"
        program = subprocess.Popen([PYTHON, "-c", script, self.db], env=environment(), stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True)
        self.addCleanup(program.communicate)
        program.stdout.readline()
        return program


class MovedTest(GroundCase):
    def move(self, back=False):
        for suffix in FILES:
            names = (self.db + suffix, self.db + ".moved" + suffix)
            os.rename(*(names[::-1] if back else names))

    def assert_refused(self):
        """A new file at the old path is another database: it leaves the replica as it is."""
        before = self.snapshot_of_replica()
        app = App(self)
        app.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, x)")
        app.sql("INSERT INTO t(x) VALUES('of another database')")
        self.wait_for_state(app, "error")
        self.assertFalse(app.sync(1))
        app.close()
        [message] = self.error_lines(app)
        self.assertIn("backstay adopt", message)
        self.assertEqual(self.snapshot_of_replica(), before)

    def test_renamed_is_admitted_and_heals_when_it_is_back(self):
        app = self.started()
        self.move()
        for x in ("after the move", "again"):
            app.sql(f"INSERT INTO t(x) VALUES('{x}')")
            if not self.assert_admitted(app):
                self.assertEqual(len(app.lines("ERROR")), 1, app.stderr())
        self.move(back=True)
        self.assert_replicated(app)
        self.assertEqual(app.status()["state"], "replicating")
        self.assert_restores()

    def test_deleted(self):
        for gone in (FILES, ("",), ("", "-wal")):
            with self.subTest(gone=gone):
                self.doCleanups()
                self.setUp()
                app = self.started()
                for suffix in gone:
                    os.remove(self.db + suffix)
                for statement in ("INSERT INTO t(x) VALUES('two')", "PRAGMA wal_checkpoint(TRUNCATE)",
                                  "INSERT INTO t(x) VALUES('three')", "UPDATE t SET x = x", "VACUUM"):
                    app.sql(statement)
                    self.assert_admitted(app)
                self.assertEqual(app.sql("PRAGMA integrity_check"), [["ok"]])
                self.assertEqual(self.rows(app), ["one", "two", "three"])
                if gone == FILES:
                    self.assertGreaterEqual(len(app.lines("ERROR")), 1, app.stderr())
                app.close()
                there = self.restored()
                self.assertEqual(there, ["one", "two", "three"][:len(there)])
                for suffix in FILES:
                    with contextlib.suppress(FileNotFoundError):
                        os.remove(self.db + suffix)
                self.assert_refused()
                self.assertEqual(self.restored(), there)

    def test_deleted_without_a_wal(self):
        app = self.started(mode="delete")
        os.remove(self.db)
        self.assertEqual(self.tried(app, "INSERT INTO t(x) VALUES('two')"), "attempt to write a readonly database")
        self.assertEqual(self.rows(app), ["one"])
        self.assert_admitted(app)
        app.close()
        self.assertEqual(self.restored(), ["one"])
        self.assert_refused()

    def beside_the_old_one(self):
        """A connection `d` to a new database, while `c` still has the one that was here."""
        app = self.started()
        self.move()
        app.do("d = connect(); d.execute('PRAGMA journal_mode=wal'); d.execute('CREATE TABLE other(x)')")
        self.assertEqual(app.do("result = d.execute('SELECT backstay_sync(100)').fetchone()[0]"), 0)
        self.assertEqual(app.do("result = status(d)")["state"], "off")
        [warning] = app.lines("WARN")
        self.assertIn("not replicated", warning["msg"])
        app.sql("INSERT INTO t(x) VALUES('in the old one')")
        self.assert_admitted(app)
        return app

    def test_new_database_of_the_same_process_while_the_old_one_is_open(self):
        self.beside_the_old_one().close()
        self.assertEqual(self.restored(), ["one"])
        self.assert_refused()

    def test_new_database_that_is_closed_before_the_old_one(self):
        app = self.beside_the_old_one()
        app.do("d.close()")
        app.close()
        self.assertEqual(self.restored()[0], "one")

    def test_new_database_of_another_process_while_the_old_one_is_open(self):
        self.started()
        self.move()
        before = self.snapshot_of_replica()
        for durability in ("async", "sync"):
            other = App(self, BACKSTAY_DURABILITY=durability, BACKSTAY_SYNC_TIMEOUT="1s")
            other.sql("CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, x)")
            other.sql("INSERT INTO t(x) VALUES('in the new one')")
            self.assertEqual(self.snapshot_of_replica(), before)
            self.assertFalse(other.sync(1000), "called safe, but not in the replica")
            if durability == "sync":
                self.assertGreater(other.status()["late_commits"], 0)
            other.close()


class ReadOnlyTest(GroundCase):
    def listing(self):
        return {path: os.lstat(path).st_mtime_ns for folder, folders, files in os.walk(self.disk)
                for path in (os.path.join(folder, name) for name in folders + files)}

    def test_read_only_mount(self):
        for mode in ("wal", "delete"):
            with self.subTest(mode):
                self.doCleanups()
                self.setUp()
                self.started(mode).close()
                holder = self.plain("c.execute('SELECT * FROM t').fetchall()")  # a WAL cannot be read without its -shm
                for options in (["--bind", self.disk], ["-o", "remount,bind,ro"]):
                    if subprocess.run(["mount", *options, self.disk], stderr=subprocess.DEVNULL).returncode != 0:
                        self.skipTest("no right to mount")
                self.addCleanup(subprocess.run, ["umount", "-l", self.disk])
                before, replica = self.listing(), self.snapshot_of_replica()
                app = App(self, open_it=False)
                app.do("c = connect()")
                self.assertEqual(self.rows(app), ["one"])
                self.assertEqual(self.tried(app, "DELETE FROM t"), "attempt to write a readonly database")
                self.assertFalse(app.sync(10))
                self.assertEqual(app.status()["state"], "off")
                app.close()
                self.assertEqual((self.listing(), self.snapshot_of_replica()), (before, replica))
                self.assertEqual(app.lines("WARN", "ERROR"), [])
                holder.communicate()

    def test_folder_that_nobody_may_write_to(self):
        self.plain("c.execute('PRAGMA journal_mode=wal')\nc.execute('CREATE TABLE t(id INTEGER PRIMARY KEY, x)')")
        os.mkdir(self.replica)
        self.give_to_nobody(self.replica, *(self.db + suffix for suffix in FILES))
        os.chmod(self.disk, 0o555)
        self.addCleanup(os.chmod, self.disk, 0o755)
        before = set(self.listing())
        app = App(self, unprivileged=True)
        app.sql("INSERT INTO t(x) VALUES('one')")
        self.assertEqual(self.rows(app), ["one"])
        self.assertFalse(app.sync(500))
        self.assertEqual(app.status()["state"], "error")
        app.close()
        [message] = self.error_lines(app)
        self.assertIn(self.state, message)
        self.assertEqual((set(self.listing()), self.snapshot_of_replica()), (before, {}))


class SharedMemoryTest(GroundCase):
    """The wal-index cannot be mapped, or only be read: that process leaves the replica alone."""

    def unmappable(self):
        self.started().close()
        app = self.broken(self.db + "-shm", "all", errno.EIO, 1, 1000000, open_it=False)
        app.do("c = connect()")
        for statement in (ROWS, "INSERT INTO t(x) VALUES('two')", "PRAGMA journal_mode=delete"):
            self.assertEqual(self.tried(app, statement), "unable to open database file")
        return app

    def read_only(self):
        self.started().close()
        self.plain("c.execute('SELECT * FROM t').fetchall()")
        app = App(self, open_it=False)
        app.do("c = connect('file:' + db + '?readonly_shm=1', uri=True)")
        self.assertEqual(self.rows(app), ["one"])
        self.assertEqual(self.tried(app, "DELETE FROM t"), "attempt to write a readonly database")
        return app

    def test_it_leaves_the_replica_alone(self):
        for make in (self.unmappable, self.read_only):
            with self.subTest(make.__name__):
                self.doCleanups()
                self.setUp()
                app = make()
                before = self.snapshot_of_replica()
                self.assertFalse(app.sync(500))
                self.assertNotEqual(app.status()["state"], "replicating")
                app.close()
                self.assertEqual(self.snapshot_of_replica(), before)
                self.assertEqual(app.lines("ERROR"), [])
                later = App(self)
                later.sql("INSERT INTO t(x) VALUES('two')")
                self.assert_replicated(later)

    def assert_lets_others_ship(self, app):
        later = App(self)
        later.sql("INSERT INTO t(x) VALUES('two')")
        self.assertTrue(later.sync(5000), later.stderr() + app.stderr())
        self.assertEqual(self.restored(), ["one", "two"])

    def test_without_it_a_process_keeps_no_other_from_shipping(self):
        self.assert_lets_others_ship(self.unmappable())

    def test_a_reader_keeps_no_other_from_shipping(self):
        self.assert_lets_others_ship(self.read_only())


class OtherVfsTest(GroundCase):
    """Connections that name a VFS of SQLite's: hooked, or a writer whose commits are found, or left alone."""

    def assert_lives_well(self, app):
        for i in range(3):
            app.do(f"d.execute('UPDATE t SET x = {i} WHERE id = 1')")
            self.assert_replicated(app)
            app.sql(f"INSERT INTO t(x) VALUES({i})")
            app.do("d.execute('PRAGMA wal_checkpoint(TRUNCATE)').fetchall()")
            app.do(f"d.execute('INSERT INTO t(x) VALUES({i})')")
            self.assert_replicated(app)
        app.do("d.execute('INSERT INTO t(x) VALUES(3)')")
        self.wait_for("a commit that nobody asked for", lambda: self.restored() == self.rows(app))
        app.do("d.close()")
        app.sql("INSERT INTO t(x) VALUES(4)")
        self.assert_replicated(app)
        app.close()
        self.assert_restores()
        self.assertEqual(app.lines("ERROR"), [])

    def test_unix_excl_beside_the_shim(self):
        app = self.started()
        app.do("d = connect('file:' + db + '?vfs=unix-excl', uri=True)")
        self.assert_lives_well(app)

    def test_unix_excl_was_there_first(self):
        app = self.started()
        app.do("c.close(); d = connect('file:' + db + '?vfs=unix-excl', uri=True)")
        app.do("d.execute(\"INSERT INTO t(x) VALUES('alone')\"); c = connect()")
        self.assertEqual(self.rows(app), ["one", "alone"])
        self.assert_lives_well(app)

    @unittest.skipIf(SANITIZER, "the runtime calls the preload library before it is ready")
    def test_by_name_in_a_preloaded_program(self):
        code = """
import sqlite3, sys
c = sqlite3.connect(sys.argv[1], uri=True, isolation_level=None)
print(c.execute("PRAGMA journal_mode=wal").fetchone()[0])
c.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, x)")
for i in range(20): c.execute("INSERT INTO t(x) VALUES(hex(randomblob(500)))")
c.execute("DELETE FROM t WHERE id % 3 = 0")
print(c.execute("PRAGMA backstay_sync(60000)").fetchone()[0])
"""
        for vfs, mode in (("unix-excl", "wal"), ("unix-dotfile", "delete"), ("unix-none", "delete")):
            with self.subTest(vfs):
                self.doCleanups()
                self.setUp()
                self.env["LD_PRELOAD"] = os.path.join(BUILD, "libbackstay_preload.so")
                done = subprocess.run([PYTHON, "-c", code, f"file:{self.db}?vfs={vfs}"], env=self.env, text=True,
                                      capture_output=True, timeout=PATIENCE)
                self.assertEqual((done.returncode, done.stdout), (0, mode + "\n1\n"), done.stderr)
                self.assert_restores()

    def assert_works_without_shared_memory(self, app):
        app.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, x)")
        app.sql("INSERT INTO t(x) VALUES('one')")
        self.assert_replicated(app)
        app.do("c.close(); c = connect(name, uri=True); d = connect(name, uri=True)")
        app.do("d.execute(\"INSERT INTO t(x) VALUES('two')\"); d.close()")
        self.assert_replicated(app)
        app.sql("PRAGMA locking_mode=exclusive")  # the only way to a WAL here
        self.assertEqual(app.sql("PRAGMA journal_mode=wal"), [["wal"]])
        app.sql("UPDATE t SET x = x || 'more'")
        self.assert_replicated(app)
        app.close()
        self.assert_restores()
        self.assertEqual(app.lines("WARN", "ERROR"), [])

    def test_unix_dotfile_that_loads_the_extension(self):
        app = App(self, open_it=False)
        app.do("name = 'file:' + db + '?vfs=unix-dotfile'; c = connect(name, uri=True)")
        app.do("c.enable_load_extension(True); c.load_extension(extension)")
        self.assert_works_without_shared_memory(app)

    def test_unix_dotfile_as_the_default(self):
        app = App(self, open_it=False, before="""
import ctypes
lib = ctypes.CDLL("libsqlite3.so.0")
lib.sqlite3_vfs_find.restype = ctypes.c_void_p
lib.sqlite3_initialize()
assert lib.sqlite3_vfs_register(ctypes.c_void_p(lib.sqlite3_vfs_find(b"unix-dotfile")), 1) == 0
""")
        app.do("name = 'file:' + db; c = connect(name, uri=True)")
        self.assert_works_without_shared_memory(app)

    def test_unix_dotfile_by_name_alone_is_left_alone(self):
        self.started(mode="delete").close()
        before = self.snapshot_of_replica()
        app = App(self, open_it=False)
        app.do("c = connect('file:' + db + '?vfs=unix-dotfile', uri=True)")
        app.sql("INSERT INTO t(x) VALUES('two')")
        self.assertFalse(app.sync(10))
        self.assertEqual(app.status()["state"], "off")
        app.close()
        self.assertEqual(self.snapshot_of_replica(), before)
        app = App(self, open_it=False)
        app.do("c = connect()")
        self.assertEqual(self.rows(app), ["one", "two"])
        self.assert_replicated(app)


if __name__ == "__main__":
    unittest.main()
