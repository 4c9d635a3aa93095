"""What the catalogue test stands on: a folder, a replica, the application and the tool."""

import collections
import glob
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
# Debian's own: another Python may lack loadable extensions, or bring its own SQLite.
PYTHON = "/usr/bin/python3"
Killed = collections.namedtuple("Killed", "synced local")


def build_folder():
    return os.path.abspath(os.environ.get("BACKSTAY_BUILD", os.path.join(HERE, "../../build")))


def replica_url(folder, name):
    """BACKSTAY_TEST_REPLICA, else the server that with-s3.sh started, else a folder."""
    base = os.environ.get("BACKSTAY_TEST_REPLICA")
    if not base and os.environ.get("BACKSTAY_TEST_S3_ENDPOINT"):
        base = (f"s3://{os.environ['BACKSTAY_TEST_S3_BUCKET']}/catalogue-{uuid.uuid4().hex[:12]}"
                f"?endpoint={os.environ['BACKSTAY_TEST_S3_ENDPOINT']}&force-path-style=true")
    place, question, query = (base or f"file://{folder}/replica").partition("?")
    return f"{place}/{name}{question}{query}"


def environment(**more):
    """Ours without any setting of Backstay's; credentials stay."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("BACKSTAY_")}
    if "BACKSTAY_TEST_PRELOAD" in os.environ:  # of a sanitizer
        env["LD_PRELOAD"] = os.environ["BACKSTAY_TEST_PRELOAD"]
    env.update(more)
    return env


def dump(database):
    """Hash of the database's content as SQL."""
    done = subprocess.run(["sqlite3", "-readonly", database, ".dump"], check=True,
                          capture_output=True, env=environment())
    if b"/****** " in done.stdout:  # the shell's mark for corruption; its status stays 0
        raise AssertionError(f"{database}: .dump met an error")
    return hashlib.sha256(done.stdout).hexdigest()


def query(database, sql):
    db = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        return db.execute(sql).fetchone()[0]
    finally:
        db.close()


class World:
    def __init__(self, folder, stanzas, name):
        self.folder = folder
        self.stanzas = stanzas
        self.build = build_folder()
        self.url = replica_url(folder, name)
        self.disk = os.path.join(folder, "disk")
        self.database = os.path.join(self.disk, "app.db")
        self.log = os.path.join(folder, "log")
        self.out = os.path.join(folder, "restored.db")
        self.plain = os.path.join(folder, "plain.db")
        os.mkdir(self.disk)
        self.env = environment(BACKSTAY_DB=self.database, BACKSTAY_REPLICA_URL=self.url,
                               BACKSTAY_LOG_FILE=self.log)

    def command(self, database, *options):
        return [PYTHON, os.path.join(HERE, "catalogue.py"), database, self.stanzas,
                *map(str, options)]

    def app(self, *options):
        """The application with the extension, to its end; returns its last counter."""
        done = subprocess.run(
            self.command(self.database, "--extension", self.extension(), *options),
            env=self.env, stdout=subprocess.PIPE, text=True, timeout=300)
        if done.returncode != 0:
            raise AssertionError(f"the application ended with {done.returncode}:\n{done.stdout}\n"
                                 f"{self.log_text()[-4000:]}")
        return int(done.stdout.splitlines()[-1].split()[1])

    def extension(self):
        return os.path.join(self.build, "backstay.so")

    def app_killed(self, after):
        """The application, killed without warning once it has reported `synced` >= `after` and has
        gone on; returns the newest reported counter and a copy of what it left on the disk."""
        synced = 0
        with subprocess.Popen(
                self.command(self.database, "--extension", self.extension(), "--sync-every", 25),
                env=self.env, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout:
                word, number = line.split()[-2:]
                if word == "synced" and int(number) >= after > synced:
                    process.kill()  # what is still in the pipe is read all the same
                if word == "synced":
                    synced = int(number)
        if process.returncode != -9:
            raise AssertionError(f"the application ended by itself with {process.returncode}:\n"
                                 f"{self.log_text()[-4000:]}")
        copy = os.path.join(self.folder, "after-kill", "app.db")
        shutil.rmtree(os.path.dirname(copy), ignore_errors=True)
        os.mkdir(os.path.dirname(copy))
        for suffix in ("", "-wal"):
            if os.path.exists(self.database + suffix):
                shutil.copyfile(self.database + suffix, copy + suffix)
        db = sqlite3.connect(copy)  # recovers the WAL
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        db.close()
        return Killed(synced, copy)

    def tool(self, *arguments, **env):
        """Runs `backstay`; returns the completed process, stderr as text."""
        return subprocess.run([os.path.join(self.build, "backstay"), *arguments],
                              env={**self.env, **env}, capture_output=True, text=True, timeout=300)

    def replay(self, n):
        """A database without Backstay that has seen exactly n transactions."""
        if os.path.exists(self.plain) and query(self.plain, "SELECT n FROM progress") > n:
            os.remove(self.plain)
        subprocess.run(self.command(self.plain, "--no-fsync", "--until", n), check=True,
                       stdout=subprocess.DEVNULL, env=environment())
        return self.plain

    def lose_disk(self):
        shutil.rmtree(self.disk)
        os.mkdir(self.disk)

    def log_text(self):
        try:
            with open(self.log, encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def log_lines(self, *levels):
        lines = [json.loads(line) for line in self.log_text().splitlines()]
        # That depends on the SQLite of this machine.
        return [line for line in lines if line["level"] in levels and "WAL-reset bug" not in line["msg"]]

    def stored(self):
        """Bytes of the replica, if it is a folder, else 0."""
        if not self.url.startswith("file://"):
            return 0
        paths = glob.glob(self.url[len("file://"):] + "/**", recursive=True)
        return sum(os.path.getsize(p) for p in paths if os.path.isfile(p))

    def sent(self):
        """Bytes that the last application process sent to its replica."""
        with open(self.database + "-backstay/status.json", encoding="utf-8") as file:
            return sum(replica["bytes_sent"] for replica in json.load(file)["replicas"])
