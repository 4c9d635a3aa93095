"""How long a restore takes, beside what cannot be beaten, in the same run: curl | zstd -d of the same bytes.

    with-s3.sh restore.py BUILD_FOLDER [ROUNDS]

A database of 1 GB (BENCH_MEGABYTES), and one of 16 MB with a log of some 800 objects. Rounds are interleaved: on a
machine that others use, compare within one. Peak memory is what the system says of the process. Beside the one object of
curl | zstd -d, curl alone fetches the objects that the restore reads, as many at a time: what a server costs per object.
CPU seconds (of client and decoder, not of the server) hardly depend on what else the machine does.
"""

import os
import random
import re
import resource
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.abspath(sys.argv[1])
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 3
PORT = int(os.environ["BACKSTAY_TEST_S3_ENDPOINT"].rsplit(":", 1)[1])
BUCKET = os.environ["BACKSTAY_TEST_S3_BUCKET"]
ENVIRONMENT = {**os.environ, "BACKSTAY_LOG_LEVEL": "error", "NO_PROXY": "*"}


def url(name, port=PORT):
    return f"s3://{BUCKET}/{name}?endpoint=http://127.0.0.1:{port}&force-path-style=true"


def texts(count, size, seed):
    words = open("/usr/share/common-licenses/GPL-3", encoding="utf-8").read().split()
    rng = random.Random(seed)
    for i in range(count):
        at = rng.randrange(len(words) - size)
        yield i, hex(rng.getrandbits(256)), " ".join(words[at:at + size])


def make(folder, name, megabytes, objects):
    """A database with its replica: one snapshot, then `objects` log objects of some transactions each."""
    path = os.path.join(folder, name + ".db")
    db = sqlite3.connect(path, isolation_level=None)
    for sql in ("PRAGMA journal_mode=wal", "PRAGMA synchronous=off", "BEGIN",
                "CREATE TABLE t(id INTEGER, uuid TEXT, body TEXT)"):
        db.execute(sql)
    db.executemany("INSERT INTO t VALUES(?,?,?)", texts(megabytes * 1100, 120, name))
    for sql in ("CREATE INDEX uuid ON t(uuid)", "COMMIT", "PRAGMA wal_checkpoint(TRUNCATE)"):
        db.execute(sql)
    db.close()
    host = """import sqlite3, sys
db = sqlite3.connect(':memory:'); db.enable_load_extension(True); db.load_extension(sys.argv[1]); db.close()
db = sqlite3.connect(sys.argv[2], isolation_level=None); db.execute('PRAGMA synchronous=off')
def wait(ms): assert db.execute('SELECT backstay_sync(%d)' % ms).fetchone()[0] == 1
def commit(i): db.execute('UPDATE t SET body = body || ? WHERE rowid = ?', (str(i), 1 + i * 37 % 10000))
db.enable_load_extension(True); db.load_extension(sys.argv[1]); commit(0); wait(600000)
import json, time
while not json.loads(db.execute('SELECT backstay_status()').fetchone()[0])['replicas'][0]['restorable']: time.sleep(0.1)
for i in range(int(sys.argv[3])):
    for j in range(5): commit(5 * i + j)
    wait(60000)
"""
    subprocess.run([sys.executable, "-c", host, os.path.join(BUILD, "backstay.so"), path, str(objects)], check=True,
                   env={**ENVIRONMENT, "BACKSTAY_REPLICA_URL": url(name), "BACKSTAY_MIN_INTERVAL": "0ms"})
    return path


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Away:
    """The server, so many milliseconds away."""

    def __init__(self, milliseconds):
        self.port = free_port()
        self.process = subprocess.Popen([sys.executable, os.path.join(HERE, "latency_proxy.py"), str(self.port),
                                         str(milliseconds), str(PORT)])

    def __enter__(self):
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return self.port
            except OSError:
                time.sleep(0.05)

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def curl(port, target, *arguments):
    key = os.environ["AWS_ACCESS_KEY_ID"] + ":" + os.environ["AWS_SECRET_ACCESS_KEY"]
    return ["curl", "-sf", "--noproxy", "*", "--aws-sigv4", "aws:amz:us-east-1:s3", "--user", key,
            "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD", *arguments, f"http://127.0.0.1:{port}/{BUCKET}/{target}"]


