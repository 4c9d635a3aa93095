"""Programs that export functions of OpenSSL, libcurl and zstd that are not theirs."""

import os
import unittest

from host_world import BUILD, EXTENSION, PRELOAD, HostCase

HOST = os.path.join(BUILD, "tests/writer_host_symbols")


class Symbols(HostCase):
    def test_preload(self):
        self.run_host(HOST, self.db)
        self.assert_replicated()

    def test_extension(self):
        self.run_host(HOST, self.db, EXTENSION, preload=())
        self.assert_replicated()

    def test_node(self):
        self.run_node()
        self.assert_replicated()

    def test_tls(self):
        # Nobody listens there; the handshake's library is set up all the same.
        self.env["BACKSTAY_REPLICA_URL"] = "s3://bucket/prefix?endpoint=https://127.0.0.1:9"
        self.run_host(HOST, self.db, preload=(PRELOAD,), BACKSTAY_DRAIN_TIMEOUT="100ms",
                      BACKSTAY_ACCESS_KEY_ID="id", BACKSTAY_SECRET_ACCESS_KEY="key")
        self.assertIn("127.0.0.1", self.stderr)


if __name__ == "__main__":
    unittest.main()
