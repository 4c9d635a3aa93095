#!/usr/bin/env python3
"""Debian's package catalogue through crashes and lost disks, and back from the replica.

usage: BACKSTAY_BUILD=build tests/e2e/catalogue_test.py [-v]

The replica is a folder, or BACKSTAY_TEST_REPLICA, or the bucket of tests/support/s3server/with-s3.sh.
BACKSTAY_TEST_STANZAS: how much of the catalogue (default 20000).
"""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from catalogue_world import HERE, PYTHON, World, build_folder, dump, environment, query  # noqa: E402

STANZAS = os.environ.get("BACKSTAY_TEST_STANZAS", "20000")
COUNTER = "SELECT n FROM progress"


class CatalogueTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.shared = tempfile.mkdtemp(prefix="backstay-catalogue-")
        cls.stanzas = os.path.join(cls.shared, "stanzas.jsonl")
        with open(cls.stanzas, "wb") as file:
            subprocess.run([PYTHON, os.path.join(HERE, "catalogue_stanzas.py"), STANZAS, "1"],
                           check=True, stdout=file)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.shared)

    def world(self, name):
        return World(tempfile.mkdtemp(dir=self.shared), self.stanzas, name)

    def restore(self, world, out=None):
        """Restores beside the database, or in its place, and proves the file sound."""
        arguments = ["-o", out] if out else []
        if out and os.path.exists(out):
            os.remove(out)
        done = world.tool("restore", *arguments, world.database)
        self.assertEqual(done.returncode, 0, done.stderr)
        target = out or world.database
        self.assertEqual(query(target, "PRAGMA integrity_check"), "ok")
        return target

    def assert_same(self, one, other):
        self.assertEqual(dump(one), dump(other), f"{one} and {other} differ")

    def assert_prefix(self, world, restored, killed):
        """The restored database is a committed prefix that holds all that was reported synced."""
        n = query(restored, COUNTER)
        local = query(killed.local, COUNTER)
        self.assertLessEqual(killed.synced, n, "a transaction reported as synced is missing")
        self.assertLessEqual(n, local)
        self.assert_same(restored, world.replay(n))
        self.assert_same(killed.local, world.replay(local))
        return n

    def test_life_and_death(self):
        world = self.world("life")
        self.clean_exit(world)
        self.killed_while_writing(world)
        self.survivor_catches_up(world)
        n = self.disk_lost(world)
        self.nothing_uploaded_again(world, n)
        self.restored_goes_on(world, n)
        self.assertEqual(world.log_lines("ERROR"), [])

    def clean_exit(self, world):
        world.app("--until", 400)
        self.assertEqual(world.log_lines("WARN"), [])
        out = self.restore(world, world.out)
        self.assert_same(world.database, out)
        self.assert_same(out, world.replay(400))

    def killed_while_writing(self, world):
        killed = world.app_killed(600)
        self.assert_prefix(world, self.restore(world, world.out), killed)

    def survivor_catches_up(self, world):
        self.assertEqual(world.app("--until", 1000, "--sync-every", 100), 1000)
        out = self.restore(world, world.out)
        self.assert_same(world.database, out)
        self.assert_same(out, world.replay(1000))

    def disk_lost(self, world):
        """Returns the counter of the database restored in place."""
        killed = world.app_killed(1200)
        world.lose_disk()
        return self.assert_prefix(world, self.restore(world), killed)

    def nothing_uploaded_again(self, world, n):
        """A takeover record, perhaps a pack's worth of names; no page that the replica has."""
        before = world.stored()
        world.app("--until", n, "--sync-last")
        self.assertLessEqual(world.sent(), 4096)
        self.assertLessEqual(world.stored(), before + 4096)

    def restored_goes_on(self, world, n):
        n = world.app("--start-at", n + 1, "--until", n + 300, "--sync-last")
        world.lose_disk()
        self.assert_same(self.restore(world), world.replay(n))

    def test_extension_in_the_shell(self):
        world = self.world("shell")
        script = os.path.join(world.folder, "script.sql")
        source = world.replay(60)
        plain = subprocess.run(["sqlite3", source, ".dump"], check=True, capture_output=True,
                               env=environment())
        with open(script, "wb") as file:
            file.write(plain.stdout)
        shell = subprocess.run(
            ["sqlite3", "-batch", "-bail"], env=world.env, text=True, capture_output=True, timeout=120,
            input=f".load {world.extension()[:-3]}\n.open {world.database}\n"
                  ".dbconfig defensive off\n"  # virtual tables in a dump need that; newer shells have it on
                  f"PRAGMA journal_mode = WAL;\n.read {script}\n"
                  "DELETE FROM tags WHERE package % 3 = 0;\n"
                  "UPDATE versions SET installed = installed + 1;\nVACUUM;\n"
                  "PRAGMA wal_checkpoint(TRUNCATE);\n"
                  "SELECT 'synced ' || backstay_sync(30000);\n")
        self.assertEqual(shell.returncode, 0, shell.stderr)
        self.assertIn("synced 1", shell.stdout, world.log_text())
        out = self.restore(world, world.out)
        self.assert_same(world.database, out)
        self.assertEqual(query(out, "SELECT count(*) FROM tags WHERE package % 3 = 0"), 0)
        self.assertEqual(world.log_lines("ERROR"), [])

    def test_exit_codes(self):
        world = self.world("codes")
        out = world.out

        def code(expected, *arguments, **env):
            done = world.tool(*arguments, **env)
            self.assertEqual(done.returncode, expected, f"{arguments}: {done.stderr}")
            if expected:
                self.assertNotEqual(done.stderr, "")
            return done.stderr

        code(3, "restore", "-o", out, world.database)
        if world.url.startswith("file://"):  # the place is there, and empty
            os.makedirs(world.url.removeprefix("file://"))
        code(0, "restore", "-if-replica-exists", "-o", out, world.database)
        self.assertFalse(os.path.exists(out))
        world.app("--until", 20, "--sync-last")
        code(0, "restore", "-o", out, world.database)
        code(1, "restore", "-o", out, world.database)
        code(0, "restore", "-if-db-not-exists", "-o", out, world.database)
        code(0, "restore", "-force", "-o", out, world.database)
        code(3, "restore", "-o", out + "2", "-timestamp", "2001-01-01T00:00:00Z", world.database)
        code(2, "restore", "-o", out + "2")
        code(2, "restore", "-no-such-option", world.database)
        self.assertIn("BACKSTAY_DURABILTY",
                      code(2, "restore", "-o", out + "2", world.database, BACKSTAY_DURABILTY="sync"))
        self.assertIn("gs", code(2, "restore", "-o", out + "2", "gs://bucket/x"))
        self.assertFalse(os.path.exists(out + "2"))


if __name__ == "__main__":
    if not os.path.exists(os.path.join(build_folder(), "backstay.so")):
        sys.exit(f"no backstay.so in {build_folder()}: build it, or set BACKSTAY_BUILD")
    unittest.main()
