#!/usr/bin/python3
"""Ends past the exit handlers: what an orderly close has brought to the replica, and what SIGTERM loses.

A Go program that returns from main, os._exit, exec and SIGTERM's default action run no handler.
"""

import contextlib
import os
import signal
import socket
import sqlite3
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from engine_world import App, PATIENCE  # noqa: E402
from lifecycle_world import ROWS, SCHEMA, LifecycleCase  # noqa: E402

LONG_S = 40  # far from what any wait here takes, and below the patience of a test
UNREACHABLE = {"BACKSTAY_REPLICA_URL": "s3://bucket/app?endpoint=http://127.0.0.1:1",
               "BACKSTAY_ACCESS_KEY_ID": "key", "BACKSTAY_SECRET_ACCESS_KEY": "secret"}
ENDS = {"_exit": "os._exit(0)", "exec": "os.execv('/bin/true', ['true'])",
        "SIGTERM": "import signal; os.kill(os.getpid(), signal.SIGTERM)"}


class CloseCase(LifecycleCase):
    def setUp(self):
        super().setUp()
        self.env["BACKSTAY_CLOSE_TIMEOUT"] = f"{LONG_S}s"
        self.env["BACKSTAY_DRAIN_TIMEOUT"] = f"{LONG_S}s"
        # An upload that nobody waits for comes too late.
        self.env["BACKSTAY_MIN_INTERVAL"] = f"{LONG_S}s"

    def silent_server(self):
        server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(server.close)
        return {**UNREACHABLE, "BACKSTAY_REPLICA_URL":
                f"s3://bucket/app?endpoint=http://127.0.0.1:{server.getsockname()[1]}"}

    def closed(self, app):
        """Seconds."""
        return app.do("import time; start = time.monotonic(); c.close(); result = time.monotonic() - start")

    def ended(self, app, how="_exit"):
        """Without the exit handlers."""
        app.process.stdin.write('{"code": "del c; %s"}\n' % ENDS[how])
        self.gone(app)

    def gone(self, app):
        """Its exit status."""
        app.process.stdin.close()
        app.process.stdout.close()
        return app.process.wait(PATIENCE)


class CloseTest(CloseCase):
    def test_what_was_committed_is_in_the_replica(self):
        for mode in ("wal", "delete"):
            for how in ENDS:
                with self.subTest(mode=mode, how=how):
                    for rows in (3, 5):  # the first snapshot, and behind it
                        app = self.opened(mode)
                        app.sql(SCHEMA)
                        app.sql(ROWS.format(rows))
                        self.closed(app)
                        self.ended(app, how)
                        self.assert_restores()
                        self.assertEqual(app.lines("WARN", "ERROR"), [])
                    self.doCleanups()
                    self.setUp()

    def take_away(self, deleted, *suffixes):
        """Code that does."""
        return "".join(f"os.remove({path!r})\n" if deleted else f"os.rename({path!r}, {path + '.moved'!r})\n"
                       for path in (self.db + suffix for suffix in suffixes))

    def rows_restored(self):
        out = os.path.join(self.folder, "restored.db")
        self.tool("restore", "-force", "-integrity-check", "full", "-o", out, self.url)
        with contextlib.closing(sqlite3.connect(out)) as restored:
            return restored.execute("SELECT count(*) FROM t").fetchone()[0]

    def test_a_database_that_was_moved_or_deleted_before(self):
        for mode, suffixes in (("wal", ("",)), ("wal", ("", "-wal", "-shm")), ("delete", ("",))):
            for deleted in (False, True):
                with self.subTest(mode=mode, suffixes=suffixes, deleted=deleted):
                    app = self.started(rows=100, mode=mode)
                    app.do(f"sql({ROWS.format(20000)!r})\n" + self.take_away(deleted, *suffixes) + "c.close()")
                    self.ended(app) if deleted else app.close()
                    self.assertEqual(self.rows_restored(), 20100)
                    self.assertEqual(app.lines("WARN", "ERROR"), [])
                    self.doCleanups()
                    self.setUp()

    def test_what_cannot_be_read_any_more_is_told(self):
        app = self.started(rows=100)
        app.do(self.take_away(True, "", "-wal", "-shm"))
        app.sql(ROWS.format(3))
        self.wait_for("an ERROR while it is in use", lambda: app.lines("ERROR"))
        self.assertLess(self.closed(app), LONG_S / 2)
        self.ended(app)
        self.assertIn("the last of it is not shipped", app.lines("WARN")[0]["msg"])

    def test_where_it_would_be_in_vain_nobody_waits(self):
        self.started().close()
        app = self.opened()
        app.sql("SELECT count(*) FROM t")
        self.assertLess(self.closed(app), LONG_S / 2)
        app.do("c = connect()")
        app.sql(ROWS.format(3))
        self.assert_synced(app)
        self.assertLess(self.closed(app), LONG_S / 2)
        self.ended(app)
        self.new_disk()
        app = self.opened(**UNREACHABLE)
        app.sql(SCHEMA)
        self.assertLess(self.closed(app), LONG_S / 2)
        self.ended(app)
        self.new_disk()
        with open(self.state, "wb"):
            pass
        app = self.opened()
        app.sql(SCHEMA)
        self.assertLess(self.closed(app), LONG_S / 2)
        self.ended(app)

    def test_many_connections_in_turn_do_not_wait_much(self):
        """By default 2 s and a fiftieth of the time, whatever an upload takes."""
        times = {}
        for close in ("0s", "2s"):
            # Nothing answers: each wait lasts as long as it may.
            app = self.opened(BACKSTAY_CLOSE_TIMEOUT=close, BACKSTAY_DRAIN_TIMEOUT="0s" if close == "0s" else "10s",
                              **self.silent_server())
            app.sql(SCHEMA)
            times[close] = app.do("""
import time
start = time.monotonic()
for i in range(300):
    c.close(); c = connect(); sql("PRAGMA synchronous=off"); sql("INSERT INTO t(text) VALUES('x')")
result = time.monotonic() - start
""")
            app.kill()
        self.assertLess(times["2s"], 2.5 + times["0s"] * 3, times)


