"""The two images of the examples, as roots on this machine: `backstay`, and an application's."""

import os
import pathlib
import re
import shutil
import subprocess

from container import TOP, backstay_image, python_image
from dockerfile import Dockerfile

EXAMPLE = TOP / "examples/docker"
BUILD = pathlib.Path(os.environ.get("BUILD_DIR", TOP / "build")).resolve()


class Images:
    """Makes both below `scratch`. `plain_app` is the application's image without Backstay in it."""

    def __init__(self, scratch):
        subprocess.run(["cmake", "--install", BUILD, "--prefix", scratch / "prefix"], check=True,
                       stdout=subprocess.DEVNULL)
        self.dockerfile = Dockerfile(EXAMPLE / "Dockerfile")
        self.app_dockerfile = Dockerfile(EXAMPLE / "Dockerfile.app")
        self.backstay = backstay_image(scratch / "prefix", scratch / "image")
        self.plain_app = python_image(scratch / "plain-app-image")

    def app(self, root):
        """The application's image with what its Dockerfile copies from the other one."""
        subprocess.run(["cp", "-al", self.plain_app, root], check=True)
        for name, rest in self.app_dockerfile.stages[-1][2]:
            if name == "COPY" and rest.startswith("--from=backstay "):
                _, source, target = rest.split()
                shutil.copytree(self.backstay / source.lstrip("/"), root / target.lstrip("/"))
            elif name == "RUN":
                uid, gid, folder = re.fullmatch(r"install -d -o (\d+) -g (\d+) /(\S+)", rest).groups()
                (root / folder).mkdir()
                os.chown(root / folder, int(uid), int(gid))
        return root
