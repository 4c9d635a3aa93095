"""Whoever is not protected is told, once and in words that lead to the cure; who opens nothing is left in peace."""

import json
import os
import shutil
import subprocess
import sys
import unittest

from vfs_support import BUILD, RECORDING, ShimCase

PRELOAD = os.path.join(RECORDING, "libbackstay_preload.so")
CLOCK = os.path.join(os.path.realpath(BUILD), "tests/shifted_clock.so")
PLUGIN = os.path.join(BUILD, "tests/vfs_static_plugin.so")

OPEN = """
import sqlite3, sys
for path in sys.argv[1:]:
    for i in range(2):
        c = sqlite3.connect(path, isolation_level=None)
        c.execute("CREATE TABLE IF NOT EXISTS t(x)")
        c.close()
"""


class ToldCase(ShimCase):
    def setUp(self):
        super().setUp()
        self.other = os.path.join(self.folder, "other.db")
        del self.env["BACKSTAY_REPLICA_URL"]

    def lines(self, *command, **env):
        done = subprocess.run(command, env={**self.env, **env}, cwd=self.folder, text=True,
                              capture_output=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        return [json.loads(line) for line in done.stderr.splitlines()]

    def assert_warns(self, lines, path, *words):
        self.assert_says("WARN", lines, path, *words)

    def assert_says(self, level, lines, path, *words):
        [line] = lines
        self.assertEqual((line["level"], line["db"]), (level, path))
        for word in words:
            self.assertIn(word, line["msg"])


@unittest.skipIf(not os.path.exists(PRELOAD), "no preload library in this build")
class Preloaded(ToldCase):
    def opens(self, *paths, **env):
        return self.lines(sys.executable, "-c", OPEN, *paths, LD_PRELOAD=PRELOAD, **env)

    def test_a_selection_that_names_nothing(self):
        for name in ("/no/such.db", self.folder + "/*.sqlite"):
            self.assert_warns(self.opens(self.db, self.other, BACKSTAY_DB=name), self.db,
                              "BACKSTAY_DB names " + name, "remedy")
        self.assertEqual(self.calls(), [], "the engine is not loaded for that")

    def test_a_selection_of_what_others_open(self):
        open(self.other, "w").close()
        self.assertEqual(self.opens(self.db, BACKSTAY_DB=self.other), [])

    def test_a_configuration_of_another_shape_is_the_engines_to_report(self):
        path = os.path.join(self.folder, "backstay.json")
        for text in ('{"dbs": 1}', '{"dbs": {}}', '{"dbs": [1]}', '{"dbs": [[]]}', '{"logging": 1}', '{"db": []}'):
            with self.subTest(text=text):
                with open(path, "w", encoding="utf-8") as file:
                    file.write(text)
                self.opens(self.db, BACKSTAY_CONFIG=path)
                self.assertNotEqual(self.calls(), [])
                os.unlink(self.log)

    def test_a_selection_that_comes_true(self):
        self.assertEqual(self.opens(self.db, self.other, BACKSTAY_DB=self.db), [])

    def test_no_selection(self):
        self.assert_says("INFO", self.opens(self.db), self.db, "remedy: BACKSTAY_DB")
        self.assert_warns(self.opens(self.db, BACKSTAY_REPLICA_URL="file:///x"), self.db,
                          "BACKSTAY_REPLICA_URL alone selects none")

    def test_what_is_not_kept_is_no_reason(self):
        self.assertEqual(self.opens(":memory:", "", BACKSTAY_DB="/no/such.db"), [])

    def test_a_program_that_opens_nothing_is_quiet(self):
        env = {"LD_PRELOAD": PRELOAD, "BACKSTAY_DB": "/no/such.db"}
        self.assertEqual(self.lines("sh", "-c", "cat /dev/null", **env), [])
        self.assertEqual(self.lines(sys.executable, "-c", "import sqlite3", **env), [])

    def test_the_line_goes_to_the_log_file(self):
        log = os.path.join(self.folder, "log")
        self.assertEqual(self.opens(self.db, BACKSTAY_DB="/no.db", BACKSTAY_LOG_FILE=log), [])
        with open(log) as lines:
            self.assert_warns([json.loads(line) for line in lines], self.db, "/no.db")

    def test_more_copies_of_sqlite_than_can_be_hooked(self):
        def load(count):
            code = "import ctypes,sys\nfor path in sys.argv[1:]: ctypes.CDLL(path).plugin_write"
            copies = [os.path.join(self.folder, f"{i}.so") for i in range(count)]
            for copy in copies:
                if not os.path.exists(copy):
                    shutil.copy(PLUGIN, copy)
            return self.lines(sys.executable, "-c", code, *copies, LD_PRELOAD=PRELOAD,
                              BACKSTAY_DB=self.db)
        self.assertEqual(load(20), [])
        [line] = load(66)
        self.assertEqual(line["level"], "WARN")
        self.assertIn("too many copies of SQLite", line["msg"])


class Extension(ToldCase):
    CODE = """
        load(connect(":memory:"))
        for name in ("app.db", "other.db", "app.db"):
            connect(os.path.join(folder, name)).execute("CREATE TABLE IF NOT EXISTS t(x)")
    """

    def said(self, code=CODE, **env):
        self.env.update(env)
        self.run_child(code)
        return [json.loads(line) for line in self.stderr.splitlines()]

    def test_no_replica(self):
        self.assert_says("INFO", self.said(), self.db, "set", "BACKSTAY_REPLICA_URL")

    def test_the_connection_that_loads(self):
        code = """
            c = connect()
            c.execute("CREATE TABLE t(x)")
            load(c)
        """
        self.assert_says("INFO", self.said(code), self.db, "BACKSTAY_REPLICA_URL")

    def test_a_selection_that_names_nothing(self):
        self.assert_warns(self.said(BACKSTAY_DB="/no/such.db", BACKSTAY_REPLICA_URL="file:///x"),
                          self.db, "BACKSTAY_DB names /no/such.db")

    def test_a_replica_in_the_uri_is_enough(self):
        code = """
            load(connect(":memory:"))
            connect("file:" + db + "?replica=file:///x", uri=True).execute("CREATE TABLE t(x)")
            connect(os.path.join(folder, "other.db")).execute("CREATE TABLE t(x)")
        """
        self.assertEqual(self.said(code), [])


class Again(ToldCase):
    """What lasts is said again while the application runs into it: after 5 minutes, then hourly."""

    def assert_repeats(self, before, each, **env):
        lines = ["import ctypes", "print(0, file=sys.stderr, flush=True)", *before,
                 "for minutes in (0, 1, 5, 1, 30, 30, 30, 30):",
                 "    if minutes:",
                 "        ctypes.CDLL(None).shift_clock(minutes * 60)",
                 "        print(minutes, file=sys.stderr, flush=True)",
                 "    " + each]
        self.env["LD_PRELOAD"] = CLOCK
        self.env.update(env)
        self.run_child("\n".join(lines))
        told = self.stderr.splitlines()
        said = [len(self.after(told, i)) - 1 for i in range(8)]
        self.assertEqual(said, [1, 0, 1, 0, 0, 1, 0, 1], self.stderr)

    @staticmethod
    def after(lines, i):
        marks = [at for at, line in enumerate(lines) if not line.startswith("{")] + [len(lines)]
        return lines[marks[i]:marks[i + 1]]

    def without_engine(self):
        alone = os.path.join(self.folder, "alone")
        os.mkdir(alone)
        self.extension = shutil.copy(os.path.join(BUILD, "backstay.so"), alone)

    def test_a_database_that_nothing_selects(self):
        self.assert_repeats(['load(connect(":memory:"))'], "connect().close()",
                            BACKSTAY_DB="/no/such.db", BACKSTAY_REPLICA_URL="file:///x")

    def test_a_connection_past_us(self):
        self.assert_repeats(['load(connect(":memory:"))'],
                            'connect("file:" + db + "?nolock=1", uri=True).close()',
                            BACKSTAY_REPLICA_URL="file:///x")

    def test_an_engine_that_refuses(self):
        self.without_engine()
        for mode in ("delete", "wal"):
            with self.subTest(mode):
                self.assert_repeats(['load(connect(":memory:"))', "c = connect()",
                                     f'c.execute("PRAGMA journal_mode={mode}")',
                                     'c.execute("CREATE TABLE IF NOT EXISTS t(x)")'],
                                    'c.execute("INSERT INTO t VALUES(1)")',
                                    BACKSTAY_REPLICA_URL="file:///x")


if __name__ == "__main__":
    unittest.main()
