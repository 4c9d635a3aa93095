#!/usr/bin/python3
"""Another file at the path of a database, within one process: what was read of one is never taken for the other.

A replica from which something can be restored stays that of the file before, and an ERROR says so; one from which
nothing can be restored yet may follow the new file. A restore gives one of the two databases, whole.
"""

import contextlib
import os
import sqlite3
import unittest

from engine_world import App, EngineCase

FILES = ("", "-wal", "-shm", "-journal")
MAKE = """
c = connect()
sql("PRAGMA page_size={page_size}"); sql("PRAGMA journal_mode={mode}")
sql("CREATE TABLE t(name, x)")
for i in range({rows}): sql("INSERT INTO t VALUES('{name}', randomblob(3000))")
"""


class ReplacedCase(EngineCase):
    def make(self, app, name, page_size=4096, mode="wal", rows=20):
        app.do(MAKE.format(name=name, page_size=page_size, mode=mode, rows=rows))

    def remove(self):
        for suffix in FILES:
            with contextlib.suppress(FileNotFoundError):
                os.remove(self.db + suffix)

    def another(self, path, name, page_size=4096, rows=20):
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as plain:
            plain.execute(f"PRAGMA page_size={page_size}")
            plain.execute("CREATE TABLE t(name, x)")
            for _ in range(rows):
                plain.execute("INSERT INTO t VALUES(?, randomblob(3000))", (name,))

    def restored(self, code=0):
        """What it holds: the name in its rows and how many there are, of a sound database."""
        out = os.path.join(self.folder, "restored.db")
        self.tool("restore", "-force", "-integrity-check", "full", "-o", out, self.url, code=code)
        if code != 0:
            return None
        with contextlib.closing(sqlite3.connect(out)) as connection:
            return connection.execute("SELECT min(name), max(name), count(*) FROM t").fetchone()

    def assert_stopped(self, app, words="replaced by another"):
        status = self.wait_for_state(app, "error")
        self.assertFalse(app.sync(1))
        [message] = self.error_lines(app)
        self.assertIn(words, message)
        self.assertIn(message.split(": ", 1)[1], status["replicas"][0]["error"])

    def fresh(self):
        self.doCleanups()
        self.setUp()
        return App(self, open_it=False)


class DeletedTest(ReplacedCase):
    def test_deleted_and_made_anew(self):
        """The first one can be restored, and stays what is restored."""
        for page_size in (4096, 8192):
            for first, second in (("wal", "wal"), ("wal", "delete"), ("delete", "wal"), ("delete", "delete")):
                with self.subTest(page_size=page_size, first=first, second=second):
                    app = self.fresh()
                    self.make(app, "first", mode=first)
                    self.assertTrue(app.sync(), app.stderr())
                    app.do("c.close()")
                    self.remove()
                    self.make(app, "second", page_size, second)
                    self.assert_stopped(app)
                    app.close()
                    self.assertEqual(self.restored(), ("first", "first", 20))

    def test_deleted_and_made_anew_within_moments(self):
        """Before it is known whether anything of the first one can be restored."""
        for turn in range(12):
            page_size = (4096, 1024, 8192)[turn % 3]
            with self.subTest(turn=turn):
                app = self.fresh()
                self.make(app, "first", rows=turn % 4)
                app.do("c.close()")
                self.remove()
                self.make(app, "second", page_size)
                state = self.wait_for("a verdict", lambda: (s := app.status()["state"]) in ("replicating", "error") and s)
                if state == "replicating":
                    self.assertTrue(app.sync(), app.stderr())
                    self.assertEqual(self.restored(), ("second", "second", 20))
                    self.assertEqual(app.lines("ERROR"), [])
                    app.close()
                    continue
                self.assertFalse(app.sync(1))
                self.assertEqual(len(self.error_lines(app)), 1)
                app.close()
                before = self.snapshot_of_replica()
                if any(key.endswith("/manifest") for key in before):
                    self.assertIn(self.restored()[:2], (("first", "first"), (None, None)))
                else:
                    self.restored(code=3)


class RenamedTest(ReplacedCase):
    def test_closed_when_another_takes_its_place(self):
        for page_size in (4096, 8192):
            with self.subTest(page_size=page_size):
                app = self.fresh()
                self.make(app, "first")
                self.assertTrue(app.sync(), app.stderr())
                self.another(self.db + ".new", "second", page_size)
                app.do("c.close(); os.rename(db + '.new', db); c = connect(); sql('INSERT INTO t VALUES(1, 2)')")
                self.assert_stopped(app)
                app.close()
                self.assertEqual(self.restored(), ("first", "first", 20))

    def test_the_one_that_ships_has_the_file_before_open(self):
        first = App(self, open_it=False)
        self.make(first, "first")
        self.assertTrue(first.sync(), first.stderr())
        self.remove()
        second = App(self, open_it=False)
        self.make(second, "second")
        status = self.wait_for_state(second, "error")
        for said in (status["replicas"][0]["error"], second.lines("WARN")[0]["msg"]):
            self.assertIn("this one is not replicated", said)
        first.close()
        # It belongs to no replica of that prefix.
        self.wait_for("its own word", lambda: "replaced by another" in str(second.status()))
        second.close()

    def test_open_when_another_takes_its_place(self):
        for mode in ("wal", "delete"):
            with self.subTest(mode=mode):
                app = self.fresh()
                self.make(app, "first", mode=mode)
                self.assertTrue(app.sync(), app.stderr())
                self.another(self.db + ".new", "second")
                os.rename(self.db + ".new", self.db)
                self.assert_stopped(app, "replaced by another one while it is open")
                app.close()
                self.assertEqual(self.restored(), ("first", "first", 20))


if __name__ == "__main__":
    unittest.main()
