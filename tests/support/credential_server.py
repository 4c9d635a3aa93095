"""A stand-in for the servers that give access keys: a container's endpoint, an instance's metadata, and STS.

    with CredentialServer() as server:
        server.keys = ("ID", "SECRET")           # that are given from now on; a later answer may hold others
        server.env("container", folder)          # what leads the chain of credentials to it

`asked` counts the answers with keys, by source. What does not fit the protocol is refused with 401, as those do.
`silent`: no secret in the answers; `fails`: an HTTP status in place of them.
"""

import collections
import datetime
import http.server
import json
import os
import threading
import urllib.parse

ROLE = "backup-role"


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, text=""):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def give(self, source, form):
        owner = self.server.owner
        owner.requests[source] += 1
        if owner.fails:
            return self.answer(owner.fails, "secret-of-nobody")
        owner.asked[source] += 1
        key, secret = owner.keys
        ends = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
        self.answer(200, form(key, "" if owner.silent else secret, ends.strftime("%Y-%m-%dT%H:%M:%SZ")))

    @staticmethod
    def as_json(key, secret, ends):
        return json.dumps({"Code": "Success", "AccessKeyId": key, "SecretAccessKey": secret, "Expiration": ends})

    @staticmethod
    def as_xml(key, secret, ends):
        return (f"<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>"
                f"{secret}</SecretAccessKey><SessionToken/><Expiration>{ends}</Expiration></Credentials>"
                "</AssumeRoleResult></AssumeRoleResponse>")

    def do_PUT(self):
        wanted = self.path == "/latest/api/token" and self.headers.get("X-aws-ec2-metadata-token-ttl-seconds")
        self.answer(200 if wanted else 400, self.server.owner.token if wanted else "")

    def do_GET(self):
        owner = self.server.owner
        if self.path == "/container":
            if self.headers.get("Authorization") != owner.token:
                return self.answer(401)
            return self.give("container", self.as_json)
        role = "/latest/meta-data/iam/security-credentials/"
        if self.headers.get("X-aws-ec2-metadata-token") != owner.token:
            return self.answer(401)
        if self.path == role:
            return self.answer(200, ROLE + "\n")
        return self.give("instance", self.as_json) if self.path == role + ROLE else self.answer(404)

    def do_POST(self):
        owner = self.server.owner
        form = dict(urllib.parse.parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
        if form.get("RoleArn") != owner.role:
            return self.answer(403, "<Error><Code>AccessDenied</Code></Error>")
        if form["Action"] == "AssumeRole":
            signed = "Credential=BASE/" in self.headers.get("Authorization", "")
            return self.give("role", self.as_xml) if signed else self.answer(403)
        if form.get("WebIdentityToken") != owner.token:
            return self.answer(400, "<Error><Code>InvalidIdentityToken</Code></Error>")
        return self.give("web identity", self.as_xml)


class CredentialServer:
    role = "arn:aws:iam::1:role/backup"

    def __init__(self):
        self.keys, self.token, self.silent, self.fails = ("", ""), "token-of-0", False, 0
        self.requests, self.asked = collections.Counter(), collections.Counter()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.owner = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._server.server_port}"

    def turn(self, folder):
        """Another token counts from now on, as a service account's does each hour."""
        self.token = f"token-of-{int(self.token.rpartition('-')[2]) + 1}"
        path = os.path.join(folder, "token")
        with open(path + ".new", "w", encoding="ascii") as file:
            file.write(self.token + "\n")
        os.rename(path + ".new", path)

    def env(self, source, folder):
        self.turn(folder)
        token = os.path.join(folder, "token")
        if source == "container":
            return {"AWS_CONTAINER_CREDENTIALS_FULL_URI": self.url + "/container",
                    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": token}
        if source == "instance":
            return {"AWS_EC2_METADATA_SERVICE_ENDPOINT": self.url, "AWS_EC2_METADATA_DISABLED": "false"}
        if source == "web identity":
            return {"AWS_WEB_IDENTITY_TOKEN_FILE": token, "AWS_ROLE_ARN": self.role, "AWS_ENDPOINT_URL_STS": self.url}
        assert source == "role", source
        config = os.path.join(folder, "config")
        with open(config, "w", encoding="ascii") as file:
            file.write(f"[profile backup]\nrole_arn = {self.role}\nsource_profile = base\n"
                       "[profile base]\naws_access_key_id = BASE\naws_secret_access_key = secret-of-base\n")
        return {"AWS_CONFIG_FILE": config, "AWS_PROFILE": "backup", "AWS_ENDPOINT_URL_STS": self.url}
