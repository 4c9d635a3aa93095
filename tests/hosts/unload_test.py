"""Hosts that take SQLite away while Backstay reads through it."""

import os
import shutil
import unittest

from host_world import BUILD, EXTENSION, HostCase, library

HOST = os.path.join(BUILD, "tests/unload_host")
OPEN = {"SQLite3": "new SQLite3($argv[1])", "PDO": "new PDO('sqlite:' . $argv[1])"}
WRITE = """
$c->exec("PRAGMA journal_mode=" . $argv[2]);
$c->exec("CREATE TABLE t(x); INSERT INTO t VALUES(1)");
for ($i = 0; $i < 100; $i++) $c->exec("INSERT INTO t VALUES(hex(randomblob(1000)))");
"""


class Unload(HostCase):
    def test_unloaded_and_loaded_again(self):
        sqlite = library("libsqlite3.so.0")
        times = 20  # each would take a place of its own among the hooked objects
        said = self.run_host(HOST, self.db, *[sqlite] * times)
        self.assertEqual(said.split(), ["stays"] * times)
        self.assert_replicated()
        self.assertEqual(self.rows(), times)

    def test_loaded_again_elsewhere(self):
        sqlite = library("libsqlite3.so.0")
        copies = [os.path.join(self.folder, name) for name in ("first.so", "second.so")]
        for copy in copies:
            shutil.copy(sqlite, copy)
        self.run_host(HOST, self.db, *copies, copies[0])
        self.assert_replicated()
        self.assertEqual(self.rows(), 3)

    def rows(self):
        return len(self.run_host("sqlite3", self.db, "SELECT 1 FROM t", preload=()).split())


@unittest.skipUnless(shutil.which("php"), "no php")
class Php(HostCase):
    def php(self, code, mode, *options, **more):
        return self.run_host("php", *options, "-r", code, self.db, mode, **more)

    def modes(self, run):
        for mode in ("wal", "delete"):
            with self.subTest(mode=mode):
                run(mode)
                self.assert_replicated()
            self.new_disk()
            shutil.rmtree(self.replica)

    def test_preload(self):
        for name, connection in OPEN.items():
            with self.subTest(name):
                self.modes(lambda mode: self.php(f"$c = {connection};" + WRITE, mode))

    def test_extension(self):
        load = "$c = new SQLite3($argv[1]); $c->loadExtension('backstay.so');"
        folder = "sqlite3.extension_dir=" + os.path.dirname(EXTENSION)
        self.modes(lambda mode: self.php(load + WRITE, mode, "-d", folder, preload=()))


if __name__ == "__main__":
    unittest.main()
