#!/usr/bin/python3
"""What the status says, in the process and by the tool: fields may be null, never wrong."""

import ctypes
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from engine_world import BUILD, App, EngineCase  # noqa: E402

SCHEMA = "CREATE TABLE t(id INTEGER PRIMARY KEY, blob)"
ROW = "INSERT INTO t(blob) VALUES(randomblob(40000))"
LIVES, UNKNOWN, RETRYING, STOPPED, NOBODY = 0, 3, 5, 6, 7


class Tracer:
    """Stops a process at each system call of its first thread, as strace does. For one thread."""

    ATTACH, DETACH, SYSCALL = 16, 17, 24

    def __init__(self, pid):
        self.pid = pid
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]

    def ask(self, request):
        if self.libc.ptrace(request, self.pid, None, None) != 0:
            raise OSError(ctypes.get_errno(), "ptrace")

    def __enter__(self):
        self.ask(self.ATTACH)
        return self

    def stopped(self):
        os.waitpid(self.pid, 0)

    def goes_on(self):
        self.ask(self.SYSCALL)

    def __exit__(self, *_):
        self.ask(self.DETACH)


class StatusCase(EngineCase):
    def outage(self):
        if os.path.exists(self.replica):
            os.rename(self.replica, self.replica + ".away")
        open(self.replica, "w", encoding="utf-8").close()

    def over(self):
        os.remove(self.replica)
        if os.path.exists(self.replica + ".away"):
            os.rename(self.replica + ".away", self.replica)

    def started(self, **env):
        app = App(self, **env)
        app.sql(SCHEMA)
        self.assertTrue(app.sync(), app.stderr())
        # It is written about once a second.
        self.wait_for("the status file", lambda: self.ask(LIVES)["state"] == "replicating")
        return app

    def replica_of(self, app):
        return app.status()["replicas"][0]

    def wait_for_replica(self, app, what, condition):
        return self.wait_for(what, lambda: (r := self.replica_of(app)) and condition(r) and r)

    def ask(self, code):
        """What the tool says, once it ends with this code."""
        return self.wait_for(f"exit status {code}", lambda: self.told(code))

    def told(self, code=None):
        """What it says now; False if it ends with another code than this."""
        done = subprocess.run([os.path.join(BUILD, "backstay"), "status", "-json", self.db],
                              env=self.env, capture_output=True, text=True, check=False)
        return code in (None, done.returncode) and (done.stderr or json.loads(done.stdout))


class LagTest(StatusCase):
    def test_before_the_first_contact(self):
        self.outage()
        app = App(self)
        app.sql(SCHEMA)
        for _ in range(5):
            app.sql(ROW)
        first = self.wait_for_replica(app, "a lag", lambda r: (r["lag_ms"] or 0) > 500)
        self.assertIsNone(first["lag_transactions"], first)
        self.assertIsNone(first["restorable"], first)
        self.wait_for_replica(app, "a lag that grows", lambda r: r["lag_ms"] > first["lag_ms"] + 500)
        self.assertGreater(self.ask(RETRYING)["replicas"][0]["lag_ms"], 500)
        self.over()
        self.assertTrue(app.sync(), app.stderr())
        replica = self.wait_for_replica(app, "no lag", lambda r: r["lag_ms"] == 0)
        self.assertEqual((replica["lag_transactions"], replica["restorable"]), (0, True), replica)
        self.assertIsNotNone(replica["restorable_proven"])

    def test_with_a_full_outbox(self):
        app = self.started(BACKSTAY_OUTBOX_LIMIT="100KiB")
        self.outage()
        lags = []
        def full():
            app.sql(ROW)
            lags.append(self.replica_of(app)["lag_ms"])
            return any("outbox is full" in line["msg"] for line in app.lines("WARN"))
        self.wait_for("a full outbox", full)
        for _ in range(10):
            app.sql(ROW)
            lags.append(self.replica_of(app)["lag_ms"])
        # The first one may be asked for before the outage is noticed.
        self.assertEqual(lags, sorted(lags))
        self.assertIsNone(self.replica_of(app)["lag_transactions"])
        self.over()
        self.assertTrue(app.sync(), app.stderr())
        replica = self.wait_for_replica(app, "no lag", lambda r: r["lag_ms"] == 0)
        self.assertEqual(replica["lag_transactions"], 0, replica)

    def test_in_a_process_that_does_not_ship(self):
        ships = self.started()
        other = App(self)
        self.wait_for_state(other, "passive")
        self.wait_for_replica(other, "the other's word",
                              lambda r: r["shipped_by"] == ships.process.pid and r["lag_ms"] == 0)
        self.outage()
        other.sql(ROW)
        self.wait_for_replica(other, "a lag", lambda r: (r["lag_ms"] or 0) > 1500)
        # It leaves the file to the one that ships.
        self.assertEqual(self.ask(RETRYING)["pid"], ships.process.pid)
        other.close()
        self.assertEqual(self.ask(RETRYING)["pid"], ships.process.pid)
        self.over()


