#!/usr/bin/python3
"""What a database that is not protected says: once at first, and true words about what becomes of the rest."""

import os
import unittest

from engine_world import App
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
                " if 'capt' in open(f'/proc/self/task/{t}/comm').read()]") == [])
        app.close()
        [message] = self.error_lines(app)
        self.assertIn("replication stopped", message)

    def test_the_remedy_is_one(self):
        self.refused()
        app = self.opened()
        app.sql(SCHEMA)
        self.wait_for_state(app, "error")
        app.close()
        [message] = self.error_lines(app)
        self.assertIn("backstay adopt " + self.db, message)
        self.tool("adopt", self.db)
        app = self.opened()
        app.sql(ROWS.format(10))
        self.assert_replicated(app)
        app.close()


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
            self.assertIn("not shipped at the next start either", said)
            self.assertIn("belongs to another database", said)


if __name__ == "__main__":
    unittest.main()
