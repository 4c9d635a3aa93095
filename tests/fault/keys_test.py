#!/usr/bin/python3
"""Keys and other settings change while the application runs, on a real S3 server: no restart, and no commit is lost."""

import json
import os
import subprocess
import unittest

from bucket_world import ENDPOINT, KEYS, SCHEMA, App, BucketCase, s3_url, with_server
from fault_world import main

CEPH_CONF = os.environ.get("BACKSTAY_TEST_CEPH_CONF", "")


def admin(*arguments):
    subprocess.run(["timeout", "60", "radosgw-admin", *arguments], check=True, capture_output=True,
                   env={**os.environ, "CEPH_CONF": CEPH_CONF})


class KeysTest(BucketCase):
    count = 0
    secrets = ("secret-of-",)

    def setUp(self):
        super().setUp()
        KeysTest.count += 1
        self.use(None, f"keys-{os.getpid()}-{KeysTest.count}")
        self.config = os.path.join(self.folder, "mounted", "config.json")
        self.mounts = 0
        self.env.update(BACKSTAY_CONFIG="mounted/config.json")
        del self.env["BACKSTAY_DB"], self.env["BACKSTAY_REPLICA_URL"]

    def mount(self, *keys, **settings):
        """As Kubernetes changes a Secret: the name leads to another folder at once."""
        replicas = [{"url": url, "access-key-id": key, "secret-access-key": secret} for url, key, secret in keys]
        self.write({"dbs": [{"path": self.db, "min-interval": "0ms", "replicas": replicas, **settings}]})

    def write(self, content):
        self.mounts += 1
        folder = os.path.join(self.folder, f"..{self.mounts}")
        os.mkdir(folder)
        with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
            file.write(content if isinstance(content, str) else json.dump(content, file) or "")
        os.symlink(folder, folder + ".new")
        os.rename(folder + ".new", os.path.dirname(self.config))

    def own(self):
        return KEYS["AWS_ACCESS_KEY_ID"], KEYS["AWS_SECRET_ACCESS_KEY"]

    def new_key(self):
        name = f"rotated{os.getpid()}x{KeysTest.count}x{self.mounts}"
        admin("key", "create", "--uid=test", "--key-type=s3", f"--access-key={name}", f"--secret-key=secret-of-{name}")
        return name, "secret-of-" + name

    def application(self):
        app = App(self, AWS_REGION=KEYS["AWS_REGION"])
        app.sql(SCHEMA)
        self.assert_synced(app)
        app.do("os.chdir('/')")
        return app

    def insert(self, app, rows=20):
        for _ in range(rows):
            app.sql("INSERT INTO t(text) VALUES (hex(randomblob(50)))")

    @unittest.skipUnless(CEPH_CONF, "needs the administration of radosgw")
    def test_the_key_is_rotated_under_load(self):
        first, second = self.new_key(), None
        self.mount((self.direct, *first))
        app = self.application()
        second = self.new_key()
        admin("key", "rm", "--uid=test", "--key-type=s3", f"--access-key={first[0]}")
        self.insert(app)
        self.wait_for("the refusal", lambda: app.status()["state"] == "retrying")
        self.tally.faults += 1
        self.insert(app)
        self.mount((self.direct, *second))
        self.assert_synced(app)
        self.wait_for("the state", lambda: app.status()["state"] == "replicating")
        self.assert_restored()
        said = [line["msg"] for line in app.lines("INFO")]
        self.assertEqual(said.count("other access keys are used from now on"), 1, said)
        self.assertEqual(said.count("the replica is reachable again"), 1, said)
        app.close()
        self.assertNotIn(second[1], app.stderr())
        self.assert_restored()

    @unittest.skipUnless(CEPH_CONF, "needs the administration of radosgw")
    def test_the_key_of_one_replica(self):
        """The other one is not held up."""
        key = self.new_key()
        other = s3_url(self.prefix + "-b", ENDPOINT)
        self.mount((self.direct, *key), (other, *self.own()))
        app = self.application()
        admin("key", "rm", "--uid=test", "--key-type=s3", f"--access-key={key[0]}")
        self.insert(app)
        self.wait_for("the other one", lambda: (r := app.status()["replicas"])[0]["state"] == "retrying" and
                      r[1]["lag_transactions"] == 0 and r[1]["txid"] == r[1]["replicated_txid"])
        self.mount((self.direct, *self.own()), (other, *self.own()))
        self.assert_synced(app)
        app.close()
        self.assert_restored()

    def test_a_file_without_keys(self):
        """Those from before are used on."""
        self.mount((self.direct, *self.own()))
        app = self.application()
        self.write({"dbs": [{"path": self.db, "replicas": [{"url": self.direct}]}]})
        [line] = self.wait_for("the file", lambda: self.told(app, "WARN", "holds no access keys"))
        self.assertIn("set access-key-id", line)
        self.insert(app)
        self.assert_synced(app)
        self.mount((self.direct, *self.own()), durability="sync")
        self.wait_for("the next file", lambda: self.told(app, "WARN", "durability take effect"))
        app.close()
        self.assertEqual(self.told(app, "INFO", "other access keys"), [])
        self.assert_restored()

    def test_what_a_new_file_changes(self):
        self.mount((self.direct, *self.own()))
        app = self.application()
        self.mount((self.direct, KEYS["AWS_ACCESS_KEY_ID"], "wrong"), durability="sync", retention="1h")
        self.wait_for("the new file", lambda: self.told(app, "WARN", "durability take effect with the next start"))
        self.wait_for("the wrong key", lambda: self.insert(app, 1) or app.status()["state"] == "retrying")
        self.write("{ no JSON")
        [line] = self.wait_for("the wrong file", lambda: self.told(app, "WARN", "cannot be used"))
        self.assertIn("what was read before holds", line)
        self.mount((self.direct, *self.own()))
        self.assert_synced(app)
        app.close()
        self.assert_restored()

    def told(self, app, level, words):
        return [line["msg"] for line in app.lines(level) if words in line["msg"]]


if __name__ == "__main__":
    with_server()
    main("keys", KeysTest)
