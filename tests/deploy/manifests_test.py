#!/usr/bin/python3
"""examples/kubernetes/manifests.yaml: against Kubernetes' published schemas, and what it must declare.

usage: manifests_test.py        examples/kubernetes/run.sh starts it
KUBERNETES_VALIDATE names the command of the package kubernetes-validate, which carries the schemas (default:
the one in PATH); without one only the second half is checked.
"""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from container import TOP
from pod import CONTAINER_KEYS, POD_KEYS, Manifests

MANIFESTS = TOP / "examples/kubernetes/manifests.yaml"
VALIDATE = os.environ.get("KUBERNETES_VALIDATE") or shutil.which("kubernetes-validate")


class ManifestsCase(unittest.TestCase):
    def setUp(self):
        self.manifests = Manifests(MANIFESTS)

    def validate(self, path):
        return subprocess.run([VALIDATE, "--strict", path], capture_output=True, text=True, timeout=120)

    @unittest.skipUnless(VALIDATE, "no kubernetes-validate")
    def test_schemas(self):
        done = self.validate(MANIFESTS)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    @unittest.skipUnless(VALIDATE, "no kubernetes-validate")
    def test_schemas_find_a_misspelt_key(self):
        with tempfile.TemporaryDirectory() as scratch:
            wrong = pathlib.Path(scratch, "wrong.yaml")
            wrong.write_text(MANIFESTS.read_text().replace("sizeLimit", "sizeLimits"))
            self.assertNotEqual(self.validate(wrong).returncode, 0)

    def test_pods(self):
        for kind in ("Deployment", "CronJob"):
            spec = self.manifests.pod_of(kind)
            self.assertLessEqual(set(spec), POD_KEYS)
            self.assertTrue(spec["securityContext"]["runAsNonRoot"])
            volumes = {v["name"] for v in spec["volumes"]}
            for container in spec.get("initContainers", []) + spec["containers"]:
                self.assertLessEqual(set(container), CONTAINER_KEYS)
                self.assertTrue(container["securityContext"]["readOnlyRootFilesystem"])
                self.assertLessEqual({m["name"] for m in container["volumeMounts"]}, volumes)
                self.assertNotIn("exec", container.get("livenessProbe", {}))
                for mount in container["volumeMounts"]:
                    self.assertNotIn("subPath", mount)

    def test_one_pod_at_a_time(self):
        spec = self.manifests.get("Deployment")["spec"]
        self.assertEqual((spec["replicas"], spec["strategy"]["type"]), (1, "Recreate"))
        names = [c["name"] for c in spec["template"]["spec"]["initContainers"]]
        self.assertEqual(names, ["backstay-install", "backstay-restore"])

    def test_grace_period_is_longer_than_the_drain(self):
        spec = self.manifests.pod_of("Deployment")
        config = self.manifests.get("Secret")["stringData"]["backstay.json"]
        self.assertIn('"drain-timeout": "20s"', config)
        self.assertGreater(spec["terminationGracePeriodSeconds"], 20)


if __name__ == "__main__":
    unittest.main()
