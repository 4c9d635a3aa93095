#!/usr/bin/python3
"""Each kind of request fails for seconds, in the first life of a replica and in one that takes it over: few requests are
made meanwhile, the application goes on, and all is well again without help. (PUTs of the log: hostile_bucket_test.py.)"""

import time

from fault_world import main
from bucket_world import ENDPOINT, ROWS, BucketCase, FaultProxy, ask_server, empty, s3_url, with_server

# 20 ms and a random time below a doubling limit between two tries (backoff.h).
MOST_REQUESTS = 40
FIRST = ("get", "put-identity", "put-frame", "put-manifest", "put-log")
HEIR = ("get", "list", "put-takeover", "put-log")


class LastingTest(BucketCase):
    def outlast(self, proxy, app, kind, fault):
        """From its start on, with `kind` failing."""
        end = time.monotonic() + (5 if self.long else 1.5)
        before = proxy.count(self.prefix, kind)
        while time.monotonic() < end:
            app.sql(ROWS.format(2))
            time.sleep(0.05)
        self.assertGreater(proxy.hits[self.prefix, kind, fault], 0)
        self.assertFalse(app.sync(1))
        self.assertLess(proxy.count(self.prefix, kind) - before, MOST_REQUESTS)
        self.tally.faults += proxy.hits[self.prefix, kind, fault]
        proxy.clear(self.prefix)
        self.assert_synced(app)
        self.wait_for_state(app, "replicating")
        self.assert_restored()

    def each(self, kinds, begin):
        with FaultProxy(ENDPOINT) as proxy:
            for kind in kinds:
                fault = self.random.choice(("500", "slow-down", "reset-before", "403", "expired"))
                with self.subTest(f"{kind}: {fault}"):
                    self.new_disk()
                    self.use(proxy, f"lasting-{kind}-{fault}-{self.seed}-{self._testMethodName}")
                    begin()
                    proxy.add(fault, (kind,), None, self.prefix + "/")
                    app = self.start()
                    self.outlast(proxy, app, kind, fault)
                    app.close()

    def test_replica_that_vanished(self):
        """Nothing is called shipped before there is a replica again."""
        with FaultProxy(ENDPOINT) as proxy:
            self.use(proxy, f"vanished-{self.seed}")
            app = self.start()
            app.sql(ROWS.format(20))
            self.assert_synced(app)
            app.close()
            empty(self.prefix)
            proxy.add("403", ("put-identity",), None, self.prefix + "/")
            app = self.start()
            app.sql("SELECT count(*) FROM t")
            self.wait_for("it to be missed", lambda: "the replica is gone" in app.stderr())
            for _ in range(3):
                app.sql(ROWS.format(1))
                self.assertFalse(app.sync(300))
            proxy.clear(self.prefix)
            self.assert_synced(app)
            self.assert_restored()
            app.close()

    def test_bucket_that_is_deleted_and_made_anew(self):
        """Under a writer that was acknowledged everything: told, and made good once there is a bucket again."""
        bucket = f"anew-{self.seed}"
        ask_server("PUT", "", "", bucket)
        self.use(None, "app")
        self.url = self.direct = self.env["BACKSTAY_REPLICA_URL"] = s3_url("app", ENDPOINT, bucket)
        app = self.start()
        app.sql(ROWS.format(20))
        self.assert_synced(app)
        empty("app", bucket)
        ask_server("DELETE", "", "", bucket)
        self.tally.faults += 1
        app.sql(ROWS.format(5))
        self.wait_for("a word", lambda: "NoSuchBucket" in "".join(line["msg"] for line in app.lines("ERROR")))
        self.assertFalse(app.sync(1))
        ask_server("PUT", "", "", bucket)
        self.assert_synced(app)
        self.assertIn("is gone from the bucket", app.stderr())
        self.wait_for("the recovery line", lambda: "whole again" in app.stderr())
        self.assert_restored()
        app.close()

    def test_replica_that_is_gone_at_the_end(self):
        """Neither a sync nor an exit takes what was acknowledged for what is still there."""
        with FaultProxy(ENDPOINT) as proxy:
            self.use(proxy, f"gone-{self.seed}")
            app = self.start()
            app.sql(ROWS.format(20))
            self.assert_synced(app)
            time.sleep(5.1)  # the rate of looks
            looks = proxy.count(self.prefix, "get", "list")
            self.assert_synced(app)
            self.assert_synced(app)
            self.assertEqual(proxy.count(self.prefix, "get", "list"), looks + 1)
            time.sleep(5.1)
            empty(self.prefix)
            self.assert_synced(app)
            self.assertIn("is gone from the bucket", app.lines("ERROR")[0]["msg"])
            self.assert_restored()
            app.close()
            for lost in (lambda: empty(self.prefix),
                         lambda: ask_server("DELETE", self.prefix + "/backstay.json", "")):
                app = self.start()
                app.sql(ROWS.format(1))
                self.assert_synced(app)
                time.sleep(1.1)
                lost()
                app.close()
                self.assertIn("is gone from the bucket", app.lines("ERROR")[-1]["msg"])
                self.assert_restored()

    def test_first_life(self):
        self.each(FIRST, lambda: None)

    def test_heir(self):
        self.each(HEIR, self.earlier_life)

    def earlier_life(self):
        app = self.start()
        app.sql(ROWS.format(20))
        self.assert_synced(app)
        app.kill()
        self.new_disk()
        self.restore_direct(self.db)


if __name__ == "__main__":
    with_server()
    main("lasting", LastingTest)
