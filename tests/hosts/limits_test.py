"""Programs with narrow limits: what works without Backstay works with it, and it says why it does not."""

import json
import unittest

from host_world import EXTENSION, PRELOAD, WRITER, HostCase

# What the program needs is there in each.
LIMITS = {"-n 10": "ulimit -n", "-n 12": "ulimit -n", "-n 24": "ulimit -n", "-v 60000": "ulimit -v"}
RAISED = """
import resource, sqlite3, sys
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (20, hard))
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute("PRAGMA journal_mode=wal")
c.execute("CREATE TABLE t(x)")
assert "not replicated" in c.execute("PRAGMA backstay_status").fetchone()[0]
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
c.execute("INSERT INTO t VALUES(1)")
assert c.execute("PRAGMA backstay_sync(60000)").fetchone() == ("1",)
"""


class Limits(HostCase):
    def assert_only_said(self, cure):
        [line] = [json.loads(text) for text in self.stderr.splitlines()]
        self.assertEqual(line["level"], "WARN")
        self.assertIn(cure, line["msg"])

    def each(self, *more, **how):
        for limit, cure in LIMITS.items():
            with self.subTest(limit):
                command = ("sh", "-c", f'ulimit {limit}; exec "$@"', "sh", WRITER, self.db)
                self.run_host(*command, preload=())
                self.run_host(*command, *more, **how)
                self.assert_only_said(cure)

    def test_preload(self):
        self.each(preload=(PRELOAD,))

    def test_extension(self):
        self.each(EXTENSION, preload=())

    def test_a_limit_that_is_raised(self):
        self.run_host("/usr/bin/python3", "-c", RAISED, self.db)
        self.assert_replicated()


if __name__ == "__main__":
    unittest.main()
