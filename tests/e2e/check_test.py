#!/usr/bin/python3
"""backstay check: each thing that can be wrong is told by the step that it belongs to; nothing is left behind.

Against a store that answers as it is told, with real HTTP; with BACKSTAY_TEST_S3_ENDPOINT against a real server, too."""
import contextlib
import datetime
import http.server
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import unittest

from check_world import SECRET, CheckCase, Store
from loopback import serve
from tls_test import make_certificates

STEPS = ["credentials", "server", "tls", "clock", "bucket", "list", "put", "get", "create-only put", "delete"]


class ScriptedTest(CheckCase):
    def setUp(self):
        super().setUp()
        self.server = self.serve()
        self.url = f"s3://bkt/app?endpoint=http://127.0.0.1:{self.server.server_port}"

    def serve(self, context=None):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Store)
        server.objects, server.refusals, server.ever, server.careless = {}, {}, set(), False
        server.holds, server.emptied = None, False
        server.now = lambda: datetime.datetime.now(datetime.timezone.utc)
        serve(self.stack, server, context)
        return server

    def test_all_is_well(self):
        steps = self.check(self.url, 0)
        self.assertEqual(list(steps), STEPS)
        self.assertEqual({result for result, _ in steps.values()}, {"ok"})
        self.assertEqual(self.said, "")
        self.assertEqual(self.server.objects, {})
        self.assertEqual(len(self.server.ever), 1)
        self.assertTrue(self.server.ever.pop().startswith("app/check-"))

    def test_no_keys(self):
        steps = self.check(self.url, 2, AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
        self.assertEqual(steps["credentials"][0], "failed")
        self.assertIn(".aws/credentials", steps["credentials"][1])
        self.assertEqual({steps[name][0] for name in STEPS[1:]}, {"skipped"})
        steps = self.check(self.url, 2, AWS_SECRET_ACCESS_KEY="")
        self.assertIn("AWS_SECRET_ACCESS_KEY", steps["credentials"][1])
        self.assertEqual(self.server.ever, set())

    def test_keys_of_a_profile(self):
        os.mkdir(os.path.join(self.folder, ".aws"))
        with open(os.path.join(self.folder, ".aws/credentials"), "w") as file:
            file.write("[backup]\naws_access_key_id=K\naws_secret_access_key=" + SECRET + "\n")
        none = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
        self.assertEqual(self.check(self.url, 0, AWS_PROFILE="backup", **none)["credentials"],
                         ("ok", "profile `backup`"))
        self.assertEqual(self.check(self.url + "&profile=backup", 0)["credentials"], ("ok", "profile `backup`"))

    def test_each_refusal_has_its_step(self):
        for code, status, step, exit_code in [("SignatureDoesNotMatch", 403, "credentials", 1),
                                              ("InvalidAccessKeyId", 403, "credentials", 1),
                                              ("RequestTimeTooSkewed", 403, "clock", 1),
                                              ("NoSuchBucket", 404, "bucket", 3),
                                              ("PermanentRedirect", 301, "bucket", 2),
                                              ("ServiceUnavailable", 503, "server", 1)]:
            with self.subTest(code):
                self.server.refusals = {"all": (status, code)}
                steps = self.check(self.url, exit_code)
                self.assertEqual([name for name in STEPS if steps[name][0] == "failed"], [step])
                self.assertIn(code, steps[step][1])
                self.assertEqual(self.results(steps, "put", "get", "delete"), ["skipped"] * 3)
        self.assertEqual(self.server.ever, set())

    def test_rights(self):
        for operation, step, right in [("list", "list", "s3:ListBucket"), ("put", "put", "s3:PutObject"),
                                       ("get", "get", "s3:GetObject"), ("create", "create-only put", "s3:PutObject"),
                                       ("delete", "delete", "s3:DeleteObject")]:
            with self.subTest(operation):
                self.server.refusals = {operation: (403, "AccessDenied")}
                self.server.objects.clear()
                steps = self.check(self.url, 1)
                self.assertEqual([name for name in STEPS if steps[name][0] == "failed"], [step])
                self.assertIn(right, steps[step][1])
                self.assertEqual(len(self.server.objects), 1 if operation == "delete" else 0)
                for key in self.server.objects:
                    self.assertIn(key.removeprefix("app/"), steps[step][1])

    def test_a_store_without_conditions(self):
        self.server.careless = True
        steps = self.check(self.url, 0)
        self.assertEqual(steps["create-only put"][0], "warning")
        self.assertIn("ignores If-None-Match", steps["create-only put"][1])
        self.server.careless = False
        self.server.refusals = {"create": (501, "NotImplemented")}
        self.assertEqual(self.check(self.url, 0)["create-only put"][0], "warning")
        self.assertEqual(self.server.objects, {})

    def failed(self, steps):
        return [name for name in STEPS if steps[name][0] == "failed"]

    def test_a_clock_that_is_an_hour_off(self):
        for hours in (1, -1):
            self.server.now = lambda h=hours: datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=h)
            steps = self.check(self.url, 0)
            self.assertEqual({name: result for name, (result, _) in steps.items() if result != "ok"},
                             {"clock": "warning"})
            self.assertIn("set this machine's clock", steps["clock"][1])
            self.assertIn("60 min " + ("behind" if hours > 0 else "ahead of"), steps["clock"][1])
            self.assertEqual(self.said.count("60 min"), 1, self.said)

    def test_a_bucket_that_is_emptied(self):
        self.server.emptied = True
        steps = self.check(self.url, 1)
        self.assertEqual(self.failed(steps), ["get"])
        self.assertEqual(steps["create-only put"][0], "skipped")
        self.assertIn("lifecycle", steps["get"][1])

    def test_a_bucket_that_is_read_only(self):
        self.server.refusals = dict.fromkeys(("put", "create", "delete"), (403, "AccessDenied"))
        steps = self.check(self.url, 1)
        self.assertEqual(self.failed(steps), ["put"])
        self.assertEqual(self.results(steps, "get", "create-only put", "delete"), ["skipped"] * 3)
        self.assertEqual(self.server.ever, set())

    def test_a_signal_leaves_nothing_behind(self):
        """Whatever it is doing; what it has not come to is skipped, and the object is deleted."""
        for operation, number in [("put", signal.SIGINT), ("get", signal.SIGTERM), ("create", signal.SIGHUP),
                                  ("delete", signal.SIGINT)]:
            with self.subTest(operation):
                started = threading.Event()
                begun = []

                def interrupt():
                    started.wait(60)
                    begun[0].send_signal(number)

                self.server.holds = (operation, interrupt)
                begun.append(self.begun(*self.command(self.url)))
                started.set()
                steps = self.told(begun[0], 1)
                self.assertIn("check: interrupted", self.said)
                self.assertEqual(self.failed(steps), [])
                self.assertEqual(steps["delete"], ("skipped", "the trial object is deleted"))
                self.assertEqual(self.server.objects, {})
                self.assertEqual(len(self.server.ever), 1)
                self.server.ever.clear()

    def test_a_server_that_says_nothing(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"s3://bkt/app?endpoint=http://127.0.0.1:{silent.getsockname()[1]}"
            steps = self.check(url, 1, patience="2s")
        self.assertEqual(self.failed(steps), ["server"])
        self.assertIn("silent for 2 s", steps["server"][1])

    def test_a_name_that_nobody_has(self):
        steps = self.check("s3://bkt/app?endpoint=http://no-such-host.invalid", 1)
        self.assertEqual(self.failed(steps), ["server"])
        self.assertIn("no-such-host.invalid", steps["server"][1])

    def test_settings_that_are_wrong(self):
        for url in ("s3://", "ftp://x", "s3://bkt/app?endpoint=http://127.0.0.1:port", "s3://bkt/app?no-such=1"):
            command, kept = self.command(url)
            ran = subprocess.run(command, env=kept, capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual(ran.returncode, 2, ran.stdout + ran.stderr)
            self.assertEqual(set(json.loads(ran.stdout)), {"error", "exit"}, ran.stdout)

    def test_nobody_is_there(self):
        with contextlib.closing(http.server.HTTPServer(("127.0.0.1", 0), Store).socket) as socket:
            port = socket.getsockname()[1]
        steps = self.check(f"s3://bkt/app?endpoint=http://127.0.0.1:{port}", 1)
        self.assertEqual(self.results(steps, "credentials", "server", "tls"), ["ok", "failed", "skipped"])

    def test_tls(self):
        make_certificates(self.folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(os.path.join(self.folder, "server.pem"), os.path.join(self.folder, "server.key"))
        url = f"s3://bkt/app?endpoint=https://127.0.0.1:{self.serve(context).server_port}"
        steps = self.check(url, 2)
        self.assertEqual(steps["tls"][0], "failed")
        self.assertIn("ca-file", steps["tls"][1])
        trusted = self.check(url, 0, AWS_CA_BUNDLE=os.path.join(self.folder, "ca.pem"))
        self.assertEqual(trusted["tls"], ("ok", "the server's certificate is trusted"))
        self.assertEqual(self.check(url + "&skip-verify=true", 0)["tls"][0], "warning")

    def test_a_folder(self):
        os.mkdir(os.path.join(self.folder, "replica"))
        steps = self.check("file://" + os.path.join(self.folder, "replica"), 0)
        self.assertEqual({result for result, _ in steps.values()}, {"ok"})
        self.assertEqual(os.listdir(os.path.join(self.folder, "replica")), [])


@unittest.skipUnless("BACKSTAY_TEST_CEPH_CONF" in os.environ, "needs a real server: tests/support/s3server/with-s3.sh")
class RealTest(CheckCase):
    def setUp(self):
        super().setUp()
        self.bucket = os.environ["BACKSTAY_TEST_S3_BUCKET"]
        self.endpoint = os.environ["BACKSTAY_TEST_S3_ENDPOINT"]
        self.url = f"s3://{self.bucket}/app?endpoint={self.endpoint}"
        self.keys = {name: os.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}

    def owner(self, method, path, body=b""):
        keys = self.keys["AWS_ACCESS_KEY_ID"] + ":" + self.keys["AWS_SECRET_ACCESS_KEY"]
        command = ["curl", "-sS", "-f", "--noproxy", "*", "-X", method, "--aws-sigv4", "aws:amz:us-east-1:s3",
                   "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD", "--user", keys, "--data-binary", "@-",
                   f"{self.endpoint}/{self.bucket}{path}"]
        return subprocess.run(command, input=body, capture_output=True, timeout=60, check=True).stdout

    def user(self, policy):
        """Keys of a user who has the rights of the policy, and no other."""
        conf = os.environ["BACKSTAY_TEST_CEPH_CONF"]
        name = "u" + os.urandom(6).hex()
        made = subprocess.run(["radosgw-admin", "-c", conf, "user", "create", "--uid", name, "--display-name", name],
                              capture_output=True, timeout=60, check=True)
        keys = json.loads(made.stdout)["keys"][0]
        for statement in policy["Statement"]:
            statement["Principal"] = {"AWS": [f"arn:aws:iam:::user/{name}"]}
        self.owner("PUT", "?policy=", json.dumps(policy).encode())
        return {"AWS_ACCESS_KEY_ID": keys["access_key"], "AWS_SECRET_ACCESS_KEY": keys["secret_key"]}

    def policies(self):
        """Those of README.md, for this bucket."""
        readme = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../README.md")
        with open(readme, encoding="utf-8") as file:
            found = re.findall(r"```json\n(\{\"Version\": \"2012-10-17\".*?)```", file.read(), re.S)
        return [json.loads(text.replace("my-bucket", self.bucket)) for text in found]

    def test_all_is_well(self):
        steps = self.check(self.url, 0, **self.keys)
        self.assertEqual({result for result, _ in steps.values()}, {"ok"})
        self.assertNotIn(b"check-", self.owner("GET", "?list-type=2&prefix="))

    def test_wrong_keys_and_no_bucket(self):
        secret = dict(self.keys, AWS_SECRET_ACCESS_KEY="other")
        self.assertIn("SignatureDoesNotMatch", self.check(self.url, 1, **secret)["credentials"][1])
        unknown = dict(self.keys, AWS_ACCESS_KEY_ID="nobody")
        self.assertIn("InvalidAccessKeyId", self.check(self.url, 1, **unknown)["credentials"][1])
        steps = self.check(f"s3://no-such-bucket/app?endpoint={self.endpoint}", 3, **self.keys)
        self.assertEqual(steps["bucket"][0], "failed")

    def test_read_only(self):
        actions = [("s3:ListBucket", ""), ("s3:GetObject", "/*")]
        policy = {"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": [action], "Resource": [f"arn:aws:s3:::{self.bucket}{end}"]}
            for action, end in actions]}
        steps = self.check(self.url, 1, **self.user(policy))
        self.assertEqual(self.results(steps, "bucket", "list", "put"), ["ok", "ok", "failed"])
        self.assertIn("s3:PutObject", steps["put"][1])

    def test_the_policies_of_the_readme_suffice(self):
        full, keeping = self.policies()
        steps = self.check(self.url, 0, **self.user(full))
        self.assertEqual({result for result, _ in steps.values()}, {"ok"})
        keys = self.user(keeping)
        self.assertEqual(self.check(self.url, 1, **keys)["delete"][0], "failed")
        config = os.path.join(self.folder, "app.json")
        with open(config, "w") as file:
            json.dump({"dbs": [{"path": "/data/app.db", "retention": "off", "replica": {"url": self.url}}]}, file)
        steps = self.check("/data/app.db", 0, BACKSTAY_CONFIG=config, **keys)
        self.assertEqual(steps["delete"][0], "warning")
        # Elsewhere in the bucket there are none.
        elsewhere = self.check(f"s3://{self.bucket}/other?endpoint={self.endpoint}", 1, **keys)
        self.assertEqual(elsewhere["put"][0], "failed")


if __name__ == "__main__":
    unittest.main()
