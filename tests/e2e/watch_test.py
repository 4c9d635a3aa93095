#!/usr/bin/python3
"""The status for probes and for Prometheus: of one database, a glob, or all that the settings select."""

import ctypes
import json
import os
import re
import shutil
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from engine_world import App, EngineCase  # noqa: E402

SCHEMA = "CREATE TABLE t(id INTEGER PRIMARY KEY, blob)"
ROW = "INSERT INTO t(blob) VALUES(randomblob(4000))"
LIVES, USAGE, UNKNOWN, RETRYING, NOBODY, LAGGING = 0, 2, 3, 5, 7, 8
SAMPLE = re.compile(r'^(\w+)(?:\{((?:[^"}]|"(?:[^"\\]|\\.)*")*)\})? (\S+)$')


def samples(text):
    """{(name, labels as sorted pairs): value}; every line must be what the format allows."""
    found, types = {}, set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            name = line.split()[2]
            assert name not in types, line
            types.add(name)
        elif not line.startswith("# HELP "):
            match = SAMPLE.match(line)
            assert match and match[1] in types, line
            labels = tuple(sorted(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', match[2] or "")))
            assert (match[1], labels) not in found, line
            found[match[1], labels] = float(match[3])
    return found


class WatchCase(EngineCase):
    def outage(self):
        os.rename(self.replica, self.replica + ".away")
        open(self.replica, "w", encoding="utf-8").close()

    def over(self):
        os.remove(self.replica)
        os.rename(self.replica + ".away", self.replica)

    def started(self, **env):
        app = App(self, **env)
        app.sql(SCHEMA)
        self.assertTrue(app.sync(), app.stderr())
        # It is written about once a second.
        self.wait_for("its word", lambda: '"replicating"' in self.ask(None, "-json", self.db).stdout)
        return app

    def ask(self, code, *arguments, **env):
        """The tool's answer; with a code, once it is that."""
        arguments = arguments or (self.db,)
        if code is None:
            return self.run_tool("status", *arguments, **env)
        return self.wait_for(f"exit status {code}", lambda: (
            done := self.run_tool("status", *arguments, **env)).returncode == code and done)

    def lines(self, done):
        return [json.loads(line) for line in done.stdout.splitlines()]


class ProbeTest(WatchCase):
    def test_lag_beyond_what_is_wanted(self):
        app = self.started(BACKSTAY_MIN_INTERVAL="1h")
        app.sql(ROW)
        self.assertTrue(app.sync(), app.stderr())
        # Behind that upload the next one waits an hour.
        app.sql(ROW)
        done = self.ask(LAGGING, "-max-lag", "1s", self.db)
        self.assertIn("lags by", done.stderr)
        self.assertEqual(self.ask(None, "-max-lag", "1h", self.db).returncode, LIVES)
        self.assertEqual(self.ask(None, "-max-lag", "soon", self.db).returncode, USAGE)
        app.kill()
        self.assertEqual(self.ask(None, "-max-lag", "1s", self.db).returncode, NOBODY)

    def test_selected_and_never_opened(self):
        for selected in (True, False):
            env = {} if selected else {"BACKSTAY_DB": "/elsewhere.db"}
            done = self.ask(UNKNOWN, "-json", self.db, **env)
            status = json.loads(done.stdout)
            self.assertEqual((status["state"], status["selected"]), ("unopened", selected))
            self.assertIn("the settings select it" if selected else "no setting that this command sees", done.stderr)
        # Where the settings cannot be read nobody knows.
        done = self.ask(UNKNOWN, "-json", self.db, BACKSTAY_REPLICA_URL="nonsense")
        self.assertIsNone(json.loads(done.stdout)["selected"])

    def test_all_that_the_settings_select(self):
        self.started()
        other = os.path.join(self.disk, "other.db")
        config = os.path.join(self.folder, "backstay.json")
        with open(config, "w", encoding="utf-8") as file:
            json.dump({"dbs": [{"path": self.disk + "/*.db", "replicas": [{"url": self.url + "/{name}"}]},
                               {"path": other, "replicas": [{"url": self.url + "2"}]}]}, file)
        env = {"BACKSTAY_DB": "", "BACKSTAY_REPLICA_URL": "", "BACKSTAY_CONFIG": config}
        done = self.ask(UNKNOWN, "-json", **env)
        self.assertEqual([(each["db"], each["state"]) for each in self.lines(done)],
                         [(self.db, "replicating"), (other, "unopened")])
        # A glob; neither the WAL nor the state folder is a database.
        done = self.ask(LIVES, "-json", self.disk + "/*", **env)
        self.assertEqual([each["db"] for each in self.lines(done)], [self.db])
        self.assertIn("no file that matches", self.ask(UNKNOWN, self.disk + "/*.sqlite").stderr)
        with open(config, "w", encoding="utf-8") as file:
            file.write("{}")
        self.assertIn("select no database", self.ask(USAGE, "-json", **env).stderr)
        self.assertIn("set BACKSTAY_DB", self.ask(USAGE, "-json", BACKSTAY_DB="").stderr)
        self.assertIn("-prometheus", self.ask(USAGE, "-json", "-prometheus", self.db).stderr)


class MetricsTest(WatchCase):
    def read(self, code=LIVES):
        return samples(self.ask(code, "-prometheus", self.db).stdout)

    def of(self, found, name, **labels):
        wanted = tuple(sorted({"db": self.db, "replica": self.url, **labels}.items()))
        return found.get((name, wanted))

    def test_by_the_tool(self):
        app = self.started()
        found = self.read()
        self.assertEqual(found["backstay_up", (("db", self.db),)], 1)
        self.assertEqual(self.of(found, "backstay_replica_state", state="replicating"), 1)
        self.assertGreaterEqual(self.of(found, "backstay_requests_total", kind="put", code="200"), 1)
        self.assertEqual(self.of(found, "backstay_lag_seconds"), 0)
        self.assertIsNone(self.of(found, "backstay_waiting_since_timestamp_seconds"))
        self.assertGreater(self.of(found, "backstay_snapshot_timestamp_seconds"), 1.7e9)
        self.outage()
        app.sql(ROW)
        self.ask(RETRYING)
        self.wait_for("retries", lambda: (self.of(self.read(RETRYING), "backstay_retries_total") or 0) > 1)
        found = self.read(RETRYING)
        self.assertEqual(self.of(found, "backstay_replica_state", state="retrying"), 1)
        self.assertGreater(self.of(found, "backstay_waiting_since_timestamp_seconds"), 1.7e9)
        self.assertGreater(self.of(found, "backstay_lag_bytes"), 1000)
        self.over()
        self.assertTrue(app.sync(), app.stderr())
        app.kill()
        found = self.read(NOBODY)
        self.assertEqual(found["backstay_up", (("db", self.db),)], 0)
        self.assertIsNone(self.of(found, "backstay_lag_seconds"))

    def test_in_a_folder_that_hangs(self):
        """As a network mount whose server is away does: neither replication nor the end of the process waits for it."""
        folder = os.path.join(self.folder, "metrics")
        os.mkdir(folder)
        if not self.hang(folder):
            self.skipTest("no file system can be mounted here")
        app = self.started(BACKSTAY_METRICS_DIR=folder)
        app.sql(ROW)
        self.assertTrue(app.sync(), app.stderr())
        self.ask(LIVES)
        app.close()
        self.assert_restores()

    def hang(self, folder):
        """Mounts one there that never answers. False: that is not permitted."""
        libc = ctypes.CDLL(None)
        try:
            device = os.open("/dev/fuse", os.O_RDWR)
        except OSError:
            return False
        self.addCleanup(os.close, device)
        options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
        if libc.mount(b"hangs", folder.encode(), b"fuse", 0, options) != 0:
            return False
        self.addCleanup(libc.umount2, folder.encode(), 2)  # MNT_DETACH
        return True

    def test_state_folder_removed_under_it(self):
        probe = os.path.join(os.path.dirname(self.db), "probe")
        with open(probe, "wb"):
            try:
                os.setxattr(probe, "user.test", b"1")
            except OSError:
                self.skipTest("no extended attributes here")
        app = self.started()
        shutil.rmtree(self.db + "-backstay")
        self.wait_for("a word", lambda: any("was removed while" in each["msg"] for each in app.lines("WARN")))
        app.sql(ROW)
        self.assertTrue(app.sync(), app.stderr())
        self.ask(LIVES)
        self.wait_for("its end", lambda: any(each.get("event") == "recovered" for each in app.lines("INFO")))
        app.close()
        self.assert_restores()

    def test_in_a_folder(self):
        folder = os.path.join(self.folder, "metrics")
        app = self.started(BACKSTAY_METRICS_DIR=folder)
        self.wait_for("a warning", lambda: any("no metrics are written" in each["msg"] for each in app.lines("WARN")))
        os.mkdir(folder)
        def read():
            # What lies there for a moment under another name is not read.
            names = [name for name in os.listdir(folder) if name.endswith(".prom")]
            if not names:
                return {}
            self.assertRegex(names[0], r"^backstay-app\.db-[0-9a-f]{16}\.prom$")
            with open(os.path.join(folder, names[0]), encoding="utf-8") as file:
                return samples(file.read())
        found = self.wait_for("metrics", read)
        self.assertEqual(found["backstay_up", (("db", self.db),)], 1)
        self.assertEqual(self.of(found, "backstay_replica_state", state="replicating"), 1)
        self.assertTrue(any("written again" in each["msg"] for each in app.lines("INFO")))
        mode = os.stat(os.path.join(folder, os.listdir(folder)[0])).st_mode
        self.assertEqual(mode & 0o777, 0o644)
        app.close()
        self.assertEqual(read()["backstay_up", (("db", self.db),)], 0)
        self.assertEqual(self.of(read(), "backstay_replica_state", state="ended"), 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
