#!/usr/bin/python3
"""A restore that is interrupted, by a kill or by connections that break, goes on where it was."""

import contextlib
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fault_world import BUILD, Corrupt, main  # noqa: E402
from bucket_world import (ENDPOINT, KEYS, ROWS, SCHEMA, BucketCase, FaultProxy, ask_server, s3_url,  # noqa: E402
                          with_server)
from fault_proxy import HALF  # noqa: E402


class Resume(BucketCase):
    """A snapshot of some frames, read one after the other."""

    def make(self, proxy, name):
        self.use(proxy, f"{name}-{self.seed}")
        with contextlib.closing(sqlite3.connect(self.db)) as connection:
            connection.executescript(f"PRAGMA journal_mode=wal; {SCHEMA}; {ROWS.format(60000)};")
        app = self.start()
        self.assert_synced(app)
        self.wait_for("a snapshot", lambda: self.replica_status(app)["restorable"])
        app.sql("UPDATE t SET text = 'in the log' WHERE id = 7")
        self.assert_synced(app)
        app.close()
        self.disk = os.path.join(self.folder, "restored")
        os.mkdir(self.disk)
        self.out = os.path.join(self.disk, "app.db")

    def restore(self):
        command = [os.path.join(BUILD, "backstay"), "restore", "-parallelism", "1", "-o", self.out, self.url]
        return subprocess.Popen(command, env={**self.env, **KEYS}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True)

    def fetched(self):
        """Restores; bytes that the server sent."""
        before = self.proxy.received
        process = self.restore()
        _, errors = process.communicate(timeout=120)
        self.assertEqual(process.returncode, 0, errors)
        self.assertEqual(sorted(os.listdir(self.disk)), ["app.db", "app.db-backstay"])
        self.assert_same(self.out)
        return self.proxy.received - before

    def frames(self):
        listed = ask_server("GET", "", "list-type=2&prefix=" + self.prefix + "%2Fsnapshot%2F")
        keys = [key for key in re.findall("<Key>([^<]*)</Key>", listed) if not key.endswith("/manifest")]
        self.assertGreater(len(keys), 3)
        return keys

    def forget(self):
        subprocess.run(["rm", "-r", self.disk], check=True)
        os.mkdir(self.disk)

    def written(self):
        try:
            return os.stat(self.out + ".backstay-restore").st_blocks * 512
        except FileNotFoundError:
            return 0

    def kill_one(self, size):
        """When most of the database, but not all, is in the file."""
        self.proxy.latency = 0.2
        process = self.restore()
        while self.written() < size * 2 // 3 and process.poll() is None:
            time.sleep(0.005)
        self.proxy.add("stall", {"get"}, prefix=self.prefix, seconds=None)
        process.kill()
        process.communicate()
        self.proxy.clear()
        self.proxy.latency = 0
        self.assertEqual(process.returncode, -9)
        self.tally.kills += 1

    def test_a_killed_restore_fetches_what_is_missing(self):
        with FaultProxy(os.environ["BACKSTAY_TEST_S3_ENDPOINT"]) as proxy:
            self.make(proxy, "killed")
            whole = self.fetched()
            size = os.path.getsize(self.out)
            self.forget()
            self.kill_one(size)
            self.assertEqual(os.listdir(self.disk), ["app.db.backstay-restore"])
            again = self.fetched()
            if again > whole // 2:
                raise Corrupt(f"{again} bytes were fetched again of {whole}")

    def test_objects_whose_connection_breaks_are_not_read_twice(self):
        with FaultProxy(os.environ["BACKSTAY_TEST_S3_ENDPOINT"]) as proxy:
            self.make(proxy, "broken")
            whole = self.fetched()
            self.forget()
            frames = self.frames()
            for key in frames:
                proxy.add("truncated", {"get"}, times=1, prefix=key)
            again = self.fetched()
            self.tally.faults += len(frames)
            self.assertEqual(proxy.hits[self.prefix, "get", "truncated"], len(frames))
            if again > whole * 11 // 10:
                raise Corrupt(f"{again} bytes were fetched of {whole}")

    def begin_silent(self, proxy, fault, kinds, key):
        """A restore of its own through a proxy of its own, which falls silent at this key."""
        proxy.add(fault, kinds, prefix=f"{self.prefix}/{key}", seconds=None)
        url = s3_url(self.prefix, proxy.url)
        out = tempfile.mkdtemp(dir=self.folder)
        command = [os.path.join(BUILD, "backstay"), "restore", "-o", os.path.join(out, "app.db"), url]
        with open(os.path.join(out, "said"), "wb") as said:
            return subprocess.Popen(command, env={**self.env, **KEYS}, stdout=said, stderr=said), out

    def test_a_server_that_falls_silent_is_told_of_whatever_it_was_asked(self):
        """Within 10 s, naming the request; once it answers again the restore goes on. All at once, each by its proxy."""
        phases = [("stall", {"get"}, "backstay.json"), ("stall", {"list"}, ""), (HALF, {"list"}, ""),
                  ("stall", {"get"}, "snapshot/"), (HALF, {"get"}, "log/")]
        with contextlib.ExitStack() as stack:
            self.make(stack.enter_context(FaultProxy(ENDPOINT)), "silent")
            frame = self.frames()[1].removeprefix(self.prefix + "/")
            phases += [("stall", {"get"}, frame), (HALF, {"get"}, frame)]
            proxies = [stack.enter_context(FaultProxy(ENDPOINT)) for _ in phases]
            begun = [self.begin_silent(proxy, *phase) for proxy, phase in zip(proxies, phases)]
            for phase, proxy, (process, out) in zip(phases, proxies, begun):
                def said():
                    with open(os.path.join(out, "said"), encoding="utf-8") as file:
                        return file.read()
                with self.subTest(phase):
                    told = self.wait_for(f"a word of {phase}", lambda: re.search(
                        r"the server has been silent for (\d+) s: (GET|list) (\S*)", said()))
                    self.assertLessEqual(int(told[1]), 10)
                    self.assertIn(f"/{self.prefix}/{phase[2]}", told[3])
                    proxy.clear()
                    self.assertEqual(process.wait(timeout=120), 0, said())
                    self.assert_same(os.path.join(out, "app.db"))
                    self.tally.faults += 1


if __name__ == "__main__":
    with_server()
    main("resume", Resume)
