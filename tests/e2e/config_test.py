#!/usr/bin/python3
"""backstay config: what a file means, and all that is wrong in it; what a folder of databases selects."""
import contextlib
import json
import os
import sqlite3
import subprocess
import tempfile
import unittest

BUILD = os.environ["BACKSTAY_BUILD"]


class ConfigTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = os.path.realpath(folder.name)
        self.file = os.path.join(self.folder, "backstay.json")
        kept = {name: value for name, value in os.environ.items()
                if not name.startswith(("BACKSTAY_", "AWS_", "LITESTREAM_"))}
        self.environment = dict(kept, BACKSTAY_LOG_FILE=os.path.join(self.folder, "log"))

    def run_tool(self, *arguments, code=0, **environment):
        done = subprocess.run([os.path.join(BUILD, "backstay"), *arguments], capture_output=True, text=True,
                              timeout=60, check=False, env=dict(self.environment, **environment))
        self.assertEqual(done.returncode, code, (arguments, done.stdout, done.stderr))
        return done

    def write(self, config):
        with open(self.file, "w", encoding="utf-8") as file:
            file.write(config if isinstance(config, str) else json.dumps(config))

    def test_nothing_that_is_said_steers_a_terminal(self):
        for config in ({"dbs": [{"path": "/data/a\x1b[2Jb.db", "replica": {"bucket": "b"}}]},
                       {"dbs": [{"path": "/data/a\0b.db", "replica": {"bucket": "b"}}]},
                       {"dbs": [{"path": "/data/app.db", "replica": {"bucket": "b", "path": "a\x07"}}]},
                       {"secret-access-key": "hunter2\n", "access-key-id": "id", "dbs": []}, {"a\x1b[2J": 1}):
            self.write(config)
            done = self.run_tool("config", "-check", self.file, code=2)
            self.assertNotRegex(done.stdout + done.stderr, "[^\n -\x7e\x80-\uffff]")
            self.assertNotIn("hunter", done.stderr)
            self.assertIn("a?[2J" if "a\x1b[2J" in config else "holds a control character", done.stderr)

    def test_who_said_it(self):
        self.write({"retention": "30d", "access-key-id": "$ID", "secret-access-key": "hunter2", "addr": ":9090",
                    "dbs": [{"path": "/data/app.db", "replicas": [
                        {"type": "s3", "endpoint": "minio.lan", "bucket": "b", "sync-interval": "2s"}]}]})
        keys = {"ID": "hunter1", "BACKSTAY_DURABILITY": "sync"}
        done = self.run_tool("config", "-check", self.file, **keys)
        self.assertNotIn("hunter", done.stdout + done.stderr)
        self.assertIn("replica s3://b at https://minio.lan, bucket in the path", done.stdout)
        self.assertIn("ignored, since Backstay has no use for them: addr", done.stderr)
        told = json.loads(self.run_tool("config", "-check", self.file, "-json", **keys).stdout)
        self.assertEqual(told["problems"], [])
        self.assertEqual(len(told["warnings"]), 1)
        database, = told["databases"]
        rows = {row["key"]: row for row in database["settings"]}
        self.assertEqual(rows["retention"], {"key": "retention", "value": "30d", "from": "file", "at": "retention"})
        self.assertEqual(rows["durability"]["at"], "BACKSTAY_DURABILITY")
        self.assertEqual(rows["min-interval"]["at"], "dbs[0].replicas[0].sync-interval")
        self.assertEqual((rows["outbox-limit"]["from"], rows["outbox-limit"]["at"]), ("default", None))
        replica, = database["replicas"]
        secret, = [row for row in replica["settings"] if row["key"] == "secret-access-key"]
        self.assertEqual((secret["value"], secret["at"]), ("***", "secret-access-key"))

    def test_all_that_is_wrong(self):
        self.write({"dbs": [{"path": "app.db", "durabilty": "sync"},
                            {"path": "/a", "replica": {"type": "sftp", "host": "nas"}}]})
        done = self.run_tool("config", "-check", self.file, code=2)
        self.assertEqual(done.stdout, "")
        for number, words in enumerate(("dbs[0].durabilty: unknown key; did you mean", "dbs[0]: path \"app.db\" is relative",
                                        "dbs[0]: has no replica", "dbs[1].replica.type: \"sftp\"")):
            self.assertIn(words, done.stderr.splitlines()[number])
        self.assertEqual(len(done.stderr.splitlines()), 4)
        self.assertEqual(len(json.loads(self.run_tool("config", "-check", self.file, "-json", code=2).stdout)["problems"]), 4)
        self.write("dbs:\n  - path: /data/app.db\n")
        self.assertIn("looks like YAML", self.run_tool("config", "-check", self.file, code=2).stderr)
        missing = self.run_tool("config", "-check", self.file + "x", code=2).stderr
        self.assertIn("-check: the configuration cannot be read", missing)

    def test_what_does_not_suffice(self):
        self.write({"dbs": [{"path": "/a", "replica": {"url": "s3://b"}}]})
        self.assertIn("s3://b: no access key is set here", self.run_tool("config", "-check", self.file).stderr)
        self.write({})
        self.assertIn("no database is selected", self.run_tool("config", "-check", self.file).stderr)

    def test_a_warning_is_no_error(self):
        """For people it says what it is, in a log its level does; an error behind it is the error."""
        self.write({"addr": ":9090", "dbs": [{"path": "/a", "replica": {"url": "s3://b"}}]})
        for command in (("config", "-check", self.file), ("list", "-config", self.file, "/a")):
            code = 0 if command[0] == "config" else 2
            first = self.run_tool(*command, code=code).stderr.splitlines()[0]
            self.assertRegex(first, "^backstay: warning: .*addr")
            said = self.run_tool(*command, "-json", code=code, BACKSTAY_LOG_FORMAT="json")
            levels = [json.loads(line)["level"] for line in said.stderr.splitlines()]
            self.assertEqual(levels, ["WARN", "WARN"] if code == 0 else ["WARN", "ERROR"], said.stderr)
        self.assertNotIn("addr", said.stdout)

    def test_a_folder_of_databases(self):
        data, bucket = (os.path.join(self.folder, name) for name in ("data", "bucket"))
        os.makedirs(os.path.join(data, "a/b"))
        os.mkdir(bucket)
        self.write({"dbs": [{"dir": data, "pattern": "*.db", "recursive": True, "watch": True,
                             "monitor-interval": "1s", "replica": {"type": "file", "path": bucket}}]})
        config = {"BACKSTAY_CONFIG": self.file}
        names = ["top.db", "a/one.db", "a/b/two.db"]
        for name in names + ["a/other.sqlite"]:
            self.run_tool("run", "--", "sqlite3", os.path.join(data, name),
                          f"CREATE TABLE t(x); INSERT INTO t VALUES ('{name}')", **config)
        for name in names:
            self.assertTrue(os.path.exists(os.path.join(bucket, name, "backstay.json")), name)
            copy = os.path.join(self.folder, "copy.db")
            self.run_tool("restore", "-force", "-o", copy, os.path.join(data, name), **config)
            with contextlib.closing(sqlite3.connect(copy)) as db:
                self.assertEqual(db.execute("SELECT x FROM t").fetchall(), [(name,)])
        self.assertFalse(os.path.exists(os.path.join(bucket, "a/other.sqlite")))
        told = [json.loads(line)["db"] for line in
                self.run_tool("status", "-json", code=7, **config).stdout.splitlines()]
        self.assertEqual(sorted(told), sorted(os.path.join(data, name) for name in names))
        with open(self.environment["BACKSTAY_LOG_FILE"], encoding="utf-8") as log:
            warned = [line for line in log if "monitor-interval" in line]
        self.assertEqual(len(warned), 3)  # one for each process that replicated


if __name__ == "__main__":
    unittest.main()
