"""Programs with an allocator of their own: what libc allocates with it, Backstay frees."""

import os
import re
import shutil
import unittest

from host_world import BUILD, EXTENSION, PRELOAD, WRITER, HostCase, library

ALLOCATORS = {
    "jemalloc": ["libjemalloc.so.2"],
    "mimalloc": ["libmimalloc.so.2", "libmimalloc.so.2.0", "libmimalloc.so.3"],
    "tcmalloc_minimal": ["libtcmalloc_minimal.so.4"],
}
FAMILY = ("malloc", "free", "calloc", "realloc", "reallocarray", "posix_memalign", "aligned_alloc", "memalign",
          "valloc", "pvalloc", "malloc_usable_size")

class Malloc(HostCase):
    def rows(self, run):
        for name, files in ALLOCATORS.items():
            with self.subTest(name):
                try:
                    run(name, files)
                except unittest.SkipTest as absent:
                    print(f"skipped: {absent}")
                    continue
                self.assert_replicated()
            self.new_disk()
            shutil.rmtree(self.replica, ignore_errors=True)

    def test_preloaded(self):
        self.rows(lambda _, files: self.run_host(WRITER, self.db, preload=(library(*files), PRELOAD)))

    def test_preloaded_behind_ours(self):
        self.rows(lambda _, files: self.run_host(WRITER, self.db, preload=(PRELOAD, library(*files))))

    def test_preloaded_with_the_extension(self):
        self.rows(lambda _, files: self.run_host(WRITER, self.db, EXTENSION, preload=(library(*files),)))

    def linked(self, name):
        program = f"{WRITER}_{name}"
        if not os.path.exists(program):
            self.skipTest(f"{name} is not installed to be linked")
        return program

    def test_linked(self):
        self.rows(lambda name, _: self.run_host(self.linked(name), self.db))

    def test_linked_with_the_extension(self):
        self.rows(lambda name, _: self.run_host(self.linked(name), self.db, EXTENSION, preload=()))

    def test_a_sanitizers(self):
        # Its connections are still open in the end, and no preloaded library comes before it.
        options = "detect_leaks=0:verify_asan_link_order=0"
        self.run_host(WRITER + "_asan", self.db, EXTENSION, preload=(), ASAN_OPTIONS=options)
        self.assert_replicated()
        self.run_host(WRITER + "_asan", self.db, ASAN_OPTIONS=options)
        self.assert_replicated()

    def test_every_module_allocates_as_the_host_does(self):
        jemalloc = library(*ALLOCATORS["jemalloc"])
        self.env["BACKSTAY_REPLICA_URL"] = "s3://bucket/prefix?endpoint=https://127.0.0.1:9"
        self.run_host(WRITER, self.db, preload=(jemalloc, PRELOAD), BACKSTAY_DRAIN_TIMEOUT="100ms",
                      BACKSTAY_ACCESS_KEY_ID="id", BACKSTAY_SECRET_ACCESS_KEY="key", LD_DEBUG="bindings")
        binding = re.compile(r"binding file (\S+) \[0\] to (\S+) \[0\]: normal symbol `(\w+)'")
        found = [match.groups() for match in binding.finditer(self.stderr) if match[3] in FAMILY]
        # Ours look the host's up; what jemalloc lacks is glibc's, which calls it.
        lacking = ("reallocarray", "pvalloc")
        strange = [(module, to, name) for module, to, name in found
                   if os.path.basename(to) not in (os.path.basename(jemalloc), "libbackstay_engine.so")
                   and name not in lacking]
        self.assertEqual(strange, [])
        curl = [to for module, to, name in found if "libcurl" in module and name == "free"]
        self.assertEqual([os.path.basename(to) for to in curl], ["libbackstay_engine.so"])

    def test_node(self):
        self.run_node(preload=(library(*ALLOCATORS["jemalloc"]), PRELOAD))
        self.assert_replicated()
        self.run_node(preload=(library(*ALLOCATORS["jemalloc"]),), WRITER_EXTENSION=EXTENSION)
        self.assert_replicated()


if __name__ == "__main__":
    unittest.main()
