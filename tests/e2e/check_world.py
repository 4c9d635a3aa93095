"""What the tests of backstay check share: a store that answers as it is told, over real HTTP, and the command."""

import contextlib
import datetime
import email.utils
import http.server
import json
import os
import subprocess
import tempfile
import unittest
import urllib.parse

TOOL = os.path.join(os.environ["BUILD_DIR"], "backstay")
SECRET = "a-secret-that-nobody-reads"


class Store(http.server.BaseHTTPRequestHandler):
    """Objects in memory; `refusals` of the server: {operation: (status, code)}.

    `holds`: (operation, what to call): that one is done, and not answered. `emptied`: by a rule of its own."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", code=""):
        if code:
            body = b"<Error><Code>%s</Code></Error>" % code.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def date_time_string(self, timestamp=None):
        return email.utils.formatdate(self.server.now().timestamp(), usegmt=True)

    def hold(self, operation):
        """True: nobody waits for an answer any more."""
        if self.server.holds is None or self.server.holds[0] != operation:
            return False
        act, self.server.holds = self.server.holds[1], None
        act()
        self.connection.settimeout(60)
        with contextlib.suppress(OSError):
            self.connection.recv(1)  # its end
        self.close_connection = True
        return True

    def is_late(self):
        signed = datetime.datetime.strptime(self.headers["x-amz-date"], "%Y%m%dT%H%M%SZ")
        return abs(signed.replace(tzinfo=datetime.timezone.utc) - self.server.now()) > datetime.timedelta(minutes=15)

    def begin(self, operation):
        """The key; None: refused."""
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        refusal = self.server.refusals.get(operation) or self.server.refusals.get("all")
        if refusal:
            return self.answer(refusal[0], code=refusal[1])
        if self.is_late():
            return self.answer(403, code="RequestTimeTooSkewed")
        return urllib.parse.unquote(urllib.parse.urlsplit(self.path).path).removeprefix("/bkt/")

    def do_GET(self):
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        listing = "list-type" in query
        key = self.begin("list" if listing else "get")
        if key is None or self.hold("list" if listing else "get"):
            return
        if listing:
            keys = [each for each in self.server.objects if each.startswith(query["prefix"][0])]
            rows = "".join(f"<Contents><Key>{each}</Key><Size>1</Size></Contents>" for each in keys)
            xml = f"<ListBucketResult>{rows}<IsTruncated>false</IsTruncated></ListBucketResult>"
            return self.answer(200, xml.encode())
        if key not in self.server.objects:
            return self.answer(404, code="NoSuchKey")
        self.answer(200, self.server.objects[key])

    def do_PUT(self):
        operation = "create" if "If-None-Match" in self.headers else "put"
        key = self.begin(operation)
        if key is None or (operation == "create" and self.hold(operation)):
            return
        if "If-None-Match" in self.headers and key in self.server.objects and not self.server.careless:
            return self.answer(412, code="PreconditionFailed")
        self.server.objects[key] = self.body
        self.server.ever.add(key)
        if self.server.emptied:
            self.server.objects.clear()
        if not self.hold(operation):
            self.answer(200)

    def do_DELETE(self):
        key = self.begin("delete")
        if key is not None and not self.hold("delete"):
            self.server.objects.pop(key, None)
            self.answer(204)


class CheckCase(unittest.TestCase):
    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        self.folder = self.stack.enter_context(tempfile.TemporaryDirectory(prefix="backstay-check-"))

    def command(self, url, patience="10s", **environment):
        """What runs it, and with what environment."""
        kept = {name: value for name, value in os.environ.items()
                if not name.startswith(("BACKSTAY_", "AWS_", "LITESTREAM_"))}
        kept.update(HOME=self.folder, AWS_EC2_METADATA_DISABLED="true")
        kept.update({"AWS_ACCESS_KEY_ID": "KEY", "AWS_SECRET_ACCESS_KEY": SECRET}, **environment)
        kept = {name: value for name, value in kept.items() if value}
        return [TOOL, "check", "-json", "-patience", patience, url], kept

    def told(self, process, code, secret=SECRET):
        """{step: (result, text)} of one that was begun."""
        try:
            out, self.said = process.communicate(timeout=60)
        finally:
            process.kill()
        self.assertEqual(process.returncode, code, out + self.said)
        self.assertNotIn(secret, out + self.said)
        self.assertEqual(out.count("\n"), 1, out)
        steps = json.loads(out)["replicas"][0]["steps"]
        return {each["step"]: (each["result"], each["text"]) for each in steps}

    def begun(self, command, environment):
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def check(self, url, code, **environment):
        command, kept = self.command(url, **environment)
        return self.told(self.begun(command, kept), code, kept.get("AWS_SECRET_ACCESS_KEY", SECRET))

    def results(self, steps, *names):
        return [steps[name][0] for name in names]
