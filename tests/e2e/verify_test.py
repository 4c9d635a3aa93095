#!/usr/bin/python3
"""backstay verify as a user runs it, on replicas of real databases that are good, damaged, missing, stale."""
import fcntl
import glob
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
import unittest

from restore_cli_world import TOOL, RestoreCase, read, write


class VerifyTest(RestoreCase):
    def setUp(self):
        super().setUp()
        self.scratch = os.path.join(self.folder, "scratch")
        os.mkdir(self.scratch)

    def verify(self, *arguments, code=0, **others):
        done = self.run_tool("verify", "-scratch", self.scratch, *arguments, code=code, **others)
        self.assertEqual(os.listdir(self.scratch), [])
        return done

    def configure(self, *folders):
        """A configuration file with a replica in each folder."""
        path = os.path.join(self.folder, "backstay.json")
        replicas = [{"url": "file://" + os.path.join(self.folder, name)} for name in folders]
        write(path, json.dumps({"dbs": [{"path": self.db, "replicas": replicas}]}).encode())
        return "-config", path, self.db

    def made_of(self, *statements, **environment):
        """A replica of one database of these statements."""
        path = os.path.join(self.folder, "made.db")
        connection = sqlite3.connect(path)
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.close()
        replica = os.path.join(self.folder, "made")
        self.make(replica, [path], **environment)
        return "file://" + replica

    def test_a_good_replica(self):
        done = self.verify(self.db)
        self.assertEqual(done.stderr, "")
        self.assertRegex(done.stdout, "^%s: transaction 3 of .* restored in .*; checksum proven, "
                         "integrity check ok, 0 violated foreign keys\n$" % self.url)
        self.assert_nothing_left()

    def test_json(self):
        result = json.loads(self.verify("-json", self.db).stdout)
        self.assertEqual((result["verified"], result["exit"], result["db"]), (True, 0, self.db))
        replica = result["replicas"][0]
        self.assertEqual((replica["replica"], replica["verified"], replica["txid"]), (self.url, True, 3))
        self.assertEqual(replica["database_bytes"], os.path.getsize(self.states[2]))
        self.assertEqual((replica["checksum_proven"], replica["integrity_check"],
                          replica["foreign_key_violations"], replica["problems"]), (True, "ok", 0, []))
        self.assertGreaterEqual(replica["restore_ms"], 0)

    def test_a_damaged_log_object(self):
        newest = sorted(glob.glob(self.replica + "/log/**", recursive=True))[-1]
        self.damage(os.path.relpath(newest, self.replica))
        done = self.verify(self.db, code=4)
        self.assertIn("NOT VERIFIED", done.stdout)
        self.assertIn(self.url, done.stderr)

    def test_a_damaged_snapshot_that_is_not_needed(self):
        frame = glob.glob(self.replica + "/snapshot/*/*")[0]
        self.damage(os.path.relpath(frame, self.replica))
        self.verify(self.db, code=4)

    def test_a_missing_replica(self):
        done = self.verify("file://" + self.folder + "/none", code=3, url=False)
        self.assertIn(self.folder + "/none", done.stderr)

    def test_a_replica_that_cannot_be_reached(self):
        self.verify("-patience", "1s", "s3://bucket/p?endpoint=http://127.0.0.1:1", code=1, url=False,
                    AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b")

    def test_all_replicas_are_reported_and_the_worst_counts(self):
        shutil.copytree(self.master, os.path.join(self.folder, "second"))
        self.verify(*self.configure("replica", "second"), url=False)
        newest = sorted(glob.glob(self.folder + "/second/log/**", recursive=True))[-1]
        os.remove(newest)
        os.mkdir(os.path.join(self.folder, "empty"))
        done = self.verify("-json", *self.configure("empty", "second", "replica"), code=3, url=False)
        results = json.loads(done.stdout)["replicas"]
        # The tail of a log that is gone leaves no trace: what is there is whole.
        self.assertEqual([(each["exit"], each.get("txid")) for each in results], [(3, None), (0, 2), (0, 3)])
        middle = sorted(glob.glob(self.replica + "/log/**", recursive=True))[-2]
        os.remove(middle)
        done = self.verify("-json", *self.configure("empty", "second", "replica"), code=4, url=False)
        self.assertEqual([each["exit"] for each in json.loads(done.stdout)["replicas"]], [3, 0, 4])

    def test_age(self):
        result = json.loads(self.verify("-json", self.db).stdout)["replicas"][0]
        days = result["age_ms"] // 86400000
        self.assertGreater(days, 0, "the states of replica_maker are old")
        self.verify("-max-age", "%dd" % (days + 2), self.db)
        done = self.verify("-max-age", "%dd" % days, self.db, code=1)
        self.assertIn("-max-age", done.stderr)
        self.assertIn("transaction, 3", done.stderr)
        for wrong in "0s", "7", "soon":
            self.assertIn("-max-age", self.verify("-max-age", wrong, self.db, code=2).stderr)

    def test_a_database_that_was_damaged_before_it_was_replicated(self):
        state = os.path.join(self.folder, "damaged.db")
        content = bytearray(read(self.states[2]))
        # A cell pointer of the table's root page.
        content[4096 + 12:4096 + 16] = b"\xff\xff\xff\xff"
        write(state, bytes(content))
        self.make(os.path.join(self.folder, "made"), [state])
        url = "file://" + self.folder + "/made"
        done = self.verify(url, code=4, url=False)
        self.assertIn("the integrity check failed", done.stderr)
        done = self.verify("-integrity-check", "none", "-no-foreign-key-check", url, url=False)
        self.assertIn("checksum proven, integrity check none", done.stdout)

    def test_violated_foreign_keys_are_told(self):
        url = self.made_of("CREATE TABLE a(id INTEGER PRIMARY KEY)",
                           "CREATE TABLE b(id INTEGER PRIMARY KEY, a REFERENCES a)",
                           "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n LIMIT 50) "
                           "INSERT INTO b SELECT i, i FROM n")
        done = self.verify(url, code=1, url=False)
        self.assertIn("50 foreign keys are violated", done.stderr)
        self.assertIn("b row 1 refers to a row of a that is not there", done.stderr)
        self.assertIn("and 30 more", done.stderr)
        self.assertLess(done.stderr.count("\n"), 30)
        self.verify("-no-foreign-key-check", url, url=False)

    def test_no_room_is_told_before_anything_is_written(self):
        here = os.statvfs(self.scratch)
        done = self.run_tool("verify", "-scratch", "/sys", self.db, code=1)
        self.assertIn("-scratch", done.stderr)
        if os.geteuid() != 0 or here.f_bavail == 0:
            return
        small = os.path.join(self.folder, "small")
        os.mkdir(small)
        # There would be for the snapshot, which the log has made larger since.
        size = "size=%d" % os.path.getsize(self.states[1])
        if subprocess.run(["mount", "-t", "tmpfs", "-o", size, "none", small], check=False).returncode != 0:
            return
        try:
            done = self.run_tool("verify", "-scratch", small, self.db, code=1)
            self.assertRegex(done.stderr, "the database takes .*, and in %s only .* are free" % small)
            self.assertEqual(os.listdir(small), [])
        finally:
            subprocess.run(["umount", small], check=True)

    def test_only_leftovers_of_its_own_are_cleaned_up(self):
        def folder(*names):
            path = os.path.join(self.folder, *names)
            os.makedirs(path)
            write(os.path.join(path, "kept"), b"x")
            return path
        parent = folder("backstay-scratch-Abc123")
        others = ["photos", "backstay-scratch-", "backstay-scratch-Abc12", "backstay-scratch-Abc1234",
                  "backstay-scratch-Abc-12", "my-backstay-scratch-Abc123", "backstay-scratch-Locked"]
        for name in others:
            folder(parent, name)
        locked = os.open(os.path.join(parent, others[-1]), os.O_RDONLY)
        self.addCleanup(os.close, locked)
        fcntl.flock(locked, fcntl.LOCK_EX)
        os.symlink(folder("elsewhere"), os.path.join(parent, "backstay-scratch-LinkAA"))
        folder(parent, "backstay-scratch-Xyz789")
        self.run_tool("verify", "-scratch", parent, self.db)
        self.assertEqual(sorted(os.listdir(parent)), sorted(others + ["backstay-scratch-LinkAA", "kept"]))
        for name in others + ["../elsewhere"]:
            self.assertEqual(os.listdir(os.path.join(parent, name)), ["kept"])

    def signalled(self, number, url):
        """Exit status and errors of a verification that got the signal while it had something in its scratch folder."""
        process = subprocess.Popen([TOOL, "verify", "-scratch", self.scratch, url], stderr=subprocess.PIPE,
                                   stdout=subprocess.DEVNULL, text=True)
        while not os.listdir(self.scratch) and process.poll() is None:
            time.sleep(0.001)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        return process.returncode, errors

    def test_a_signal_leaves_nothing_behind(self):
        url = self.made_of("CREATE TABLE t(id INTEGER PRIMARY KEY, x UNIQUE)",
                           "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n LIMIT 100000) "
                           "INSERT INTO t SELECT i, hex(randomblob(20)) FROM n")
        for number in signal.SIGTERM, signal.SIGINT, signal.SIGKILL:
            # One may be over before the signal comes.
            for _ in range(20):
                code, errors = self.signalled(number, url)
                if code != 0:
                    break
            if number == signal.SIGKILL:
                continue
            self.assertEqual(code, 1)
            self.assertIn("cancelled", errors)
            self.assertEqual(os.listdir(self.scratch), [])
        # What could not clean up is cleaned up after.
        self.assertNotEqual(os.listdir(self.scratch), [])
        self.verify(self.db)


if __name__ == "__main__":
    unittest.main()
