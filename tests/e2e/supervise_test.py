#!/usr/bin/python3
"""`backstay run` as the parent of an application: signals, exit status, and what is shipped behind its end; `-restore`; `sync`."""

import json
import os
import pty
import shutil
import signal
import socket
import subprocess
import time
import unittest

from engine_world import BUILD, PATIENCE, PYTHON, SANITIZER, EngineCase

TOOL = os.path.join(BUILD, "backstay")
# Commits COUNT rows one by one, so that the last ones are not shipped yet, then does as it is told.
APP = """
import os, signal, sqlite3, sys, time
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute("PRAGMA journal_mode=WAL")
c.execute("CREATE TABLE IF NOT EXISTS t(a)")
for i in range(20): c.execute("INSERT INTO t VALUES (?)", (i,))
"""
NAMESPACE = ["unshare", "--pid", "--fork", "--mount-proc"]


def may_unshare():
    return shutil.which("unshare") and subprocess.run(NAMESPACE + ["true"], capture_output=True).returncode == 0


@unittest.skipIf(SANITIZER, "the preload library does not go with a sanitizer's runtime")
class SuperviseTest(EngineCase):
    def setUp(self):
        super().setUp()
        os.mkdir(self.replica)
        self.env["BACKSTAY_DRAIN_TIMEOUT"] = "30s"
        self.env["BACKSTAY_MIN_INTERVAL"] = "60s"  # only an end in good order ships at once

    def start(self, code, *options, under=(), **more):
        return subprocess.Popen([*under, TOOL, "run", *options, "--", PYTHON, "-c", APP + code, self.db], text=True,
                                env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)

    def ended(self, process, status):
        """With this exit status: its log."""
        out, err = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, status, err)
        self.out = out
        return [json.loads(line) for line in err.splitlines()]

    def shipped_behind(self, log, words):
        told = [(line["level"], line["db"]) for line in log
                if line["msg"].startswith("shipped what the application had not") and words in line["msg"]]
        self.assertEqual(told, [("INFO", self.db)], log)
        self.assert_restores()

    def test_the_tail_of_a_killed_application(self):
        self.shipped_behind(self.ended(self.start("os.kill(os.getpid(), 9)"), -9), "signal 9 (Killed)")
        self.shipped_behind(self.ended(self.start("os._exit(3)"), 3), "exit status 3")

    def test_nothing_is_left_by_an_end_in_good_order(self):
        log = self.ended(self.start("c.close(); sys.exit(4)"), 4)
        self.assertEqual([line for line in log if "application" in line["msg"]], [])
        self.assert_restores()

    def test_databases_of_a_glob(self):
        self.env["BACKSTAY_DB"] = os.path.join(self.disk, "*.db")
        self.env["BACKSTAY_REPLICA_URL"] = self.url + "/{name}"
        code = f"""
d = sqlite3.connect({os.path.join(self.disk, "b.db")!r}, isolation_level=None)
d.execute("CREATE TABLE u AS SELECT 1")
os.kill(os.getpid(), 9)"""
        log = self.ended(self.start(code), -9)
        self.assertEqual(len([line for line in log if line["msg"].startswith("shipped what")]), 2, log)
        self.assert_restores(url=self.url + "/app.db")
        self.assert_restores(db=os.path.join(self.disk, "b.db"), url=self.url + "/b.db")

    def test_databases_of_a_folder_and_those_below_it(self):
        below = os.path.join(self.disk, "x", "y")
        os.makedirs(below)
        config = os.path.join(self.folder, "config.json")
        with open(config, "w", encoding="utf-8") as file:
            json.dump({"dbs": [{"dir": self.disk, "pattern": "*.db", "recursive": True,
                                "replicas": [{"url": self.url + "/{name}"}]}]}, file)
        del self.env["BACKSTAY_DB"], self.env["BACKSTAY_REPLICA_URL"]
        code = f"""
d = sqlite3.connect({os.path.join(below, "b.db")!r}, isolation_level=None)
d.execute("CREATE TABLE u AS SELECT 1")
os.kill(os.getpid(), 9)"""
        log = self.ended(self.start(code, "-config", config), -9)
        self.assertEqual(len([line for line in log if line["msg"].startswith("shipped what")]), 2, log)
        self.assert_restores(url=self.url + "/app.db")
        self.assert_restores(db=os.path.join(below, "b.db"), url=self.url + "/x/y/b.db")
        said = self.tool("run", "-restore", "-config", config, "--", "true", code=125).stderr
        self.assertIn("a folder in it is a wildcard", said)

    def test_a_replica_that_is_away_holds_no_end_up(self):
        os.rmdir(self.replica)
        with open(self.replica, "w", encoding="utf-8"):
            pass
        start = time.monotonic()
        log = self.ended(self.start("os.kill(os.getpid(), 9)"), -9)
        self.assertLess(time.monotonic() - start, 30)
        [line] = [line for line in log if "is not in every replica" in line["msg"]]
        self.assertEqual(line["level"], "WARN")
        # The remedy that it names.
        os.remove(self.replica)
        os.mkdir(self.replica)
        self.assertIn("is in " + self.url, self.tool("sync", self.db).stdout)
        self.assert_restores()

    def test_a_replica_that_another_writer_has_taken_over(self):
        self.ended(self.start("c.close()"), 0)
        other = os.path.join(self.disk, "other.db")
        self.tool("restore", "-o", other, self.url)
        subprocess.run(["sqlite3", other, "INSERT INTO t VALUES (99)"], check=True, env=self.env)
        self.tool("sync", other, BACKSTAY_DB=other, BACKSTAY_REPLICA_URL=self.url)
        log = self.ended(self.start("os.kill(os.getpid(), 9)"), -9)
        [line] = [line["msg"] for line in log if "is not in every replica" in line["msg"]]
        self.assertNotIn("next start", line)
        self.assertIn(f"does not follow before this is settled: {self.url}: a newer writer owns", line)
        self.assertIn("backstay adopt " + self.db, line)

    def test_signals_are_passed_on(self):
        code = """
got = []
for name in ("SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGTERM"):
    signal.signal(getattr(signal, name), lambda number, frame: got.append(number))
print(signal.pthread_sigmask(signal.SIG_BLOCK, []), flush=True)
while len(got) < 6: time.sleep(0.01)
print(sorted(got))"""
        process = self.start(code, start_new_session=True)
        self.assertEqual(process.stdout.readline(), "set()\n")  # none is blocked for the application
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH):
            process.send_signal(number)
        os.killpg(process.pid, signal.SIGTERM)
        self.ended(process, 0)
        wanted = [signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM, signal.SIGWINCH]
        self.assertEqual(self.out, f"{[int(number) for number in sorted(wanted)]}\n")

    def test_a_signal_without_a_handler_ends_both(self):
        process = self.start("print(flush=True); signal.pause()")
        process.stdout.readline()
        process.terminate()
        self.shipped_behind(self.ended(process, -signal.SIGTERM), "signal 15")

    def test_the_application_does_not_outlive_it(self):
        process = self.start("print(os.getpid(), flush=True); signal.pause()")
        pid = int(process.stdout.readline())
        process.kill()
        process.communicate(timeout=PATIENCE)
        self.wait_for("the end of the application", lambda: not os.path.exists(f"/proc/{pid}"))

    def test_job_control(self):
        """A terminal stops both, the shell sees it, and both go on."""
        pid, terminal = pty.fork()
        if pid == 0:
            # As a shell does: the job is a process group of its own, in front.
            signal.signal(signal.SIGTTOU, signal.SIG_IGN)
            child = subprocess.Popen([TOOL, "run", "--", PYTHON, "-c", "print('up', flush=True); input(); print('down')"],
                                     env=self.env, preexec_fn=lambda: (os.setpgid(0, 0), os.tcsetpgrp(0, os.getpid())),
                                     restore_signals=True)
            _, status = os.waitpid(child.pid, os.WUNTRACED)
            print("stopped", os.WIFSTOPPED(status), flush=True)
            os.tcsetpgrp(0, child.pid)
            os.killpg(child.pid, signal.SIGCONT)
            os.kill(os.getppid(), 0)
            _, status = os.waitpid(child.pid, 0)
            os._exit(os.waitstatus_to_exitcode(status))
        seen = ""

        def until(text):
            nonlocal seen
            while text not in seen:
                seen += os.read(terminal, 1000).decode()
        until("up")
        os.write(terminal, b"\x1a")
        until("stopped True")
        os.write(terminal, b"\n")
        until("down")
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0, seen)
        os.close(terminal)

    def test_a_hang_up_of_the_terminal(self):
        """The kernel tells the leader of the session alone, which `run` is here."""
        pid, terminal = pty.fork()
        if pid == 0:
            code = ("import signal, sys, time; signal.signal(signal.SIGHUP, lambda *_: sys.exit(7)); print('up', flush=True)\n"
                    "while True: time.sleep(0.05)")
            os.execve(TOOL, [TOOL, "run", "--", PYTHON, "-c", code], self.env)
        ended = None
        try:
            seen = b""
            while b"up" not in seen:
                seen += os.read(terminal, 1000)
            os.close(terminal)
            ended = self.wait_for("the end of both", lambda: (s := os.waitpid(pid, os.WNOHANG))[0] and s)
        finally:
            if ended is None:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        self.assertEqual(os.waitstatus_to_exitcode(ended[1]), 7)

    @unittest.skipUnless(may_unshare(), "needs the right to make a PID namespace")
    def test_as_the_first_process(self):
        """It collects what others leave behind, and SIGTERM without a handler ends the application."""
        code = """
orphans = [os.fork() for _ in range(3)]
if 0 in orphans:
    if os.fork() == 0: print(end="", flush=True); time.sleep(0.05)
    os._exit(0)
for pid in orphans: os.waitpid(pid, 0)
while len([p for p in os.listdir("/proc") if p.isdigit()]) > 2: time.sleep(0.01)
print(os.getppid(), flush=True)
signal.pause()"""
        process = self.start(code, under=NAMESPACE)
        self.assertEqual(process.stdout.readline(), "1\n")
        [first] = subprocess.check_output(["pgrep", "-P", str(process.pid)], text=True).split()
        os.kill(int(first), signal.SIGTERM)
        self.shipped_behind(self.ended(process, 143), "signal 15")


