#!/usr/bin/python3
"""examples/monitoring and the README's table of metrics name what Backstay really says.

With promtool (PROMTOOL, or in the PATH) the rules and their tests are run, and the metrics checked, too.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import unittest

import yaml

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from engine_world import App, BUILD  # noqa: E402
from ping_server import PingServer  # noqa: E402
from watch_test import LIVES, RETRYING, ROW, WatchCase, samples  # noqa: E402

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
EXAMPLE = os.path.join(SOURCE, "examples/monitoring")
PROMTOOL = os.environ.get("PROMTOOL") or shutil.which("promtool")


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def expressions():
    """(where, text) of every query in the rules and the dashboard."""
    for group in yaml.safe_load(read(os.path.join(EXAMPLE, "backstay-alerts.yml")))["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    dashboard = json.loads(read(os.path.join(EXAMPLE, "backstay-dashboard.json")))
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for variable in dashboard["templating"]["list"]:
        yield variable["name"], variable["query"]


class MonitoringTest(WatchCase):
    def real(self):
        """What is told of a life with an outage and a late commit: texts."""
        monitor = PingServer()
        self.addCleanup(monitor.close)
        app = self.started(BACKSTAY_DURABILITY="sync", BACKSTAY_SYNC_TIMEOUT="100ms",
                           BACKSTAY_HEARTBEAT_URL=monitor.url, BACKSTAY_HEARTBEAT_INTERVAL="1s")
        app.sql(ROW)
        texts = [self.wait_for("an acknowledged write", lambda: (
            text := self.ask(LIVES, "-prometheus", self.db).stdout) and "backstay_heartbeat_timestamp" in text and text)]
        self.outage()
        app.sql(ROW)
        self.ask(RETRYING)
        texts.append(self.wait_for("a late commit", lambda: (
            text := self.ask(RETRYING, "-prometheus", self.db).stdout) and "backstay_late{" in text and text))
        self.over()
        self.assertTrue(app.sync(), app.stderr())
        self.tool("verify", "-metrics-dir", self.folder, self.url)
        written = [name for name in os.listdir(self.folder) if re.fullmatch(r"backstay-verify-.*\.prom", name)]
        self.assertEqual(len(written), 1)
        return texts + [read(os.path.join(self.folder, written[0]))]

    def test_rules_dashboard_and_readme(self):
        texts = self.real()
        found = {key for text in texts for key in samples(text)}
        names = {name for name, _ in found}
        states = {dict(labels)["state"] for name, labels in found if name.endswith("_state")}
        kinds = {dict(labels).get("kind") for _, labels in found}
        for where, text in expressions():
            with self.subTest(where):
                self.assertLessEqual(set(re.findall(r"backstay_\w+", text)), names)
                for label, known in (("state", states), ("kind", kinds)):
                    for values in re.findall(label + r'=~?"([^"]*)"', text):
                        self.assertLessEqual(set(values.split("|")), known)
        self.assertIn(("backstay_verify_ok", (("db", ""), ("replica", self.url))), found)
        table = read(os.path.join(SOURCE, "README.md")).split("\n### Metrics\n")[1].split("\n### ")[0]
        rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `backstay_")]
        self.assertEqual({name for row in rows for name in re.findall(r"backstay_\w+", row)}, names)
        if PROMTOOL:
            for text in texts:
                self.promtool("check", "metrics", stdin=text)

    def test_with_promtool(self):
        if not PROMTOOL:
            self.skipTest("there is no promtool")
        self.promtool("check", "rules", "backstay-alerts.yml")
        self.promtool("test", "rules", "backstay-alerts-test.yml")

    def promtool(self, *arguments, stdin=""):
        done = subprocess.run([PROMTOOL, *arguments], cwd=EXAMPLE, input=stdin, capture_output=True, text=True,
                              check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)

    def test_recipe_of_the_readme(self):
        """A status that cannot be told leaves the metrics that are there."""
        recipe = "\n".join(line.strip() for line in read(os.path.join(EXAMPLE, "README.md")).splitlines()
                           if line.startswith("      "))
        self.assertIn("backstay status -prometheus", recipe)
        recipe = recipe.replace("/var/lib/prometheus/node-exporter", self.folder)
        app = self.started()
        file = os.path.join(self.folder, "backstay.prom")

        def run(**env):
            path = f"{BUILD}:{os.environ['PATH']}"
            return subprocess.run(["sh", "-c", recipe], env={**self.env, "PATH": path, **env}, capture_output=True,
                                  text=True, check=False)

        run()
        written = read(file)
        self.assertIn(f'backstay_up{{db="{self.db}"}} 1', written)
        refused = run(BACKSTAY_CONFIG="/nonexistent.json")
        self.assertIn("/nonexistent.json", refused.stderr)
        self.assertEqual(read(file), written)
        app.close()

    def test_each_alert_has_a_test(self):
        rules = yaml.safe_load(read(os.path.join(EXAMPLE, "backstay-alerts.yml")))["groups"][0]["rules"]
        tests = yaml.safe_load(read(os.path.join(EXAMPLE, "backstay-alerts-test.yml")))["tests"]
        raised = {each["alertname"] for test in tests for each in test["alert_rule_test"] if each["exp_alerts"]}
        self.assertEqual(raised, {rule["alert"] for rule in rules})


if __name__ == "__main__":
    unittest.main(verbosity=2)
