#!/usr/bin/python3
"""Each row of the README's table "When it breaks": produced, seen as the row says, and mended as it says.

The row's log line, state, exit status and metric are read from the page itself. S3 is a real server behind a proxy
that breaks it; the cases run beside each other, each with a prefix or bucket of its own.
"""

import concurrent.futures
import contextlib
import os
import re
import sqlite3
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../fault")]
from bucket_world import (BucketCase, ENDPOINT, KEYS, ROWS, FaultProxy, ask_server, empty, s3_url,  # noqa: E402
                          with_server)
from fault_world import BUILD, App  # noqa: E402
from watch_test import samples  # noqa: E402

ROW = "INSERT INTO t(text) VALUES(hex(randomblob(2000)))"
TABLE = "### When it breaks"
README = os.path.join(HERE, "../../README.md")


class Row:
    """| **name** … | LEVEL `words`, or nothing | `state` | exit | `metric{label="value"}` | what to do |"""

    def __init__(self, line):
        self.cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        name, log, state, code, metric, self.remedy = self.cells
        self.name = re.match(r"\*\*(.*?)\*\*", name)[1].replace(" ", "_").replace("'", "")
        self.level = re.match(r"(ERROR|WARN|INFO|`verify`|nothing)", log)[1].strip("`")
        self.words = None if self.level == "nothing" else re.search(r" `([^`]*)`", log)[1]
        self.state = re.match(r"`(\w+)`", state)[1]
        self.code = int(re.match(r"\d", code)[0])
        self.metric, labels = re.match(r"`(\w+)\{?(.*?)\}?`", metric).groups()
        self.labels = set(re.findall(r'(\w+)="([^"]*)"', labels))


def rows():
    with open(README, encoding="utf-8") as file:
        section = file.read().split("\n" + TABLE + "\n")[1].split("\n### ")[0]
    found = [Row(line) for line in section.splitlines() if line.startswith("| **")]
    return {row.name: row for row in found}


