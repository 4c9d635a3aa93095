#!/usr/bin/python3
"""A Python application with Backstay inside: examples/python/run.sh starts it.

usage: app.py BUILD_DIR DATABASE     adds ten notes, prints how many there are and the replication status
"""

import json
import sqlite3
import sys


def connect(build_dir, database):
    """Opens the database and loads Backstay into the process.

    The extension adopts this connection; every later sqlite3.connect() of the process is replicated
    without a further word.
    """
    connection = sqlite3.connect(database)
    connection.enable_load_extension(True)
    connection.load_extension(f"{build_dir}/backstay")
    connection.enable_load_extension(False)
    connection.execute("PRAGMA journal_mode = WAL")
    return connection


def main(build_dir, database):
    connection = connect(build_dir, database)
    with connection:
        connection.execute("CREATE TABLE IF NOT EXISTS note(id INTEGER PRIMARY KEY, body TEXT)")
        connection.executemany(
            "INSERT INTO note(body) VALUES (?)", [(f"note {i}",) for i in range(10)]
        )
    # Without this call the commit is shipped in the background, a moment later.
    (in_bucket,) = connection.execute("SELECT backstay_sync(20000)").fetchone()
    (count,) = connection.execute("SELECT count(*) FROM note").fetchone()
    (status,) = connection.execute("SELECT backstay_status()").fetchone()
    json.loads(status)
    print(f"{count} notes, in the bucket: {'yes' if in_bucket else 'no'}")
    connection.close()
    return 0 if in_bucket else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
