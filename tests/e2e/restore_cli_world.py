"""What the tests of the tool share: replicas of real databases, made once, and the tool as a user runs it."""
import os
import shutil
import sqlite3
import subprocess
import tempfile
import unittest

BUILD = os.environ["BUILD_DIR"]
TOOL = os.path.join(BUILD, "backstay")
MAKER = os.path.join(BUILD, "tests", "replica_maker")


def read(path):
    with open(path, "rb") as file:
        return file.read()


def write(path, content):
    with open(path, "wb") as file:
        file.write(content)


class RestoreCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        """Three states of a WAL-mode database: 100, 200 and 300 rows."""
        cls.shared = tempfile.mkdtemp(prefix="backstay-restore-")
        cls.states = []
        path = os.path.join(cls.shared, "work.db")
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("PRAGMA journal_mode=wal")
        connection.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, text)")
        for state in range(3):
            connection.execute("BEGIN")
            for i in range(100):
                connection.execute("INSERT INTO t(text) VALUES(hex(randomblob(300)))")
            connection.execute("COMMIT")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            cls.states.append(os.path.join(cls.shared, "state%d.db" % state))
            shutil.copy(path, cls.states[-1])
        connection.close()
        cls.master = os.path.join(cls.shared, "replica")
        cls.make(cls.master, cls.states)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.shared)

    @staticmethod
    def make(replica, states, **environment):
        subprocess.run([MAKER], check=True, stdout=subprocess.DEVNULL, env={
            **os.environ, "MAKER_REPLICA": replica, "MAKER_DATABASES": ":".join(states),
            **environment})

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="backstay-restore-")
        self.replica = os.path.join(self.folder, "replica")
        shutil.copytree(self.master, self.replica)
        self.url = "file://" + self.replica
        self.data = os.path.join(self.folder, "data")
        os.mkdir(self.data)
        self.db = os.path.join(self.data, "app.db")

    def tearDown(self):
        shutil.rmtree(self.folder)

    def run_tool(self, *arguments, code=0, url=True, before=None, **environment):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("BACKSTAY_")}
        if url is True:
            environment["BACKSTAY_REPLICA_URL"] = self.url
        done = subprocess.run([TOOL, *arguments], env={**clean, **environment}, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=before)
        self.assertEqual(done.returncode, code, done.stderr + done.stdout)
        return done

    def assert_nothing_left(self, *names):
        self.assertEqual(sorted(os.listdir(self.data)), sorted(names))

    def assert_restored(self, state, path=None):
        path = path or self.db
        self.assertEqual(read(path), read(self.states[state]))
        connection = sqlite3.connect(path)
        self.assertEqual(connection.execute("PRAGMA integrity_check").fetchone(), ("ok",))
        self.assertEqual(connection.execute("SELECT count(*) FROM t").fetchone(),
                         (100 * (state + 1),))
        connection.close()

    def damage(self, *keys):
        for key in keys:
            path = os.path.join(self.replica, key)
            content = bytearray(read(path))
            content[len(content) // 2] ^= 1
            write(path, bytes(content))

    # What is restored.
