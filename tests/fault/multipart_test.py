#!/usr/bin/python3
"""Every fault of a bucket against each request of a multipart upload.

The S3 client uploads objects above 16 MiB in parts. The engine makes none that large (a pack ends at
12 MiB), so tests/support/multipart_client puts one with the client alone, in parts of 5 MiB; each life
lets a fault hit one kind of request, once or for as long as it tries. The key holds the old object or the
new one, never anything else, tries are few requests, and one without a fault always succeeds.
"""

import concurrent.futures
import json
import os
import subprocess
import sys
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fault_world import BUILD, FaultCase, main  # noqa: E402
from bucket_world import (ENDPOINT, FAULTS, KEYS, FaultProxy, abort_upload,  # noqa: E402
                          unfinished_uploads, with_server)

CLIENT = os.path.join(BUILD, "tests", "multipart_client")
KINDS = ("initiate", "part", "complete", "abort")
PAIRS = [(kind, fault) for kind in KINDS for fault in FAULTS if fault != "stale-list"]
PART = 5 << 20
SIZE = 2 * PART + 12345
WHOLE = 5  # requests without a fault: initiate, three parts, complete; an abort in place of what fails
FINAL = {"403", "expired"}  # not worth another try with the same credentials
QUIET = {"delayed", "duplicate"}  # no failure, seen by the client


class Life(FaultCase):
    def begin(self, proxy, name):
        self.proxy, self.key = proxy, f"{name}-{self.seed}/object"
        self.prefix = self.key.split("/")[0]
        self.old, self.new = self.file("old", 1000), self.file("new", SIZE)
        self.assertTrue(self.put(self.old, ENDPOINT)["ok"])

    def file(self, name, size):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as file:
            file.write(self.random.randbytes(size))
        return path

    def command(self, what, path, endpoint):
        return [CLIENT, endpoint, what, self.key, path]

    def call(self, what, path, endpoint):
        done = subprocess.run(self.command(what, path, endpoint), capture_output=True, text=True, timeout=120)
        self.assertIn(done.returncode, (0, 1), done.stderr)
        self.assertEqual(done.stderr, "")
        return {**json.loads(done.stdout), "ok": done.returncode == 0}

    def put(self, path, endpoint=None):
        done = self.call("put", path, endpoint or self.proxy.url)
        for secret in (KEYS["AWS_SECRET_ACCESS_KEY"], "Signature=", "Credential="):
            self.assertNotIn(secret, done["message"])
        return done

    def holds(self, *paths):
        """The key holds the content of one of these files."""
        out = os.path.join(self.folder, "got")
        self.assertTrue(self.call("get", out, ENDPOINT)["ok"])
        with open(out, "rb") as got:
            content = got.read()
        for path in paths:
            with open(path, "rb") as file:
                if file.read() == content:
                    return True
        return False

    def hits(self):
        return self.proxy.hits[self.prefix, self.kind, self.fault]

    def run_life(self, proxy, kind, fault, lasting):
        self.kind, self.fault = kind, fault
        self.begin(proxy, f"{kind}-{fault}-{int(lasting)}")
        times = None if lasting else 1
        seconds = 45 if fault == "stall" and self.long and kind == "part" else 1
        proxy.add(fault, (kind,), times, self.prefix + "/", 0.3 if fault == "delayed" else seconds)
        if kind == "abort":
            proxy.add("500", ("part",), times, self.prefix + "/")
        for _ in range(3 if lasting and seconds == 1 else 1):
            self.one_try()
        self.assertGreater(self.hits(), 0)
        proxy.clear(self.prefix)
        self.assertTrue(self.put(self.new)["ok"])
        self.assertTrue(self.holds(self.new))
        self.check_uploads(most=self.hits() if kind in ("initiate", "abort") else 0)

    def one_try(self):
        before = self.proxy.count(self.prefix)
        done = self.put(self.new)
        self.assertLessEqual(done["requests"], WHOLE + 1)
        # The transport sends once more what met a connection that the server had closed.
        self.assertLessEqual(self.proxy.count(self.prefix) - before, 2 * (WHOLE + 1))
        if done["ok"]:
            self.assertTrue(self.holds(self.new))
            return
        self.assertTrue(self.holds(self.old, self.new))
        if self.kind != "complete":
            self.assertTrue(self.holds(self.old))
        self.assertIn(self.key, done["message"])
        self.assertEqual(done["retryable"], self.kind == "abort" or self.fault not in FINAL, done)
        if self.kind in ("initiate", "part"):
            self.assertNotIn(self.fault, QUIET, done)

    def check_uploads(self, most):
        """Unfinished stays only what the client could not know of, or could not abort."""
        left = unfinished_uploads(self.prefix)
        self.assertLessEqual(len(left), most)
        for key, upload_id in left:
            abort_upload(key, upload_id)
        self.assertEqual(unfinished_uploads(self.prefix), [])
        self.assertTrue(self.holds(self.new))

    def run_killed(self, proxy):
        """Killed in the middle: the old object stays, and the next upload knows nothing of it."""
        self.kind, self.fault = "part", "stall"
        self.begin(proxy, "killed")
        proxy.add("stall", ("part",), None, self.prefix + "/", 600)
        with subprocess.Popen(self.command("put", self.new, proxy.url), stdout=subprocess.DEVNULL) as process:
            self.wait_for("a part", self.hits)
            process.kill()
        self.tally.kills += 1
        proxy.clear(self.prefix)
        self.assertTrue(self.holds(self.old))
        self.assertEqual(len(unfinished_uploads(self.prefix)), 1)
        self.assertTrue(self.put(self.new)["ok"])
        self.check_uploads(most=1)


def live(proxy, kind, fault, lasting):
    life = Life()
    life.setUp()
    try:
        life.run_life(proxy, kind, fault, lasting)
        return ""
    except BaseException:  # noqa: B902: reported by the test
        return f"{fault} in {kind}, lasting: {lasting}:\n{traceback.format_exc()}"
    finally:
        life.doCleanups()


class MultipartTest(Life):
    def test_every_fault(self):
        pairs = PAIRS if self.long else self.random.sample(PAIRS, 8)
        lives = [(*pair, lasting) for pair in pairs for lasting in (False, True)]
        with FaultProxy(ENDPOINT) as proxy, concurrent.futures.ThreadPoolExecutor(3) as pool:
            troubles = list(filter(None, pool.map(lambda life: live(proxy, *life), lives)))
            self.tally.faults += sum(proxy.hits.values())
        if troubles:
            self.fail("\n".join(troubles))

    def test_killed(self):
        with FaultProxy(ENDPOINT) as proxy:
            self.run_killed(proxy)


if __name__ == "__main__":
    with_server()
    main("multipart", MultipartTest)
