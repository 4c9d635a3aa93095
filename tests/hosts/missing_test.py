"""An image that lacks a library which the engine needs: the message names that library."""

import os
import shutil
import unittest

from host_world import BUILD, WRITER, HostCase


class Missing(HostCase):
    def test_a_library_is_missing(self):
        folder = os.path.join(self.folder, "lib")
        os.mkdir(folder)
        shutil.copy(os.path.join(BUILD, "libbackstay_preload.so"), folder)
        with open(os.path.join(BUILD, "libbackstay_engine.so"), "rb") as file:
            engine = file.read()
        absent = engine.replace(b"\0libcurl.so.4\0", b"\0libcurl.so.0\0")
        self.assertNotEqual(absent, engine)
        with open(os.path.join(folder, "libbackstay_engine.so"), "wb") as file:
            file.write(absent)
        self.run_host(WRITER, self.db, preload=(os.path.join(folder, "libbackstay_preload.so"),))
        self.assertIn("the library libcurl.so.0 is missing", self.stderr)
        self.assertNotIn("beside", self.stderr)
        self.assertEqual(len(self.stderr.splitlines()), 1)


if __name__ == "__main__":
    unittest.main()
