#!/usr/bin/python3
"""An application as there are many: notes in SQLite behind HTTP, with no idea of Backstay.

usage: app.py DATABASE PORT

GET / answers how many notes there are, POST / adds one. It leaves SIGTERM alone, as most do, and logs
as it likes.
"""

import http.server
import json
import sqlite3
import sys


class Notes(http.server.BaseHTTPRequestHandler):
    database = None

    def do_GET(self):
        (count,) = self.database.execute("SELECT count(*) FROM note").fetchone()
        self.answer(f"{count}\n")

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        with self.database:
            self.database.execute("INSERT INTO note(body) VALUES (?)", (body,))
        self.answer("added\n")

    def answer(self, text):
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, form, *values):
        line = {"level": "ERROR" if values[1] >= "500" else "info", "msg": form % values}
        print(json.dumps(line), flush=True)


def main(database, port):
    # An application may well use TLS itself: its libraries are its own.
    import ssl

    Notes.database = sqlite3.connect(database)
    Notes.database.execute("PRAGMA journal_mode = WAL")
    Notes.database.execute("CREATE TABLE IF NOT EXISTS note(id INTEGER PRIMARY KEY, body TEXT)")
    server = http.server.HTTPServer(("", int(port)), Notes)
    print(f"listening on {port}, {ssl.OPENSSL_VERSION}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