class LifeTest(StatusCase):
    def edit(self, **members):
        path = os.path.join(self.state, "status.json")
        with open(path, encoding="utf-8") as file:
            status = json.load(file)
        with open(path, "w", encoding="utf-8") as file:
            json.dump({**status, **members}, file)

    def test_what_is_known(self):
        self.assertIn("neither", self.ask(UNKNOWN))
        app = self.started()
        status = self.ask(LIVES)
        self.assertEqual((status["state"], status["pid"]), ("replicating", app.process.pid))
        self.assertLess(status["age_ms"], 60000)
        app.kill()
        status = self.ask(NOBODY)
        self.assertEqual((status["state"], status["state_before"]), ("gone", "replicating"))
        self.assertEqual([status["replicas"][0][name] for name in ("lag_ms", "lag_transactions")], [None, None])
        app = App(self)
        self.wait_for("its word", lambda: self.ask(LIVES)["pid"] == app.process.pid)
        app.close()
        status = self.ask(NOBODY)
        self.assertEqual((status["state"], status["replicas"][0]["lag_ms"]), ("ended", 0))
        os.remove(os.path.join(self.state, "status.json"))
        self.assertIn("restored", self.ask(UNKNOWN))

    def test_a_number_that_another_process_has_by_now(self):
        self.started().kill()
        self.edit(pid=os.getpid())
        self.assertEqual(self.ask(NOBODY)["state"], "gone")

    def test_a_process_whose_parent_does_not_ask(self):
        """A zombie: of a container whose first process does not reap."""
        app = self.started()
        app.process.kill()
        os.waitid(os.P_PID, app.process.pid, os.WEXITED | os.WNOWAIT)
        self.assertEqual(self.ask(NOBODY)["state"], "gone")
        app.kill()

    def test_a_process_that_has_another_number_here(self):
        """Of another container: the lock of the folder tells."""
        self.started().kill()
        with open(os.path.join(self.state, "lock"), "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.assertEqual(self.ask(LIVES)["state"], "replicating")
        self.assertEqual(self.ask(NOBODY)["state"], "gone")

    def test_stopped(self):
        self.started().close()
        self.new_disk()
        app = App(self)
        app.sql("CREATE TABLE other(x)")
        self.assertEqual(self.ask(STOPPED)["state"], "error")
        app.close()
        status = self.ask(STOPPED)
        self.assertEqual(status["state"], "error")
        self.assertIn("belongs to another", status["replicas"][0]["error"])

    def test_written_to_behind_the_last_word(self):
        """By a process of another user, say, that cannot use the state folder."""
        self.started().close()
        self.assertEqual(self.ask(NOBODY)["replicas"][0]["lag_ms"], 0)
        os.utime(self.db)
        replica = self.ask(NOBODY)["replicas"][0]
        self.assertEqual((replica["lag_ms"], replica["lag_transactions"]), (None, None))

    def test_an_index_that_cannot_be_read_for_a_while(self):
        """It is not given up: what is in the replica and what waits stands in it."""
        self.started().close()
        index = os.path.join(self.state, "index")
        os.rename(index, index + ".away")
        os.symlink(index, index)  # ELOOP
        app = App(self)
        app.sql(ROW)
        self.wait_for_state(app, "error")
        os.rename(index + ".away", index)
        app.sql(ROW)
        self.assertTrue(app.sync(), app.stderr())
        self.assertEqual(app.status()["state"], "replicating")
        self.assertNotIn("starting without it", app.stderr())

    def test_a_process_that_is_traced_goes_on(self):
        """strace stops it at each system call; a debugger holds it."""
        app = self.started()
        app.process.stdin.write('{"code": "while not os.path.exists(db + \'.end\'): os.getppid()"}\n')
        app.process.stdin.flush()
        asked = []
        asks = threading.Thread(target=lambda: asked.extend(self.told()["state"] for _ in range(8)))
        with Tracer(app.process.pid) as tracer:
            tracer.stopped()
            self.assertEqual(self.ask(NOBODY)["state"], "stale")
            asks.start()
            while asks.is_alive():
                tracer.goes_on()
                tracer.stopped()
            open(self.db + ".end", "wb").close()
        asks.join()
        app.process.stdout.readline()
        self.assertEqual(asked, ["replicating"] * 8)
        app.close()

    def test_on_a_full_disk(self):
        os.mkdir(self.state)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", self.state],
                          stderr=subprocess.DEVNULL, check=False).returncode != 0:
            self.skipTest("no right to mount a small disk")
        self.addCleanup(subprocess.run, ["umount", "-l", self.state], check=False)
        app = self.started()
        with self.assertRaises(OSError), open(os.path.join(self.state, "filler"), "wb", buffering=0) as filler:
            while True:
                filler.write(bytes(4096))
        self.outage()
        app.sql(ROW)
        self.assertNotEqual(self.ask(RETRYING)["replicas"][0]["lag_ms"], 0)
        self.over()
        self.assertTrue(app.sync(), app.stderr())
        app.close()
        self.assertEqual(self.ask(NOBODY)["state"], "ended")

    def test_a_process_that_does_not_go_on(self):
        app = self.started()
        os.kill(app.process.pid, signal.SIGSTOP)
        try:
            status = self.ask(NOBODY)
        finally:
            os.kill(app.process.pid, signal.SIGCONT)
        self.assertEqual((status["state"], status["replicas"][0]["lag_ms"]), ("stale", None))
        self.assertEqual(self.ask(LIVES)["state"], "replicating")
        # Whatever its number is: while something waits its word is renewed every second.
        app.kill()
        with open(os.path.join(self.state, "status.json"), encoding="utf-8") as file:
            replica = json.load(file)["replicas"][0]
        with open(os.path.join(self.state, "lock"), "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.edit(written_ms=int(time.time() * 1000) - 90000, replicas=[{**replica, "lag_ms": 5}])
            self.assertEqual(self.ask(NOBODY)["state"], "stale")
            self.edit(written_ms=int(time.time() * 1000), replicas=[{**replica, "lag_ms": 5}])
            self.assertEqual(self.ask(LIVES)["state"], "replicating")


if __name__ == "__main__":
    unittest.main(verbosity=2)
