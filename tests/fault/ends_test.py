#!/usr/bin/python3
"""How a process ends whose bucket is slow, refuses, or asks for patience."""

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fault_world import main  # noqa: E402
from bucket_world import BucketCase, ENDPOINT, ROWS, FaultProxy, with_server  # noqa: E402

DRAIN_S = 40  # far from what any end here takes


class EndsTest(BucketCase):
    def begin(self, name, proxy, **settings):
        self.use(proxy, f"{name}-{self.seed}", BACKSTAY_DRAIN_TIMEOUT=f"{DRAIN_S}s", **settings)
        return self.start()

    def ended(self, app):
        """Seconds."""
        start = time.monotonic()
        app.close()
        return time.monotonic() - start

    def test_close_and_no_exit_handler(self):
        """A round trip of 50 ms and more, by default."""
        with FaultProxy(ENDPOINT) as proxy:
            proxy.latency = 0.05
            for mode in ("wal", "delete"):
                app = self.begin(f"close-{mode}", proxy)
                app.sql(f"PRAGMA journal_mode={mode}")
                app.sql(ROWS.format(20))
                self.assert_synced(app)
                for _ in range(3):
                    app.sql(ROWS.format(5))
                app.do("c.close()")
                app.process.stdin.write('{"code": "os._exit(0)"}\n')
                app.process.stdin.close()
                app.process.stdout.close()
                app.process.wait()
                self.assert_restored()
                self.assertEqual(app.lines("WARN", "ERROR"), [])
                self.new_disk()

    def test_one_that_refuses_is_asked_once(self):
        with FaultProxy(ENDPOINT) as proxy:
            app = self.begin("refused", proxy)
            self.assert_synced(app)
            proxy.add("403", None, None, self.prefix + "/")
            app.sql(ROWS.format(5))
            self.assertLess(self.ended(app), DRAIN_S / 2)
            self.assertIn("AccessDenied", app.lines("WARN")[-1]["msg"])

    def test_one_that_asks_for_patience_is_given_it(self):
        with FaultProxy(ENDPOINT) as proxy:
            app = self.begin("patience", proxy)
            self.assert_synced(app)
            proxy.add("slow-down", None, 3, self.prefix + "/")
            app.sql(ROWS.format(5))
            self.assertLess(self.ended(app), DRAIN_S / 2)
            self.assertEqual(app.lines("WARN"), [])
            self.assert_restored()

    def test_one_that_is_silent_after_an_outage_is_not_waited_for(self):
        with FaultProxy(ENDPOINT) as proxy:
            app = self.begin("silent", proxy)
            self.assert_synced(app)
            proxy.add("reset-before", None, 1, self.prefix + "/")
            proxy.add("stall", None, None, self.prefix + "/")
            app.sql(ROWS.format(5))
            self.wait_for_state(app, "retrying")
            self.assertLess(self.ended(app), DRAIN_S / 2)
            self.assertIn("before everything was shipped", app.lines("WARN")[-1]["msg"])


if __name__ == "__main__":
    with_server()
    main("ends", EndsTest)
