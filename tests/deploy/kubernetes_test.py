#!/usr/bin/python3
"""examples/kubernetes/manifests.yaml without a cluster: its pods, played with real images' roots and a real S3 server.

usage: kubernetes_test.py        examples/kubernetes/run.sh starts it; BUILD_DIR names the build
Only addresses, bucket, prefixes and keys are replaced.
"""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest
import urllib.request

from container import TOP, free_port, need_root, wait_for
from images import Images
from ping_server import PingServer
from pod import Image, Manifests, Pod

CEPH_CONF = os.environ.get("BACKSTAY_TEST_CEPH_CONF", "")
TAKEN_UP = "other access keys are used from now on"
MANIFESTS = TOP / "examples/kubernetes/manifests.yaml"


def radosgw_admin(*arguments):
    subprocess.run(["timeout", "60", "radosgw-admin", *arguments], check=True, capture_output=True,
                   env={**os.environ, "CEPH_CONF": CEPH_CONF})


class PodCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = pathlib.Path(tempfile.mkdtemp(prefix="backstay-pods-"))
        cls.addClassCleanup(shutil.rmtree, cls.scratch, ignore_errors=True)
        cls.scratch.chmod(0o755)
        cls.made = Images(cls.scratch)

    def setUp(self):
        self.manifests = Manifests(MANIFESTS)
        self.pods = 0
        endpoint = os.environ["BACKSTAY_TEST_S3_ENDPOINT"].removeprefix("http://")
        for number in range(2):
            self.replica(number, endpoint=endpoint, bucket=os.environ["BACKSTAY_TEST_S3_BUCKET"],
                         path=f"{self.id()}-{os.getpid()}-{number}")
            self.keys(number, os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
        self.port = free_port()
        dockerfile = self.made.dockerfile
        self.images = {
            "registry.local/backstay:0.1.0": Image(self.made.backstay, dockerfile.argv[:1], env=dockerfile.env),
            "registry.local/notes:1": Image(
                self.made.plain_app, cmd=["python3", "/app/app.py", "/data/app.db", str(self.port)]),
        }

    def replica(self, number, **changes):
        data = self.manifests.get("Secret")["stringData"]
        config = json.loads(data["backstay.json"])
        config["dbs"][0]["replicas"][number].update(changes)
        data["backstay.json"] = json.dumps(config)

    def keys(self, number, key, secret):
        self.replica(number, **{"access-key-id": key, "secret-access-key": secret})

    def pod(self, kind="Deployment"):
        self.pods += 1
        pod = Pod(self.manifests, self.manifests.pod_of(kind), self.images,
                  self.scratch / f"{self.id()}-{self.pods}")
        self.addCleanup(pod.remove)
        return pod

    def started(self):
        """A new pod on an empty node, once it is ready."""
        pod = self.pod()
        failed = pod.run_init()
        self.assertIsNone(failed, failed and pod.containers[failed].stderr)
        app = pod.run()
        self.assertTrue(wait_for(lambda: "listening" in app.stdout or app.process.poll() is not None, "the app"))
        self.assertIsNone(app.process.poll(), app.stderr)
        wait_for(lambda: pod.probe("readinessProbe").returncode == 0, "readiness: " + app.stderr)
        return pod

    def ask(self, note=None):
        data = None if note is None else note.encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", data) as answer:
            return answer.read().decode().strip()

    def stop(self, pod):
        self.assertEqual(pod.stop(), 143, pod.containers["notes"].stderr)
        pod.remove()

    def test_life_of_a_pod(self):
        """Written, ended by SIGTERM at once, node and volume gone: the next pod has all of it; the job proves it."""
        pod = self.started()
        for number in range(20):
            self.ask(f"note {number}")
        self.stop(pod)
        pod = self.started()
        self.assertEqual(self.ask(), "20")
        self.stop(pod)
        self.verify()

    def verify(self):
        answers = PingServer()
        self.addCleanup(answers.close)
        self.manifests.get("Secret")["stringData"]["ping-url"] = answers.url
        pod = self.pod("CronJob")
        self.assertNotIn("ping", " ".join(pod.spec["containers"][0]["args"]))  # a ping URL is as good as a password
        container = pod.run()
        self.assertEqual(container.wait(120), 0, container.stderr + container.stdout)
        self.assertEqual(answers.paths, ["/a-uuid/start", "/a-uuid/0"])

    def test_without_the_replica(self):
        """The buckets are not there: the application does not start; one that runs goes on, but is not ready."""
        for number in range(2):
            self.replica(number, bucket="no-such-bucket")
        pod = self.pod()
        self.assertEqual(pod.run_init(), "backstay-restore")
        said = [json.loads(line) for line in pod.containers["backstay-restore"].stderr.splitlines()]
        self.assertIn(("backstay", "ERROR"), [(line["logger"], line["level"]) for line in said])
        app = pod.run()
        wait_for(lambda: "listening" in app.stdout, "the application")
        self.ask("note")
        wait_for(lambda: pod.probe("readinessProbe").returncode not in (0, 3), "the probe")
        self.assertEqual(self.ask(), "1")

    @unittest.skipUnless(CEPH_CONF, "needs the administration of radosgw")
    def test_keys_are_rotated(self):
        """New keys come with the Secret, the old ones are revoked: the pod that runs ships on."""
        old = self.new_key("old")
        for number in range(2):
            self.keys(number, *old)
        pod = self.started()
        self.ask("with the old keys")
        new = self.new_key("new")
        for number in range(2):
            self.keys(number, *new)
        pod.update_secrets()
        wait_for(lambda: pod.containers["notes"].stderr.count(TAKEN_UP) == 2, "the new keys")
        radosgw_admin("key", "rm", "--uid=test", "--key-type=s3", f"--access-key=old{os.getpid()}")
        self.ask("with the new keys")
        wait_for(lambda: pod.probe("readinessProbe").returncode == 0, "readiness")
        self.stop(pod)
        pod = self.started()
        self.assertEqual(self.ask(), "2")
        self.stop(pod)

    def new_key(self, name):
        key, secret = f"{name}{os.getpid()}", f"secret-of-{name}"
        radosgw_admin("key", "create", "--uid=test", "--key-type=s3", f"--access-key={key}", f"--secret-key={secret}")
        return key, secret


if __name__ == "__main__":
    need_root()
    unittest.main()
