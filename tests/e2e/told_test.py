#!/usr/bin/python3
"""What a database that is not protected says: once at first, and true words about what becomes of the rest."""

import json
import os
import socketserver
import subprocess
import threading
import unittest

from engine_world import BUILD, App
from lifecycle_world import ROWS, SCHEMA, LifecycleCase


class StoppedTest(LifecycleCase):
    def refused(self):
        """A replica that is another database's."""
        self.started(rows=10).close()
        self.new_disk()

    def test_a_database_opened_for_each_request_is_told_once(self):
        self.refused()
        app = App(self, open_it=False)
        for i in range(6):
            app.do("c = connect(); sql('CREATE TABLE IF NOT EXISTS t(x)'); sql('INSERT INTO t VALUES(1)')")
            self.wait_for_state(app, "error")
            app.do("c.close()")
            # Its engine has ended, and the next opening begins anew.
            self.wait_for("its end", lambda: app.do(
                "import os; result = [t for t in os.listdir('/proc/self/task')"
                " if 'backstay-work' in open(f'/proc/self/task/{t}/comm').read()]") == [])
        app.close()
        [message] = self.error_lines(app)
        self.assertIn("replication stopped", message)

    def told(self, *words):
        """The replica is another's, and the line names these remedies."""
        self.refused()
        app = self.opened()
        app.sql(SCHEMA)
        self.wait_for_state(app, "error")
        app.close()
        [message] = self.error_lines(app)
        for word in words:
            self.assertIn(word, message)

    def assert_cured(self, url=None, **env):
        app = self.opened(**env)
        app.sql(SCHEMA)
        app.sql(ROWS.format(10))
        self.assert_replicated(app, url=url)
        app.close()
        self.assertEqual(app.lines("ERROR"), [])

    def test_remedy_adopt(self):
        self.told("backstay adopt " + self.db)
        self.tool("adopt", self.db)
        self.assert_cured()

    def test_remedy_prefix_of_its_own(self):
        self.told("give this database a prefix of its own")
        other = self.url + "-other"
        app = self.opened(BACKSTAY_REPLICA_URL=other)
        self.assert_replicated(app, url=other)
        app.close()
        self.assertEqual(app.lines("ERROR"), [])

    def test_remedy_restore(self):
        self.told("restore it from there")
        self.tool("restore", "-force", self.db)
        self.assert_cured()

    def test_remedy_of_a_file_replaced_while_it_is_open(self):
        app = self.started(rows=10)
        app.sql("PRAGMA wal_checkpoint(TRUNCATE)")
        other = os.path.join(self.disk, "other.db")
        self.shell(SCHEMA + ";", ROWS.format(20) + ";", db=other)
        os.rename(other, self.db)
        self.wait_for_state(app, "error")
        [message] = self.error_lines(app)
        self.assertIn("close the database, and open it again", message)
        app.do("c.close(); c = connect(); sql('SELECT * FROM t')")
        self.wait_for("the next line", lambda: len(app.lines("ERROR")) == 2)
        self.assertIn("backstay adopt " + self.db, app.lines("ERROR")[1]["msg"])
        app.close()
        self.tool("adopt", self.db)
        self.assert_cured()


class SettingsTest(LifecycleCase):
    """What is wrong in the settings is told where their log goes, as far as that is known."""

    def setUp(self):
        super().setUp()
        self.log = os.path.join(self.folder, "log")

    def assert_told(self, *words, **env):
        app = self.opened(**env)
        app.sql(SCHEMA)
        app.close()
        self.assertEqual(app.stderr(), "")
        with open(self.log, encoding="utf-8") as file:
            [line] = [json.loads(line) for line in file]
        os.remove(self.log)
        self.assertEqual(line["level"], "ERROR")
        for word in words:
            self.assertIn(word, line["msg"])

    def config(self, **members):
        path = os.path.join(self.folder, "backstay.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"dbs": [{"path": self.db, "replicas": [{"url": self.url}]}], **members}, file)
        return path

    def test_in_the_environment(self):
        self.assert_told("BACKSTAY_DURABILTY", BACKSTAY_DURABILTY="sync", BACKSTAY_LOG_FILE=self.log)

    def test_in_the_environment_with_the_log_in_the_file(self):
        config = self.config(logging={"file": self.log})
        self.assert_told("BACKSTAY_DURABILTY", BACKSTAY_DURABILTY="sync", BACKSTAY_CONFIG=config)

    def test_in_the_file(self):
        config = self.config(unknown=1)
        self.assert_told("unknown", BACKSTAY_CONFIG=config, BACKSTAY_LOG_FILE=self.log)


class SilentServer(socketserver.ThreadingTCPServer):
    """Takes every request, and refuses them all once it speaks."""
    daemon_threads = True
    block_on_close = False

    class Asked(socketserver.StreamRequestHandler):
        def handle(self):
            while self.rfile.readline().strip():
                pass
            self.server.speaks.wait()
            self.wfile.write(b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    def __init__(self):
        super().__init__(("127.0.0.1", 0), self.Asked)
        self.speaks = threading.Event()
        self.env = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
                    "BACKSTAY_REPLICA_URL": f"s3://bucket/app?endpoint=http://127.0.0.1:{self.server_address[1]}"}
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *error):
        self.speaks.set()
        self.shutdown()
        super().__exit__(*error)


