"""A monitor on the loopback that speaks healthchecks.io's protocol, and keeps what it was told."""
import http.server
import re
import threading
import urllib.parse

UUID = "2f6f3b0e-6c1c-4b43-9d53-3f5e3d8c9a10"
RUN = re.compile("^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")


class PingServer:
    """`pings`: (what follows the UUID, the query as a dict, the body). `answers`: statuses of the next ones, 200 at last;
    0: none at all."""

    def __init__(self, *answers, body=b"OK"):
        self.pings = []
        self.answers = list(answers)
        self.changed = threading.Condition()
        self.released = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_POST(self):
                length = int(self.headers.get("Content-Length", 0))
                outer.take(self, self.rfile.read(length).decode(), body)

            do_GET = do_POST

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        self.url = "http://127.0.0.1:%d/%s" % (self.server.server_port, UUID)

    def take(self, handler, text, body):
        parts = urllib.parse.urlsplit(handler.path)
        assert parts.path.startswith("/" + UUID), handler.path
        with self.changed:
            self.pings.append((parts.path[len(UUID) + 1:], dict(urllib.parse.parse_qsl(parts.query)), text))
            status = self.answers.pop(0) if self.answers else 200
            self.changed.notify_all()
        if status == 0:
            self.released.wait()
            return
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def await_pings(self, done, seconds=60):
        """Waits until `done(pings)`; returns them."""
        with self.changed:
            assert self.changed.wait_for(lambda: done(self.pings), seconds), self.pings
            return list(self.pings)

    def whats(self):
        return [what for what, _, _ in self.pings]

    def close(self):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
