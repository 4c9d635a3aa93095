#!/usr/bin/python3
"""examples/alerting: from the output of an application with Backstay in it to alerts.

usage: alerting_test.py        examples/alerting/run.sh starts it; BUILD_DIR names the build
The lines are real: an application's whose replica goes away and comes back. FLUENT_BIT names a Fluent
Bit (with the plugins tail, kubernetes, grep, rewrite_tag, throttle, stdout, file and slack) that the
configuration is run with; without one it is played as fluent_bit.py does.
"""

import datetime
import http.server
import json
import os
import pathlib
import re
import shutil
import ssl
import subprocess
import tempfile
import threading
import unittest

from container import TOP, wait_for
from fluent_bit import Pipeline

EXAMPLE = TOP / "examples/alerting"
BUILD = pathlib.Path(os.environ.get("BUILD_DIR", TOP / "build")).resolve()
FLUENT_BIT = os.environ.get("FLUENT_BIT")
# Lines of applications that look like what is looked for.
OWN_LINES = ['plain text: ERROR, logger backstay', '{"level":"ERROR","msg":"no such page"}',
             '{"level":"WARN","logger":"app","msg":"slow"}', '{"level":30,"logger":["backstay"],"msg":"number"}',
             '["ERROR"]', '{"level":"ERROR","logger":"backstay-ish","event":"recovered"}', '{"level":"ERROR"', '']
APP = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("PRAGMA journal_mode = WAL")
db.execute("CREATE TABLE IF NOT EXISTS t(x)")
for line in sys.stdin:
    with db:
        db.execute("INSERT INTO t VALUES (1)")
    print(line, end="", file=sys.stderr, flush=True)
"""


class AlertingCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = pathlib.Path(tempfile.mkdtemp(prefix="backstay-alerting-"))
        cls.addClassCleanup(shutil.rmtree, cls.scratch, ignore_errors=True)
        cls.lines = cls.application_lines()
        cls.ours = [json.loads(line) for line in cls.lines if '"logger":"backstay"' in line]
        cls.problems = [o for o in cls.ours if o["level"] in ("WARN", "ERROR")]
        cls.recoveries = [o for o in cls.ours if o.get("event") == "recovered"]

    @classmethod
    def application_lines(cls):
        """Standard error of an application whose replica is taken away for a while."""
        bucket = cls.scratch / "replicas" / "app"
        bucket.mkdir(parents=True)
        output = cls.scratch / "stderr"
        with open(output, "wb") as err:
            app = subprocess.Popen(
                ["/usr/bin/python3", "-c", APP, cls.scratch / "app.db"], stdin=subprocess.PIPE, stderr=err, text=True,
                env={**os.environ, "LD_PRELOAD": str(BUILD / "libbackstay_preload.so"),
                     "BACKSTAY_DB": str(cls.scratch / "app.db"), "BACKSTAY_REPLICA_URL": f"file://{bucket}"})

        def write(line, until):
            print(line, file=app.stdin, flush=True)
            wait_for(lambda: re.search(until, output.read_text()), f"{until} in {output.read_text()}")

        try:
            write(OWN_LINES[0], "snapshot complete")
            bucket.rename(bucket.with_name("away"))
            bucket.touch()
            write(OWN_LINES[1], '"level":"(WARN|ERROR)","logger":"backstay"')
            bucket.unlink()
            bucket.with_name("away").rename(bucket)
            for line in OWN_LINES[2:]:
                write(line, ".")
            recovery = '"logger":"backstay".*"event":"recovered"'
            wait_for(lambda: re.search(recovery, output.read_text()), "the recovery: " + output.read_text())
        finally:
            app.stdin.close()
            app.wait(60)
        return output.read_text().splitlines()

    def setUp(self):
        self.folder = self.scratch / self.id()
        (self.folder / "containers").mkdir(parents=True)

    def container_log(self, lines, pod="notes-7d4b9c-abcde", container="notes"):
        """As containerd writes it."""
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
        path = self.folder / f"containers/{pod}_default_{container}-{'0123456789abcdef' * 4}.log"
        path.write_text("".join(f"{now} stderr F {line}\n" for line in lines))

    def configuration(self, include="backstay.conf"):
        """The example's files, with the logs of this test."""
        shutil.copytree(EXAMPLE, self.folder / "etc", dirs_exist_ok=True)
        main = self.folder / "etc/fluent-bit.conf"
        main.write_text(main.read_text().replace("@INCLUDE backstay.conf", f"@INCLUDE {include}"))
        return main

    def played(self, **more):
        """[(output's alias, tag, record)] of what the pipeline makes of the logs."""
        main = self.configuration(**more)
        if FLUENT_BIT:
            return RealFluentBit(main, self.folder).play()
        return Pipeline(main).play(self.folder / "containers")

    @staticmethod
    def messages(out, alias, tag=""):
        return sorted(r["msg"] for a, t, r in out if a == alias and t.startswith(tag))

    def test_problems_and_recoveries(self):
        self.container_log(self.lines)
        out = self.played()
        self.assertTrue(self.problems and self.recoveries, self.lines)
        self.assertEqual(self.messages(out, "problems", "problem."), sorted(o["msg"] for o in self.problems))
        self.assertEqual(self.messages(out, "problems", "recovered."), sorted(o["msg"] for o in self.recoveries))
        sent = "\n".join(self.messages(out, "alerts"))
        for line in self.problems + self.recoveries:
            self.assertIn(line["msg"], sent)
        for _, _, record in (o for o in out if o[0] == "problems"):
            self.assertEqual(record["kubernetes"]["container_name"], "notes")
            self.assertEqual(record["logger"], "backstay")

    def test_lines_of_the_application_pass_untouched(self):
        self.container_log(self.lines)
        everything = [r for a, _, r in self.played() if a == "everything"]
        for line in filter(None, OWN_LINES):
            try:
                fields = json.loads(line)
            except ValueError:
                fields = None
            fields = fields if isinstance(fields, dict) else {"log": line}
            same = [r for r in everything if {k: r.get(k) for k in fields} == fields]
            self.assertEqual(len(same), 1, line)
            self.assertEqual(set(same[0]) - set(fields), {"stream", "logtag", "kubernetes"})
        self.assertEqual(len([r for r in everything if r.get("logger") == "backstay"]), len(self.ours))

    def test_a_flood_is_throttled_and_hides_no_recovery(self):
        problem, recovery = json.dumps(self.problems[0]), json.dumps(self.recoveries[0])
        self.container_log([problem] * 50 + [recovery])
        out = self.played()
        self.assertEqual(len(self.messages(out, "problems", "problem.")), 6)
        self.assertEqual(len(self.messages(out, "problems", "recovered.")), 1)

    def test_one_application(self):
        self.container_log(self.lines)
        self.container_log(self.lines, pod="other-1", container="other")
        out = self.played(include="one-application.conf")
        self.assertEqual(self.messages(out, "problems"), sorted(o["msg"] for o in self.problems))

    def test_a_failed_restore(self):
        """The command's own lines, from the container that restores: the application does not start, and somebody is told."""
        (self.folder / "replica").mkdir()
        command = [BUILD / "backstay", "restore", "-o", self.folder / "x.db", f"file://{self.folder}/replica"]
        failed = subprocess.run(command, env={**os.environ, "BACKSTAY_LOG_FORMAT": "json"}, capture_output=True,
                                text=True)
        self.assertEqual(failed.returncode, 3)
        self.container_log(failed.stderr.splitlines(), container="backstay-restore")
        (message,) = self.messages(self.played(), "problems", "problem.")
        self.assertIn("no replica", message)


