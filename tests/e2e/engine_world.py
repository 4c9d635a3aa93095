"""What the end-to-end tests of the engine share: a folder, an application to command, the tool.

The application is a process of its own that runs the statements it is sent: what the shim and the
engine do is per process, and some tests kill it.
"""

import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
import unittest

# Debian's own: another Python may lack loadable extensions, or bring its own SQLite.
PYTHON = "/usr/bin/python3"
BUILD = os.path.abspath(os.environ.get(
    "BACKSTAY_BUILD", os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../build")))
PATIENCE = int(os.environ.get("BACKSTAY_TEST_PATIENCE", "60"))  # seconds until a test says that something will never happen
# To be preloaded: a clock that the application can move on, for the shim alone.
CLOCK = os.path.join(os.path.realpath(BUILD), "tests/shifted_clock.so")
# The runtime of a sanitizer that the libraries were built with: programs that load them want it first.
SANITIZER = os.environ.get("BACKSTAY_TEST_PRELOAD", "")

# Loads the extension, then answers each line {"code": …} with the value of `result` after it.
HOST = r"""
import json, os, sqlite3, sys
db, extension = sys.argv[1:3]
loader = sqlite3.connect(":memory:")
loader.enable_load_extension(True)
loader.load_extension(extension)
def connect(path=db, **more):
    c = sqlite3.connect(path, isolation_level=None, **more)
    c.execute("PRAGMA busy_timeout=20000")
    return c
def sql(text, *values):
    return c.execute(text, values).fetchall()
def status(connection=None):
    return json.loads((connection or c).execute("SELECT backstay_status()").fetchone()[0])
print("{}", flush=True)
for line in sys.stdin:
    result = None
    exec(json.loads(line)["code"])
    print(json.dumps(result), flush=True)
if "c" in globals(): c.close()
"""


def environment(**more):
    """Ours without any setting of Backstay's or of a cloud."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("BACKSTAY_", "AWS_"))}
    env["AWS_EC2_METADATA_DISABLED"] = "true"
    if SANITIZER:
        env["LD_PRELOAD"] = SANITIZER
    env.update({k: str(v) for k, v in more.items()})
    return env


# The replica's URL for an application, the same in each test's folder: a state folder knows it.
EVERYWHERE = "file:///proc/self/cwd/replica"


def copy_folder(source, target):
    """As a backup does it, the socket of a state folder included."""
    subprocess.run(["cp", "-a", source, target], check=True)


class App:
    """One application process; `under`: the command that runs it, `before`: code ahead of the extension's."""

    def __init__(self, case, db=None, unprivileged=False, open_it=True, under=(), before="", **env):
        self.case = case
        self.log = os.path.join(case.folder, f"stderr-{len(case.apps)}")
        case.apps.append(self)
        extension = os.path.join(BUILD, "backstay.so")
        more = {}
        if unprivileged and os.geteuid() == 0:
            extension = case.libraries_for_anybody()
            more = {"user": 65534, "group": 65534, "extra_groups": []}
        with open(self.log, "wb") as stderr:
            self.process = subprocess.Popen(
                [*under, PYTHON, "-c", before + HOST, db or case.db, extension], env={**case.env, **environment(**env)},
                cwd=case.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr,
                text=True, **more)
        self.process.stdout.readline()
        if open_it:
            self.do("c = connect(); sql('PRAGMA journal_mode=wal')")

    def do(self, code):
        """Runs the code; returns its `result`. Any exception in it fails the test."""
        try:
            self.process.stdin.write(json.dumps({"code": code}) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.case.fail(f"the application died ({self.process.returncode}):\n{self.stderr()}")
        return json.loads(line)

    def sql(self, text):
        return self.do(f"result = sql({text!r})")

    def sync(self, timeout_ms=PATIENCE * 1000):
        return self.sql(f"SELECT backstay_sync({timeout_ms})")[0][0] == 1

    def status(self):
        return self.do("result = status()")

    def close(self):
        """Ends the application; it must end well."""
        self.process.stdin.close()
        self.process.stdout.close()
        self.case.assertEqual(self.process.wait(PATIENCE), 0, self.stderr())

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def stderr(self):
        with open(self.log, encoding="utf-8") as file:
            return file.read()

    def lines(self, *levels):
        """Log lines of these levels; all of stderr must be log lines."""
        return [line for line in self.all_lines()
                if line["level"] in levels and "WAL-reset bug" not in line["msg"]]

    def all_lines(self):
        """Also the one that depends on the SQLite of this machine."""
        return [json.loads(line) for line in self.stderr().splitlines()]


class EngineCase(unittest.TestCase):
    def setUp(self):
        self.folder = os.path.realpath(tempfile.mkdtemp(prefix="backstay-e2e-"))
        self.addCleanup(self.clean_up)
        os.chmod(self.folder, 0o755)
        self.disk = os.path.join(self.folder, "disk")
        os.mkdir(self.disk)
        self.db = os.path.join(self.disk, "app.db")
        self.state = self.db + "-backstay"
        self.replica = os.path.join(self.folder, "replica")
        self.url = "file://" + self.replica
        self.apps = []
        self.env = environment(BACKSTAY_DB=self.db, BACKSTAY_REPLICA_URL=self.url,
                               BACKSTAY_MIN_INTERVAL="0ms")

    def clean_up(self):
        for app in self.apps:
            if app.process.poll() is None:
                app.kill()
        shutil.rmtree(self.folder)

    def new_disk(self):
        """What was beside the database is gone too."""
        shutil.rmtree(self.disk)
        os.mkdir(self.disk)

    def libraries_for_anybody(self):
        """The extension in a folder that every user may read; the build folder may be private."""
        folder = os.path.join(self.folder, "lib")
        if not os.path.exists(folder):
            os.mkdir(folder)
            for name in ("backstay.so", "libbackstay_engine.so"):
                shutil.copy(os.path.join(BUILD, name), folder)
        return os.path.join(folder, "backstay.so")

    def give_to_nobody(self, *paths):
        if os.geteuid() == 0:
            for path in paths:
                os.chown(path, 65534, 65534)

    def wait_for(self, what, condition):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            value = condition()
            if value:
                return value
            time.sleep(0.02)
        self.fail(f"not within {PATIENCE} s: {what}\n" + "".join(a.stderr() for a in self.apps))

    def wait_for_state(self, app, state):
        return self.wait_for(f"state {state}",
                             lambda: (s := app.status())["state"] == state and s)

    def run_tool(self, *arguments, **env):
        return subprocess.run([os.path.join(BUILD, "backstay"), *arguments], text=True, check=False,
                              env={**self.env, **environment(**env)}, capture_output=True)

    def tool(self, *arguments, code=0, **env):
        done = self.run_tool(*arguments, **env)
        self.assertEqual(done.returncode, code, done.stderr + done.stdout)
        return done

    def dump(self, path):
        """Hash of the content as SQL, taken from a copy so that no file is touched; proves it sound."""
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            copy = os.path.join(folder, "copy.db")
            for suffix in ("", "-wal"):
                if os.path.exists(path + suffix):
                    shutil.copyfile(path + suffix, copy + suffix)
            with contextlib.closing(sqlite3.connect(copy)) as connection:
                check = connection.execute("PRAGMA integrity_check").fetchall()
                self.assertEqual(check, [("ok",)], path)
                text = "\n".join(connection.iterdump())
        return hashlib.sha256(text.encode()).hexdigest()

    def assert_restores(self, db=None, url=None):
        """A restore from the replica equals the database."""
        out = os.path.join(self.folder, "restored.db")
        self.tool("restore", "-force", "-o", out, url or self.url)
        self.assertEqual(self.dump(out), self.dump(db or self.db), "the restored database differs")

    def objects_of_replica(self):
        """Paths of all objects; a write under way (a file that is about to be renamed) is none yet."""
        return [os.path.join(folder, name) for folder, _, names in os.walk(self.replica)
                for name in names if not name.startswith(".backstay-tmp-")]

    def stored(self):
        """Bytes in the replica's folder."""
        return sum(os.path.getsize(path) for path in self.objects_of_replica())

    def snapshot_of_replica(self):
        """Every object with its content."""
        found = {}
        for path in self.objects_of_replica():
            with open(path, "rb") as file:
                found[path] = file.read()
        return found

    def error_lines(self, app, count=1):
        """The application's ERROR lines, of which there must be `count`."""
        lines = app.lines("ERROR")
        self.assertEqual(len(lines), count, app.stderr())
        return [line["msg"] for line in lines]
