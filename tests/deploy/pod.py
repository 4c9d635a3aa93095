"""Pods without a cluster: what manifests declare, played with containers in namespaces.

Plays what the examples use: Secrets, emptyDirs, init containers one after the other,
security contexts, exec probes, SIGTERM and the grace period. Anything else in a pod is an error, so
that nothing is declared that a test leaves out.
"""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile

import yaml

from container import Container, Mount

POD_KEYS = {"automountServiceAccountToken", "containers", "initContainers", "restartPolicy", "securityContext",
            "terminationGracePeriodSeconds", "volumes"}
CONTAINER_KEYS = {"args", "command", "env", "image", "livenessProbe", "name", "ports", "readinessProbe",
                  "securityContext", "volumeMounts"}


class Manifests:
    """The objects of a file, found by kind and name."""

    def __init__(self, path):
        self.objects = [d for d in yaml.safe_load_all(pathlib.Path(path).read_text()) if d]

    def get(self, kind, name=None):
        found = [o for o in self.objects
                 if o["kind"] == kind and (name is None or o["metadata"]["name"] == name)]
        assert len(found) == 1, f"{len(found)} objects {kind} {name}"
        return found[0]

    def pod_of(self, kind):
        spec = self.get(kind)["spec"]
        return (spec["jobTemplate"]["spec"] if kind == "CronJob" else spec)["template"]["spec"]


class Image:
    """A root, and what its Dockerfile says that runs in it."""

    def __init__(self, root, entrypoint=(), cmd=(), env=()):
        self.root, self.entrypoint, self.cmd, self.env = root, list(entrypoint), list(cmd), dict(env)


class Pod:
    """One pod on one node: its emptyDirs are gone with remove(). `images`: name → Image."""

    def __init__(self, manifests, spec, images, scratch):
        assert set(spec) <= POD_KEYS, set(spec) - POD_KEYS
        self.manifests, self.spec, self.images = manifests, spec, images
        self.scratch = pathlib.Path(scratch)
        self.scratch.mkdir()
        self.scratch.chmod(0o755)
        self.user = (spec["securityContext"]["runAsUser"], spec["securityContext"]["runAsGroup"])
        self.group = spec["securityContext"]["fsGroup"]
        assert spec["securityContext"]["runAsNonRoot"] and self.user[0] != 0
        self.volumes = {v["name"]: self._volume(v) for v in spec["volumes"]}
        self.containers = {}

    def _volume(self, volume):
        folder = self.scratch / f"volume-{volume['name']}"
        folder.mkdir()
        if "secret" in volume:
            self._project(volume["secret"], folder)
            for item in volume["secret"]["items"]:
                (folder / item["path"]).symlink_to(pathlib.Path("..data", item["path"]))
        else:
            assert "emptyDir" in volume, volume
            os.chown(folder, 0, self.group)
            folder.chmod(0o2777)
        return folder

    def _project(self, secret, folder):
        """The content, as the kubelet writes it: complete in a new folder, to which a link leads from then on."""
        data = self.manifests.get("Secret", secret["secretName"])["stringData"]
        new = pathlib.Path(tempfile.mkdtemp(prefix="..", dir=folder))
        new.chmod(0o755)
        for item in secret["items"]:
            (new / item["path"]).write_text(data[item["key"]])
        (folder / "..data_tmp").symlink_to(new.name)
        (folder / "..data_tmp").rename(folder / "..data")

    def update_secrets(self):
        """What the kubelet does some time after Secrets were changed: in the volumes, not in the environments."""
        for volume in self.spec["volumes"]:
            if "secret" in volume:
                self._project(volume["secret"], self.volumes[volume["name"]])

    def _env(self, container, image):
        return {**image.env, **{e["name"]: self._value(e) for e in container.get("env", [])}}

    def _value(self, variable):
        if "value" in variable:
            return variable["value"]
        secret = variable["valueFrom"]["secretKeyRef"]
        return self.manifests.get("Secret", secret["name"])["stringData"][secret["key"]]

    def start(self, container):
        """Starts a container of the spec: the Container."""
        assert set(container) <= CONTAINER_KEYS, set(container) - CONTAINER_KEYS
        locked = container["securityContext"]
        assert locked["allowPrivilegeEscalation"] is False and locked["capabilities"] == {"drop": ["ALL"]}
        image = self.images[container["image"]]
        env = self._env(container, image)
        command = container.get("command", image.entrypoint)
        args = container.get("args", [] if "command" in container else image.cmd)
        argv = [re.sub(r"\$\((\w+)\)", lambda m: env.get(m[1], m[0]), a) for a in command + args]
        started = Container(
            image.root, self.scratch / container["name"], argv, env=env, user=self.user, groups=[self.group],
            read_only=locked["readOnlyRootFilesystem"],
            mounts=[Mount(self.volumes[m["name"]], m["mountPath"], m.get("readOnly", False))
                    for m in container["volumeMounts"]])
        self.containers[container["name"]] = started
        return started

    def run_init(self):
        """Runs the init containers until one fails: its name, or None."""
        for container in self.spec.get("initContainers", []):
            if self.start(container).wait(120) != 0:
                return container["name"]
        return None

    def run(self):
        """Starts the only container."""
        (container,) = self.spec["containers"]
        return self.start(container)

    def probe(self, kind):
        """Runs an exec probe of the only container: the finished process."""
        (container,) = self.spec["containers"]
        return self.containers[container["name"]].exec(container[kind]["exec"]["command"])

    def stop(self):
        """SIGTERM to the only container, SIGKILL after the grace period: its exit status."""
        (container,) = self.spec["containers"]
        running = self.containers[container["name"]]
        running.signal(signal.SIGTERM)
        try:
            return running.wait(self.spec["terminationGracePeriodSeconds"])
        except subprocess.TimeoutExpired:
            running.signal(signal.SIGKILL)
            return running.wait()

    def remove(self):
        for container in self.containers.values():
            container.remove()
        shutil.rmtree(self.scratch, ignore_errors=True)
