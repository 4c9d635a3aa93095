"""An S3 server that misbehaves on demand: a proxy in front of a real one.

It runs on a thread of the test's process. The client signs for the proxy's address and the Host
header goes on unchanged, so the server behind checks the signature as usual. Requests are told
apart by kind:

  put-log put-takeover put-writer put-identity put-frame put-manifest put-restorable put-pack
  get head list delete    initiate part complete abort (of a multipart upload)    other

    with FaultProxy("http://127.0.0.1:9000") as proxy:       # proxy.url is the endpoint
        proxy.add("500", kinds=("put-log",), times=3, prefix="app")
        …
        proxy.clear()

  fault_proxy.py SECONDS COMMAND…    runs the command with a proxy in front of the server of with-s3.sh
                                     that adds a latency to every request; SIGUSR1 to the process
                                     FAULT_PROXY_PID begins an outage, SIGUSR2 ends it

A rule's fault is one of FAULTS; it hits `times` requests (None: all) whose key begins with the
prefix. `late` ones reach the server only when the rule is taken away,
`half` ones are answered by half, and silent until then. Two more make a server of another kind: `unconditional` ignores If-None-Match (it signs the
request anew, with the keys of with-s3.sh), `no-condition` answers 501 to it. Counts of requests and of hits are kept per prefix and kind.
"""

import asyncio
import collections
import contextlib
import hashlib
import hmac
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import urllib.parse

# What each fault does with the request; see _Connection.
FAULTS = ("500", "slow-down", "403", "expired", "skewed", "reset-before", "reset-after",
          "applied-500", "truncated", "delayed", "duplicate", "stale-list", "stall")
LATE = "late"
HALF = "half"
STORES = ("unconditional", "no-condition")
REFUSALS = {  # status, S3 code, further header
    "500": (500, "InternalError", ""),
    "applied-500": (500, "InternalError", ""),
    "slow-down": (503, "SlowDown", "Retry-After: 1\r\n"),
    "403": (403, "AccessDenied", ""),
    "expired": (400, "ExpiredToken", ""),
    "skewed": (403, "RequestTimeTooSkewed", ""),
    "no-condition": (501, "NotImplemented", ""),
}
RESET = struct.pack("ii", 1, 0)  # close() sends RST


class Rule:
    def __init__(self, fault, kinds, times, prefix, seconds):
        assert fault in FAULTS + STORES + (LATE, HALF), fault
        self.fault, self.kinds, self.prefix, self.seconds = fault, kinds, prefix, seconds
        self.left = times
        self.over = asyncio.Event()  # set when the rule is taken away

    def matches(self, kind, key):
        return (self.left != 0 and (self.kinds is None or kind in self.kinds)
                and key.startswith(self.prefix))


class Message:
    """A request or an answer: its head as bytes, its body."""

    def __init__(self, head, body):
        self.head, self.body = head, body
        self.first = head.split(b"\r\n", 1)[0].decode("latin-1")

    def header(self, name):
        found = re.search(rb"(?im)^" + name.encode() + rb":[ \t]*([^\r\n]*)", self.head)
        return found.group(1).decode("latin-1") if found else ""

    def whole(self):
        return self.head + self.body


def kind_of(request, bucket_and_key, query):
    """(kind, key) of a request."""
    method = request.first.split(" ", 1)[0]
    key = bucket_and_key.lstrip("/").partition("/")[2]
    if method == "POST" and "uploads" in query:
        return "initiate", key
    if "uploadId" in query:
        return {"PUT": "part", "POST": "complete", "DELETE": "abort"}.get(method, "other"), key
    if method == "GET" and "list-type" in query:
        return "list", query.get("prefix", [""])[0]
    if method == "POST" and "delete" in query:
        found = re.search(rb"<Key>([^<]*)</Key>", request.body)
        return "delete", found.group(1).decode() if found else ""
    if method == "DELETE":
        return "delete", key
    if method in ("GET", "HEAD"):
        return method.lower(), key
    if method == "PUT" and key.endswith("/log/writer"):
        return "put-writer", key
    if method == "PUT" and "/log/" in key:
        return ("put-takeover" if request.body[:6] == b"BKST\x01\x02" else "put-log"), key
    if method in ("PUT", "POST") and "/snapshot/" in key:
        return ("put-manifest" if key.endswith("/manifest") else "put-frame"), key
    if method == "PUT" and "/pack/" in key:
        return "put-pack", key
    if method == "PUT" and key.endswith("backstay.json"):
        return "put-identity", key
    if method == "PUT" and key.endswith("/restorable"):
        return "put-restorable", key
    return "other", key


