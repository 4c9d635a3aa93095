"""Containers without a daemon: roots made of what ldd names, run in namespaces of their own.

Needs root, util-linux, and nothing else. The network is the machine's own, so that a server on the
loopback can be reached. A root holds an image's files and nothing more: what an application needs
and its image lacks is missing here as it would be there.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
# In the new namespaces: mounts the root, read-only or not, the volumes, /proc and /dev, then goes on as BECOME.
START = r"""
set -e
root=$1 mode=$2; shift 2
mount --make-rprivate /
mount --bind "$root" "$root"
while [ "$1" != -- ]; do
  mount --bind "$1" "$root$2"
  [ "$3" = rw ] || mount -o remount,bind,ro "$root$2"
  shift 3
done
shift
mount -t proc proc "$root/proc"
for device in null zero random urandom; do mount --bind "/dev/$device" "$root/dev/$device"; done
[ "$mode" = rw ] || mount -o remount,bind,ro "$root"
exec "$@"
"""
# Becomes the program: in the root, without privileges, with the container's environment alone.
BECOME = r"""
import json, os, sys, warnings  # execvpe imports the last, too late behind chroot
root, uid, gid, groups, env, *argv = sys.argv[1:]
os.chroot(root)
os.chdir("/")
os.setgroups(json.loads(groups))
os.setgid(int(gid))
os.setuid(int(uid))
os.umask(0o022)
os.execvpe(argv[0], argv, json.loads(env))
"""


def need_root():
    """Ends the test as skipped where nobody may make namespaces."""
    if os.geteuid() != 0:
        print("skipped: mount and PID namespaces need root", file=sys.stderr)
        sys.exit(77)


def libraries_of(*files):
    """What ldd names for programs and libraries: the paths by which the loader asks for them."""
    listed = subprocess.run(["ldd", *map(str, files)], capture_output=True, text=True, check=True)
    missing = re.findall(r".*not found.*", listed.stdout)
    assert not missing, missing
    return sorted(set(re.findall(r"(/\S+) \(0x", listed.stdout)))


def glibc():
    """The libraries of the package libc6, which every image with glibc has."""
    listed = subprocess.run(["dpkg-query", "-L", "libc6"], capture_output=True, text=True, check=True)
    return re.findall(r"^/.*/lib[a-z]+\.so\.\d+$", listed.stdout, re.M)


def put(root, *paths):
    """Copies files of this machine to the same paths below root, links resolved."""
    for path in map(str, paths):
        target = pathlib.Path(root, path.lstrip("/"))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)


def python_image(root):
    """An application's image: Python with its own SQLite and OpenSSL, and nothing that Backstay needs."""
    root = pathlib.Path(root)
    python = os.path.realpath("/usr/bin/python3")
    library = pathlib.Path("/usr/lib") / pathlib.Path(python).name
    shutil.copytree(
        library,
        root / str(library).lstrip("/"),
        ignore=shutil.ignore_patterns("test", "idlelib", "__pycache__", "config-3*", "ensurepip", "pydoc_data"),
    )
    modules = list((library / "lib-dynload").glob("_s*.so")) + list(library.glob("lib-dynload/_hash*.so"))
    put(root, python, *libraries_of(python, *modules), *glibc())
    (root / "usr/bin/python3").symlink_to(pathlib.Path(python).name)
    shutil.copy(TOP / "examples/docker/app.py", _made(root / "app"))
    _made(root / "tmp").chmod(0o1777)
    _made(root / "etc").joinpath("passwd").write_text("app:x:10001:10001::/:/bin/false\n")
    return root


def _made(folder):
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def backstay_image(prefix, root):
    """The root of the `backstay` image, made by the script that its Dockerfile runs."""
    subprocess.run([TOP / "examples/docker/image.sh", prefix, root], check=True)
    return pathlib.Path(root)


class Mount:
    """A volume: a folder or file of this machine at a path in the container."""

    def __init__(self, host, path, read_only=False):
        self.host, self.path, self.read_only = pathlib.Path(host), path, read_only


class Container:
    """One program in the root of an image, as process 1 of a PID namespace, without privileges.

    `image` stays as it is; `scratch` takes a copy (links to the same files) and the output. Environment
    variables are those given and PATH. Fails as Popen and subprocess.run do.
    """

    def __init__(self, image, scratch, argv, env=(), mounts=(), user=(10001, 10001), groups=(),
                 read_only=True):
        self.root = _made(pathlib.Path(scratch)) / "root"
        self.user, self.groups = user, list(groups or user[1:])
        subprocess.run(["cp", "-al", image, self.root], check=True)
        for mount in mounts:
            self._mount_point(mount)
        for name in ("proc", "dev"):
            _made(self.root / name)
        for name in ("null", "zero", "random", "urandom"):
            (self.root / "dev" / name).touch()
        volumes = [str(part) for m in mounts for part in (m.host, m.path, "ro" if m.read_only else "rw")]
        self.env = {"PATH": "/usr/local/bin:/usr/bin:/bin", **dict(env)}
        self.stdout_path, self.stderr_path = (self.root.parent / name for name in ("stdout", "stderr"))
        with open(self.stdout_path, "wb") as out, open(self.stderr_path, "wb") as err:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "--pid", "--fork", "--kill-child", "bash", "-c", START, "start",
                 str(self.root), "ro" if read_only else "rw", *volumes, "--", *self._become(argv)],
                stdin=subprocess.DEVNULL, stdout=out, stderr=err)

    def _become(self, argv):
        uid, gid = self.user
        return ["setpriv", "--no-new-privs", "/usr/bin/python3", "-c", BECOME,
                str(self.root), str(uid), str(gid), json.dumps(self.groups), json.dumps(self.env),
                *map(str, argv)]

    def _mount_point(self, mount):
        place = self.root / mount.path.lstrip("/")
        if mount.host.is_dir():
            _made(place)
        else:
            _made(place.parent)
            place.touch()

    @property
    def pid(self):
        """Of the program, as this machine numbers it."""
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        wait_for(lambda: children.read_text().split(), "the container's process")
        return int(children.read_text().split()[0])

    def exec(self, argv, timeout=60):
        """Runs one more program in the container, as a probe does: the finished process."""
        return subprocess.run(
            ["nsenter", "--target", str(self.pid), "--mount", "--pid", *self._become(argv)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)

    def signal(self, number):
        os.kill(self.pid, number)

    def wait(self, timeout=60):
        """The exit status as a container's: 128 and the signal for a program that one has ended."""
        status = self.process.wait(timeout)
        return 128 - status if status < 0 else status

    def remove(self):
        """Ends it, if it runs, and takes its root away; the output stays."""
        if self.process.poll() is None:
            self.signal(signal.SIGKILL)
            self.process.wait(30)
        shutil.rmtree(self.root, ignore_errors=True)

    @property
    def stdout(self):
        return self.stdout_path.read_text()

    @property
    def stderr(self):
        return self.stderr_path.read_text()


def wait_for(condition, what, seconds=60):
    """Returns what the condition does, as soon as that is true."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(0.02)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
