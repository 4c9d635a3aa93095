#!/usr/bin/python3
"""Lives of a pod, on a real S3 server: restored, run, stopped or killed, and started again where its volume is empty.

Two replicas, one of which is away for some lives. What was committed before a stop that was drained (every one but the
end of the whole pod at once) is there in the next life; after the others what comes back is a beginning of it.
"""

import json
import os
import shutil
import signal
import subprocess
import unittest

from bucket_world import KEYS, BucketCase, FaultProxy, s3_url, with_server, ENDPOINT
from fault_world import BUILD, PATIENCE, PYTHON, SANITIZER, Corrupt, Lost, environment, main

# Says what it found, then each transaction that is committed, until it is stopped or ends as it was told.
APPLICATION = """
import os, signal, sqlite3, sys, time
path, end = sys.argv[1:]
c = sqlite3.connect(path, isolation_level=None)
c.execute("PRAGMA journal_mode=WAL")
c.execute("CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, text)")
print(os.getpid(), *c.execute("SELECT count(*), coalesce(max(id), 0) FROM t").fetchone(), flush=True)
if end == "handler": signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
for n in range(1000000):
    print(c.execute("INSERT INTO t(text) VALUES (hex(randomblob(200)))").lastrowid, flush=True)
    if end == "exit" and n == 40: sys.exit(3)
    if end == "_exit" and n == 40: os._exit(4)
    time.sleep(0.002)
"""
# How a life ends: the exit status that a container's runtime sees.
ENDS = {"handler": 0, "term": -signal.SIGTERM, "exit": 3, "_exit": 4, "application killed": -signal.SIGKILL,
        "pod killed": -signal.SIGKILL}


@unittest.skipIf(SANITIZER, "the preload library does not go with a sanitizer's runtime")
class PodsTest(BucketCase):
    def test_lives(self):
        lives = 50 if self.long else 5
        with FaultProxy(ENDPOINT) as proxy:
            self.begin(proxy)
            # In the short play each end but one, the outage is in the middle of it.
            ends = [self.random.choice(list(ENDS)) for _ in range(lives)] if self.long else list(ENDS)[1:]
            for life, end in enumerate(ends):
                away = self.random.random() < 0.3 if self.long else life == 2
                self.live(end, away)
                if end != "pod killed" or self.random.random() < 0.5 or not self.long:
                    self.new_node(end)
            self.live("handler", away=False)
            self.new_node("handler")
            for url in self.urls:
                self.take_stock(url)

    def begin(self, proxy):
        name = f"pods-{os.getpid()}-{self.seed}"
        self.use(proxy, name)
        self.urls = [s3_url(name + "/a", proxy.url), s3_url(name + "/b", ENDPOINT)]
        self.config = os.path.join(self.folder, "config.json")
        with open(self.config, "w", encoding="utf-8") as file:
            json.dump({"dbs": [{"path": self.db, "replicas": [{"url": url} for url in self.urls]}]}, file)
        self.env = environment(**KEYS)
        self.least = self.most = 0  # rows that the next life finds

    def new_node(self, end):
        shutil.rmtree(self.disk)
        os.mkdir(self.disk)
        if end == "pod killed":
            self.least = 0

    def live(self, end, away):
        self.tally.faults += away
        if away:
            self.proxy.add("reset-before", prefix=self.prefix + "/a/")
        log = os.path.join(self.folder, "log")
        with open(log, "w", encoding="utf-8") as stderr:
            pod = subprocess.Popen([os.path.join(BUILD, "backstay"), "run", "-restore", "-config", self.config, "--",
                                    PYTHON, "-c", APPLICATION, self.db, end], text=True, env=self.env,
                                   stdout=subprocess.PIPE, stderr=stderr)
        try:
            self.play(pod, end, log)
            status = pod.wait(PATIENCE)
        finally:
            if pod.poll() is None:
                pod.kill()
            pod.stdout.close()
        if away:
            self.proxy.clear()
        with open(log, encoding="utf-8") as file:
            said = file.read()
        self.assertEqual(status, ENDS[end], said)
        self.assertNotIn('"level":"ERROR","logger":"backstay","msg":"the application', said)

    def play(self, pod, end, log):
        first = pod.stdout.readline().split()
        if not first:
            with open(log, encoding="utf-8") as file:
                raise Corrupt("it did not start: " + file.read())
        pid, count, last = map(int, first)
        if count != last or count > self.most:
            raise Corrupt(f"{count} rows, the last one is {last}, of {self.most} that were committed")
        if count < self.least:
            raise Lost(f"{count} rows of {self.least} that were committed before a drained stop")
        for _ in range(self.random.randrange(5, 40)):
            last = int(pod.stdout.readline())
        if end in ("handler", "term"):
            pod.terminate()
        elif "killed" in end:
            os.kill(pid if end == "application killed" else pod.pid, signal.SIGKILL)
            self.tally.kills += 1
        for line in pod.stdout:
            last = int(line) if line.endswith("\n") else last
        # It was stopped before it said so, perhaps.
        self.least, self.most = last, last + 1

    def take_stock(self, url):
        """Each replica alone has everything."""
        out = os.path.join(self.folder, "stock.db")
        self.tool("restore", "-force", "-o", out, url, "-integrity-check", "full")
        [(count,)] = self.rows(out, "SELECT count(*) FROM t")
        if not self.least <= count <= self.most:
            raise Lost(f"{count} rows of {self.least} at {url}")


if __name__ == "__main__":
    with_server()
    main("pods", PodsTest)