class SilenceTest(LifecycleCase):
    """A server that never answers is told long before a request to it is given up."""

    def test_by_the_tool(self):
        with SilentServer() as server, subprocess.Popen(
                [os.path.join(BUILD, "backstay"), "restore", "-o", self.db + ".out", server.env["BACKSTAY_REPLICA_URL"]],
                env={**self.env, **server.env, "BACKSTAY_LOG_FORMAT": "json"}, stderr=subprocess.PIPE, text=True) as tool:
            self.assertTrue(any("silent" in line for line in tool.stderr))
            # Which of several requests that was nobody knows: all are answered.
            server.speaks.set()
            self.assertTrue(any('"event":"recovered"' in line for line in tool.stderr))
            tool.kill()

    def test_by_the_engine(self):
        with SilentServer() as server:
            app = self.opened(**server.env)
            app.sql(SCHEMA)
            [line] = self.wait_for("a word", lambda: app.lines("WARN", "ERROR"))
            self.assertEqual(line["level"], "WARN")
            self.assertIn("backstay.json", line["msg"])
            self.assertIn("given up after 30 s", line["msg"])
            # Long before that.
            self.wait_for_state(app, "retrying")
            self.assertIn("silent", app.status()["replicas"][0]["error"])
            self.wait_for("the status of the tool", lambda: subprocess.run(
                [os.path.join(BUILD, "backstay"), "status", self.db], capture_output=True).returncode == 5)
            server.speaks.set()
            self.wait_for("an answer", lambda: [m for m in app.lines("INFO") if "answers again" in m["msg"]
                                                and m.get("event") == "recovered"])
            app.kill()


class ExitTest(LifecycleCase):
    """The last line of a process that could not ship everything."""

    def setUp(self):
        super().setUp()
        self.env["BACKSTAY_DRAIN_TIMEOUT"] = "300ms"

    def last_warning(self, app):
        return [line["msg"] for line in app.lines("WARN") if "exits" in line["msg"]]

    def assert_said(self, app, *words):
        app.close()
        [said] = self.last_warning(app)
        for word in words:
            self.assertIn(word, said)

    def outage(self):
        os.rename(self.replica, self.replica + ".away")
        open(self.replica, "w", encoding="utf-8").close()

    def test_the_replica_is_away(self):
        app = self.started()
        self.outage()
        app.sql(ROWS.format(10))
        self.wait_for_state(app, "retrying")
        self.assert_said(app, "the rest follows at the first start on this disk that reaches the replica", self.replica)
        os.remove(self.replica)
        os.rename(self.replica + ".away", self.replica)
        app = self.opened()
        self.assert_replicated(app)
        app.close()

    def test_the_state_folder_cannot_be_used(self):
        with open(self.state, "w", encoding="utf-8"):
            pass
        app = self.opened()
        app.sql(SCHEMA)
        self.wait_for_state(app, "error")
        self.assert_said(app, "the rest follows at the first start that can use its files", self.state)
        os.remove(self.state)
        app = self.opened()
        app.sql("SELECT * FROM t")
        self.assert_replicated(app)
        app.close()

    def test_replication_has_stopped(self):
        self.started().close()
        self.new_disk()
        app = self.opened()
        app.sql(SCHEMA)
        self.wait_for_state(app, "error")
        app.close()
        for said in self.last_warning(app):
            self.assertIn("no start ships the rest before that is settled", said)
            self.assertIn("belongs to another database", said)


if __name__ == "__main__":
    unittest.main()
