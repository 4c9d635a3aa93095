#!/usr/bin/python3
"""examples/kubernetes/terraform: formatted, valid, and the same as manifests.yaml.

usage: terraform_test.py        examples/kubernetes/run.sh starts it
TERRAFORM names a Terraform or OpenTofu (default: the one in PATH; without one the files are only looked
through). TERRAFORM_PLUGINS names a folder of providers, as `terraform init -plugin-dir` wants it, with
hashicorp/kubernetes in it: then the module is validated, planned, and the plan compared.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from container import TOP
from pod import Manifests

EXAMPLE = TOP / "examples/kubernetes"
TERRAFORM = os.environ.get("TERRAFORM") or shutil.which("terraform") or shutil.which("tofu")
PLUGINS = os.environ.get("TERRAFORM_PLUGINS")
# What Terraform's provider calls in the singular, since a block is written for each.
SINGULAR = {"containers": "container", "initContainers": "init_container", "volumes": "volume",
            "volumeMounts": "volume_mount", "ports": "port", "matchLabels": "match_labels"}
OUTPUT = 'output "%s" {\n  value = %s\n}\n'


def without_nulls(value):
    if isinstance(value, dict):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    return [without_nulls(v) for v in value] if isinstance(value, list) else value


def block_name(key):
    return SINGULAR.get(key, re.sub(r"(?<=[a-z])([A-Z])", lambda m: "_" + m[1].lower(), key))


def differences(manifest, planned, path=""):
    """Where a manifest says something that the plan does not, as texts."""
    if isinstance(manifest, dict):
        if isinstance(planned, list):
            planned = planned[0] if planned else {}
        if not isinstance(planned, dict):
            return [f"{path}: {planned!r}"]
        return [d for key, value in manifest.items()
                for d in differences(value, planned.get(key, planned.get(block_name(key))), f"{path}.{key}")]
    if isinstance(manifest, list) and manifest and isinstance(manifest[0], dict):
        names = {item.get("name"): item for item in planned or []}
        if len(names) != len(manifest):
            return [f"{path}: {sorted(map(str, names))}"]
        return [d for item in manifest
                for d in differences(item, names.get(item.get("name"), {}), f"{path}[{item.get('name')}]")]
    same = manifest == planned or str(manifest) == str(planned)
    return [] if same else [f"{path}: {manifest!r}, planned {planned!r}"]


class TerraformCase(unittest.TestCase):
    def setUp(self):
        self.scratch = pathlib.Path(tempfile.mkdtemp(prefix="backstay-terraform-"))
        self.addCleanup(shutil.rmtree, self.scratch, ignore_errors=True)
        shutil.copytree(EXAMPLE / "terraform", self.scratch / "terraform",
                        ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*"))
        self.root = self.scratch / "terraform"
        self.module = self.root / "modules/web_app"

    def terraform(self, *argv):
        (self.scratch / "rc").touch()
        done = subprocess.run(
            [TERRAFORM, f"-chdir={self.root}", *argv], capture_output=True, text=True, timeout=240,
            env={**os.environ, "TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1",
                 "TF_CLI_CONFIG_FILE": str(self.scratch / "rc")})
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def manifests(self):
        return Manifests(EXAMPLE / "manifests.yaml")

    def config_of_manifests(self):
        return json.loads(self.manifests().get("Secret")["stringData"]["backstay.json"])

    def test_blocks_are_closed(self):
        for path in self.root.rglob("*.tf"):
            text = re.sub(r'"(\\.|[^"\\])*"', '""', re.sub(r"#.*", "", path.read_text()))
            for opened, closed in ("{}", "[]", "()"):
                self.assertEqual(text.count(opened), text.count(closed), f"{path.name}: {opened}")

    @unittest.skipUnless(TERRAFORM, "no terraform or tofu")
    def test_formatted(self):
        self.terraform("fmt", "-check", "-recursive", "-diff")

    def evaluated(self, **expressions):
        """What expressions of the module are, for the example's call of it, without a provider."""
        main = (self.module / "main.tf").read_text()
        for path in (self.module / "main.tf", self.module / "verify.tf", self.module / "versions.tf",
                     self.root / "versions.tf"):
            path.unlink()
        (self.module / "locals.tf").write_text(re.search(r"locals \{.*?\n\}\n", main, re.S)[0])
        (self.module / "outputs.tf").write_text("".join(OUTPUT % pair for pair in expressions.items()))
        call = self.root / "main.tf"
        call.write_text(re.sub(r'provider "kubernetes" \{.*?\n\}\n', "", call.read_text(), flags=re.S)
                        + "".join(OUTPUT % (name, f"module.notes.{name}") for name in expressions))
        self.terraform("init", "-backend=false")
        self.terraform("apply", "-auto-approve")
        return {name: output["value"] for name, output in json.loads(self.terraform("output", "-json")).items()}

    @unittest.skipUnless(TERRAFORM, "no terraform or tofu")
    def test_values_are_those_of_the_manifests(self):
        """The configuration, as jsonencode() writes it, and the environments; of all only the keys are a secret."""
        values = self.evaluated(config="nonsensitive(local.backstay_json)", settings="jsonencode(local.backstay_settings)",
                                app_env="merge(var.env, local.app_env)", command_env="local.command_env",
                                verified="local.verified")
        config = json.loads(values["config"])
        self.assertNotIn("access-key", values["settings"])
        self.assertIn(None, config["dbs"][0]["replicas"][0].values())
        self.assertEqual(without_nulls(config), without_nulls(self.config_of_manifests()))
        self.assertTrue(values["verified"])
        pod, job = (self.manifests().pod_of(kind) for kind in ("Deployment", "CronJob"))
        for container, name in ((pod["containers"][0], "app_env"), (pod["initContainers"][1], "command_env"),
                                (job["containers"][0], "command_env")):
            self.assertEqual({e["name"]: e["value"] for e in container["env"] if "value" in e}, values[name])

    @unittest.skipUnless(TERRAFORM and PLUGINS, "no provider")
    def test_plan_is_that_of_the_manifests(self):
        (self.scratch / "kubeconfig").write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
            "users": [{"name": "u", "user": {}}]}))
        self.terraform("init", f"-plugin-dir={PLUGINS}")
        self.terraform("validate")
        planned = self.planned()
        kinds = {o["kind"].lower() for o in self.manifests().objects}
        self.assertEqual(set(planned), kinds)
        for manifest in self.manifests().objects:
            values = planned[manifest["kind"].lower()]
            self.assertEqual(differences({"name": manifest["metadata"]["name"]}, values["metadata"]), [])
            if "spec" in manifest:
                self.assertEqual(differences(manifest["spec"], values["spec"]), [])
        data, declared = planned["secret"]["data"], self.manifests().get("Secret")["stringData"]
        self.assertEqual(set(data), set(declared))
        self.assertEqual(data["ping-url"], declared["ping-url"])
        self.assertEqual(without_nulls(json.loads(data["backstay.json"])), without_nulls(self.config_of_manifests()))

        keys = {name: {"access-key-id": "other", "secret-access-key": "other"} for name in ("nas", "offsite")}
        rotated = self.planned(f"-var=keys={json.dumps(keys)}")
        self.assertNotIn("change-me", rotated["secret"]["data"]["backstay.json"])
        self.assertEqual(rotated["deployment"], planned["deployment"])

    def planned(self, *options):
        """What an apply would make, by kind."""
        self.terraform("plan", "-out=plan", f"-var=kubeconfig={self.scratch / 'kubeconfig'}", *options)
        (module,) = json.loads(self.terraform("show", "-json", "plan"))["planned_values"]["root_module"]["child_modules"]
        return {r["type"].removeprefix("kubernetes_").removesuffix("_v1").replace("_", ""): r["values"]
                for r in module["resources"]}


if __name__ == "__main__":
    unittest.main()