def sign_anew(request):
    """The request without If-None-Match."""
    names = re.search(r"SignedHeaders=([^,\s]*)", request.header("authorization")).group(1).split(";")
    names.remove("if-none-match")
    scope = re.search(r"Credential=[^/]*/([^,\s]*)", request.header("authorization")).group(1)
    method, target, _ = request.first.split(" ")
    path, _, query = target.partition("?")
    whole = "\n".join([method, path, query, *(f"{n}:{request.header(n).strip()}" for n in names), "",
                       ";".join(names), request.header("x-amz-content-sha256")])
    text = "\n".join(["AWS4-HMAC-SHA256", request.header("x-amz-date"), scope,
                      hashlib.sha256(whole.encode()).hexdigest()])
    key = ("AWS4" + os.environ["AWS_SECRET_ACCESS_KEY"]).encode()
    for part in scope.split("/") + [text]:
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    head = re.sub(rb"(?im)^if-none-match:[^\r\n]*\r\n", b"", request.head)
    head = re.sub(rb"(?i)SignedHeaders=[^,\s]*", b"SignedHeaders=" + ";".join(names).encode(), head)
    return Message(re.sub(rb"Signature=[0-9a-f]*", b"Signature=" + key.hex().encode(), head), request.body)


async def read_message(reader, head_only=False):
    """None at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    message = Message(head, b"")
    if head_only:
        return message
    if message.header("transfer-encoding").lower() == "chunked":
        body = b""
        while True:
            size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
            body += (await reader.readexactly(size + 2))[:-2]
            if size == 0:
                break
        head = re.sub(rb"(?im)^transfer-encoding:[^\r\n]*\r\n", b"", head)
        head = head[:-2] + f"Content-Length: {len(body)}\r\n\r\n".encode()
        return Message(head, body)
    message.body = await reader.readexactly(int(message.header("content-length") or 0))
    return message


class FaultProxy:
    def __init__(self, upstream, port=0):
        parts = urllib.parse.urlsplit(upstream)
        self.upstream = (parts.hostname, parts.port)
        self.latency = 0.0  # seconds, added to every request
        self.port = port
        self.requests = collections.Counter()  # by (first folder of the key, kind)
        self.hits = collections.Counter()  # by (first folder of the key, kind, fault)
        self.received = 0  # bytes of bodies that went to the client
        self._rules = []
        self._server = None
        self._connections = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self):
        self._thread.start()
        self.serve()
        return self

    def __exit__(self, *_):
        self.clear()
        self.refuse()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    def serve(self):
        """Listens, at the same port as before an outage."""
        async def start():
            self._server = await asyncio.start_server(
                self._accept, "127.0.0.1", self.port, limit=1 << 20)
            self.port = self._server.sockets[0].getsockname()[1]
        self._call(start())

    def refuse(self):
        """An outage: connections are refused, those that are open are reset."""
        async def stop():
            self._server.close()
            for task in list(self._connections):
                task.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)
        self._call(stop())

    def add(self, fault, kinds=None, times=None, prefix="", seconds=0.3):
        """`seconds`: of `delayed` until the answer, of `stall` until a reset (None: for ever)."""
        async def make():
            rule = Rule(fault, kinds, times, prefix, seconds)
            self._rules.append(rule)
            return rule
        return self._call(make())

    def clear(self, prefix=""):
        """Takes away the rules of this prefix; stalled requests of theirs end with a reset."""
        async def drop():
            for rule in [r for r in self._rules if r.prefix.startswith(prefix)]:
                self._rules.remove(rule)
                rule.over.set()
        self._call(drop())

    def count(self, prefix, *kinds):
        """Requests of these kinds, or all, so far."""
        return sum(n for (folder, kind), n in list(self.requests.items())
                   if folder == prefix and (not kinds or kind in kinds))

    async def _accept(self, reader, writer):
        task = asyncio.current_task()
        self._connections.add(task)
        connection = _Connection(self, reader, writer)
        try:
            await connection.run()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            connection.reset()
        finally:
            self._connections.discard(task)
            connection.close()

    def rule_for(self, kind, key, conditional):
        folder = key.split("/", 1)[0]
        self.requests[folder, kind] += 1
        for rule in self._rules:
            if rule.fault == "stale-list" and kind != "list":
                continue
            if rule.fault in STORES and not conditional:
                continue
            if rule.matches(kind, key):
                if rule.left is not None:
                    rule.left -= 1
                self.hits[folder, kind, rule.fault] += 1
                return rule
        return None


class _Connection:
    """One connection of the client, and one to the server behind."""

    def __init__(self, proxy, reader, writer):
        self.proxy, self.reader, self.writer = proxy, reader, writer
        self.up = None

    async def run(self):
        while (request := await read_message(self.reader)) is not None:
            path, _, query = request.first.split(" ")[1].partition("?")
            query = urllib.parse.parse_qs(query, keep_blank_values=True)
            kind, key = kind_of(request, urllib.parse.unquote(path), query)
            rule = self.proxy.rule_for(kind, key, conditional=bool(request.header("if-none-match")))
            if self.proxy.latency:
                await asyncio.sleep(self.proxy.latency)
            if not await self.answer(request, rule):
                return

    async def forward(self, request):
        """The server's answer; a second connection if the server has closed an idle one."""
        for fresh in (False, True):
            if self.up is None or fresh:
                self.up = await asyncio.open_connection(*self.proxy.upstream, limit=1 << 20)
            self.up[1].write(request.whole())
            answer = await read_message(self.up[0], request.first.startswith("HEAD "))
            if answer is not None:
                return answer
        raise ConnectionError("the server behind has gone")

    async def answer(self, request, rule):
        """False: the connection is to be closed."""
        fault = rule.fault if rule else None
        if fault in REFUSALS and fault != "applied-500":
            return await self.send(self.refusal(request, fault))
        if fault == "stall":
            await self.pause(rule)
        if fault == LATE:
            await rule.over.wait()
        if fault in ("stall", "reset-before"):
            return self.reset()
        if fault == "unconditional":
            request = sign_anew(request)
        answer = await self.forward(request)
        if fault == "duplicate":
            answer = await self.forward(request)
        if fault == "delayed":
            await self.pause(rule)
        applied = answer.first.split(" ")[1].startswith("2")
        if fault == "reset-after" and applied:
            return self.reset()
        if fault == "applied-500" and applied:
            return await self.send(self.refusal(request, fault))
        if fault == "stale-list":
            answer = self.without_newest(answer)
        if fault in ("truncated", HALF):
            whole = answer.whole()
            cut = len(answer.head) + len(answer.body) // 2 if answer.body else len(whole) - 20
            self.proxy.received += len(answer.body) // 2
            await self.send(whole[:cut])
            if fault == HALF:
                await rule.over.wait()
            return False
        self.proxy.received += len(answer.body)
        return await self.send(answer.whole())

    @staticmethod
    async def pause(rule):
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(rule.over.wait(), rule.seconds)

    @staticmethod
    def refusal(request, fault):
        status, code, header = REFUSALS[fault]
        body = "" if request.first.startswith("HEAD ") else (
            f"<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>made up</Message></Error>")
        return (f"HTTP/1.1 {status} {code}\r\n{header}Content-Type: application/xml\r\n"
                f"Content-Length: {len(body)}\r\n\r\n{body}").encode()

    @staticmethod
    def without_newest(answer):
        entries = list(re.finditer(rb"<Contents>.*?</Contents>", answer.body, re.DOTALL))
        if not entries:
            return answer
        body = answer.body[:entries[-1].start()] + answer.body[entries[-1].end():]
        head = re.sub(rb"(?im)^content-length:[^\r\n]*", b"Content-Length: %d" % len(body),
                      answer.head)
        return Message(head, body)

    async def send(self, data):
        self.writer.write(data)
        await self.writer.drain()
        return True

    def reset(self):
        """Makes the close a reset; what was not read or sent is lost."""
        with contextlib.suppress(OSError):
            self.writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.writer.transport.abort()
        return False

    def close(self):
        self.writer.close()
        if self.up:
            self.up[1].close()


def main(seconds, *command):
    with FaultProxy(os.environ["BACKSTAY_TEST_S3_ENDPOINT"]) as proxy:
        proxy.latency = float(seconds)
        signal.signal(signal.SIGUSR1, lambda *_: proxy.refuse())
        signal.signal(signal.SIGUSR2, lambda *_: proxy.serve())
        os.environ["BACKSTAY_TEST_S3_ENDPOINT"] = proxy.url
        os.environ["FAULT_PROXY_PID"] = str(os.getpid())
        return subprocess.run(command).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
