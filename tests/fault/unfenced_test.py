#!/usr/bin/python3
"""What fencing_test.py asks, on stores that do not refuse to create what exists: one that ignores
If-None-Match, one that answers 501 to it. One WARN says so, and writers tell each other apart by looking."""

import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fault_world import main  # noqa: E402
from bucket_world import ENDPOINT, FaultProxy, with_server  # noqa: E402
import fencing_test  # noqa: E402

WARNING = "does not refuse to create an object that exists"


class IgnoringStoreTest(fencing_test.FencingTest):
    fault = "unconditional"

    def setUp(self):
        self.proxy = FaultProxy(ENDPOINT)
        self.proxy.__enter__()
        self.addCleanup(self.proxy.__exit__)
        self.proxy.add(self.fault)
        super().setUp()

    def endpoint(self):
        return self.proxy.url

    def errors(self, app):
        """Ceph may answer 500 where log/writer is read while the other writer overwrites it: told, and tried again."""
        return [text for text in super().errors(app) if "/log/writer at " not in text or ", UnknownError" not in text]

    def assert_goes_on(self, app):
        super().assert_goes_on(app)
        self.assertEqual(sum(WARNING in l["msg"] for l in app.lines("WARN")), 1, app.stderr())
        self.tally.faults += 1


    def test_upload_arrives_after_a_takeover_and_a_pack(self):
        """Between look and upload a writer hangs, until another has taken over and packed what it wrote."""
        first = self.begun()
        prefix = self.url.split("/", 3)[3].split("?")[0]
        self.proxy.add("late", kinds=("put-log",), times=1, prefix=prefix)
        self.wait_for("the upload", lambda: self.proxy.hits[prefix, "put-log", "late"] == 1)
        first.process.send_signal(signal.SIGSTOP)
        base = self.restore_to("two")
        second = self.writer("b", "two")
        second.start()
        self.pack(second)
        second.stop()
        self.proxy.clear(prefix)
        first.process.send_signal(signal.SIGCONT)
        self.assert_fenced(first)
        self.assert_history_has(first, first.acked(), base, second)
        self.assertEqual([l["msg"] for l in second.lines("ERROR")], [])
        first.stop()
        first.close()
        second.close()


class AnsweringStoreTest(IgnoringStoreTest):
    fault = "no-condition"


# The way to look is the same in both.
for name in dir(AnsweringStoreTest):
    if name.startswith("test_") and name != "test_takes_over_while_the_first_goes_on":
        setattr(AnsweringStoreTest, name, None)

if __name__ == "__main__":
    with_server()
    main("unfenced", IgnoringStoreTest, AnsweringStoreTest)
