#!/usr/bin/python3
"""What a monitor is told of a replica each week: by a fish script with restore, sqlite3 and curl, and by verify."""
import concurrent.futures
import glob
import os
import shutil
import socket
import subprocess
import tempfile
import unittest

from ping_server import RUN, UUID, PingServer
from restore_cli_world import BUILD, RestoreCase

# What people run as a job: restores, checks, and sends the outcome with all that was said.
SCRIPT = """
set -l copy "$SCRATCH/db.sqlite"
set -l said (backstay restore -o $copy $APP_DB_PATH 2>&1; and sqlite3 $copy "PRAGMA integrity_check" 2>&1)
set -l check "$HEALTHCHECKS_IO_URL/$status"
curl -sS -m 20 --retry 5 --data-raw "$(string split0 $said)" $check
"""


class PingTest(RestoreCase):
    def setUp(self):
        super().setUp()
        self.scratch = os.path.join(self.folder, "scratch")
        os.mkdir(self.scratch)

    def server(self, *answers, **options):
        server = PingServer(*answers, **options)
        self.addCleanup(server.close)
        return server

    def damage_newest(self):
        newest = sorted(glob.glob(self.replica + "/log/**", recursive=True))[-1]
        self.damage(os.path.relpath(newest, self.replica))

    def lose(self):
        shutil.rmtree(self.replica)
        os.mkdir(self.replica)

    def fish(self):
        """The ping that the script sends."""
        server = self.server()
        with tempfile.TemporaryDirectory(dir=self.folder) as job:
            self.run_script(job, server.url)
        (what, query, body), = server.pings
        self.assertEqual(query, {})
        return what, body

    def run_script(self, job, url):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("BACKSTAY_")}
        subprocess.run(["fish", "--no-config", "-c", SCRIPT], check=True, timeout=120, stdout=subprocess.DEVNULL, env={
            **clean, "PATH": BUILD + ":" + os.environ["PATH"], "HOME": self.folder, "SCRATCH": job,
            "APP_DB_PATH": self.db, "BACKSTAY_REPLICA_URL": self.url, "HEALTHCHECKS_IO_URL": url})

    def verify(self, server, *arguments, code=0, **others):
        done = self.run_tool("verify", "-scratch", self.scratch, "-ping-url", server.url, *arguments, code=code,
                             **others)
        self.assertEqual(os.listdir(self.scratch), [])
        return done

    def outcome(self, *arguments, code, **others):
        """The body that verify sends with this exit status."""
        server = self.server()
        self.verify(server, *arguments, code=code, **others)
        (what, begin, nothing), (outcome, end, body) = server.pings
        self.assertEqual((what, nothing, outcome), ("/start", "", "/%d" % code))
        self.assertRegex(begin["rid"], RUN)
        self.assertEqual(begin, end)
        return body

    def test_good(self):
        what, body = self.fish()
        self.assertEqual(what, "/0")
        self.assertIn("restored", body)
        self.assertTrue(body.endswith("ok"), body)
        body = self.outcome(self.db, code=0)
        self.assertIn("checksum proven, integrity check ok", body)

    def test_damaged(self):
        self.damage_newest()
        what, body = self.fish()
        self.assertEqual(what, "/4")
        self.assertIn(self.url, body)
        self.assertIn("NOT VERIFIED", self.outcome(self.db, code=4))

    def test_missing(self):
        self.lose()
        what, body = self.fish()
        self.assertEqual(what, "/3")
        self.assertIn(self.url, body)
        self.assertIn(self.url, self.outcome(self.db, code=3))

    def test_stale(self):
        # The script has no word for it.
        self.assertEqual(self.fish()[0], "/0")
        self.assertIn("-max-age", self.outcome("-max-age", "2d", self.db, code=1))

    def test_not_configured(self):
        self.assertIn("BACKSTAY_REPLICA_URL", self.outcome(self.db, code=2, url=False))

    def test_a_query_stays(self):
        server = self.server()
        server.url += "/?create=1#there"
        self.verify(server, self.db)
        self.assertEqual(server.whats(), ["/start", "/0"])
        self.assertEqual(server.pings[1][1].pop("create"), "1")

    def test_tried_again(self):
        server = self.server(503, 500, 200, 429)
        done = self.verify(server, self.db)
        self.assertEqual(done.stderr, "")
        self.assertEqual(server.whats(), ["/start", "/start", "/start", "/0", "/0"])

    def test_refused(self):
        for answers, options in ((404, 404), {}), ((), {"body": b"OK (not found)"}):
            server = self.server(*answers, **options)
            done = self.verify(server, self.db)
            self.assertEqual(done.stderr.count("a ping was not taken"), 2)
            self.assertNotIn(UUID, done.stderr)
            self.assertEqual(server.whats(), ["/start", "/0"])

    def test_a_monitor_that_is_away_or_silent_changes_nothing(self):
        self.damage_newest()
        server = self.server(*[0] * 20)
        with socket.socket() as other, concurrent.futures.ThreadPoolExecutor() as both:
            other.bind(("127.0.0.1", 0))
            away = "http://127.0.0.1:%d" % other.getsockname()[1]
            # At the same time: each takes its patience.
            runs = [both.submit(self.run_tool, "verify", "-ping-url", url, self.db, code=4)
                    for url in (server.url, away + "/" + UUID)]
            silent, refused = [run.result() for run in runs]
        self.assertEqual(refused.stderr.count("a ping was not taken: " + away), 2)
        self.assertEqual(silent.stderr.count("the server was silent"), 2)
        for done in silent, refused:
            self.assertIn("NOT VERIFIED", done.stdout)
            self.assertNotIn(UUID, done.stderr)
        self.assertEqual(server.whats()[0], "/start")
        self.assertIn(server.whats().count("/4"), range(2, 6))

    def test_the_environment_names_it(self):
        server, other = self.server(), self.server()
        self.run_tool("verify", self.db, BACKSTAY_PING_URL=server.url)
        self.assertEqual(server.whats(), ["/start", "/0"])
        self.verify(other, self.url, BACKSTAY_PING_URL=server.url)
        self.assertEqual((server.whats(), other.whats()), (["/start", "/0"], ["/start", "/0"]))
        # It is of one environment with what other commands and the library read.
        self.run_tool("config", BACKSTAY_PING_URL=server.url)
        done = self.run_tool("verify", self.db, code=2, BACKSTAY_PING_URL="ftp://h/" + UUID)
        self.assertIn("BACKSTAY_PING_URL", done.stderr)
        self.assertNotIn(UUID, done.stderr)
        self.assertIn("BACKSTAY_PING_URL", self.run_tool("verify", "-help").stdout)

    def test_no_url(self):
        """An empty option is told, an empty variable is none."""
        done = self.run_tool("verify", "-ping-url", "", self.db, BACKSTAY_PING_URL="")
        self.assertIn("-ping-url is empty, and no monitor is told", done.stderr)
        self.assertEqual(self.run_tool("verify", self.db, BACKSTAY_PING_URL="").stderr, "")

    def test_a_url_that_is_none(self):
        for wrong in "hc-ping.com/" + UUID, "ftp://h/" + UUID, "https:///" + UUID:
            server = self.server()
            server.url = wrong
            done = self.verify(server, self.db, code=2)
            self.assertIn("-ping-url", done.stderr)
            self.assertNotIn(UUID, done.stderr)


if __name__ == "__main__":
    unittest.main()
