"""Which databases the settings select, and what is said of those that are left alone."""

import json
import os
import textwrap
import unittest

from vfs_support import ShimCase


class Selection(ShimCase):
    WRITE = """
        load(connect(":memory:"))
        c = wal(connect())
        c.execute("CREATE TABLE IF NOT EXISTS t(x)")
    """

    def opened(self, code=WRITE, **env):
        """Whether the engine was asked, with this environment and nothing else."""
        self.env.pop("BACKSTAY_REPLICA_URL", None)
        self.env.update(env)
        return bool([c for c in self.run_child(code) if c["call"] == "open"])

    def test_nothing_selects(self):
        self.assertFalse(self.opened())

    def test_replica_url_selects_every_database(self):
        self.assertTrue(self.opened(BACKSTAY_REPLICA_URL="file:///x"))

    def test_relative_path(self):
        self.assertTrue(self.opened(BACKSTAY_DB="app.db"))

    def test_other_path(self):
        self.assertFalse(self.opened(BACKSTAY_DB="b.db", BACKSTAY_REPLICA_URL="file:///x"))

    def test_glob(self):
        self.assertTrue(self.opened(BACKSTAY_DB=self.folder + "/*.db"))

    def test_glob_does_not_cross_folders(self):
        self.assertFalse(self.opened(BACKSTAY_DB=os.path.dirname(self.folder) + "/*.db"))

    def test_path_and_glob_through_a_link(self):
        link = os.path.join(self.folder, "link")
        os.symlink(self.folder, link)
        self.assertTrue(self.opened(BACKSTAY_DB=link + "/app.db"))
        os.unlink(self.log)
        self.assertTrue(self.opened(BACKSTAY_DB=link + "/a*.db"))

    def test_a_name_that_looks_like_a_glob(self):
        path = self.folder + "/app[1].db"
        settings = {"BACKSTAY_DB": path}, {"BACKSTAY_CONFIG": self.config(json.dumps({"dbs": [{"path": path}]}))}
        for env in settings:
            def opened(name, env=env):
                if os.path.exists(self.log):
                    os.unlink(self.log)
                return self.opened(self.WRITE.replace("connect())", f"connect(db.replace('app.db', '{name}')))"), **env)
            with self.subTest(env=env):
                self.assertTrue(opened("app1.db"), "no such file: a glob")
                self.assertTrue(opened("app[1].db"))
                self.assertFalse(opened("app1.db"), "the file is there: no glob")
                for name in ("app[1].db", "app1.db"):
                    os.unlink(os.path.join(self.folder, name))
                for key in env:
                    del self.env[key]

    def test_uri_parameter(self):
        self.assertTrue(self.opened("""
            load(connect(":memory:"))
            c = wal(connect("file:" + db + "?replica=file%3A%2F%2F%2Fx&backstay_y=1", uri=True))
            c.execute("CREATE TABLE t(x)")
            [call] = calls("open")
            assert call["replica"] == "file:///x", call
            assert call["params"]["backstay_y"] == "1", call
        """))

    def test_the_vfs_by_name(self):
        self.assertTrue(self.opened("""
            load(connect(":memory:"))
            c = wal(connect("file:" + db + "?vfs=backstay&replica=file:///x", uri=True))
            c.execute("CREATE TABLE t(x)")
        """))

    def config(self, text):
        path = os.path.join(self.folder, "backstay.json")
        with open(path, "w") as file:
            file.write(text)
        return path

    def test_config_file(self):
        path = self.config(json.dumps({"dbs": [{"path": self.db, "replicas": []}]}))
        self.assertTrue(self.opened(BACKSTAY_CONFIG=path))

    def test_config_file_with_another_database(self):
        path = self.config(json.dumps({"dbs": [{"path": "/other.db", "replicas": []}]}))
        self.assertFalse(self.opened(BACKSTAY_CONFIG=path))

    def test_a_broken_config_file_is_the_engines_to_report(self):
        self.assertTrue(self.opened(BACKSTAY_CONFIG=self.config("{")))
        os.unlink(self.log)
        self.assertTrue(self.opened(BACKSTAY_CONFIG="/does/not/exist"))

    def test_read_only_immutable_and_nolock_are_left_alone(self):
        self.run_child(self.WRITE)
        os.unlink(self.log)
        self.assertFalse(self.opened("""
            load(connect(":memory:"))
            for parameter in ("mode=ro", "immutable=1", "nolock=1"):
                c = connect("file:" + db + "?" + parameter, uri=True)
                try:
                    c.execute("SELECT * FROM t").fetchall()
                except sqlite3.OperationalError:
                    assert parameter == "nolock=1"
                assert status(c)["state"] == "off"
                c.close()
        """, BACKSTAY_REPLICA_URL="file:///x"))


    OTHERS = """
        load(connect(":memory:"))
        for name in names:
            for _ in range(2):
                connect(os.path.join(folder, name)).execute("CREATE TABLE IF NOT EXISTS t(x)")
    """

    def said_of(self, *names, **env):
        self.opened(f"names = {names}\n" + textwrap.dedent(self.OTHERS), **env)
        lines = [json.loads(line) for line in self.stderr.splitlines()]
        return [(line["level"], line["msg"]) for line in lines] + [
            ({1: "INFO", 2: "WARN", 3: "ERROR"}[call["level"]], call["message"]) for call in self.calls("log")]

    def test_a_program_that_selects_nothing_says_so_once(self):
        said = self.said_of("a.db", "b.db")
        self.assertEqual([level for level, _ in said], ["INFO"])
        self.assertIn("no database of this process is replicated", said[0][1])

    def test_a_configured_path_that_is_not_there_is_told(self):
        config = self.config(json.dumps({"dbs": [{"path": os.path.join(self.folder, name)} for name in (
            "app.db", "misspelt.db", "*.nothing")]}))
        said = [each for each in self.said_of("app.db", "other.db", "third.db", BACKSTAY_CONFIG=config)
                if "WAL-reset" not in each[1]]
        self.assertEqual([level for level, _ in said], ["WARN"], said)
        self.assertIn("misspelt.db", said[0][1])
        self.assertNotIn("app.db,", said[0][1])
        # All that is configured is there, or nothing else is opened: not a word.
        os.unlink(self.log)
        self.assertEqual([each for each in self.said_of("app.db", BACKSTAY_CONFIG=config)
                          if "WAL-reset" not in each[1]], [])

    def test_what_is_selected_and_left_alone_is_told_once(self):
        self.run_child(self.WRITE)
        self.run_child("""
            load(connect(":memory:"))
            for parameter in ("immutable=1", "nolock=1", "vfs=unix-dotfile", "vfs=unix-excl", "mode=ro", "mode=memory"):
                for i in range(2):
                    c = connect("file:" + db + "?" + parameter, uri=True)
                    c.close()
            connect(os.path.join(folder, "other.db")).execute("SELECT 1")
        """)
        said = [json.loads(line) for line in self.stderr.splitlines()]
        self.assertEqual({line["db"] for line in said}, {self.db})
        self.assertEqual([line["level"] for line in said], ["WARN", "WARN", "INFO", "INFO"])
        self.assertEqual([word in line["msg"] for word, line in
                          zip(("immutable=1", "nolock=1", '"unix-dotfile"', '"unix-excl"'), said)], [True] * 4, self.stderr)
        self.assertEqual(len(said), 4)


if __name__ == "__main__":
    unittest.main()
