"""What the fault tests share: rounds with a seed, the tally, the last line, writers to kill.

A suite is a FaultCase whose test methods are one round each; main() plays them once, or until
`--seconds` are over, every round with a seed of its own.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))
from engine_world import (BUILD, PATIENCE, PYTHON, SANITIZER, App, EngineCase, copy_folder,  # noqa: E402,F401
                          environment)


class Tally:
    """What the last line says."""

    def __init__(self):
        self.rounds = self.kills = self.faults = self.lost = self.corrupt = self.skipped = 0

    def line(self, suite):
        return json.dumps({"suite": suite, **vars(self)})


class Lost(AssertionError):
    """An acknowledged commit is missing."""


class Corrupt(AssertionError):
    """A restore failed, or what it gave is unsound."""


class FaultCase(EngineCase):
    tally = Tally()
    seed = 0

    def setUp(self):
        super().setUp()
        self.random = random.Random(self.seed)
        self.env["BACKSTAY_DRAIN_TIMEOUT"] = "2s"

    def killed(self, app):
        """SIGKILL, which stopped processes heed too."""
        app.kill()
        self.tally.kills += 1

    def restored(self, *arguments, url=None):
        """A fresh restore of the replica, proven sound: its path."""
        out = os.path.join(self.folder, "restored.db")
        done = subprocess.run([os.path.join(BUILD, "backstay"), "restore", "-force", "-o", out, *arguments,
                               url or self.url], text=True, env=self.env, capture_output=True, timeout=600)
        if done.returncode != 0:
            raise Corrupt("restore: " + done.stderr)
        with contextlib.closing(sqlite3.connect(out)) as connection:
            check = connection.execute("PRAGMA integrity_check").fetchall()
        if check != [("ok",)]:
            raise Corrupt(f"restored database: {check[:5]}")
        return out

    def rows(self, path, query, *values):
        """From a copy, so that no file of `path` is touched."""
        copy = os.path.join(self.folder, "rows")
        shutil.rmtree(copy, ignore_errors=True)
        os.mkdir(copy)
        for suffix in ("", "-wal", "-journal"):
            if os.path.exists(path + suffix):
                shutil.copyfile(path + suffix, os.path.join(copy, "x.db" + suffix))
        with contextlib.closing(sqlite3.connect(os.path.join(copy, "x.db"))) as connection:
            return connection.execute(query, values).fetchall()

    def assert_same(self, path, db=None):
        if self.dump(path) != self.dump(db or self.db):
            raise Corrupt("the restored database differs from the local one")


def play(case, suite):
    """One round. True when it went well."""
    case.tally.rounds += 1
    result = unittest.TestResult()
    case.run(result)
    if result.skipped:
        case.tally.skipped += 1
        print(f"{suite}: {case.id()} skipped: {result.skipped[0][1]}", file=sys.stderr)
    for _, trace in result.failures + result.errors:
        print(f"{suite}: {case.id()} failed; repeat with --seed {case.seed} --only "
              f"{case._testMethodName}{' --seconds 1' if case.long else ''}\n{trace}", file=sys.stderr, flush=True)
        case.tally.lost += "Lost:" in trace
        case.tally.corrupt += "Corrupt:" in trace
    return result.wasSuccessful()


def main(suite, *cases):
    """Plays all test methods of the cases; ends the process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--only", default="", help="methods whose name contains this")
    arguments = parser.parse_args()
    end = time.monotonic() + arguments.seconds
    FaultCase.seed = arguments.seed
    FaultCase.long = arguments.seconds > 0
    well, passes = True, 0
    while passes == 0 or (time.monotonic() < end and well):
        for case in cases:
            for name in unittest.defaultTestLoader.getTestCaseNames(case):
                if arguments.only in name and (passes == 0 or time.monotonic() < end):
                    well = play(case(name), suite) and well
                    FaultCase.seed += bool(arguments.seconds)
        passes += 1
    print(FaultCase.tally.line(suite), flush=True)
    sys.exit(0 if well else 1)
