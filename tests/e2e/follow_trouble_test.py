#!/usr/bin/python3
"""restore -f: what holds a copy up, and what ends its following."""

import contextlib
import errno
import json
import os
import shutil
import sqlite3
import unittest

from engine_world import App
from follow_world import FAULT, FollowCase


class FollowTroubleTest(FollowCase):
    def test_a_copy_that_somebody_wrote_to_is_left_alone(self):
        self.stop(self.follow())
        with self.reader() as connection:
            connection.execute("CREATE TABLE mine(i)")
        done = self.tool("restore", "-f", "-o", self.copy, self.url, code=1)
        self.assertIn("another program has written to it", done.stderr)
        with self.reader() as connection:
            self.assertEqual(connection.execute("SELECT count(*) FROM mine").fetchone(), (0,))
        self.assertNotIn("delete it", done.stderr)
        self.tool("restore", "-force", "-o", self.copy, self.url)
        self.assertFalse(os.path.exists(self.copy + "-follow"), "of the copy that is no more")

    def test_a_file_in_the_place_of_the_copy_is_left_alone(self):
        other = os.path.join(self.folder, "other.db")
        with contextlib.closing(sqlite3.connect(other)) as connection:
            connection.execute("CREATE TABLE other(i)")
        moved = os.path.join(self.folder, "moved.db")
        row = 3
        for put in (lambda: os.rename(shutil.copy(other, moved), self.copy),
                    lambda: (os.unlink(self.copy), os.symlink(other, self.copy)),
                    lambda: (os.unlink(self.copy), os.link(other, self.copy)),
                    # The same file by another name has another journal.
                    lambda: (os.rename(self.copy, moved), os.symlink(moved, self.copy)),
                    lambda: shutil.copyfile(other, self.copy)):
            process = self.follow()
            self.commit(row, 1)
            self.wait_for("a commit to the copy", self.committed)
            put()
            with open(self.copy, "rb") as file:
                content = file.read()
            self.commit(row + 1, 1)
            row += 2
            self.assertEqual(process.wait(60), 1)
            self.assertRegex(self.said(), f"{self.copy}: (was deleted, or replaced|another program has written to it)")
            with open(self.copy, "rb") as file:
                self.assertEqual(file.read(), content)
            self.assertFalse(os.path.exists(self.copy + "-journal"))
            os.unlink(self.copy)
        process = self.follow()
        os.unlink(self.copy)
        self.assertEqual(process.wait(60), 1, self.said())

    def test_a_database_that_is_no_copy_is_refused(self):
        with contextlib.closing(sqlite3.connect(self.copy)) as connection:
            connection.execute("CREATE TABLE mine(i)")
        for options in ((), ("-if-db-not-exists",)):
            done = self.tool("restore", "-f", *options, "-o", self.copy, self.url, code=1)
            self.assertIn(f"{self.copy}: exists, and is no copy that -f has made; -force replaces it", done.stderr)
        with self.reader() as connection:
            self.assertEqual(connection.execute("SELECT count(*) FROM mine").fetchone(), (0,))

    def test_a_long_transaction_of_a_reader_holds_it_up_only(self):
        process = self.follow()
        with self.reader() as connection:
            connection.execute("BEGIN")
            self.assertEqual(self.rows(connection), 3)
            self.commit(3, 2)
            self.wait_for("a warning", lambda: "keeps a transaction open" in self.said())
            self.commit(5, 2)
            self.assertEqual(self.rows(connection), 3)
            connection.execute("COMMIT")
            self.assert_follows(connection, 7)
        self.wait_for("its end", lambda: "follows its replica again" in self.said())
        self.assertEqual(self.said().count("keeps a transaction open"), 1)
        self.stop(process)

    def test_a_replica_that_is_away_is_told_and_followed_again(self):
        process = self.follow()
        self.commit(3, 1)
        away = self.replica + "-away"
        with self.reader() as connection:
            self.assert_follows(connection, 4)
            for row, put in ((4, lambda: None), (5, lambda: open(self.replica, "w").close())):
                self.assertTrue(self.app.sync())
                self.app.close()
                os.rename(self.replica, away)
                put()
                self.wait_for("a warning", lambda: self.said().count("holds no replica at present") == row - 3)
                if os.path.exists(self.replica):
                    os.unlink(self.replica)
                os.rename(away, self.replica)
                self.wait_for("its end", lambda: self.said().count("follows its replica again") == row - 3)
                self.app = App(self)
                self.commit(row, 1)
                self.assert_follows(connection, row + 1)
            self.stop(process)
            os.rename(self.replica, away)
            process = self.follow()
            self.wait_for("a warning", lambda: "holds no replica at present" in self.said())
            os.rename(away, self.replica)
            self.wait_for("its end", lambda: "follows its replica again" in self.said())
        self.stop(process)

    def test_a_first_snapshot_that_is_not_finished_is_waited_for(self):
        self.stop(self.follow())
        self.commit(3, 1)
        for statement in ("PRAGMA journal_mode=delete", "PRAGMA page_size=8192", "VACUUM", "PRAGMA journal_mode=wal"):
            self.app.sql(statement)
        self.commit(4, 1)
        snapshots = os.path.join(self.replica, "snapshot")
        manifest = os.path.join(snapshots, max(os.listdir(snapshots)), "manifest")
        os.rename(manifest, self.replica + "-manifest")
        process = self.follow()
        self.wait_for("a warning", lambda: "no snapshot since then is finished" in self.said())
        with self.reader() as connection:
            self.assertEqual(self.rows(connection), 4)
            os.rename(self.replica + "-manifest", manifest)
            self.assert_follows(connection, 5)
        self.wait_for("its end", lambda: "follows its replica again" in self.said())
        self.assertEqual(self.said().count("warning:"), 1, self.said())
        self.stop(process)

    def test_a_damaged_log_is_waited_for(self):
        self.stop(self.follow())
        self.commit(3, 6)
        log = os.path.join(self.replica, "log")
        name = os.path.join(log, sorted(name for name in os.listdir(log) if name != "writer")[-3])
        with open(name, "rb") as file:
            content = file.read()
        with open(name, "wb") as file:
            file.write(content[:-9] + b"another" + content[-2:])
        process = self.follow()
        self.wait_for("a warning", lambda: "the log is damaged at" in self.said())
        with open(name, "wb") as file:
            file.write(content)
        with self.reader() as connection:
            self.assert_follows(connection, 9)
        self.wait_for("its end", lambda: "follows its replica again" in self.said())
        self.assertEqual(self.said().count("warning:"), 1, self.said())
        self.stop(process)

    def test_a_full_disk_holds_it_up_only(self):
        """Once at each of its steps, from the first that a commit takes."""
        place = os.path.join(self.folder, "place")
        os.mkdir(place)
        self.copy = os.path.join(place, "copy.db")
        self.stop(self.follow())
        for step in range(1, 40, 3):
            self.commit(step + 2, 3)
            process = self.follow(FAULT, place, "writes", str(errno.ENOSPC), str(step), "4", os.path.join(self.folder, "report"))
            with self.reader() as connection:
                self.assert_follows(connection, step + 5)
            process.kill()
            process.wait()

    def test_another_database_in_the_place_of_the_replica_ends_it(self):
        process = self.follow()
        self.app.close()
        shutil.rmtree(self.replica)
        self.new_disk()
        self.app = App(self)
        self.app.sql("CREATE TABLE other(i)")
        self.assertTrue(self.app.sync())
        self.assertEqual(process.wait(60), 1)
        self.assertIn("is the replica of another database", self.said())
        with self.reader() as connection:
            self.assertEqual(self.rows(connection), 3)

    def test_of_several_replicas_its_own_is_followed_again(self):
        config = os.path.join(self.folder, "config")
        replicas = [{"url": self.url + "-first"}, {"url": self.url}]
        with open(config, "w", encoding="utf-8") as file:
            json.dump({"dbs": [{"path": self.db, "replicas": replicas}]}, file)
        options = ("-config", config)
        self.env.pop("BACKSTAY_REPLICA_URL")
        url, self.url = self.url, self.db
        self.stop(self.follow(options=options))
        process = self.follow(options=options)
        self.url = url
        self.commit(3, 1)
        with self.reader() as connection:
            self.assert_follows(connection, 4)
        self.stop(process)


if __name__ == "__main__":
    unittest.main(verbosity=1)
