#!/usr/bin/python3
"""tools/JSON.md and what the tool prints are the same, field by field, both ways."""
import json
import os
import re
import subprocess
import unittest

from engine_world import BUILD, App, EngineCase

PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tools/JSON.md")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
# Fields that only some life of a process has.
RARE = {"status": {"late", "late_commits", "state_before", "replicas[].shipped_by", "replicas[].upload_interval_ms"},
        "verify": {"replicas[].equal_at_txid"}}


def documented():
    """{command: {field: type}}"""
    sections = {}
    with open(PAGE, encoding="utf-8") as file:
        for line in file:
            if line.startswith("## "):
                section = sections.setdefault(line[3:].strip(), {})
            row = re.match(r"\| `([^`]+)` \| ([a-z ]+?) \|", line)
            if row:
                section[row[1]] = row[2]
    return sections


def fields(value, path=""):
    """(path, value) of each scalar, null and empty list."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from fields(each, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for each in value:
            yield from fields(each, path + "[]")
    else:
        yield path, value


def fits(value, kind):
    if value is None:
        return kind.endswith(" or null")
    kind = kind.replace(" or null", "")
    if kind == "time":
        return isinstance(value, str) and TIME.fullmatch(value) is not None
    return isinstance(value, {"string": str, "number": int, "bool": bool}[kind]) and \
        (kind == "bool" or not isinstance(value, bool))


class JsonTest(EngineCase):
    def setUp(self):
        super().setUp()
        self.page = documented()
        self.seen = {command: set() for command in self.page}

    def json(self, command, *arguments, code=0, name=None, **env):
        """The object that the command prints, held against the page."""
        name = name or command
        done = self.tool(command, "-json", *arguments, code=code, **env)
        self.assertEqual(done.stdout.count("\n"), 1, done.stdout)
        value = json.loads(done.stdout)
        for path, each in fields(value):
            self.assertIn(path, self.page[name], f"`{command}` prints a field that the page does not have")
            self.assertTrue(fits(each, self.page[name][path]), f"{command}: {path} is {each!r}")
            self.seen[name].add(path)
        return value

    def written(self):
        """Two lives of a database, and a damaged, an unfinished and a good snapshot."""
        app = App(self, BACKSTAY_HEARTBEAT_URL="http://127.0.0.1:9/nobody")
        app.sql("CREATE TABLE big(v)")
        for _ in range(4):
            app.sql("INSERT INTO big VALUES(randomblob(6000))")
            self.assertTrue(app.sync())
        self.json("status", self.db)
        app.close()
        self.new_disk()
        self.assertTrue(self.json("restore", self.db)["latest"])
        app = App(self)
        app.sql("INSERT INTO big VALUES(1)")
        self.assertTrue(app.sync())
        app.close()
        self.json("status", self.db, code=7)
        for number, content in ((3, "manifest"), (9001, "0000000000000001-00000000")):
            folder = os.path.join(self.replica, "snapshot", f"{number:016x}")
            os.mkdir(folder)
            with open(os.path.join(folder, content), "wb") as file:
                file.write(b"BKSM?")

    def config(self):
        """A file of which something is ignored, and one that is wrong."""
        path = os.path.join(self.folder, "config.json")
        for config, code in (({"addr": ":9090", "dbs": [{"path": self.db, "replicas": [{"url": "s3://bucket"}]}]}, 0),
                             ({"dbz": 1}, 2)):
            with open(path, "w", encoding="utf-8") as file:
                json.dump(config, file)
            told = self.json("config", "-check", path, code=code, BACKSTAY_REPLICA_URL="", BACKSTAY_DB="")
            self.assertEqual((not told["problems"], not told["databases"]), (code == 0, code != 0))
        self.assertEqual(told["settings"], [])

    def test_page_and_outputs_are_the_same(self):
        self.json("status", self.db, code=3)
        missing = self.json("restore", "-txid", "1", "-o", self.db, self.url + "-none", code=3, name="error")
        self.assertEqual(missing, {"error": f"no replica at {self.url}-none", "exit": 3})
        self.json("restore", "-o", self.db, "-what", self.url, code=2, name="error")
        self.json("list", self.url + "-none", code=3)
        self.json("list", "-config", "/none", self.db, code=2, name="error")
        self.json("prune", "-retention", "1", self.url, code=2, name="error")
        self.json("version")
        os.makedirs(self.replica, exist_ok=True)
        self.json("check", self.url)
        self.config()
        self.written()
        out = os.path.join(self.folder, "out.db")
        self.json("restore", "-copy", "-timestamp", "now", "-o", out, self.url)
        self.json("restore", "-if-db-not-exists", "-o", out, self.url)
        self.json("restore", "-dry-run", "-txid", "3", "-o", out, self.url)
        self.json("list", self.db, "-points", code=4)
        self.json("list", self.url, code=4)
        packed = os.path.join(self.folder, "packed")
        subprocess.run([os.path.join(BUILD, "tests", "replica_maker")], check=True, stdout=subprocess.DEVNULL, env={
            **self.env, "MAKER_REPLICA": packed, "MAKER_DATABASES": f"{out}:{self.db}", "MAKER_PACK": "1"})
        self.json("list", "file://" + packed)
        self.json("verify", self.db, code=4)
        self.json("verify", "-no-foreign-key-check", self.url, code=4)
        self.json("prune", "-retention", "1000d", self.url)
        self.json("adopt", self.db)
        self.json("sync", self.db)
        self.json("sync", self.db + "-none", code=2, name="error")
        self.json("adopt", self.db + "-none", code=2, name="error")
        for command, page in self.page.items():
            left = set(page) - self.seen[command] - RARE.get(command, set())
            self.assertEqual(left, set(), f"{command}: on the page, and never printed")

    def test_a_plan_takes_as_many_requests_as_the_restore(self):
        app = App(self)
        app.sql("CREATE TABLE t(v)")
        for i in range(5):
            app.sql(f"INSERT INTO t VALUES({i})")
            self.assertTrue(app.sync())
        app.close()
        out = os.path.join(self.folder, "out.db")
        planned = self.json("restore", "-dry-run", "-o", out, self.url)
        self.assertFalse(os.path.exists(out))
        done = self.json("restore", "-o", out, self.url)
        for result in (planned, done):
            del result["restored"], result["dry_run"], result["reason"]
        self.assertEqual(planned, done)
        self.assertGreater(done["requests"], 3)


if __name__ == "__main__":
    unittest.main()
