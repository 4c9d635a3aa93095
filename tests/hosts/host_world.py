"""What the tests of foreign programs share: a run of one with Backstay, and what must come of it."""

import os
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))
from engine_world import BUILD, CLOCK, PATIENCE, EngineCase  # noqa: E402,F401

PRELOAD = os.path.join(BUILD, "libbackstay_preload.so")
EXTENSION = os.path.join(BUILD, "backstay.so")
WRITER = os.path.join(BUILD, "tests/writer_host")


def library(*names):
    """Path of the first of these shared libraries that is installed; skips the test if none is."""
    cache = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    for line in cache.splitlines():
        if line.strip().split(" ")[0] in names:
            return line.split(" => ")[1]
    raise unittest.SkipTest(f"{names[0]} is not installed")


class HostCase(EngineCase):
    def run_host(self, *command, preload=(PRELOAD,), **env):
        """Runs the program to its end, which must be a good one; returns its stdout and log lines."""
        if preload:
            env["LD_PRELOAD"] = " ".join(preload)
        done = subprocess.run(command, env={**self.env, **env}, cwd=self.folder, text=True,
                              capture_output=True, timeout=PATIENCE)
        self.stderr = done.stderr
        self.assertEqual(done.returncode, 0, done.stderr + done.stdout)
        return done.stdout

    def run_node(self, **more):
        """Node.js with an addon that writes; it has an OpenSSL of its own."""
        if not shutil.which("node"):
            self.skipTest("Node.js is not installed")
        addon = os.path.join(BUILD, "tests/writer_addon.node")
        load = "process.dlopen({exports: {}}, process.argv[1])"
        return self.run_host("node", "-e", load, addon, WRITER_DB=self.db, **more)

    def assert_replicated(self):
        self.assertIn("replication started", self.stderr)
        self.assertNotIn('"ERROR"', self.stderr)
        self.assert_restores()
