#!/usr/bin/python3
"""The heartbeat of a running application: good while all is replicated, also when idle; never while it is cut off."""
import os
import shutil
import time
import unittest

from engine_world import PATIENCE, App, EngineCase
from ping_server import UUID, PingServer


class HeartbeatTest(EngineCase):
    def server(self, *answers):
        server = PingServer(*answers)
        self.addCleanup(server.close)
        return server

    def start(self, server, **env):
        app = App(self, BACKSTAY_HEARTBEAT_URL=server.url, BACKSTAY_HEARTBEAT_INTERVAL="1s", **env)
        app.sql("CREATE TABLE IF NOT EXISTS t(x)")
        return app

    @staticmethod
    def await_next(server, what, count=1):
        """The next pings, `count` of which say `what`."""
        with server.changed:
            before = len(server.pings)
        return server.await_pings(lambda pings: [p[0] for p in pings[before:]].count(what) >= count)[before:]

    def test_good_while_idle_and_never_while_cut_off(self):
        server = self.server()
        app = self.start(server)
        pings = self.await_next(server, "", 3)
        self.assertEqual({(what, body) for what, _, body in pings}, {("", "")})
        away = self.replica + ".away"
        os.rename(self.replica, away)
        # No folder that is gone, which would be made anew: one that cannot be read.
        with open(self.replica, "wb"):
            pass
        pings = self.await_next(server, "/fail")
        body = pings[-1][2]
        self.assertIn(self.db, body)
        self.assertIn(self.url, body)
        self.assertEqual(app.status()["state"], "retrying")
        self.assertTrue([line for line in app.lines("ERROR") if "the replica" in line["msg"]])
        self.assertTrue([line for line in app.lines("WARN") if "the heartbeat tells failure" in line["msg"]])
        # Cut off it stays bad, whatever is committed meanwhile.
        app.sql("INSERT INTO t VALUES (1)")
        self.assertEqual({what for what, _, _ in self.await_next(server, "/fail", 2)}, {"/fail"})
        os.remove(self.replica)
        os.rename(away, self.replica)
        self.await_next(server, "")
        self.wait_for("success to be told", lambda: "the heartbeat tells success again" in app.stderr())
        self.assertNotIn(UUID, app.stderr())
        app.close()
        self.assert_restores()

    def test_looks_for_what_a_restore_would_need(self):
        """While nothing is written, and the identity alone is still there."""
        server = self.server()
        app = self.start(server)
        self.await_next(server, "", 2)
        shutil.rmtree(os.path.join(self.replica, "snapshot"))
        self.wait_for("the loss to be told", lambda: "the replica is gone from the bucket" in app.stderr())
        self.wait_for("its end to be told", lambda: [line for line in app.lines("INFO")
                                                     if "is whole again" in line["msg"] and line["event"] == "recovered"])
        self.await_next(server, "", 2)
        app.close()
        self.assert_restores()

    def test_only_the_process_that_ships_tells(self):
        first, second = self.server(), self.server()
        leader = self.start(first)
        self.await_next(first, "")
        other = self.start(second)
        self.wait_for_state(other, "passive")
        other.sql("INSERT INTO t VALUES (1)")
        with second.changed:
            before = len(second.pings)
        self.await_next(first, "", 4)
        self.assertEqual(second.pings[before:], [])
        leader.close()
        self.await_next(second, "")
        other.close()

    def test_a_silent_monitor_keeps_nobody_waiting(self):
        server = self.server(*[0] * 100)
        app = self.start(server)
        server.await_pings(lambda pings: pings)
        app.sql("INSERT INTO t VALUES (1)")
        self.assertTrue(app.sync())
        self.wait_for("a warning", lambda: "the heartbeat cannot be sent" in app.stderr())
        # In the middle of a ping.
        count = len(server.pings)
        server.await_pings(lambda pings: len(pings) > count)
        began = time.monotonic()
        app.close()
        self.assertLess(time.monotonic() - began, PATIENCE / 4)
        self.assertNotIn(UUID, app.stderr())
        self.assertEqual(app.lines("ERROR"), [])

    def test_wrong_settings_are_told(self):
        for name, value in (("URL", "hc-ping.com/" + UUID), ("INTERVAL", "1ms")):
            app = App(self, **{"BACKSTAY_HEARTBEAT_" + name: value})
            app.sql("CREATE TABLE IF NOT EXISTS t(x)")
            self.wait_for("an error", lambda app=app: app.lines("ERROR"))
            self.assertIn("BACKSTAY_HEARTBEAT_" + name, app.lines("ERROR")[0]["msg"])
            self.assertNotIn(UUID, app.stderr())
            app.close()


if __name__ == "__main__":
    unittest.main()
