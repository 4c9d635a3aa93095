#!/usr/bin/python3
"""What can be restored, and to which moment, as a person asks for it."""
import datetime
import json
import os
import shutil
import unittest

from restore_cli_world import RestoreCase, write

UTC = datetime.timezone.utc
# Central Europe by its rule, without a zone file.
EUROPE = "CET-1CEST,M3.5.0,M10.5.0/3"


class MomentTest(RestoreCase):
    def times(self):
        """When each of the three transactions was committed."""
        done = [self.run_tool("restore", "-dry-run", "-txid", str(txid), self.db).stdout for txid in (1, 2, 3)]
        return [text.split(" of ")[1].split(" ")[0] for text in done]

    def at(self, text, state, zone="UTC0"):
        """Restores; what it said about the time on stderr."""
        out = os.path.join(self.data, "at.db")
        done = self.run_tool("restore", "-force", "-o", out, "-timestamp", text, self.db, TZ=zone)
        self.assert_restored(state, out)
        return done.stderr

    def test_each_way_to_write_it(self):
        second = datetime.datetime.fromisoformat(self.times()[1].replace("Z", "+00:00"))
        local = second.astimezone(datetime.timezone(datetime.timedelta(hours=1)))
        for text in (second.isoformat(), local.isoformat(), second.isoformat(" ").replace("+00:00", "z")):
            self.assertIn(second.strftime("is %Y-%m-%dT%H:%M:"), self.at(text, 1))
        said = self.at(local.replace(tzinfo=None).isoformat(" "), 1, EUROPE)
        self.assertIn(second.strftime("is %Y-%m-%dT%H:%M:"), said)
        self.assertIn(local.strftime("(%Y-%m-%d %H:%M:"), said)
        self.assertIn("CET)", said)
        self.at((second - datetime.timedelta(milliseconds=1)).isoformat(), 0)

    def test_relative_to_now(self):
        for text in ("now", "-90m", "-1h", "yesterday 14:05"):
            self.assertIn(f"-timestamp {text} is 20", self.at(text, 2))
        self.assertIn("yet to come", self.at("2999-01-01T00:00:00Z", 2))
        said = self.run_tool("restore", "-timestamp=-9999d", self.db, code=3).stderr
        self.assertIn("the earliest restore point is transaction 1 ", said)

    def test_what_is_no_time(self):
        for text in ("monday", "-5", "2026-11-27", "yesterday"):
            said = self.run_tool("restore", "-timestamp", text, self.db, code=2).stderr
            self.assertIn(f'-timestamp: "{text}" is not a time: write 2026-', said)
        self.assertIn("came twice", self.run_tool("restore", "-timestamp", "2026-10-25 02:30", self.db, code=2,
                                                  TZ=EUROPE).stderr)
        self.assert_nothing_left()


class ListTest(RestoreCase):
    def test_restore_points(self):
        done = self.run_tool("list", "-points", self.db, TZ=EUROPE)
        self.assertRegex(done.stdout, r"\n2 +20[^ ]+Z +20.* CET\n3 +20")
        points = json.loads(self.run_tool("list", "-points", "-json", self.db).stdout)["replicas"][0]["points"]
        self.assertEqual([each["txid"] for each in points], [1, 2, 3])
        second = points[1]["time"]
        found = {options: json.loads(self.run_tool("list", "-json", *options, self.db).stdout)["replicas"][0]
                 for options in ((), ("-points", "-limit", "2"), ("-until", second), ("-since", second, "-points"),
                                 ("-since", second, "-until", second), ("-since", "-1h"))}
        self.assertEqual([[each["txid"] for each in one["points"]] for one in found.values()],
                         [[], [2, 3], [1, 2], [2, 3], [2], []])
        self.assertEqual([one["points_left_out"] for one in found.values()], [False, True] + [False] * 4)
        self.assertIn("no restore point in that time", self.run_tool("list", "-since", "-1h", self.db).stdout)
        self.assertIn("-since: ", self.run_tool("list", "-since", "noon", self.db, code=2).stderr)

    def test_a_prefix_with_replicas_in_it(self):
        place = os.path.join(self.folder, "bucket")
        for name in ("a", "deep/er/b"):
            shutil.copytree(self.replica, os.path.join(place, name))
        os.makedirs(os.path.join(place, "else"))
        write(os.path.join(place, "else", "photo.jpg"), b"x")
        lines = self.run_tool("list", "file://" + place + "/").stdout.splitlines()
        self.assertEqual([line.split()[0] for line in lines],
                         ["REPLICA", f"file://{place}/a", f"file://{place}/deep/er/b"])
        self.assertRegex(lines[1], "1 to 3 .* ok$")
        os.remove(os.path.join(place, "a", "log", f"{2:016x}"))
        lines = self.run_tool("list", "file://" + place, code=4).stdout.splitlines()
        self.assertRegex(lines[1], "DAMAGED$")
        self.run_tool("list", "file://" + os.path.join(place, "else"), code=1)

    def test_the_databases_of_the_settings(self):
        other = os.path.join(self.data, "other.db")
        config = os.path.join(self.folder, "config.json")
        with open(config, "w", encoding="utf-8") as file:
            json.dump({"dbs": [{"path": self.db, "replicas": [{"url": self.url}]},
                               {"path": other, "replicas": [{"url": self.url + "-none"}]}]}, file)
        found = json.loads(self.run_tool("list", "-config", config, "-json", url=False, code=3).stdout)["replicas"]
        self.assertEqual([(each["db"], each["error"]) for each in found],
                         [(self.db, None), (other, f"no replica at {self.url}-none")])
        write(self.db, b"")
        done = self.run_tool("list", "-config", config, self.data + "/a*.db", url=False)
        self.assertIn("transactions 1 to 3 can be restored", done.stdout)


if __name__ == "__main__":
    unittest.main()