def children_cpu():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def plain(folder, port):
    """(seconds, CPU seconds) of one object; both ends with the fsync."""
    out = os.path.join(folder, "plain.db")
    began, before = time.monotonic(), children_cpu()
    get = subprocess.Popen(curl(port, "plain.zst"), stdout=subprocess.PIPE)
    subprocess.run(["zstd", "-dqfo", out], stdin=get.stdout, check=True)
    assert get.wait() == 0
    subprocess.run(["sync", out], check=True)
    took = time.monotonic() - began
    os.unlink(out)
    return took, children_cpu() - before


def frames(name):
    """The objects of its snapshot."""
    listed = subprocess.run(curl(PORT, f"?list-type=2&prefix={name}%2Fsnapshot%2F"), check=True, capture_output=True,
                            text=True).stdout
    return [key for key in re.findall("<Key>([^<]*)</Key>", listed) if not key.endswith("/manifest")]


def objects(folder, port, keys):
    """(seconds, CPU seconds) of fetching these, as many at a time as a restore does, to nowhere."""
    path = os.path.join(folder, "curl.config")
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(f'url = "http://127.0.0.1:{port}/{BUCKET}/{key}"\noutput = "/dev/null"\n' for key in keys)
    command = curl(port, "", "-Z", "--no-progress-meter", "--parallel-max", "16", "-K", path)[:-1]
    began, before = time.monotonic(), children_cpu()
    subprocess.run(command, check=True)
    return time.monotonic() - began, children_cpu() - before


def restore(folder, name, port):
    """(seconds, CPU seconds, peak in MiB)"""
    out = os.path.join(folder, "restored.db")
    began = time.monotonic()
    tool = subprocess.Popen([os.path.join(BUILD, "backstay"), "restore", "-force", "-o", out, url(name, port)],
                            env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(tool.pid, 0)
    took = time.monotonic() - began
    assert status == 0, status
    os.unlink(out)
    return took, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def median(values):
    return sorted(values)[len(values) // 2]


def big(folder, latency, rounds):
    keys = frames("big")
    with Away(latency) as port:
        ratios, cpu = [], []
        for _ in range(rounds):
            bare, bare_cpu = plain(folder, port)
            fetch, fetch_cpu = objects(folder, port, keys)
            took, took_cpu, peak = restore(folder, "big", port)
            ratios.append(took / bare)
            cpu.append(took_cpu / bare_cpu)
            print(f"  {took:.2f} s against {bare:.2f}: {took / bare:.2f}, {peak:.0f} MiB; its {len(keys)} objects alone "
                  f"{fetch:.2f} s; CPU {took_cpu:.2f} s against {bare_cpu:.2f}, of the objects alone {fetch_cpu:.2f}",
                  flush=True)
        print(f"{latency} ms added: {median(ratios):.2f} times curl | zstd -d, CPU {median(cpu):.2f} times", flush=True)


def small(folder, latency, rounds):
    with Away(latency) as port:
        took, _, peak = zip(*(restore(folder, "small", port) for _ in range(rounds)))
        print(f"long log, {latency} ms added: {median(took):.2f} s, {max(peak):.0f} MiB", flush=True)


def main():
    with tempfile.TemporaryDirectory(prefix="backstay-bench.", dir=os.environ.get("BENCH_BASE")) as folder:
        make(folder, "small", 15, 800)
        path = make(folder, "big", int(os.environ.get("BENCH_MEGABYTES", "1000")), 0)
        subprocess.run(["zstd", "-q1f", path, "-o", path + ".zst"], check=True)
        subprocess.run(curl(PORT, "plain.zst", "-T", path + ".zst"), check=True)
        print(f"{os.path.getsize(path) >> 20} MiB, {os.path.getsize(path + '.zst') >> 20} MiB as one zstd frame")
        for latency in (0, 20):
            big(folder, latency, ROUNDS)
        for latency in (0, 20, 100):
            small(folder, latency, ROUNDS)


if __name__ == "__main__":
    main()
