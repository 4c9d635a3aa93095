#!/usr/bin/python3
"""examples/docker without a daemon: the images' roots are made as the Dockerfiles say, and run in namespaces.

usage: docker_test.py        examples/docker/run.sh starts it; BUILD_DIR names the build
"""

import os
import pathlib
import re
import shutil
import signal
import tempfile
import unittest
import urllib.request

import yaml

from container import TOP, Container, Mount, free_port, need_root, wait_for
from images import EXAMPLE, Images
from tls_server import TlsServer


class DockerCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = pathlib.Path(tempfile.mkdtemp(prefix="backstay-docker-"))
        cls.addClassCleanup(shutil.rmtree, cls.scratch, ignore_errors=True)
        cls.scratch.chmod(0o755)
        images = Images(cls.scratch)
        cls.image, cls.app_image = images.backstay, images.app(cls.scratch / "app-image")
        cls.dockerfile, cls.app_dockerfile = images.dockerfile, images.app_dockerfile
        cls.count = 0

    def setUp(self):
        self.volume = self.scratch / f"volume-{self.id()}"
        self.new_volume()
        endpoint = os.environ["BACKSTAY_TEST_S3_ENDPOINT"]
        bucket = os.environ["BACKSTAY_TEST_S3_BUCKET"]
        services = yaml.safe_load((EXAMPLE / "compose.yaml").read_text())["services"]
        self.env = {**services["app"]["environment"],
                    "BACKSTAY_REPLICA_URL": f"s3://{bucket}/{self.id()}-{os.getpid()}?endpoint={endpoint}",
                    "AWS_ACCESS_KEY_ID": os.environ["AWS_ACCESS_KEY_ID"],
                    "AWS_SECRET_ACCESS_KEY": os.environ["AWS_SECRET_ACCESS_KEY"]}

    def new_volume(self):
        """An empty one, which belongs to whom the image's folder does."""
        shutil.rmtree(self.volume, ignore_errors=True)
        self.volume.mkdir()
        owner = (self.app_image / "data").stat()
        os.chown(self.volume, owner.st_uid, owner.st_gid)

    def run_in(self, image, dockerfile, argv):
        DockerCase.count += 1
        container = Container(image, self.scratch / f"container-{DockerCase.count}", argv,
                              env={**dockerfile.env, **self.env}, user=dockerfile.user,
                              mounts=[Mount(self.volume, "/data")])
        self.addCleanup(container.remove)
        return container

    def tool(self, *argv):
        """The `backstay` image with other arguments: the finished container."""
        entry = self.dockerfile.argv[:1]
        container = self.run_in(self.image, self.dockerfile, [*entry, *argv])
        container.status = container.wait()
        return container

    def app(self):
        """The application's container, with its port, once it answers."""
        argv = self.app_dockerfile.argv
        self.port = free_port()
        container = self.run_in(self.app_image, self.app_dockerfile, [*argv[:-1], str(self.port)])
        wait_for(lambda: "listening" in container.stdout or container.process.poll() is not None,
                 "the application")
        self.assertIsNone(container.process.poll(), container.stderr)
        return container

    def ask(self, note=None):
        data = None if note is None else note.encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", data) as answer:
            return answer.read().decode().strip()

    def stop(self, container):
        container.signal(signal.SIGTERM)
        self.assertEqual(container.wait(), 143, container.stderr)

    def test_disk_is_lost_and_comes_back(self):
        """What compose.yaml does, in images with nothing but their own files."""
        app = self.app()
        for note in ("one", "two", "three"):
            self.ask(note)
        status = app.exec(["/opt/backstay/bin/backstay", "status", "/data/app.db"])
        self.assertEqual(status.returncode, 0, status.stdout + status.stderr)
        # In the application's process, each from its own place: its TLS and Backstay's.
        (child,) = pathlib.Path(f"/proc/{app.pid}/task/{app.pid}/children").read_text().split()
        maps = pathlib.Path(f"/proc/{child}/maps").read_text()
        self.assertRegex(maps, r"/lib/[\w-]+/libssl\.so\.3")
        self.assertRegex(maps, r"/opt/backstay/lib/backstay/deps/backstay-libssl\.so\.3")
        self.assertFalse(re.search(r"(?<!backstay-)libcurl", maps))
        self.stop(app)

        self.new_volume()
        app = self.app()
        self.assertEqual(self.ask(), "3")
        app.remove()  # killed with all it runs: what it had shipped is there

        self.new_volume()
        self.assertEqual((self.app(), self.ask())[1], "3")

    def test_image_needs_nothing(self):
        version = self.tool("version")
        self.assertEqual((version.status, version.stderr), (0, ""))
        self.assertNotEqual(self.dockerfile.user[0], 0)
        shells = [p.name for p in (self.image / "bin").iterdir()]
        self.assertEqual(shells, ["cp"])

    def test_certificates(self):
        """A server with a certificate of its own is refused for that, and trusted where its authority's is named."""
        server = TlsServer(self.scratch)
        self.addCleanup(server.close)
        self.env["BACKSTAY_REPLICA_URL"] = f"s3://bucket/app?endpoint={server.url}"
        listed = self.tool("list", "-patience", "2s", self.env["BACKSTAY_REPLICA_URL"])
        self.assertNotEqual(listed.status, 0)
        self.assertIn("self-signed certificate", listed.stdout + listed.stderr)
        self.assertEqual(server.requests, [])

        shutil.copy(server.certificate, self.volume / "authority.pem")
        self.env["AWS_CA_BUNDLE"] = "/data/authority.pem"
        listed = self.tool("list", "-patience", "2s", self.env["BACKSTAY_REPLICA_URL"])
        self.assertNotIn("certificate", listed.stderr)
        self.assertTrue(server.requests)

    def test_authorities_are_in_the_image(self):
        """Where https looks for them, whoever's server it is."""
        known = self.image / "etc/ssl/certs/ca-certificates.crt"
        self.assertIn("BEGIN CERTIFICATE", known.resolve(strict=True).read_text())

    def test_dockerfiles(self):
        for dockerfile, context in ((self.dockerfile, TOP), (self.app_dockerfile, EXAMPLE)):
            for source in dockerfile.sources():
                self.assertTrue((context / source).exists(), source)
            self.assertNotEqual(dockerfile.user[0], 0)
        self.assertEqual([base for base, _, _ in self.dockerfile.stages], ["debian:12-slim", "scratch"])
        self.assertTrue((self.app_image / self.app_dockerfile.argv[0].lstrip("/")).exists())
        self.assertTrue((self.image / self.dockerfile.argv[0].lstrip("/")).exists())

    def test_context(self):
        """What the build takes, and nothing else of this folder."""
        lines = (EXAMPLE / "Dockerfile.dockerignore").read_text().splitlines()
        self.assertEqual(lines[1], "*")
        self.assertEqual({line[1:] for line in lines if line.startswith("!")}, set(self.dockerfile.sources()))

    def test_time_zones(self):
        """`yesterday 14:05` is of the zone that TZ names."""
        self.stop(self.app())
        self.env["TZ"] = "Asia/Kolkata"
        restored = self.tool("restore", "-timestamp", "now", "-o", "/data/restored.db", self.env["BACKSTAY_REPLICA_URL"])
        self.assertEqual(restored.status, 0, restored.stderr)
        self.assertIn(" IST", restored.stderr)

    def test_compose(self):
        services = yaml.safe_load((EXAMPLE / "compose.yaml").read_text())["services"]
        self.assertEqual(set(services), {"minio", "bucket", "app"})
        for name, service in services.items():
            for other in service.get("depends_on", {}):
                self.assertIn(other, services, name)
        for service in (services["minio"], services["bucket"]):
            self.assertRegex(service["image"], ":RELEASE[.]")
        for port in services["app"]["ports"]:
            self.assertTrue(port.startswith("127.0.0.1:"), port)
        self.assertNotIn("PASSWORD:-", (EXAMPLE / "compose.yaml").read_text())
        self.assertEqual(services["app"]["environment"]["BACKSTAY_DB"], self.app_dockerfile.argv[-2])


if __name__ == "__main__":
    need_root()
    unittest.main()
