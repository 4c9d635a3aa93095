#!/usr/bin/python3
"""The tool as a user runs it: several replicas, list, status, adopt, version."""
import concurrent.futures
import contextlib
import glob
import http.server
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import threading
import unittest

from restore_cli_world import TOOL, RestoreCase, read, write


class ToolTest(RestoreCase):
    def test_an_error_names_the_object_once(self):
        url = "s3://bucket/p?endpoint=http://127.0.0.1:1"
        keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
        done = self.run_tool("list", url, code=1, url=False, **keys)
        self.assertEqual(done.stderr.count("s3://bucket/p"), 1, done.stderr)
        del keys["AWS_SECRET_ACCESS_KEY"]
        done = self.run_tool("list", url, code=2, url=False, **keys)
        self.assertIn("AWS_ACCESS_KEY_ID is set without AWS_SECRET_ACCESS_KEY", done.stderr)

    def test_an_option_without_its_value_is_no_option_left_out(self):
        for command, option in (("verify", "-max-age"), ("verify", "-metrics-dir"), ("status", "-max-lag"),
                                ("prune", "-retention"), ("list", "-config"), ("restore", "-mode")):
            done = self.run_tool(command, option, "", self.db, url=False, code=2)
            self.assertIn(f"{command}: {option}: is empty", done.stderr)
            done = self.run_tool(command, option + "=", self.db, url=False, code=2)
            self.assertIn(f"{command}: {option}: is empty", done.stderr)
        self.assertIn("-check: is empty", self.run_tool("config", "-check", "", url=False, code=2).stderr)
        self.assertIn("restore: -o: is empty", self.run_tool("restore", "-o=", self.url, url=False, code=2).stderr)
        self.assertIn("list: DB|URL: is empty", self.run_tool("list", "", url=False, code=2).stderr)
        self.assertIn("restore: DB|URL: is empty", self.run_tool("restore", "", url=False, code=2).stderr)

    def test_what_is_wrong_is_named(self):
        for code, word, *command in (
                (2, "not expected: -nope", "restore", "-nope"),
                (125, "not expected: a b; put `--` before PROGRAM", "run", "a", "b"),
                (125, "run: -config: ", "run", "-config", "/nope", "--", "true"),
                (2, "nourl is no replica URL", "adopt", self.db, "nourl"),
                (2, f"{self.folder}: read: Is a directory", "adopt", "-json", self.folder),
                (2, "-max-age", "verify", "-json", "-max-age", "x", self.url)):
            done = self.run_tool(*command, url=False, code=code)
            self.assertIn(word, done.stderr)
            if "-json" in command:
                self.assertEqual(json.loads(done.stdout), {
                    "error": done.stderr.split(": ", 2)[2].rstrip("\n"), "exit": code})

    def test_a_server_that_is_waited_for_in_vain_is_not_asked_again(self):
        """One that takes connections, and answers none."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            silent.setblocking(False)
            self.run_tool("list", "-patience", "1s", "s3://bucket/p?endpoint=http://127.0.0.1:%d" % silent.getsockname()[1],
                          url=False, code=1, AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b")
            connections = 0
            with contextlib.suppress(BlockingIOError):
                while True:
                    silent.accept()[0].close()
                    connections += 1
        self.assertLessEqual(connections, 2, "of one look")

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

    def test_one_replica_does_not_hide_what_is_done_with_the_others(self):
        write(self.db, read(self.states[2]))
        away = self.url + "-none"
        config = self.two_replicas(away, self.url)
        for command in ("prune", "-retention", "1h"), ("adopt",):
            done = self.run_tool(*command, "-config", config, "-json", self.db, url=False, code=3)
            self.assertIn("no replica at " + away, done.stderr)
            first, second = json.loads(done.stdout)["replicas"]
            self.assertEqual(first, {"replica": away, "error": "no replica at " + away})
            self.assertEqual((second["replica"], second["error"]), (self.url, None))
            done = self.run_tool(*command, "-config", config, self.db, url=False, code=3)
            self.assertIn(self.url, done.stdout)

    def test_of_all_that_is_wrong_a_damaged_replica_counts_most(self):
        away = "s3://bucket/p?endpoint=http://127.0.0.1:1"
        keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
        self.damage("log/" + sorted(os.listdir(os.path.join(self.replica, "log")))[-1])
        for urls, code in ((away, self.url), 4), ((self.url, self.url + "-none"), 4), ((away, self.url + "-none"), 3):
            config = self.two_replicas(*urls)
            for command in "list", "verify":
                self.run_tool(command, "-patience", "1s", "-config", config, self.db, url=False, code=code, **keys)
            # That nothing is there, `restore` says only where all say so.
            self.run_tool("restore", "-patience", "1s", "-config", config, self.db, url=False, code=4 if code == 4 else 1, **keys)

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

    def test_a_login_page_is_no_damage(self):
        """Somebody on the way answers for the server: nothing is told of the replica, and of nothing that one deletes."""
        class Portal(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                page = b"<!DOCTYPE html><html><title>Log in</title></html>"
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(page)))
                self.end_headers()
                self.wfile.write(page)

            def log_message(self, *_):
                pass

        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Portal) as server:
            threading.Thread(target=server.serve_forever).start()
            keys = {"BACKSTAY_ACCESS_KEY_ID": "id", "BACKSTAY_SECRET_ACCESS_KEY": "secret"}
            url = f"s3://bucket/app?endpoint=http://127.0.0.1:{server.server_port}"

            def said(command):
                return self.run_tool(*command, url, code=1, **keys).stderr
            try:
                with concurrent.futures.ThreadPoolExecutor() as pool:
                    told = list(pool.map(said, (["list"], ["verify"], ["restore", "-if-replica-exists", "-o", self.db])))
            finally:
                server.shutdown()
        for each in told:
            self.assertIn("a login page", each)
            self.assertNotIn("delete it", each)
        self.assert_nothing_left()

    def test_a_result_that_cannot_be_written_is_an_error(self):
        for command in (["version", "-json"], ["list", self.url], ["restore", "-json", "-o", self.db, self.url], ["help"]):
            with open("/dev/full", "w") as full:
                done = subprocess.run([TOOL, *command], stdout=full, stderr=subprocess.PIPE, text=True)
            self.assertEqual(done.returncode, 1, command)
            self.assertIn("standard output cannot be written: No space left on device", done.stderr)
        self.assert_restored(2)

    def test_a_file_of_settings_does_not_count_for_a_url(self):
        said = self.run_tool("list", "-config", "/none.json", self.url, url=False, code=2).stderr
        self.assertIn("-config: no file counts for a replica that is named by its URL", said)

    def test_options_are_named_as_they_were_typed(self):
        for option in "-jsn", "--jsn":
            self.assertIn(f" {option};", self.run_tool("list", option, self.url, code=2).stderr)

    def test_local_times_of_an_unknown_zone(self):
        said = self.run_tool("restore", "-timestamp", "2026-11-27 19:03", "-o", self.db, self.url, code=2,
                             TZ="Europe/Nowhere").stderr
        self.assertIn("TZ=Europe/Nowhere is not known here: install tzdata", said)

    def test_a_folder_is_no_database(self):
        self.assertIn("file://" + self.folder, self.run_tool("list", self.folder, code=2).stderr)

    def test_list(self):
        result = json.loads(self.run_tool("list", "-json", self.db).stdout)["replicas"][0]
        self.assertEqual([(r["first_txid"], r["last_txid"], r["damage"]) for r in result["ranges"]],
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
        self.assertIn("behind the damage", self.run_tool("adopt", self.db).stdout)
        self.damage("backstay.json")
        self.run_tool("adopt", self.db, code=4)

    def test_version(self):
        self.assertEqual(json.loads(self.run_tool("version", "-json").stdout)["format"], 2)
        self.assertTrue(self.run_tool("version").stdout.startswith("backstay "))

    def test_help(self):
        for arguments in (["-h"], ["help"], ["restore", "-help"], ["restore", "-h"]):
            self.assertIn("sage", self.run_tool(*arguments).stdout)


if __name__ == "__main__":
    unittest.main(verbosity=1)
