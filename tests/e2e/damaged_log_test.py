#!/usr/bin/python3
"""A log that is damaged in its middle: what restore says is done, word for word, and the application goes on under
the same prefix. Nothing is deleted, and what lies before the damage can be restored as ever."""

import contextlib
import json
import os
import re
import shlex
import sqlite3
import subprocess
import unittest

from engine_world import BUILD, App, EngineCase, environment

PACKED = 64


def flip(path):
    with open(path, "r+b") as file:
        body = bytearray(file.read())
        body[len(body) // 2] ^= 1
        file.seek(0)
        file.write(body)


class DamagedLogTest(EngineCase):
    def objects(self):
        """All that is in the bucket, by key."""
        found = {}
        for folder, _, names in os.walk(self.replica):
            for name in names:
                path = os.path.join(folder, name)
                with open(path, "rb") as file:
                    found[os.path.relpath(path, self.replica)] = file.read()
        return found

    def keys(self, folder):
        return sorted(key for key in self.objects() if re.fullmatch(folder + "/[0-9a-f-]+", key))

    def write(self, app, first, count):
        """`count` transactions, each in a log object of its own; the transaction number of each."""
        return app.do(f"""
result = []
for i in range({first}, {first + count}):
    sql("INSERT INTO t VALUES(?, ?)", i, str(i) * 5)
    assert sql("SELECT backstay_sync(60000)") == [(1,)]
    result.append(status()["replicas"][0]["txid"])""")

    def begun(self, count):
        app = App(self)
        app.sql("CREATE TABLE t(i INTEGER PRIMARY KEY, v)")
        self.assertTrue(app.sync())
        txids = self.write(app, 0, count)
        return app, txids

    def rows(self, path):
        self.dump(path)
        with contextlib.closing(sqlite3.connect(path)) as connection:
            return [i for i, in connection.execute("SELECT i FROM t ORDER BY i")]

    def rows_at(self, txid):
        out = os.path.join(self.folder, "then.db")
        self.tool("restore", "-copy", "-force", "-txid", str(txid), "-o", out, self.url)
        return self.rows(out)

    def told(self):
        """Restores to an empty disk, as far as that says how; the commands that it names."""
        done = self.tool("restore", "-o", self.db, self.url, code=4)
        self.assertFalse(os.path.exists(self.db))
        commands = [shlex.split(each) for each in re.findall(r": (backstay (?:restore|adopt) .*)", done.stderr)]
        self.assertEqual([each[1] for each in commands], ["restore", "adopt"], done.stderr)
        return commands

    def run_told(self, command):
        env = {**self.env, **environment()}
        del env["BACKSTAY_REPLICA_URL"]
        subprocess.run([os.path.join(BUILD, command[0]), *command[1:]], check=True, env=env, capture_output=True)

    def go_on(self, txids, damaged):
        """Does what restore says when `damaged` transactions are the last sound ones, and writes on."""
        before = self.objects()
        self.new_disk()
        for command in self.told():
            self.run_told(command)
        self.assertEqual(self.rows(self.db), list(range(damaged)))
        app = App(self)
        self.write(app, 10000, 3)
        self.assertIn("goes on behind it", "".join(line["msg"] for line in app.lines("WARN")))
        self.assertEqual(app.lines("ERROR"), [])
        self.wait_for("a restorable replica", lambda: self.run_tool("verify", self.url).returncode == 0)
        self.assert_restores()
        app.close()
        # The next process finds nothing amiss.
        app = App(self)
        self.write(app, 10003, 40)
        self.assertEqual(app.lines("WARN", "ERROR"), [])
        app.close()
        self.assert_restores()
        self.assertEqual(self.rows_at(txids[damaged - 1]), list(range(damaged)))
        self.assertEqual(self.rows_at(txids[damaged // 2]), list(range(damaged // 2 + 1)))
        self.assertEqual({key: body for key, body in self.objects().items() if key in before}, before)

    def listed(self, *options):
        """The ranges, each with whether it ends in damage."""
        done = self.run_tool("list", "-json", *options, self.url)
        ranges = json.loads(done.stdout)["replicas"][0]["ranges"]
        return done.returncode, [each["damage"] is not None for each in ranges]

    def test_a_flipped_byte(self):
        app, txids = self.begun(12)
        app.close()
        flip(os.path.join(self.replica, self.keys("log")[-4]))
        self.go_on(txids, 8)
        self.assertEqual(self.listed(), (4, [True, False]))

    def test_adopt_was_left_out(self):
        """The application is told, loses nothing, and goes on once that was done."""
        app, _ = self.begun(12)
        app.close()
        flip(os.path.join(self.replica, self.keys("log")[-1]))
        before = self.objects()
        self.new_disk()
        restore, adopt = self.told()
        self.run_told(restore)
        app = App(self)
        app.sql("INSERT INTO t VALUES(10000, 'more')")
        self.wait_for("an error", lambda: app.lines("ERROR"))
        self.assertIn("end this application: " + " ".join(adopt[:3]), app.lines("ERROR")[0]["msg"])
        app.close()
        self.assertEqual(self.objects(), before)
        self.run_told(adopt)
        app = App(self)
        self.write(app, 10001, 3)
        app.close()
        self.assert_restores()
        self.assertEqual({key: body for key, body in self.objects().items() if key in before}, before)

    def test_a_deleted_object(self):
        app, txids = self.begun(12)
        app.close()
        os.remove(os.path.join(self.replica, self.keys("log")[-4]))
        self.go_on(txids, 8)
        self.assertEqual(self.listed(), (4, [True, False]))

    def test_a_pack_whose_body_is_damaged(self):
        app, txids = self.begun(PACKED)
        self.wait_for("packs", lambda: len(self.keys("pack")) > 0 and len(self.keys("log")) < 36)
        app.close()
        pack = os.path.join(self.replica, self.keys("pack")[0])
        flip(pack)
        self.new_disk()
        done = self.told()[0]
        sound = int(done[done.index("-txid") + 1])
        self.go_on(txids, txids.index(sound) + 1)
        # A pack shows by its index that it is there; that its body is damaged shows with the points.
        self.assertEqual(self.listed(), (0, [False, False]))
        self.assertEqual(self.listed("-points", "-limit", "1000"), (4, [True, False]))

    def test_a_snapshot_behind_which_all_is_sound(self):
        """No command is named that would not work; adopt, which all name, leads on."""
        frame, manifest = "snapshot/[0-9a-f]+/[0-9a-f]+-[0-9a-f]+", "snapshot/[0-9a-f]+/manifest"
        for what, damage in (frame, flip), (frame, os.remove), (manifest, flip):
            with self.subTest(what=what, damage=damage.__name__):
                self.doCleanups()
                self.setUp()
                self.damaged_snapshot(what, damage)

    def damaged_snapshot(self, what, damage):
        app, _ = self.begun(4)
        app.close()
        for key in self.objects():
            if re.fullmatch(what, key):
                damage(os.path.join(self.replica, key))
        before = self.objects()
        done = self.tool("restore", "-o", os.path.join(self.folder, "out.db"), self.url, code=4)
        self.assertNotIn("-txid", done.stderr)
        self.assertIn("`backstay adopt DB`", done.stderr)
        self.assertIn("`backstay adopt DB`", self.tool("verify", self.url, code=4).stderr)
        # A list of names does not show that a byte is another one.
        shows = damage is os.remove or what.endswith("manifest")
        listed = self.tool("list", self.url, code=4 if shows else 0)
        self.assertEqual("nothing can be restored" in listed.stdout, shows)
        self.assertEqual("`backstay adopt DB`" in listed.stderr, shows)
        self.tool("adopt", self.db)
        app = App(self)
        self.write(app, 10000, 3)
        app.close()
        self.assert_restores()
        self.assertEqual({key: body for key, body in self.objects().items() if key in before}, before)
        self.past(shows, what.endswith("manifest"))

    def past(self, shows, warns):
        """The newest state needs nothing of what is damaged: that is told as it is, with what clears it."""
        verified = self.tool("verify", self.url).stderr
        self.assertEqual("warning: verify: " in verified and "backstay prune -retention" in verified, warns, verified)
        listed = self.tool("list", self.url, code=4 if shows else 0).stderr
        self.assertNotIn("adopt", verified + listed)
        self.assertEqual("backstay prune -retention" in listed, shows, listed)
        self.tool("prune", "-retention", "1ms", self.url)
        self.assertEqual(self.tool("verify", self.url).stderr + self.tool("list", self.url).stderr, "")

    def test_backstay_json(self):
        """Damaged, or gone: it is written anew, as is said."""
        app, _ = self.begun(3)
        app.close()
        path = os.path.join(self.replica, "backstay.json")
        with open(path, "w", encoding="utf-8") as file:
            file.write("{")
        for command in "verify", "list":
            told = self.tool(command, self.url, code=4).stderr
            self.assertIn("or delete it", told)
            self.assertNotIn("adopt", told)
        os.remove(path)
        self.assertIn("undelete it", self.tool("verify", self.url, code=4).stderr)
        app = App(self)
        self.write(app, 10000, 1)
        app.close()
        self.assert_restores()

    def test_one_of_two_replicas(self):
        """The other one goes on; the error of this one names what helps, and that does."""
        other = os.path.join(self.folder, "other")
        config = os.path.join(self.folder, "config.json")
        with open(config, "w", encoding="utf-8") as file:
            json.dump({"dbs": [{"path": self.db, "replicas": [{"url": self.url}, {"url": "file://" + other}]}]}, file)
        del self.env["BACKSTAY_REPLICA_URL"]
        self.env["BACKSTAY_CONFIG"] = config
        app, _ = self.begun(12)
        app.close()
        flip(os.path.join(self.replica, self.keys("log")[-4]))
        before = self.objects()
        self.new_disk()
        self.tool("restore", self.db)
        app = App(self)
        app.sql("INSERT INTO t VALUES(10000, 'more')")
        self.wait_for("the other replica", lambda: app.status()["replicas"][1]["state"] == "replicating"
                      and app.status()["replicas"][1]["lag_transactions"] == 0)
        self.wait_for("the damage", lambda: app.lines("ERROR"))
        self.assertIn("end this application: backstay adopt " + self.db, app.lines("ERROR")[0]["msg"])
        app.close()
        self.assert_restores(url="file://" + other)
        self.tool("adopt", self.db)
        app = App(self)
        self.write(app, 10001, 3)
        app.close()
        for url in (self.url, "file://" + other):
            self.assert_restores(url=url)
        self.assertEqual({key: body for key, body in self.objects().items() if key in before}, before)


if __name__ == "__main__":
    unittest.main()
