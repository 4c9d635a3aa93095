"""What the tests of restore -f share: an application, whose copy others read."""

import contextlib
import os
import signal
import sqlite3
import subprocess

from engine_world import BUILD, EngineCase, App

FAULT = os.path.join(BUILD, "tests", "syscall_fault")


class FollowCase(EngineCase):
    def setUp(self):
        super().setUp()
        self.copy = os.path.join(self.folder, "copy.db")
        self.followers = []
        self.app = App(self)
        for table in "ab":
            self.app.sql(f"CREATE TABLE {table}(i INTEGER PRIMARY KEY, v)")
        self.commit(0, 3)

    def clean_up(self):
        for follower in self.followers:
            follower.kill()
            follower.wait()
        super().clean_up()

    def commit(self, first, count):
        """Each transaction changes both tables alike."""
        self.app.do(f"""
for i in range({first}, {first + count}):
    sql("BEGIN")
    for table in "ab":
        sql("INSERT INTO %s VALUES(?, ?)" % table, i, str(i) * 300)
    sql("COMMIT")
    if i % 3 == 0: assert sql("SELECT backstay_sync(60000)") == [(1,)]
""")
        self.assertTrue(self.app.sync())

    def follow(self, *under, options=()):
        command = ["restore", "-f", "-follow-interval", "100ms", *options, "-o", self.copy, self.url]
        with open(os.path.join(self.folder, "follow"), "w", encoding="utf-8") as stderr:
            process = subprocess.Popen([*under, os.path.join(BUILD, "backstay"), *command], env=self.env,
                                       stdout=subprocess.DEVNULL, stderr=stderr)
        self.followers.append(process)
        self.wait_for("a copy", lambda: process.poll() is None and os.path.exists(self.copy))
        return process

    def stop(self, process):
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(60), 0)

    def said(self):
        with open(os.path.join(self.folder, "follow"), encoding="utf-8") as file:
            return file.read()

    def rows(self, connection):
        """Of a reader that has the copy open all the time."""
        a, b = connection.execute("SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM b)").fetchone()
        self.assertEqual(a, b)
        return a

    def reader(self):
        return contextlib.closing(sqlite3.connect(self.copy, timeout=60, isolation_level=None))

    def assert_follows(self, connection, rows):
        self.wait_for(f"{rows} rows", lambda: self.rows(connection) == rows)
        self.assertEqual(connection.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
        self.assertEqual("\n".join(connection.iterdump()), "\n".join(self.original()))

    def original(self):
        with contextlib.closing(sqlite3.connect(f"file:{self.db}?mode=ro", uri=True)) as connection:
            return list(connection.iterdump())

    def committed(self):
        """Another commit than the first, and all of it."""
        with open(self.copy, "rb") as file:
            counter = file.read(28)[24:]
        return counter != b"\0\0\0\1" and not os.path.exists(self.copy + "-journal")
