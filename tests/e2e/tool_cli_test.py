#!/usr/bin/python3
"""The tool as a user runs it: several replicas, list, status, adopt, version."""
import glob
import json
import os
import shutil
import sqlite3
import unittest

from restore_cli_world import RestoreCase, read, write


class ToolTest(RestoreCase):
    def test_an_error_names_the_object_once(self):
        url = "s3://bucket/p?endpoint=http://127.0.0.1:1"
        keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
        done = self.run_tool("list", url, code=1, url=False, **keys)
        self.assertEqual(done.stderr.count("s3://bucket/p"), 1, done.stderr)
        del keys["AWS_SECRET_ACCESS_KEY"]
        done = self.run_tool("list", url, code=2, url=False, **keys)
        self.assertIn("AWS_ACCESS_KEY_ID is set without AWS_SECRET_ACCESS_KEY", done.stderr)

    def test_next_replica_when_the_first_fails(self):
        config = os.path.join(self.folder, "config.json")
        broken = os.path.join(self.folder, "broken")
        shutil.copytree(self.replica, broken)
        os.remove(os.path.join(broken, "backstay.json"))
        with open(config, "w") as file:
            json.dump({"dbs": [{"path": self.db, "replicas": [
                {"url": "file://" + broken}, {"url": self.url}]}]}, file)
        done = self.run_tool("restore", "-config", config, self.db, url=False)
        self.assertIn("trying the next replica", done.stderr)
        self.assert_restored(2)

    def two_replicas(self, first, second):
        config = os.path.join(self.folder, "config.json")
        with open(config, "w") as file:
            json.dump({"dbs": [{"path": self.db, "replicas": [
                {"url": first}, {"url": second}]}]}, file)
        return config

    def test_the_newest_of_several_replicas(self):
        """The first was away for the last transaction."""
        older = os.path.join(self.folder, "older")
        self.make(older, self.states[:2])
        config = self.two_replicas("file://" + older, self.url)
        done = self.run_tool("restore", "-config", config, self.db, url=False)
        self.assert_restored(2)
        self.assertIn("from " + self.url, done.stderr)
        self.assertIn("file://" + older + " ends with transaction 2", done.stderr)
        # A time that both reach, and a transaction, which each counts for itself.
        when = json.loads(self.run_tool("restore", "-o", self.db + "2", "-txid", "2", "-json",
                                        self.url, url=False).stdout)["time"]
        for target in ("-timestamp", when), ("-txid", "2"):
            done = self.run_tool("restore", "-force", "-config", config, *target, self.db, url=False)
            self.assert_restored(1)
            self.assertIn("from file://" + older, done.stderr)

    def test_the_next_one_when_the_newest_proves_damaged(self):
        older = os.path.join(self.folder, "older")
        self.make(older, self.states[:2])
        self.damage(*["snapshot/" + os.path.relpath(path, self.replica + "/snapshot") for path in
                      glob.glob(self.replica + "/snapshot/*/*-*")])
        config = self.two_replicas("file://" + older, self.url)
        done = self.run_tool("restore", "-config", config, self.db, url=False)
        self.assert_restored(1)
        self.assertIn("warning: ", done.stderr)

    def test_one_that_does_not_answer_is_named(self):
        config = self.two_replicas("s3://bucket/p?endpoint=http://127.0.0.1:1", self.url)
        done = self.run_tool("restore", "-if-replica-exists", "-config", config, self.db, url=False,
                             AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b")
        self.assertRegex(done.stderr, "warning: .*s3://bucket/p.*127.0.0.1:1")
        self.assert_restored(2)

    def test_a_folder_is_no_database(self):
        self.assertIn("file://" + self.folder, self.run_tool("list", self.folder, code=2).stderr)

    def test_list(self):
        result = json.loads(self.run_tool("list", "-json", self.db).stdout)["replicas"][0]
        self.assertEqual([(r["first-txid"], r["last-txid"], r["damage"]) for r in result["ranges"]],
                         [(1, 3, None)])
        self.assertEqual(result["snapshots"][0]["pages"] * 4096, os.path.getsize(self.states[0]))
        self.assertIn("transactions 1 to 3", self.run_tool("list", self.url, url=False).stdout)
        self.damage("log/" + sorted(os.listdir(os.path.join(self.replica, "log")))[-1])
        self.assertIn("DAMAGED", self.run_tool("list", self.db, code=4).stdout)
        self.run_tool("list", self.url + "-none", code=3, url=False)

    def test_status(self):
        self.assertIn("nothing is known", self.run_tool("status", self.db, code=3).stderr)
        os.mkdir(self.db + "-backstay")
        self.assertIn("status.json", self.run_tool("status", self.db, code=3).stderr)
        write(self.db + "-backstay/status.json", b'{"state":"fenced","replicas":[{"lag":3}]}')
        self.assertIn("state: fenced", self.run_tool("status", self.db, code=6).stdout)
        self.assertEqual(json.loads(self.run_tool("status", "-json", self.db, code=6).stdout)["state"],
                         "fenced")
        write(self.db + "-backstay/status.json", b"{")
        self.run_tool("status", self.db, code=1)

    def test_adopt(self):
        self.assertIn("No such file", self.run_tool("adopt", self.db, code=2).stderr)
        write(self.db, b"a diary" * 100)
        self.assertIn("not a SQLite database", self.run_tool("adopt", self.db, code=2).stderr)
        for page_size in (8192, 4096):  # the replica's is 4096
            os.remove(self.db)
            connection = sqlite3.connect(self.db)
            connection.execute("PRAGMA page_size=%d" % page_size)
            connection.execute("CREATE TABLE t(x)")
            connection.close()
            before = read(self.db)
            self.assertIn("transactions up to 3", self.run_tool("adopt", self.db).stdout)
            self.assertEqual(read(self.db), before)
        self.run_tool("adopt", self.db, self.url + "-none", code=3)
        self.run_tool("adopt", self.db, url=False, code=2)
        self.run_tool("adopt", url=False, code=2)
        self.damage("log/" + sorted(os.listdir(os.path.join(self.replica, "log")))[-1])
        self.run_tool("adopt", self.db, code=4)

    def test_version(self):
        self.assertEqual(json.loads(self.run_tool("version", "-json").stdout)["format"], 2)
        self.assertTrue(self.run_tool("version").stdout.startswith("backstay "))

    def test_help(self):
        for arguments in (["-h"], ["help"], ["restore", "-help"], ["restore", "-h"]):
            self.assertIn("sage", self.run_tool(*arguments).stdout)


if __name__ == "__main__":
    unittest.main(verbosity=1)
