#!/usr/bin/python3
"""Applications whose keys are given them: by a container's endpoint, an instance, STS, or a program.

The keys are good for a real S3 server, which takes them back in mid-stream; the source has others by then, and
nothing is lost. What is wrong with a source is said, and never a secret.
"""

import os
import stat
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fault_world import BUILD, App, Corrupt, main  # noqa: E402
from bucket_world import ENDPOINT, KEYS, SCHEMA, BucketCase, FaultProxy, s3_url, with_server  # noqa: E402
from keys_test import CEPH_CONF, admin  # noqa: E402
from credential_server import CredentialServer  # noqa: E402

SOURCES = ("container", "instance", "web identity", "role")
# The host's own children, and what it is told of them: none that is not its own may show.
WATCH = """
import os, signal, subprocess, threading, time
told = []
signal.signal(signal.SIGCHLD, lambda *_: told.append(time.monotonic()))
strangers = []
watching = True
def watch():
    while watching:
        try:
            strangers.append(os.waitpid(-1, os.WNOHANG))
        except ChildProcessError:
            pass
        time.sleep(0.001)
watcher = threading.Thread(target=watch)
watcher.start()
"""


class RolesTest(BucketCase):
    count = 0
    secrets = ("secret-of-", "token-of-")

    def setUp(self):
        super().setUp()
        RolesTest.count += 1
        self.made = 0
        self.proxy = FaultProxy(ENDPOINT)
        self.proxy.__enter__()
        self.addCleanup(self.proxy.__exit__)
        self.use(self.proxy, f"roles-{os.getpid()}-{RolesTest.count}")

    def new_key(self):
        self.made += 1
        name = f"given{os.getpid()}x{RolesTest.count}x{self.made}"
        admin("key", "create", "--uid=test", "--key-type=s3", f"--access-key={name}", f"--secret-key=secret-of-{name}")
        return name, "secret-of-" + name

    def take_back(self, key):
        admin("key", "rm", "--uid=test", "--key-type=s3", f"--access-key={key[0]}")

    def standing_in(self, source):
        server = CredentialServer()
        server.__enter__()
        self.addCleanup(server.__exit__)
        server.keys = self.new_key()
        folder = os.path.join(self.folder, source.replace(" ", "-"))
        os.mkdir(folder)
        server.folder, server.given = folder, server.env(source, folder)
        return server

    def application(self, server, name, preload=False, **more):
        """A database of its own, with no keys but those that it is given."""
        db = os.path.join(self.disk, name + ".db")
        env = {"BACKSTAY_DB": db, "AWS_REGION": KEYS["AWS_REGION"], "HOME": self.folder,
               "BACKSTAY_REPLICA_URL": s3_url(f"{self.prefix}/{name}", self.proxy.url), **server, **more}
        if preload:
            env["LD_PRELOAD"] = ":".join(filter(None, (env.get("LD_PRELOAD"),
                                                      os.path.join(BUILD, "libbackstay_preload.so"))))
        app = App(self, db=db, **env)
        app.sql(SCHEMA)
        app.db, app.given = db, env
        return app

    def insert(self, app, rows=20):
        for _ in range(rows):
            app.sql("INSERT INTO t(text) VALUES (hex(randomblob(50)))")

    def assert_restored_with(self, app):
        """By the tool, with keys that it is given as well."""
        out = app.db + ".proof"
        url = app.given["BACKSTAY_REPLICA_URL"]
        done = self.tool("restore", "-force", "-o", out, url, **app.given)
        for secret in self.secrets:
            self.assertNotIn(secret, done.stdout + done.stderr)
        if self.dump(out) != self.dump(app.db):
            raise Corrupt(f"{app.db} differs")

    @unittest.skipUnless(CEPH_CONF, "needs the administration of radosgw")
    def test_keys_that_are_taken_back_in_mid_stream(self):
        servers = {source: self.standing_in(source) for source in SOURCES}
        apps = {source: self.application(server.given, source.replace(" ", "-"), preload=source == "container")
                for source, server in servers.items()}
        for source, app in apps.items():
            self.insert(app)
            self.assert_synced(app)
            self.assertEqual(servers[source].asked[source], 1)
        old = {source: server.keys for source, server in servers.items()}
        for source, server in servers.items():
            server.keys = self.new_key()
            if source != "instance":  # whose token is asked for by each who wants keys
                server.turn(server.folder)
            self.take_back(old[source])
            self.tally.faults += 1
        for source, app in apps.items():
            self.insert(app)
            self.assert_synced(app)
            self.assertEqual(servers[source].asked[source], 2)
            self.assertEqual(list(servers[source].asked), [source])
        for app in apps.values():
            self.assert_restored_with(app)
            app.close()
            self.assertEqual(app.lines("ERROR")[1:], [], app.stderr())  # one refusal at most

    def test_keys_that_the_server_calls_expired(self):
        server = self.standing_in("instance")
        app = self.application(server.given, "expired")
        self.insert(app)
        self.assert_synced(app)
        server.keys = self.new_key()
        self.proxy.add("expired", None, None, self.prefix + "/")
        self.tally.faults += 1
        self.insert(app)
        self.wait_for("a question for other keys", lambda: server.asked["instance"] == 2)
        self.proxy.clear()
        self.assert_synced(app)
        app.close()
        self.assert_restored_with(app)

    def test_a_source_that_fails(self):
        """It is not hammered, and what it lacks is named."""
        server = self.standing_in("container")
        server.silent = True
        app = self.application(server.given, "lacking")
        [said] = self.wait_for("the missing secret", lambda: [
            line["msg"] for line in app.lines("ERROR") if "holds no SecretAccessKey" in line["msg"]])
        self.assertIn("the container's credentials", said)
        self.assertNotIn("AccessKeyId;", said)
        server.fails = 500
        before = server.requests["container"]
        self.wait_for("more questions", lambda: server.requests["container"] > before)
        self.insert(app)
        server.fails, server.silent = 0, False
        self.assert_synced(app)
        self.assertLess(server.requests["container"], 30)
        app.close()
        self.assert_restored_with(app)

    def program(self, text):
        """A profile whose keys a program gives; its text may change."""
        path = os.path.join(self.folder, "keys.sh")
        with open(path + ".new", "w", encoding="ascii") as file:
            file.write("#!/bin/sh\n" + text)
        os.chmod(path + ".new", stat.S_IRWXU)
        os.rename(path + ".new", path)
        config = os.path.join(self.folder, "aws-config")
        with open(config, "w", encoding="ascii") as file:
            file.write(f"[default]\ncredential_process = {path} \"with an argument\"\n")
        return {"AWS_CONFIG_FILE": config}

    @staticmethod
    def giving(key):
        return (f"echo secret-of-stderr >&2\nprintf '{{\"Version\": 1, \"AccessKeyId\": \"{key[0]}\", "
                f"\"SecretAccessKey\": \"{key[1]}\"}}'\n")

    @unittest.skipUnless(CEPH_CONF, "needs the administration of radosgw")
    def test_a_program_that_gives_keys(self):
        """Garbage, a failure and a hang are told; the host sees no child of ours, and its own as ever."""
        app = self.application(self.program("echo '{ secret-of-garbage'"), "program", before=WATCH)
        self.told(app, "the answer is no JSON object")
        self.program("echo secret-of-failure; exit 3")
        self.told(app, "exit status 3")
        self.program(f"echo $$ >{self.folder}/hangs; exec sleep 1000")
        self.wait_for("one that hangs", lambda: os.path.exists(self.folder + "/hangs"))
        with open(self.folder + "/hangs", encoding="ascii") as file:
            pid = int(file.read())
        self.insert(app)  # nobody waits for it
        first = self.new_key()
        self.program(self.giving(first))
        os.kill(pid, 9)
        self.insert(app)
        self.assert_synced(app)
        second = self.new_key()
        self.program(self.giving(second))
        self.take_back(first)
        self.insert(app)
        self.assert_synced(app)
        self.assertEqual(app.do("watching = False\nwatcher.join()\nresult = [strangers, told]"), [[], []])
        code = "result = subprocess.run(['sh', '-c', 'exit 7']).returncode, len(told)"
        self.assertEqual(app.do(code), [7, 1])
        self.assert_restored_with(app)
        app.close()

    def told(self, app, words):
        self.wait_for(words, lambda: any(words in json_line for json_line in app.stderr().splitlines()))


if __name__ == "__main__":
    with_server()
    main("roles", RolesTest)
