#!/usr/bin/python3
"""examples/systemd: checked by systemd, and what the units start played with a real S3 server.

usage: systemd_test.py        examples/systemd/run.sh starts it; BUILD_DIR names the build
Only places are replaced: /opt, /etc/backstay and /var/lib lie below a folder of the test's own.
"""

import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import unittest
import urllib.request

from container import TOP, free_port
from ping_server import PingServer

EXAMPLE = TOP / "examples/systemd"
BUILD = pathlib.Path(os.environ.get("BUILD_DIR", TOP / "build")).resolve()


class Unit:
    """The [Service] of a unit with its drop-ins, specifiers and variables expanded as systemd does."""

    def __init__(self, folder, name):
        template, _, instance = name.removesuffix(".service").partition("@")
        path = folder / (f"{template}@.service" if instance else name)
        self.entries, self.credentials = [], folder / "credentials"
        for part in [path, *sorted(folder.glob(f"{name}.d/*.conf"))]:
            section = None
            for line in part.read_text().splitlines():
                if line.startswith("["):
                    section = line
                elif section == "[Service]" and line and line[0] not in "#;":
                    key, value = line.split("=", 1)
                    self.entries.append((key, value.replace("%i", instance).replace("%d", str(folder / "credentials"))))

    def all(self, key):
        return [value for name, value in self.entries if name == key]

    def env(self):
        for credential in self.all("LoadCredential"):
            name, source = credential.split(":")
            self.credentials.mkdir(exist_ok=True)
            shutil.copy(source, self.credentials / name)
        env = dict(pair.split("=", 1) for value in self.all("Environment") for pair in shlex.split(value))
        for file in self.all("EnvironmentFile"):
            for line in pathlib.Path(file).read_text().splitlines():
                if line and line[0] not in "#;":
                    env.update([line.split("=", 1)])
        return {"PATH": "/usr/local/bin:/usr/bin:/bin", **env}

    def argv(self, key):
        (line,) = self.all(key)
        env = self.env()
        return [env[word[2:-1]] if word.startswith("${") else word for word in shlex.split(line)]


class SystemdCase(unittest.TestCase):
    def setUp(self):
        self.scratch = pathlib.Path(tempfile.mkdtemp(prefix="backstay-systemd-"))
        self.addCleanup(shutil.rmtree, self.scratch, ignore_errors=True)
        self.units = self.scratch / "units"
        shutil.copytree(EXAMPLE, self.units)
        self.port = free_port()
        for path in (p for p in self.units.rglob("*") if p.is_file()):
            text = path.read_text()
            for place in ("/opt/", "/etc/backstay/", "/var/lib/"):
                text = text.replace(place, f"{self.scratch}{place}")
            path.write_text(text.replace("app.db 8080", f"app.db {self.port}"))
        subprocess.run(["cmake", "--install", BUILD, "--prefix", self.scratch / "opt/backstay"], check=True,
                       stdout=subprocess.DEVNULL)
        (self.scratch / "opt/notes").mkdir()
        shutil.copy(TOP / "examples/docker/app.py", self.scratch / "opt/notes")
        self.state = self.scratch / "var/lib/notes"
        self.state.mkdir(parents=True)
        (self.scratch / "etc/backstay").mkdir(parents=True)

    def configure(self):
        config = json.loads((self.units / "notes.json").read_text())
        config["dbs"][0]["replicas"][0].update(
            endpoint=os.environ["BACKSTAY_TEST_S3_ENDPOINT"].removeprefix("http://"),
            bucket=os.environ["BACKSTAY_TEST_S3_BUCKET"], path=f"{self.id()}-{os.getpid()}",
            **{"access-key-id": os.environ["AWS_ACCESS_KEY_ID"],
               "secret-access-key": os.environ["AWS_SECRET_ACCESS_KEY"]})
        (self.scratch / "etc/backstay/notes.json").write_text(json.dumps(config))
        self.answers = PingServer()
        self.addCleanup(self.answers.close)
        env = (self.units / "notes.env").read_text()
        (self.scratch / "etc/backstay/notes.env").write_text(re.sub("https://hc-ping.com/.*", self.answers.url, env))

    @unittest.skipUnless(shutil.which("systemd-analyze"), "no systemd-analyze")
    def test_systemd_takes_the_units(self):
        for name in ("notes.service", "backstay-verify@notes.service", "backstay-verify@notes.timer"):
            template = name.replace("@notes", "@")
            if template != name:
                shutil.copy(self.units / template, self.units / name)
            done = subprocess.run(["systemd-analyze", "verify", self.units / name], capture_output=True, text=True,
                                  env={**os.environ, "SYSTEMD_UNIT_PATH": f"{self.units}:"})
            self.assertEqual((done.returncode, done.stderr), (0, ""), name)

    def start(self, unit):
        before = subprocess.run(unit.argv("ExecStartPre"), env=unit.env(), capture_output=True, text=True)
        self.assertEqual(before.returncode, 0, before.stderr)
        with open(self.scratch / "journal", "ab") as journal:
            app = subprocess.Popen(unit.argv("ExecStart"), env=unit.env(), stdout=subprocess.PIPE, stderr=journal,
                                   text=True)
        self.addCleanup(lambda: (app.kill(), app.wait(), app.stdout.close()))
        self.assertIn("listening", app.stdout.readline())
        return app

    def ask(self, note=None):
        data = None if note is None else note.encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", data) as answer:
            return answer.read().decode().strip()

    def test_stop_disk_lost_start(self):
        self.configure()
        unit = Unit(self.units, "notes.service")
        app = self.start(unit)
        for note in ("one", "two", "three"):
            self.ask(note)
        app.send_signal(signal.SIGTERM)
        self.assertEqual(app.wait(30), -signal.SIGTERM, (self.scratch / "journal").read_text())
        shutil.rmtree(self.state)
        self.state.mkdir()
        self.start(unit)
        self.assertEqual(self.ask(), "3")

    def test_verification_fails_loudly(self):
        """Nothing was ever replicated: the unit that verifies must not succeed."""
        self.configure()
        unit = Unit(self.units, "backstay-verify@notes.service")
        argv = unit.argv("ExecStart")
        self.assertNotIn("a-uuid", " ".join(argv))
        done = subprocess.run(argv, env=unit.env(), capture_output=True, text=True, timeout=200)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertEqual(self.answers.paths, ["/a-uuid/start", "/a-uuid/3"])


if __name__ == "__main__":
    unittest.main()
