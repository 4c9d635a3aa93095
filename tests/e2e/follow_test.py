#!/usr/bin/python3
"""restore -f: a copy that follows its replica while others read it, killed and started again."""

import fcntl
import os
import shutil
import unittest

from engine_world import App
from follow_world import FAULT, FollowCase


class FollowTest(FollowCase):
    def test_a_reader_sees_one_state_after_the_other(self):
        process = self.follow()
        with self.reader() as connection:
            self.assert_follows(connection, 3)
            for first in range(3, 63, 20):
                self.commit(first, 20)
                self.assert_follows(connection, first + 20)
        self.stop(process)
        self.assertEqual(sorted(name for name in os.listdir(self.folder) if name.startswith("copy")),
                         ["copy.db", "copy.db-follow"])

    def test_killed_and_started_again_it_goes_on(self):
        process = self.follow()
        with self.reader() as connection:
            self.assert_follows(connection, 3)
            for i in range(8):
                self.commit(3 + 40 * i, 40)
                process.kill()
                process.wait()
                self.assertEqual(connection.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
                process = self.follow()
            self.assert_follows(connection, 323)

    def test_killed_at_any_step_of_a_commit(self):
        """Half of the times a reader heals the file, half of the times the next follower."""
        place = os.path.join(self.folder, "place")
        os.mkdir(place)
        self.copy = os.path.join(place, "copy.db")
        self.stop(self.follow())
        saved = os.path.join(self.folder, "saved")
        shutil.copytree(place, saved)
        self.commit(3, 12)
        self.app.sql("DELETE FROM a WHERE i > 10")
        self.app.sql("DELETE FROM b WHERE i > 10")
        self.commit(100, 2)
        journals = 0
        for step in range(1, 500):
            shutil.rmtree(place)
            shutil.copytree(saved, place)
            fault = [FAULT, place, "writes", "kill", str(step), "1", os.path.join(self.folder, "report")]
            process = self.follow(*fault)
            # Without SQLite, which would heal it.
            self.wait_for("its end", lambda: process.poll() is not None or self.committed())
            if process.poll() is None:
                break
            self.assertEqual(process.returncode, 137)
            journals += os.path.exists(self.copy + "-journal")
            if step % 2:
                with self.reader() as connection:
                    self.assertIn(self.rows(connection), (3, 13))
                    self.assertEqual(connection.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
            process = self.follow()
            self.wait_for("13 rows", lambda: self.sizes() == 13)
            process.kill()
            process.wait()
        self.assertGreater(journals, 3, step)

    def sizes(self):
        with self.reader() as connection:
            return self.rows(connection)

    def test_packs_a_smaller_database_another_page_size_another_writer(self):
        process = self.follow()
        with self.reader() as connection:
            self.commit(3, 150)
            self.assert_follows(connection, 153)
            for table in "ab":
                self.app.sql(f"DELETE FROM {table} WHERE i > 20")
            self.app.sql("VACUUM")
            self.assertTrue(self.app.sync())
            self.assert_follows(connection, 21)
            for statement in ("PRAGMA journal_mode=delete", "PRAGMA page_size=8192", "VACUUM", "PRAGMA journal_mode=wal"):
                self.app.sql(statement)
            self.commit(1000, 5)
            self.assert_follows(connection, 26)
            self.assertEqual(connection.execute("PRAGMA page_size").fetchone(), (8192,))
            self.app.close()
            self.new_disk()
            self.tool("restore", "-o", self.db, self.url)
            self.app = App(self)
            self.commit(2000, 5)
            self.assert_follows(connection, 31)
        self.stop(process)

    def test_the_same_command_line_goes_on(self):
        options = ("-if-db-not-exists", "-mode", "640")
        self.stop(self.follow(options=options))
        os.chmod(self.copy, 0o600)
        process = self.follow(options=options)
        self.commit(3, 1)
        with self.reader() as connection:
            self.assert_follows(connection, 4)
        self.assertEqual(os.stat(self.copy).st_mode & 0o777, 0o640)
        self.stop(process)
        done = self.tool("restore", "-follow-interval", "1s", "-o", self.copy, self.url, code=2)
        self.assertIn("-follow-interval is of -f", done.stderr)

    def test_one_process_alone_follows(self):
        process = self.follow()
        self.commit(3, 1)
        with self.reader() as connection:
            self.assert_follows(connection, 4)
            for options in (("-f",), ("-f", "-if-db-not-exists"), ("-f", "-force"), ("-force",)):
                done = self.tool("restore", *options, "-o", self.copy, self.url, code=1)
                self.assertIn(f"follows a replica into it, in process {process.pid};", done.stderr)
            self.commit(4, 1)
            self.assert_follows(connection, 5)
            self.stop(process)
            # It stands in another container: what is seen is that its file is locked.
            with open(self.copy + "-follow", "rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                for options in (("-f",), ("-f", "-force"), ("-force",)):
                    done = self.tool("restore", *options, "-o", self.copy, self.url, code=1)
                    self.assertIn(f"another restore -f follows a replica into it, in process {os.getpid()};",
                                  done.stderr)
            self.commit(5, 1)
            process = self.follow()
            self.assert_follows(connection, 6)
        self.stop(process)
        beside = [name for name in os.listdir(self.folder) if name.startswith("copy.db")]
        self.assertEqual(sorted(beside), ["copy.db", "copy.db-follow"])


if __name__ == "__main__":
    unittest.main(verbosity=1)