class Breaks(BucketCase):
    """One row: the method of its name breaks something, calls seen(), mends it, and calls well()."""

    def setUp(self):
        super().setUp()
        self.row = rows()[self._testMethodName]
        self.proxy = FaultProxy(ENDPOINT)
        self.proxy.__enter__()
        self.addCleanup(self.proxy.__exit__)
        self.use(self.proxy, os.path.basename(self.folder))

    def replicating(self, **env):
        app = self.start(**env)
        self.assert_synced(app)
        # It is written about once a second.
        self.wait_for("its word", lambda: '"replicating"' in self.ask("status", "-json", self.db).stdout)
        return app

    def ask(self, *arguments):
        return subprocess.run([os.path.join(BUILD, "backstay"), *arguments], env={**self.env, **KEYS},
                              capture_output=True, text=True, timeout=120, check=False)

    def seen(self, app, db=None):
        """All that the row says."""
        row, db = self.row, db or self.db
        if row.level in ("ERROR", "WARN", "INFO"):
            self.wait_for(f"{row.level} {row.words}", lambda: any(row.words in each["msg"] for each in app.lines(row.level)))
        self.wait_for(f"exit status {row.code} and state {row.state}", lambda: (
            done := self.ask("status", "-json", db)).returncode == row.code and f'"state":"{row.state}"' in done.stdout)
        self.wait_for(f"{row.metric} {row.labels}", lambda: self.metric(db))

    def metric(self, db):
        found = samples(self.ask("status", "-prometheus", db).stdout)
        return any(name == self.row.metric and self.row.labels <= set(labels) and value > 0
                   for (name, labels), value in found.items())

    def well(self, app, url=None):
        """It replicates again, and what was committed meanwhile is there."""
        self.assert_synced(app)
        self.wait_for("exit status 0", lambda: self.ask("status", self.db).returncode == 0)
        self.wait_for_state(app, "replicating")
        out = os.path.join(self.folder, "proof.db")
        self.tool("restore", "-force", "-o", out, url or self.direct, **KEYS)
        self.assert_same(out)

    def application_killed(self):
        app = self.replicating()
        self.proxy.refuse()
        app.sql(ROW)
        self.wait_for_state(app, "retrying")
        app.kill()
        self.seen(None)
        self.proxy.serve()
        self.tool("sync", self.db, **KEYS)
        self.restore_direct(out := os.path.join(self.folder, "synced.db"))
        self.assert_same(out)
        self.well(self.replicating())

    def library_not_loaded(self):
        with contextlib.closing(sqlite3.connect(self.db)) as connection:
            connection.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, text)")
        self.seen(None)
        self.well(self.replicating())

    def server_off(self):
        app = self.replicating()
        self.proxy.refuse()
        app.sql(ROW)
        self.seen(app)
        self.proxy.serve()
        self.well(app)

    def server_silent(self):
        app = self.replicating()
        self.proxy.add("stall", seconds=None)
        app.sql(ROW)
        self.seen(app)
        self.proxy.clear()
        self.well(app)

    def bucket_deleted(self):
        bucket = "breaks-" + os.path.basename(self.folder).replace("_", "-").lower()
        ask_server("PUT", "", "", bucket)
        self.env["BACKSTAY_REPLICA_URL"] = s3_url("app", self.proxy.url, bucket)
        app = self.replicating()
        empty("app", bucket)
        ask_server("DELETE", "", "", bucket)
        app.sql(ROW)
        self.seen(app)
        for command in "verify", "list":
            self.assertEqual(self.ask(command, s3_url("app", ENDPOINT, bucket)).returncode, 3)
        ask_server("PUT", "", "", bucket)
        self.well(app, s3_url("app", ENDPOINT, bucket))

    def objects_deleted(self):
        app = self.replicating()
        empty(self.prefix)
        # It looks every few seconds while there is something to ship.
        while not app.lines("ERROR"):
            app.sql(ROW)
            self.assert_synced(app)
        self.seen(app)
        self.well(app)

    def keys_revoked(self):
        app = self.replicating()
        self.proxy.add("403")
        app.sql(ROW)
        self.seen(app)
        self.proxy.clear()
        self.well(app)

    def disk_full(self):
        os.mkdir(self.state)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", self.state],
                          stderr=subprocess.DEVNULL, check=False).returncode != 0:
            self.skipTest("no right to mount a small disk")
        self.addCleanup(subprocess.run, ["umount", "-l", self.state], check=False)
        app = self.replicating()
        filler = os.path.join(self.state, "filler")
        with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        for _ in range(20):
            app.sql(ROW)
        self.seen(app)
        os.remove(filler)
        self.well(app)
        self.wait_for("that it is over", lambda: app.sql(ROW) == [] and any(
            "can be used again" in each["msg"] for each in app.lines("INFO")))

    def fenced(self):
        app = self.replicating()
        self.restore_direct(copy := os.path.join(self.folder, "elsewhere.db"))
        other = App(self, db=copy, **{**KEYS, "BACKSTAY_DB": copy})
        other.sql(ROW)
        self.assert_synced(other)
        other.close()
        app.sql(ROW)
        self.seen(app)
        app.close()
        self.tool("adopt", self.db, **KEYS)
        self.well(self.replicating())

    def repair_in_progress(self):
        app = self.replicating(BACKSTAY_OUTBOX_LIMIT="64KiB")
        self.proxy.refuse()
        while not any("the outbox is full" in each["msg"] for each in app.lines("WARN")):
            app.do(f"for _ in range(100): sql({ROW!r})")
        # So much that it takes seconds, in which the status is written.
        app.sql(ROWS.format(50000))
        self.proxy.add("delayed", kinds=("put-log",), seconds=0.5)
        self.proxy.serve()
        self.seen(app)
        self.proxy.clear()
        self.well(app)
        self.wait_for("its end", lambda: [each for each in app.lines("INFO") if "has room again" in each["msg"]
                                          and each.get("event") == "recovered"])

    def replica_damaged(self):
        app = self.replicating()
        for _ in range(3):
            app.sql(ROW)
            self.assert_synced(app)
        listed = ask_server("GET", "", f"list-type=2&prefix={self.prefix}%2Flog%2F")
        key = max(k for k in re.findall("<Key>([^<]*)</Key>", listed) if re.search(r"/\d[^/]*$|/[0-9a-f]+$", k))
        self.overwrite(key)
        done = self.ask("verify", self.direct)
        self.assertEqual(done.returncode, 4, done.stderr + done.stdout)
        self.assertIn(self.row.words, done.stderr + done.stdout)
        self.assertIn(os.path.basename(key), done.stderr + done.stdout)
        self.seen(app)
        app.close()
        self.tool("adopt", self.db, **KEYS)
        app = self.replicating()
        self.well(app)
        self.assertEqual(self.ask("verify", self.direct).returncode, 0)

    def overwrite(self, key):
        path = os.path.join(self.folder, "damage")
        with open(path, "wb") as file:
            file.write(b"damaged")
        keys = f"{KEYS['AWS_ACCESS_KEY_ID']}:{KEYS['AWS_SECRET_ACCESS_KEY']}"
        subprocess.run(
            ["curl", "-sS", "--fail", "--noproxy", "*", "-T", path, "--user", keys, "--aws-sigv4",
             f"aws:amz:{KEYS['AWS_REGION']}:s3", "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD",
             f"{ENDPOINT}/{os.environ['BACKSTAY_TEST_S3_BUCKET']}/{key}"], check=True, capture_output=True)

    def replica_of_somebody_else(self):
        self.replicating().close()
        other = os.path.join(self.disk, "other.db")
        with contextlib.closing(sqlite3.connect(other)) as connection:
            connection.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, text)")
        app = App(self, db=other, **{**KEYS, "BACKSTAY_DB": other})
        app.sql(ROW)
        self.seen(app, other)
        app.close()
        self.db, self.direct = other, s3_url(self.prefix + "-other", ENDPOINT)
        self.env.update(BACKSTAY_DB=other, BACKSTAY_REPLICA_URL=s3_url(self.prefix + "-other", self.proxy.url))
        self.well(self.replicating())


def main():
    wanted = [name for name in rows() if len(sys.argv) < 2 or sys.argv[1] in name]
    missing = [name for name in wanted if not hasattr(Breaks, name)]
    bad = [f"the row `{name}` of the README has no test" for name in missing]
    def run(name):
        result = unittest.TestResult()
        Breaks(name).run(result)
        for _, why in result.skipped:
            print(f"{name}: skipped: {why}")
        return [f"{name}:\n{trace}" for _, trace in result.failures + result.errors]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for problems in pool.map(run, sorted(set(wanted) - set(missing), key=lambda n: n != "server_silent")):
            bad += problems
    print("\n".join(bad) or f"{len(wanted)} rows seen and mended")
    sys.exit(1 if bad or not wanted else 0)


if __name__ == "__main__":
    with_server()
    main()
