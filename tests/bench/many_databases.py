"""What many databases in one process cost while nothing happens: threads, descriptors, memory, wake-ups.

    many_databases.py BUILD_FOLDER [DATABASES]

Every database is opened in WAL mode with one connection, written once and shipped to a folder. Then the process is
idle, but for the engine: context switches of all its threads, and processor time, over ten seconds.
"""

import collections
import os
import resource
import sqlite3
import sys
import tempfile
import time

BUILD = os.path.abspath(sys.argv[1])
COUNT = int(sys.argv[2]) if len(sys.argv) > 2 else 300
SECONDS = 10


def threads():
    """By name: how many."""
    names = collections.Counter()
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/comm", encoding="utf-8") as file:
            names[file.read().strip()] += 1
    return names


def switches():
    total = 0
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/status", encoding="utf-8") as file:
            total += sum(int(line.split()[1]) for line in file if "ctxt_switches" in line)
    return total


def processor():
    use = resource.getrusage(resource.RUSAGE_SELF)
    return use.ru_utime + use.ru_stime


def resident():
    with open("/proc/self/statm", encoding="utf-8") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def main():
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(BACKSTAY_REPLICA_URL=f"file://{folder}/replica/{{name}}", BACKSTAY_LOG_LEVEL="error")
        loader = sqlite3.connect(":memory:")
        loader.enable_load_extension(True)
        loader.load_extension(os.path.join(BUILD, "backstay.so"))
        before, memory = len(os.listdir("/proc/self/fd")), resident()
        databases = [sqlite3.connect(f"{folder}/{i}.db", isolation_level=None) for i in range(COUNT)]
        for database in databases:
            database.execute("PRAGMA journal_mode=wal")
            database.execute("CREATE TABLE t(x)")
        late = [d for d in databases if str(d.execute("PRAGMA backstay_sync=60000").fetchone()[0]) != "1"]
        time.sleep(SECONDS / 2)
        print(f"{COUNT} databases, {len(late)} not shipped; threads: {dict(threads())}")
        print(f"descriptors of each, SQLite's own among them: {(len(os.listdir('/proc/self/fd')) - before) / COUNT:.1f}; "
              f"memory of each: {(resident() - memory) / COUNT / 1024:.0f} KiB")
        start, used = switches(), processor()
        time.sleep(SECONDS)
        print(f"idle: {(switches() - start) / SECONDS:.0f} context switches and "
              f"{1000 * (processor() - used) / SECONDS:.1f} ms of processor a second")
        for database in databases:
            database.close()


main()