@unittest.skipIf(SANITIZER, "the preload library does not go with a sanitizer's runtime")
class RestoreFirstTest(EngineCase):
    """`run -restore`: the disk is lost between two lives of an application."""

    def setUp(self):
        super().setUp()
        self.place = os.path.join(self.replica, "deep")
        os.makedirs(self.place)
        self.env["BACKSTAY_DB"] = os.path.join(self.disk, "*.db")
        self.env["BACKSTAY_REPLICA_URL"] = f"file://{self.place}/of-{{name}}/x"

    def life(self, *options, paths=("app.db",), code=0, **env):
        """Each adds a row to each database: how many there are then, and what was said."""
        script = """
import sqlite3, sys
for path in sys.argv[1:]:
    with sqlite3.connect(path) as c:
        c.execute("CREATE TABLE IF NOT EXISTS t(a)")
        c.execute("INSERT INTO t VALUES (1)")
        print(c.execute("SELECT count(*) FROM t").fetchone()[0])
"""
        done = self.tool("run", *options, "--", PYTHON, "-c", script, *[os.path.join(self.disk, p) for p in paths],
                         code=code, **env)
        return [int(line) for line in done.stdout.split()], done.stderr

    def test_every_database_comes_back(self):
        paths = ("app.db", "b.db")
        self.assertEqual(self.life("-restore", paths=paths)[0], [1, 1])  # no replica yet
        self.assertEqual(self.life("-restore", paths=paths)[0], [2, 2])  # there
        self.new_disk()
        rows, said = self.life("-restore", paths=paths)
        self.assertEqual(rows, [3, 3])
        self.assertEqual(said.count("restored " + self.disk), 2, said)

    def test_of_a_configuration_file(self):
        config = os.path.join(self.folder, "config.json")
        with open(config, "w", encoding="utf-8") as file:
            replicas = [{"url": f"file://{self.place}/{name}"} for name in ("one", "two")]
            json.dump({"dbs": [{"path": self.db, "replicas": replicas}]}, file)
        del self.env["BACKSTAY_DB"], self.env["BACKSTAY_REPLICA_URL"]
        for name in ("one", "two"):
            os.mkdir(os.path.join(self.place, name))
        for rows in ([1], [2]):
            self.assertEqual(self.life("-restore", "-config", os.path.relpath(config))[0], rows)
            self.new_disk()
        shutil.rmtree(os.path.join(self.place, "two"))
        self.assertEqual(self.life("-restore", "-config", config)[0], [3])

    def test_nothing_is_started_where_a_restore_fails(self):
        self.life()
        self.new_disk()
        shutil.rmtree(os.path.join(self.place, "of-app.db", "x", "snapshot"))
        rows, said = self.life("-restore", code=125)
        self.assertEqual((rows, os.listdir(self.disk)), ([], []))
        self.assertIn('"level":"ERROR"', said)
        self.assertRegex(said, "the application is not started: a restore ended with exit status 4: restore: .*no snapshot to start from")
        shutil.rmtree(self.place)
        self.assertIn("as when a file system is not mounted", self.life("-restore", code=125)[1])

    def test_told_to_end_while_it_restores(self):
        """An ordinary stop of a pod: no error, no application, and an end by the signal."""
        server = socket.create_server(("127.0.0.1", 0))  # which never answers
        self.addCleanup(server.close)
        server.settimeout(PATIENCE)
        url = f"s3://bucket/p?endpoint=http://127.0.0.1:{server.getsockname()[1]}"
        keys = {"BACKSTAY_ACCESS_KEY_ID": "a", "BACKSTAY_SECRET_ACCESS_KEY": "b"}
        process = subprocess.Popen([TOOL, "run", "-restore", "--", "echo", "started"], text=True, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env={**self.env, **keys, "BACKSTAY_DB": self.db,
                                                                "BACKSTAY_REPLICA_URL": url, "BACKSTAY_LOG_FORMAT": "json"})
        connection = server.accept()[0]
        process.terminate()
        out, err = process.communicate(timeout=PATIENCE)
        connection.close()
        self.assertEqual((process.returncode, out), (-signal.SIGTERM, ""), err)
        self.assertEqual({json.loads(line)["level"] for line in err.splitlines()}, {"INFO"}, err)
        self.assertIn("the application is not started: told to end by signal 15 (Terminated)", err)

    def test_what_cannot_be_known(self):
        folders = os.path.join(self.disk, "*", "x.db")
        self.assertIn("a folder in it is a wildcard", self.life("-restore", code=125, BACKSTAY_DB=folders)[1])
        self.assertIn("no setting names a database",
                      self.life("-restore", code=125, BACKSTAY_DB="", BACKSTAY_REPLICA_URL=self.url)[1])
        self.assertIn("unknown", self.life("-restore", code=125, BACKSTAY_DBS="x")[1])