class RealFluentBit:
    """The same with a Fluent Bit: what it says of pods comes from the files' names alone, and the webhook is here."""

    def __init__(self, main, folder):
        self.folder, self.main, self.alerts = folder, main, []
        alerts = self.alerts

        class Answers(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                alerts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_):
                pass

        self.webhook = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.webhook.socket = self.certified().wrap_socket(self.webhook.socket, server_side=True)
        text = main.read_text()
        text = text.replace("/var/log/containers/*.log", f"{folder}/containers/*.log\n    Read_from_Head On")
        text = text.replace("Kube_Tag_Prefix kubernetes.var.log.containers.", "Kube_Tag_Prefix kubernetes."
                            f"{str(folder / 'containers').strip('/').replace('/', '.')}.\n    Use_Tag_For_Meta On")
        main.write_text(text)
        for path in main.parent.glob("*.conf"):
            path.write_text(self.rewritten(path.read_text()))

    def certified(self):
        """A certificate of nobody's: the plugin takes https alone."""
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-subj", "/CN=127.0.0.1", "-keyout", self.folder / "key", "-out", self.folder / "certificate"],
                       check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "certificate", self.folder / "key")
        return context

    def rewritten(self, text):
        """Outputs write to files, one each, and the webhook is here."""
        text = re.sub(r"Name +stdout\n( +)Alias +(\w+)",
                      rf"Name file\n\1Alias \2\n\1Path {self.folder}\n\1File out-\2", text)
        return re.sub(r" +Format json_lines\n", "", text).replace(
            "https://gotify.my.local/slack", f"https://127.0.0.1:{self.webhook.server_port}/slack\n    tls.verify Off")

    def play(self):
        threading.Thread(target=self.webhook.serve_forever, daemon=True).start()
        with open(self.folder / "fluent-bit.log", "wb") as log:
            running = subprocess.Popen([FLUENT_BIT, "-c", self.main, "-q"], cwd=self.main.parent, stdout=log,
                                       stderr=log, stdin=subprocess.DEVNULL)
        try:
            wait_for(self.quiet, (self.folder / "fluent-bit.log").read_text())
        finally:
            running.terminate()
            running.wait(60)
            self.webhook.shutdown()
            self.webhook.server_close()
        return self.out()

    def quiet(self):
        """Nothing new for three times the flush."""
        sizes = {p.name: p.stat().st_size for p in self.folder.glob("out-*")}
        if not sizes or sizes != getattr(self, "sizes", None):
            self.sizes, self.since = sizes, datetime.datetime.now()
        return sizes and (datetime.datetime.now() - self.since).total_seconds() > 4

    def out(self):
        found = [("alerts", "", {"msg": text}) for text in self.alerts]
        for path in self.folder.glob("out-*"):
            for line in path.read_text().splitlines():
                tag, rest = line.split(": ", 1)
                found.append((path.name.removeprefix("out-"), tag, json.loads(rest.split(", ", 1)[1][:-1])))
        return found


if __name__ == "__main__":
    unittest.main()
