#!/usr/bin/python3
"""The heartbeat on a real S3 server: what it costs while the application is idle, and that it is bad as long as keys are
refused, nothing can be written, or the server is away."""

import collections
import time

from fault_world import main
from bucket_world import ENDPOINT, ROWS, BucketCase, FaultProxy, with_server
from ping_server import UUID, PingServer


class HeartbeatTest(BucketCase):
    def setUp(self):
        super().setUp()
        self.server = PingServer()
        self.addCleanup(self.server.close)

    def next_pings(self, what, count=1):
        """Those that come from now on until `count` of them say `what`."""
        with self.server.changed:
            before = len(self.server.pings)
        return self.server.await_pings(lambda pings: [p[0] for p in pings[before:]].count(what) >= count)[before:]

    def test_idle_and_cut_off(self):
        with FaultProxy(ENDPOINT) as proxy:
            self.use(proxy, f"heartbeat-{self.seed}")
            app = self.start(BACKSTAY_HEARTBEAT_URL=self.server.url, BACKSTAY_HEARTBEAT_INTERVAL="2s")
            app.sql(ROWS.format(20))
            self.assert_synced(app)
            self.wait_for_state(app, "replicating")
            self.next_pings("", 2)
            # Idle: one GET of the identity for each beat, and nothing else.
            before = collections.Counter(proxy.requests)
            pings = self.next_pings("", 4)
            spent = collections.Counter(proxy.requests) - before
            self.assertEqual({what for what, _, _ in pings}, {""})
            self.assertEqual({kind for (_, kind) in spent}, {"get"}, spent)
            self.assertLessEqual(sum(spent.values()), 5)
            # Keys that are refused, while nothing is written.
            proxy.add("403", ("get",), None, self.prefix + "/")
            body = self.next_pings("/fail")[-1][2]
            self.assertIn(self.db, body)
            self.assertEqual(app.status()["state"], "retrying")
            self.assertTrue([line for line in app.lines("ERROR") if "credentials" in line["msg"]])
            proxy.clear(self.prefix)
            self.next_pings("", 2)
            # It answers, and takes nothing.
            proxy.add("403", ("put-log",), None, self.prefix + "/")
            app.sql(ROWS.format(1))
            self.next_pings("/fail")
            self.assertEqual({what for what, _, _ in self.next_pings("/fail", 2)}, {"/fail"})
            proxy.clear(self.prefix)
            self.next_pings("", 2)
            self.assert_no_secret(app)
            self.assertNotIn(UUID, app.stderr())
            app.close()
            self.assert_restored()

    def test_no_request_without_it(self):
        with FaultProxy(ENDPOINT) as proxy:
            self.use(proxy, f"quiet-{self.seed}")
            app = self.start()
            app.sql(ROWS.format(20))
            self.assert_synced(app)
            self.wait_for_state(app, "replicating")
            # What is behind an upload is over when nothing has come for a second.
            before, quiet = collections.Counter(proxy.requests), time.monotonic()
            while time.monotonic() - quiet < 1:
                if collections.Counter(proxy.requests) != before:
                    before, quiet = collections.Counter(proxy.requests), time.monotonic()
                time.sleep(0.1)
            time.sleep(3)
            self.assertEqual(collections.Counter(proxy.requests), before)
            app.close()


if __name__ == "__main__":
    with_server()
    main("heartbeat", HeartbeatTest)
