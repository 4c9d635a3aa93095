"""Programs whose environment is gone before they open a database: it is read once, early."""

import glob
import os
import socket
import struct
import subprocess
import unittest

from host_world import EXTENSION, PATIENCE, PRELOAD, WRITER, HostCase

SCRIPT = """<?php
$c = new SQLite3(getenv("BACKSTAY_DB") ?: $_SERVER["DATABASE"]);
$c->exec("PRAGMA journal_mode=wal"); $c->exec("CREATE TABLE t(x); INSERT INTO t VALUES(1)");
$c->exec("PRAGMA backstay_sync(60000)");
echo getenv("BACKSTAY_DB") === false ? "cleared" : "not cleared";
"""
POOL = """
[global]
daemonize = no
error_log = {folder}/fpm.log
[www]
listen = {folder}/fpm.sock
pm = static
pm.max_children = 1
catch_workers_output = yes
"""


def pair(name, value):
    return struct.pack(">BB", len(name), len(value)) + name.encode() + value.encode()


def request(path, **parameters):
    """What the FastCGI server at the socket answers."""
    def record(kind, content):
        return struct.pack(">BBHHBx", 1, kind, 1, len(content), 0) + content
    begin, params, stdin, stdout = 1, 4, 5, 6
    content = b"".join(pair(name, value) for name, value in parameters.items())
    answer = b""
    with socket.socket(socket.AF_UNIX) as client, client.makefile("rb") as stream:
        client.settimeout(PATIENCE)
        client.connect(path)
        client.sendall(record(begin, struct.pack(">HB5x", 1, 0)) + record(params, content) + record(params, b"") +
                       record(stdin, b""))
        while header := stream.read(8):
            _, kind, _, length, padding = struct.unpack(">BBHHBx", header)
            content = stream.read(length + padding)[:length]
            answer += content if kind == stdout else b""
    return answer.decode()


class Cleared(HostCase):
    def setUp(self):
        super().setUp()
        self.env["CLEAR_ENVIRONMENT"] = "1"

    def test_preload(self):
        self.run_host(WRITER, self.db)
        self.assert_replicated()

    def test_extension(self):
        self.run_host(WRITER, self.db, EXTENSION, preload=())
        self.assert_replicated()

    def test_credentials(self):
        self.env["BACKSTAY_REPLICA_URL"] = "s3://bucket/prefix?endpoint=http://127.0.0.1:9"
        self.run_host(WRITER, self.db, BACKSTAY_DRAIN_TIMEOUT="100ms", AWS_ACCESS_KEY_ID="id",
                      AWS_SECRET_ACCESS_KEY="key")
        self.assertIn("127.0.0.1:9", self.stderr)
        self.assertNotIn("credentials", self.stderr)

    def test_a_variable_in_the_configuration(self):
        config = os.path.join(self.folder, "backstay.json")
        with open(config, "w", encoding="utf-8") as file:
            file.write('{"dbs": [{"path": "${THE_DATABASE}", "replicas": [{"url": "${THE_REPLICA}"}]}]}')
        del self.env["BACKSTAY_DB"], self.env["BACKSTAY_REPLICA_URL"]
        self.run_host(WRITER, self.db, BACKSTAY_CONFIG=config, THE_DATABASE=self.db, THE_REPLICA=self.url)
        self.assert_replicated()


class Fpm(HostCase):
    def test_php_fpm(self):
        [program] = glob.glob("/usr/sbin/php-fpm[0-9]*")[:1] or [None]
        if program is None:
            self.skipTest("php-fpm is not installed")
        script = os.path.join(self.folder, "index.php")
        with open(script, "w", encoding="utf-8") as file:
            file.write(SCRIPT)
        pool = os.path.join(self.folder, "pool.conf")
        with open(pool, "w", encoding="utf-8") as file:
            file.write(POOL.format(folder=self.folder))
            if os.geteuid() == 0:
                file.write("user = root\ngroup = root\n")
        fpm = subprocess.Popen([program, "-R", "-y", pool], env={**self.env, "LD_PRELOAD": PRELOAD})
        self.addCleanup(lambda: (fpm.terminate(), fpm.wait(PATIENCE)))
        where = os.path.join(self.folder, "fpm.sock")
        self.wait_for("a socket of php-fpm", lambda: os.path.exists(where))
        answer = request(where, SCRIPT_FILENAME=script, REQUEST_METHOD="GET", DATABASE=self.db)
        self.assertTrue(answer.endswith("\r\n\r\ncleared"), answer)
        self.assert_restores()


if __name__ == "__main__":
    unittest.main()
