"""What the shim's conformance tests share: a folder, a child process with the shim, its call log.

Each case runs its SQL in a child process, because what the shim does is per process. The child's
code sees `db` (path of the database), `sqlite3`, `load(connection)`, `calls()` (the engine's call
log so far), `status(connection)` and whatever modules it imports.
"""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import unittest

BUILD = os.environ.get("BUILD_DIR", os.path.join(os.path.dirname(__file__), "../../build"))
RECORDING = os.path.join(os.path.realpath(BUILD), "tests/recording")
# The runtime of a sanitizer; sanitized libraries want it in the program before them.
SANITIZER = os.environ.get("BACKSTAY_TEST_PRELOAD", "")

PRELUDE = r"""
import json, os, sqlite3, subprocess, sys, threading
folder, extension = sys.argv[1:3]
db = os.path.join(folder, "app.db")
log = os.environ["RECORDING_ENGINE_LOG"]

def connect(name=db, **more):
    return sqlite3.connect(name, isolation_level=None, **more)

def load(connection):
    connection.enable_load_extension(True)
    connection.load_extension(extension)
    return connection

def calls(*names):
    lines = [json.loads(line) for line in open(log)] if os.path.exists(log) else []
    return [line for line in lines if not names or line["call"] in names]

def status(connection):
    return json.loads(connection.execute("SELECT backstay_status()").fetchone()[0])

def other_process(code):
    # On a connection `c` without the shim; the process stays until it is spoken to.
    script = "import sqlite3,sys;c=sqlite3.connect(sys.argv[1],isolation_level=None);" + code + \
             ";print('done',flush=True);sys.stdin.readline()"
    child = subprocess.Popen([sys.executable, "-c", script, db], text=True,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout.readline() == "done\n"
    return child

def wal(connection, schema="main"):
    mode = connection.execute(f"PRAGMA {schema}.journal_mode=WAL").fetchone()[0]
    assert mode == "wal", mode
    return connection
"""


class ShimCase(unittest.TestCase):
    extension = os.path.join(RECORDING, "backstay.so")

    def setUp(self):
        self.folder = os.path.realpath(tempfile.mkdtemp(prefix="backstay-test-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.db = os.path.join(self.folder, "app.db")
        self.log = os.path.join(self.folder, "calls")
        self.env = {key: value for key, value in os.environ.items()
                    if not key.startswith(("BACKSTAY_", "RECORDING_"))}
        self.env["RECORDING_ENGINE_LOG"] = self.log
        self.env["BACKSTAY_REPLICA_URL"] = "file:///nowhere"
        if SANITIZER:
            self.env["LD_PRELOAD"] = SANITIZER

    def run_child(self, code, stdin=None):
        """Runs the code; returns the engine's calls. Fails with the child's output."""
        script = PRELUDE + textwrap.dedent(code)
        child = subprocess.run([sys.executable, "-c", script, self.folder, self.extension],
                               env=self.env, cwd=self.folder, input=stdin, text=True,
                               capture_output=True, timeout=120)
        self.stderr = child.stderr
        self.stdout = child.stdout
        self.assertEqual(child.returncode, 0, child.stdout + child.stderr)
        return self.calls()

    def calls(self, *names):
        if not os.path.exists(self.log):
            return []
        with open(self.log) as lines:
            entries = [json.loads(line) for line in lines]
        return [entry for entry in entries if not names or entry["call"] in names]

    def told(self):
        """Log lines of WARN and ERROR: what an old SQLite is said to have is INFO."""
        return [entry for entry in self.calls("log") if entry["level"] > 1]

    def names(self):
        return [entry["call"] for entry in self.calls()]

    def check(self, name=None):
        """The database as an unshimmed SQLite sees it is sound."""
        connection = sqlite3.connect(name or self.db)
        self.assertEqual(connection.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
        connection.close()