class TransactionTest(CloseCase):
    def test_an_exit_in_a_transaction_keeps_nobody_waiting(self):
        """exit() runs the handlers while the file is locked."""
        for mode in ("delete", "wal"):
            with self.subTest(mode=mode):
                app = self.opened(mode, **self.silent_server())
                app.sql(SCHEMA)
                app.sql("PRAGMA cache_size=10")
                app.sql("BEGIN")
                app.sql(ROWS.format(2000))  # spilled
                start = time.monotonic()
                app.process.stdin.write('{"code": "import ctypes; ctypes.CDLL(None).exit(0)"}\n')
                app.process.stdin.flush()
                self.shell("INSERT INTO t(text) VALUES('neighbour');")
                self.assertLess(time.monotonic() - start, LONG_S / 4)
                self.gone(app)
                self.doCleanups()
                self.setUp()


class TermTest(CloseCase):
    """drain-on-sigterm."""

    def committed(self, before="", **more):
        self.started().close()
        app = App(self, open_it=False, before=before, BACKSTAY_DRAIN_ON_SIGTERM="true", **more)
        app.do("c = connect()")
        app.sql(ROWS.format(3))
        self.assert_synced(app)
        app.sql(ROWS.format(7))
        return app

    def terminated(self, app):
        """Its exit status. Where its input ended first, it might end by that."""
        app.process.terminate()
        app.process.wait(PATIENCE)
        return self.gone(app)

    def test_what_was_committed_is_shipped_first(self):
        app = self.committed()
        self.assertEqual(self.terminated(app), -signal.SIGTERM)
        self.assert_restores()
        self.assertEqual(app.lines("WARN", "ERROR"), [])

    def test_a_child_is_ended_as_ever(self):
        app = self.committed()
        app.do("""
child = os.fork()
if child == 0:
    import time
    time.sleep(1000)
os.kill(child, 15)
result = os.waitpid(child, 0)[1]
assert result == 15, result
""")
        app.sql(ROWS.format(1))
        self.assertIsNone(app.process.poll())
        app.close()
        self.assert_restores()

    def test_a_handler_of_the_program_stays(self):
        handler = "import signal; signal.signal(signal.SIGTERM, lambda *_: os_exit(3))\nfrom os import _exit as os_exit\n"
        app = self.committed(before=handler)
        self.assertEqual(self.terminated(app), 3)
        self.assertIn("handles SIGTERM itself", app.stderr())

    def test_nor_one_that_comes_later_and_calls_what_it_found(self):
        app = self.committed()
        app.do("""
import ctypes, time
libc = ctypes.CDLL(None)
libc.signal.restype = ctypes.c_void_p
libc.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_int)
called = []
def on_term(number):
    called.append(number)
    HANDLER(found)(number)
ours = HANDLER(on_term)
found = libc.signal(15, ctypes.cast(ours, ctypes.c_void_p))
os.kill(os.getpid(), 15)
while not called: time.sleep(0.01)
""")
        app.sql(ROWS.format(1))
        self.assert_replicated(app)
        app.close()


if __name__ == "__main__":
    unittest.main()