@unittest.skipIf(SANITIZER, "the tool loads the extension, which wants the sanitizer's runtime first")
class SyncTest(EngineCase):
    def write(self, rows):
        subprocess.run(["sqlite3", self.db, f"CREATE TABLE IF NOT EXISTS t(a); INSERT INTO t SELECT value FROM "
                        f"generate_series(1, {rows})"], check=True, env=self.env)

    def test_a_database_whose_application_has_no_backstay(self):
        os.mkdir(self.replica)
        for rows in (10, 20):
            self.write(rows)
            done = self.tool("sync", self.db)
            self.assertEqual(done.stdout, f"everything committed in {self.db} is in {self.url}\n")
            self.assertEqual(done.stderr, "")
            self.assert_restores()

    def test_what_is_wrong(self):
        self.assertIn("not there", self.tool("sync", self.db, code=2).stderr)
        self.write(1)
        self.assertIn("no replica is configured", self.tool("sync", self.db, code=2, BACKSTAY_REPLICA_URL="",
                                                            BACKSTAY_DB="").stderr)
        self.assertIn("-timeout", self.tool("sync", "-timeout", "5", self.db, code=2).stderr)
        with open(self.replica, "w", encoding="utf-8"):
            pass
        said = self.tool("sync", "-timeout", "100ms", self.db, code=1).stderr
        self.assertIn(f"is in every replica; {self.url}: ", said)
        with open(self.db, "w", encoding="utf-8") as file:
            file.write("no database" * 100)
        self.assertIn("not a database", self.tool("sync", self.db, code=1).stderr)

    def test_what_has_waited_in_earlier_lives_counts(self):
        with open(self.replica, "w", encoding="utf-8"):
            pass
        folder = self.db + "-backstay"
        self.write(1)
        self.tool("sync", "-timeout", "1s", self.db, code=1, BACKSTAY_DRAIN_TIMEOUT="100ms")
        began = time.time() - 3 * 86400
        os.utime(os.path.join(folder, "lock"), (began, began))
        self.tool("sync", "-timeout", "1s", self.db, code=1, BACKSTAY_DRAIN_TIMEOUT="100ms")
        with open(os.path.join(folder, "status.json"), encoding="utf-8") as file:
            [replica] = json.load(file)["replicas"]
        self.assertGreater(replica["lag_ms"], 3 * 86400 * 1000 - 1000)

    def test_a_server_that_is_silent_is_named(self):
        self.write(1)
        with socket.create_server(("127.0.0.1", 0)) as server:
            server_url = f"http://127.0.0.1:{server.getsockname()[1]}"
            url = f"s3://bucket/app?endpoint={server_url}"
            said = self.tool("sync", "-timeout", "1s", self.db, code=1, BACKSTAY_REPLICA_URL=url, AWS_ACCESS_KEY_ID="a",
                             AWS_SECRET_ACCESS_KEY="b", BACKSTAY_DRAIN_TIMEOUT="100ms").stderr
        self.assertIn(f"is in every replica; s3://bucket/app: s3://bucket/app at {server_url} did not answer within 1s", said)

    def test_replicate_follows_programs_without_backstay(self):
        os.mkdir(self.replica)
        process = subprocess.Popen(["nohup", TOOL, "replicate"], env=self.env, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.kill)
        subprocess.run(["sqlite3", self.db, "PRAGMA journal_mode=WAL"], check=True, env=self.env, capture_output=True)
        for rows in (5, 10):
            self.write(rows)
            self.wait_for("the rows", lambda: self.restored_rows() >= rows)
            process.send_signal(signal.SIGHUP)  # which nohup lets it ignore
        self.write(3)
        process.terminate()
        said = process.communicate(timeout=PATIENCE)[1]
        self.assertEqual((process.returncode, self.restored_rows()), (0, 18), said)
        self.assertIn("no setting names a database", self.tool("replicate", code=2, BACKSTAY_DB="").stderr)

    def test_replicate_follows_into_wal_mode(self):
        """Which another program turns on, while the connection of ours is idle."""
        os.mkdir(self.replica)
        self.env["BACKSTAY_MIN_INTERVAL"] = "100ms"
        self.write(2)
        process = subprocess.Popen([TOOL, "replicate"], env=self.env, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.kill)
        self.wait_for("the rows", lambda: self.restored_rows() >= 2)
        subprocess.run(["sqlite3", self.db, "PRAGMA journal_mode=WAL"], check=True, env=self.env, capture_output=True)
        self.write(3)
        self.wait_for("the rows of the WAL", lambda: self.restored_rows() >= 5)
        self.wait_for("an idle state", lambda: json.loads(self.tool("status", "-json", self.db).stdout)["state"]
                      == "replicating")
        process.terminate()
        said = process.communicate(timeout=PATIENCE)[1]
        self.assertEqual(process.returncode, 0, said)

    def restored_rows(self):
        out = os.path.join(self.folder, "restored.db")
        if subprocess.run([TOOL, "restore", "-force", "-o", out, self.url], env=self.env, capture_output=True).returncode:
            return 0
        return int(subprocess.run(["sqlite3", out, "SELECT count(*) FROM t"], capture_output=True, text=True).stdout or 0)


if __name__ == "__main__":
    unittest.main()
