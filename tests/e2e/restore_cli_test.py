#!/usr/bin/python3
"""backstay restore as a user runs it, on replicas of real databases."""
import contextlib
import glob
import itertools
import json
import os
import random
import resource
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import threading
import time
import unittest

from restore_cli_world import TOOL, RestoreCase, read, write


class RestoreTest(RestoreCase):
    def test_latest(self):
        done = self.run_tool("restore", self.db)
        self.assertIn("transaction 3", done.stdout)
        self.assert_nothing_left("app.db", "app.db-backstay")
        self.assert_restored(2)

    def test_txid_and_time(self):
        result = json.loads(self.run_tool("restore", "-txid", "2", "-json", self.db).stdout)
        self.assertEqual((result["txid"], result["latest"], result["restored"]), (2, False, True))
        self.assert_restored(1)
        other = os.path.join(self.data, "other.db")
        self.run_tool("restore", "-o", other, "--timestamp=" + result["time"], self.url, url=False)
        self.assert_restored(1, other)
        done = self.run_tool("restore", "-o", other + "2", "-txid", "1", self.url, "-integrity-check",
                             "full", url=False)
        self.assertNotIn("warning", done.stderr)
        self.assert_restored(0, other + "2")

    def test_packed(self):
        packed = os.path.join(self.folder, "packed")
        self.make(packed, self.states, MAKER_PACK="1")
        self.run_tool("restore", "-o", self.db, "file://" + packed, url=False)
        self.assert_restored(2)

    def test_options_anywhere_and_either_way(self):
        self.run_tool("restore", self.db, "--integrity-check=quick", "-parallelism", "1")
        self.assert_restored(2)

    def test_dry_run_changes_nothing(self):
        result = json.loads(self.run_tool("restore", "-dry-run", "-json", self.db).stdout)
        self.assertEqual((result["txid"], result["restored"]), (3, False))
        self.assertGreater(result["snapshot_bytes"], 0)
        self.assert_nothing_left()

    # Init containers.

    def test_if_db_not_exists(self):
        write(self.db, b"anything")
        self.run_tool("restore", "-if-db-not-exists", "-if-replica-exists", self.db)
        self.assertEqual(read(self.db), b"anything")
        # Nothing is requested, so an unreachable replica does not matter.
        self.run_tool("restore", "-if-db-not-exists", self.db, url=False,
                      BACKSTAY_REPLICA_URL="s3://bucket/p?endpoint=http://127.0.0.1:1")
        self.assert_nothing_left("app.db")

    def test_if_replica_exists(self):
        missing = {"BACKSTAY_REPLICA_URL": "file://" + self.folder + "/none"}
        self.run_tool("restore", self.db, code=3, url=False, **missing)
        self.run_tool("restore", "-if-replica-exists", self.db, url=False, **missing)
        self.assert_nothing_left()

    def test_replica_that_cannot_be_read_is_not_missing(self):
        unreachable = "s3://bucket/p?endpoint=http://127.0.0.1:1"
        self.run_tool("restore", "-if-replica-exists", self.db, code=1, url=False,
                      BACKSTAY_REPLICA_URL=unreachable, AWS_ACCESS_KEY_ID="a",
                      AWS_SECRET_ACCESS_KEY="b")
        os.remove(os.path.join(self.replica, "backstay.json"))
        self.run_tool("restore", "-if-replica-exists", self.db, code=4)
        self.assert_nothing_left()

    def test_first_snapshot_never_finished(self):
        os.remove(glob.glob(os.path.join(self.replica, "snapshot", "*", "manifest"))[0])
        self.run_tool("restore", self.db, code=3)
        self.run_tool("restore", "-if-replica-exists", self.db)
        self.assert_nothing_left()

    def test_deleted_snapshots_are_damage_not_nothing(self):
        shutil.rmtree(os.path.join(self.replica, "snapshot"))
        done = self.run_tool("restore", "-if-replica-exists", self.db, code=4)
        self.assertIn("snapshot/", done.stderr)
        os.remove(os.path.join(self.replica, "log", "%016x" % 1))
        self.run_tool("restore", "-if-replica-exists", self.db, code=4)
        self.assert_nothing_left()

    def test_objects_of_another_program_are_not_nothing(self):
        shutil.rmtree(self.replica)
        os.mkdir(self.replica)
        self.run_tool("restore", "-if-replica-exists", self.db)
        write(os.path.join(self.replica, "photo.jpg"), b"")
        done = self.run_tool("restore", "-if-replica-exists", self.db, code=1)
        self.assertIn("photo.jpg", done.stderr)
        self.assert_nothing_left()

    def test_a_file_that_holds_nothing_is_no_database(self):
        for content in b"", b"SQLite format 3", bytes(100):
            write(self.db, content)
            self.run_tool("restore", "-if-db-not-exists", "-if-replica-exists", self.db)
            self.assert_restored(2)
        self.assert_nothing_left("app.db", "app.db-backstay")
        for suffix in "-wal", "-journal":
            shutil.rmtree(self.data)
            os.mkdir(self.data)
            write(self.db, b"")
            write(self.db + suffix, b"what a crash has left")
            self.run_tool("restore", "-if-db-not-exists", self.db)
            self.run_tool("restore", self.db, code=1)
            self.assert_nothing_left("app.db", "app.db" + suffix)
            self.assertEqual(read(self.db), b"")
            write(self.db + suffix, b"")
            self.run_tool("restore", self.db)
            self.assert_restored(2)

    def test_an_empty_file_that_is_open_is_left_alone(self):
        with open(self.db, "w") as file:
            done = self.run_tool("restore", "-if-db-not-exists", self.db, code=1)
            self.assertIn("open in process", done.stderr)
            self.assertEqual(os.fstat(file.fileno()).st_size, 0)

    def mode_of(self, path=None):
        return stat.S_IMODE(os.stat(path or self.db).st_mode)

    def test_permissions(self):
        for mask, mode in (0o022, 0o644), (0o002, 0o664), (0o077, 0o600):
            self.run_tool("restore", "-force", "-o", self.db + oct(mask), self.url,
                          before=lambda mask=mask: os.umask(mask))
            self.assertEqual(self.mode_of(self.db + oct(mask)), mode)
        self.run_tool("restore", "-mode", "660", self.db)
        self.assertEqual(self.mode_of(), 0o660)
        self.assertEqual(self.mode_of(self.db + "-backstay") & 0o770, 0o770)
        for wrong in "888", "777", "044", "x":
            self.run_tool("restore", "-force", "-mode", wrong, self.db, code=2)

    def test_a_folder_that_a_group_shares(self):
        os.chmod(self.data, 0o2775)
        self.run_tool("restore", self.db, before=lambda: os.umask(0o022))
        self.assertEqual(self.mode_of(), 0o664)
        self.assertEqual(self.mode_of(self.db + "-backstay"), 0o2770)
        self.assertEqual(self.mode_of(self.db + "-backstay/index"), 0o660)
        if os.geteuid() == 0:
            os.chown(self.data, 0, 54321)
            self.run_tool("restore", "-o", self.db + "2", self.url)
            for suffix in "2", "2-backstay", "2-backstay/index":
                self.assertEqual(os.stat(self.db + suffix).st_gid, 54321)

    # Refusals leave everything as it was.

    def test_usage(self):
        for arguments in (["restore"], ["restore", "-nonsense", self.db], ["nonsense"], [],
                          ["restore", "-txid", "x", self.db], ["restore", self.url],
                          ["restore", "-timestamp", "2026-02-30T00:00:00Z", self.db],
                          ["restore", "-timestamp", "2026-02-03T00:00:00Z", "-txid", "1", self.db],
                          ["restore", "-config", self.folder + "/none.json", self.db]):
            done = self.run_tool(*arguments, code=2)
            self.assertTrue(done.stderr, arguments)
        self.assertIn("BACKSTAY_REPLICA_URL",
                      self.run_tool("restore", self.db, code=2, url=False).stderr)
        for number in "-1", "18446744073709551615", "x":
            done = self.run_tool("restore", "-txid", number, self.db, code=2)
            self.assertIn(f" -txid: `{number}` is no transaction", done.stderr)
        self.assertIn("DB|URL is missing", self.run_tool("restore", code=2).stderr)
        self.assertIn("7d", self.run_tool("prune", "-retention", "0s", self.url, code=2).stderr)
        self.assertIn("backstay list", self.run_tool("status", self.url, code=2).stderr)
        self.assert_nothing_left()

    def test_no_restore_point_that_fits(self):
        self.run_tool("restore", "-txid", "9", self.db, code=3)
        self.run_tool("restore", "-timestamp", "2001-01-01T00:00:00+01:00", self.db, code=3)
        self.assert_nothing_left()

    def test_damage(self):
        logs = sorted(os.listdir(os.path.join(self.replica, "log")))
        self.damage("log/" + logs[-1])
        done = self.run_tool("restore", self.db, code=4)
        self.assertIn("-txid 2", done.stderr)
        self.assert_nothing_left()
        self.run_tool("restore", "-txid", "2", self.db)
        self.assert_restored(1)

    def test_target_exists(self):
        write(self.db, b"precious")
        self.run_tool("restore", self.db, code=1)
        self.assertEqual(read(self.db), b"precious")
        self.assert_nothing_left("app.db")

    def test_folder_missing(self):
        done = self.run_tool("restore", self.data + "/none/app.db", code=1)
        self.assertIn(self.data + "/none", done.stderr)

    def test_another_restore_is_under_way(self):
        import fcntl
        with open(self.db + ".backstay-restore", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            self.run_tool("restore", self.db, code=1)
            self.assert_nothing_left("app.db.backstay-restore")

    def test_no_space(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (50000, 50000))
        done = self.run_tool("restore", self.db, code=1, before=limit)
        self.assertIn("File too large", done.stderr)
        self.assert_nothing_left()
        write(self.db, b"precious")
        self.run_tool("restore", "-force", self.db, code=1, before=limit)
        self.assertEqual(read(self.db), b"precious")
        self.assert_nothing_left("app.db")

    # -force.

    def test_force_replaces_and_clears_what_is_stale(self):
        shutil.copy(self.states[0], self.db)
        os.chmod(self.db, 0o640)
        old = sqlite3.connect(self.db, isolation_level=None)
        old.execute("INSERT INTO t(text) VALUES('only in the WAL')")
        wal = read(self.db + "-wal")
        old.close()
        write(self.db + "-wal", wal)
        write(self.db + "-shm", b"\0" * 32768)
        write(self.db + "-journal", b"stale")
        os.mkdir(self.db + "-backstay")
        write(self.db + "-backstay/outbox", b"stale")
        self.run_tool("restore", "-force", self.db)
        self.assertEqual(stat.S_IMODE(os.stat(self.db).st_mode), 0o640)
        self.assert_nothing_left("app.db", "app.db-backstay")
        self.assertFalse(os.path.exists(self.db + "-backstay/outbox") and
                         read(self.db + "-backstay/outbox") == b"stale")
        self.assert_restored(2)

    def test_force_that_fails_at_the_end_leaves_what_was(self):
        """The file is a mount point, as of a container: it cannot be renamed over."""
        shutil.copy(self.states[0], self.db)
        os.mkdir(self.db + "-backstay")
        write(self.db + "-backstay/outbox", b"unshipped")
        if subprocess.run(["mount", "--bind", self.states[0], self.db], capture_output=True).returncode:
            self.skipTest("no right to mount")
        try: self.run_tool("restore", "-force", self.db, code=1)
        finally: subprocess.run(["umount", self.db], check=True)
        self.assertEqual(read(self.db + "-backstay/outbox"), b"unshipped")

    def test_through_a_link(self):
        """To where it leads, be it there or not; the state is where the application looks for it."""
        volume = os.path.join(self.folder, "volume")
        os.mkdir(volume)
        os.symlink("../volume/app.db", self.db)
        for options in ([], ["-force"]):
            self.run_tool("restore", *options, "-o", self.db, self.url)
            self.assertEqual(sorted(os.listdir(volume)), ["app.db", "app.db-backstay"])
            self.assertTrue(os.path.islink(self.db))
            self.assert_restored(2)

    def test_stale_wal_without_a_database(self):
        write(self.db + "-wal", b"stale")
        self.run_tool("restore", self.db)
        self.assert_nothing_left("app.db", "app.db-backstay")
        self.assert_restored(2)

    def test_force_refuses_an_open_database(self):
        for mode in ("wal", "delete"):
            shutil.copy(self.states[0], self.db)
            held = sqlite3.connect(self.db, isolation_level=None)
            held.execute("PRAGMA journal_mode=" + mode)
            held.execute("SELECT count(*) FROM t").fetchall()
            before = read(self.db)
            done = self.run_tool("restore", "-force", self.db, code=1)
            self.assertIn("open", done.stderr)
            self.assertIn(str(os.getpid()), done.stderr)
            self.assertEqual(read(self.db), before)
            self.assertEqual(held.execute("SELECT count(*) FROM t").fetchone(), (100,))
            held.close()
            self.run_tool("restore", "-force", self.db)
            self.assert_restored(2)

    def test_killed_restore_is_taken_over(self):
        write(self.db + ".backstay-restore", b"half" * 100000)
        self.run_tool("restore", self.db)
        self.assert_nothing_left("app.db", "app.db-backstay")
        self.assert_restored(2)

    def test_killed_between_moving_the_wal_and_the_rename(self):
        shutil.copy(self.states[0], self.db)
        write(self.db + ".backstay-restore", b"whole")
        write(self.db + ".backstay-restore-wal", b"its wal")
        self.damage("backstay.json")
        self.run_tool("restore", "-force", self.db, code=4)
        self.assertEqual(read(self.db + "-wal"), b"its wal")
        self.assert_nothing_left("app.db", "app.db-wal")

    def test_killed_anywhere_leaves_the_old_or_the_new(self):
        for seed in range(40):
            shutil.copy(self.states[0], self.db)
            process = subprocess.Popen([TOOL, "restore", "-force", "-o", self.db, self.url],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                process.wait(timeout=random.Random(seed).random() * 0.03)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            self.assertIn(read(self.db), (read(self.states[0]), read(self.states[2])))
        self.run_tool("restore", "-force", self.db)
        self.assert_nothing_left("app.db", "app.db-backstay")
        self.assert_restored(2)

    @contextlib.contextmanager
    def server(self, *pieces):
        """Takes connections, and sends one piece every 50 ms for ever once it is asked."""
        def serve(connection):
            with contextlib.suppress(OSError), connection:
                connection.recv(65536)
                for piece in itertools.chain(pieces[:1], itertools.cycle(pieces[1:] or (b"",))):
                    connection.sendall(piece)
                    time.sleep(0.05)

        def accept():
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=accept)
            thread.start()
            yield "127.0.0.1:%d" % listener.getsockname()[1]
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()

    def silent_tool(self, endpoint, *arguments):
        return subprocess.Popen(
            [TOOL, *arguments, "-patience", "1s", "s3://bucket/p?endpoint=" + endpoint], stderr=subprocess.PIPE,
            text=True, env={**os.environ, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"})

    def test_a_server_from_which_nothing_comes_is_given_up(self):
        head = b"HTTP/1.1 200 OK\r\n"
        with self.server() as silent, self.server(head, b"X: y\r\n") as heads, \
                self.server(head + b"Content-Length: 9999\r\n\r\n", b"{") as bytes_, \
                socket.create_server(("127.0.0.1", 0)) as closed:
            refused = "127.0.0.1:%d" % closed.getsockname()[1]
            closed.close()
            targets = map(str, itertools.count())
            tools = [(self.silent_tool(scheme + address, *command()), address, word)
                     for command in (lambda: ("restore", "-o", self.db + next(targets)), lambda: ("list",))
                     for scheme, address, word in (
                         ("http://", silent, "the server has been silent"),
                         ("http://", heads, "the server has been silent"),
                         ("http://", bytes_, "the server has been silent"),
                         ("https://", silent, "no connection for"), ("http://", refused, "connect"))]
            for tool, address, word in tools:
                _, errors = tool.communicate(timeout=60)
                self.assertEqual(tool.returncode, 1, errors)
                self.assertIn(word, errors)
                self.assertIn(address, errors.splitlines()[-1])
                self.assertIn("nothing has come from the replica for", errors)
                self.assertIn("-patience", errors)
        self.assert_nothing_left()

    def test_another_replica_is_asked_in_place_of_a_silent_one(self):
        config = os.path.join(self.folder, "config.json")
        with self.server() as silent, open(config, "w", encoding="utf-8") as file:
            url = f"s3://bucket/p?endpoint=http://{silent}"
            json.dump({"dbs": [{"path": self.db, "replicas": [
                {"url": url, "access-key-id": "a", "secret-access-key": "b"}, {"url": self.url}]}]}, file)
            file.flush()
            done = self.run_tool("restore", "-config", config, "-patience", "1s", self.db, url=False)
        self.assertIn("nothing has come from the replica for", done.stderr)
        self.assertIn("trying the next replica", done.stderr)
        self.assert_restored(2)

    def test_signal_ends_it_in_good_order(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            process = subprocess.Popen(
                [TOOL, "restore", "-o", self.db,
                 "s3://bucket/p?endpoint=http://127.0.0.1:%d" % silent.getsockname()[1]],
                stderr=subprocess.PIPE, text=True,
                env={**os.environ, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"})
            connection, _ = silent.accept()
            connection.recv(1)
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=20)
            connection.close()
        self.assertEqual(process.returncode, 1, errors)
        self.assertIn("restore:", errors)
        self.assert_nothing_left()


if __name__ == "__main__":
    unittest.main(verbosity=1)
