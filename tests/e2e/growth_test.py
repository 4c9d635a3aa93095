#!/usr/bin/python3
"""A log object of some 100 bytes that speaks of four billion pages costs no memory: in a restore, in an
application that takes over, and in one that reads the replica back. Compared with a life without that object."""

import os
import shutil
import subprocess
import unittest

from engine_world import BUILD, SANITIZER, App, EngineCase

MAKER = os.path.join(BUILD, "tests", "growth_maker")
PAGES = "4000000000"
SLACK_KIB = 24 << 10


@unittest.skipIf(SANITIZER, "a sanitizer takes memory of its own")
class GrowthTest(EngineCase):
    def setUp(self):
        super().setUp()
        app = App(self)
        app.sql("CREATE TABLE t(x)")
        self.assertTrue(app.sync())
        app.sql("INSERT INTO t VALUES(1)")
        self.assertTrue(app.sync())
        app.close()

    def put_object(self):
        subprocess.run([MAKER, self.replica, PAGES], check=True)

    def restore_peak(self, out, code):
        with open(os.path.join(self.folder, "tool.log"), "w", encoding="utf-8") as log:
            tool = subprocess.Popen([os.path.join(BUILD, "backstay"), "restore", "-o", out, self.url],
                                    env=self.env, stdout=log, stderr=log)
            _, status, usage = os.wait4(tool.pid, 0)
            tool.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(tool.returncode, code)
        return usage.ru_maxrss

    def app_peak(self, shipped):
        app = App(self)
        app.sql("INSERT INTO t VALUES(2)")
        if shipped:
            self.assertTrue(app.sync(), app.stderr())
        else:
            self.wait_for_state(app, "error")
        with open(f"/proc/{app.process.pid}/status", encoding="ascii") as file:
            peak = next(int(line.split()[1]) for line in file if line.startswith("VmHWM:"))
        app.close()
        return peak

    def test_restore(self):
        out = os.path.join(self.folder, "out.db")
        usual = self.restore_peak(out, 0)
        os.remove(out)
        self.put_object()
        self.assertLess(self.restore_peak(out, 4), usual + SLACK_KIB)
        self.assertFalse(os.path.exists(out))

    def test_takes_over(self):
        usual = self.app_peak(True)
        self.new_disk()
        self.tool("restore", "-o", self.db, self.url)
        self.put_object()
        self.assertLess(self.app_peak(True), usual + SLACK_KIB)
        self.assertIn("speaks of more pages", self.apps[-1].lines("ERROR")[0]["msg"])
        out = os.path.join(self.folder, "out.db")
        self.tool("restore", "-o", out, self.url)
        self.assertEqual(self.dump(out), self.dump(self.db))

    def test_reads_back(self):
        shutil.rmtree(self.state)
        usual = self.app_peak(True)
        self.put_object()
        shutil.rmtree(self.state)
        self.assertLess(self.app_peak(False), usual + SLACK_KIB)


if __name__ == "__main__":
    unittest.main()
