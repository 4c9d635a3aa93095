#!/usr/bin/python3
"""Several replicas of one database, and a new disk that was restored from one of them: the others are known as its own."""

import json
import os
import shutil

from fault_world import App, main
from state_world import ROWS, SCHEMA, StateCase


class SiblingsCase(StateCase):
    def setUp(self):
        super().setUp()
        self.config = os.path.join(self.folder, "backstay.json")
        self.configure("one", "two")
        del self.env["BACKSTAY_DB"], self.env["BACKSTAY_REPLICA_URL"]
        self.env["BACKSTAY_CONFIG"] = self.config

    def place(self, name):
        return os.path.join(self.folder, name)

    def configure(self, *names):
        self.urls = ["file://" + self.place(name) for name in names]
        with open(self.config, "w", encoding="utf-8") as file:
            json.dump({"dbs": [{"path": self.db, "replicas": [{"url": url} for url in self.urls]}]}, file)

    def take_away(self, name):
        os.rename(self.place(name), self.place(name) + ".away")
        open(self.place(name), "w", encoding="utf-8").close()
        self.tally.faults += 1

    def bring_back(self, name):
        os.remove(self.place(name))
        os.rename(self.place(name) + ".away", self.place(name))

    def first_life(self):
        app = App(self)
        self.work(app)
        self.assertTrue(app.sync(), app.stderr())
        return app

    def insert(self, app, count, replica=0):
        """Transactions of their own, shipped to the replica."""
        for _ in range(count):
            app.sql(ROWS.format(3))
            self.wait_for("shipping", lambda: (r := app.status()["replicas"][replica])["lag_transactions"] == 0 and
                          r["txid"] == r["replicated_txid"])

    def next_life(self):
        """Everything is replicated to every replica; what it says of troubles."""
        app = App(self)
        self.work(app)
        self.assertTrue(app.sync(), app.stderr())
        for url in self.urls:
            self.assert_same(self.restored(url=url))
        app.close()
        return self.troubles(app)


class SiblingsTest(SiblingsCase):
    def test_equal_through_many_lives(self):
        self.first_life().close()
        for life in range(4):
            self.new_disk()
            self.tool("restore", "-if-db-not-exists", "-if-replica-exists", self.db)
            app = App(self)
            self.work(app)
            self.assertTrue(app.sync(), app.stderr())
            self.killed(app) if life % 2 else app.close()
            self.assertEqual(self.troubles(app), [])
            for url in self.urls:
                self.assert_same(self.restored(url=url))
        self.assertEqual(self.next_life(), [])

    def test_one_is_behind(self):
        """Restored from the other one, which goes furthest, first or second."""
        for name, away in (("one", 0), ("two", 1)):
            with self.subTest(behind=name):
                app = self.first_life()
                self.take_away(name)
                self.insert(app, 3, replica=1 - away)
                self.killed(app)
                self.bring_back(name)
                was = self.dump(self.db)
                self.new_disk()
                self.tool("restore", self.db)
                self.assertEqual(self.dump(self.db), was)
                self.assertEqual(self.next_life(), [])
                self.assertEqual(self.next_life(), [])

    def behind_and_ahead(self, more=3):
        """The disk is restored from the first, which lacks what the second has. Its newest state, and its number."""
        app = self.first_life()
        self.take_away("one")
        self.insert(app, more, replica=1)
        txid = app.status()["replicas"][1]["replicated_txid"]
        self.killed(app)
        was = self.dump(self.db)
        self.bring_back("one")
        self.new_disk()
        return was, txid

    def test_one_is_ahead(self):
        was, txid = self.behind_and_ahead()
        self.tool("restore", "-o", self.db, self.urls[0])
        [message] = self.next_life()
        self.assertIn(f"3 transactions more, up to {txid},", message)
        self.assertEqual(self.dump(self.restored("-txid", str(txid), url=self.urls[1])), was)
        self.assertEqual(self.next_life(), [])

    def test_one_is_ahead_and_answers_later(self):
        self.behind_and_ahead(1)
        self.take_away("two")
        self.tool("restore", "-o", self.db, self.urls[0])
        app = App(self)
        self.insert(app, 2)
        self.bring_back("two")
        self.assertTrue(app.sync(), app.stderr())
        for url in self.urls:
            self.assert_same(self.restored(url=url))
        app.close()
        [message] = [m for line in app.lines("WARN") if "is ahead" in (m := line["msg"])]
        self.assertIn("1 transaction more", message)
        self.assertEqual(self.next_life(), [])

    def test_the_first_life_of_one_was_short(self):
        """Its first snapshot was never finished."""
        app = self.first_life()
        app.close()
        for name in ("log", "pack", "snapshot"):
            shutil.rmtree(os.path.join(self.place("two"), name), ignore_errors=True)
        self.new_disk()
        self.tool("restore", "-o", self.db, self.urls[0])
        self.assertEqual(self.next_life(), [])

    def test_a_disk_of_an_earlier_life_returns(self):
        """Also a replica that it never wrote to is a newer life's."""
        self.first_life().close()
        os.rename(self.disk, self.disk + ".old")
        os.mkdir(self.disk)
        self.tool("restore", self.db)
        self.configure("one", "two", "three")
        self.assertEqual(self.next_life(), [])
        self.new_disk()
        os.rmdir(self.disk)
        os.rename(self.disk + ".old", self.disk)
        newest = [self.dump(self.restored(url=url)) for url in self.urls]
        app = App(self)
        self.work(app)
        self.wait_for("all to be fenced", lambda: {r["state"] for r in app.status()["replicas"]} == {"fenced"})
        app.close()
        self.assertEqual([self.dump(self.restored(url=url)) for url in self.urls], newest)

    def test_one_of_another_database(self):
        """A database that begins anew is of a family of its own."""
        self.first_life().close()
        self.new_disk()
        app = App(self)
        self.work(app)
        self.wait_for_state(app, "error")
        app.close()
        self.assertEqual(len(app.lines("ERROR")), 2)
        self.assertIn("belongs to another database", app.lines("ERROR")[0]["msg"])


class FormerTest(SiblingsCase):
    """Replicas made before there were families: pages prove what the name does not."""

    def without_families(self):
        for url in self.urls:
            path = url.removeprefix("file://") + "/backstay.json"
            with open(path, encoding="utf-8") as file:
                identity = json.load(file)
            self.assertEqual(len(identity.pop("family")), 32)
            with open(path, "w", encoding="utf-8") as file:
                json.dump(identity, file)

    def test_equal(self):
        self.first_life().close()
        self.without_families()
        self.new_disk()
        self.tool("restore", self.db)
        app = App(self)
        self.wait_for_state(app, "replicating")
        app.close()
        self.assertEqual(self.troubles(app), [])
        self.assertEqual(self.next_life(), [])

    def test_behind(self):
        app = self.first_life()
        self.take_away("two")
        self.insert(app, 1)
        self.killed(app)
        self.bring_back("two")
        self.without_families()
        self.new_disk()
        self.tool("restore", self.db)
        app = App(self)
        app.sql(SCHEMA)
        self.wait_for_state(app, "error")
        app.close()
        [message] = self.error_lines(app)
        self.assertIn("backstay adopt " + self.db, message)
        self.tool("adopt", self.db)
        self.assertEqual(self.next_life(), [])


if __name__ == "__main__":
    main("siblings", SiblingsTest, FormerTest)
