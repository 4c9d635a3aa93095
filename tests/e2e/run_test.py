#!/usr/bin/python3
"""`backstay run`: a program with the preload library in it, or a refusal that says why."""
import os
import shutil
import signal
import stat
import struct
import subprocess
import tempfile
import unittest

BUILD = os.environ["BUILD_DIR"]
TOOL = os.path.join(BUILD, "backstay")
LIBRARY = os.path.join(BUILD, "libbackstay_preload.so")
SANITIZER = os.environ.get("BACKSTAY_TEST_PRELOAD", "")
NOBODY = 65534
NET_RAW = struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0)  # linux/capability.h, revision 2, effective


def program(loader=b"/lib64/ld-linux-x86-64.so.2", machine=62, word=2):
    """An ELF program of two headers, which nothing can run."""
    name = loader + b"\0" if loader else b""
    header = struct.pack("<4s5B7xHHIQQQIHHHHHH", b"\x7fELF", word, 1, 1, 0, 0, 3, machine, 1, 0, 64, 0, 0, 64, 56,
                         1 if loader else 0, 0, 0, 0)
    return header + (struct.pack("<IIQQQQQQ", 3, 4, 120, 0, 0, len(name), len(name), 1) if loader else b"") + name


@unittest.skipIf(SANITIZER, "the preload library does not go with a sanitizer's runtime")
class RunTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="backstay-run-")
        self.addCleanup(shutil.rmtree, self.folder)
        os.chmod(self.folder, 0o755)
        self.machine = os.uname().machine
        with open(LIBRARY, "rb") as file:
            self.number = struct.unpack_from("<H", file.read(20), 18)[0]

    def run_tool(self, *arguments, tool=TOOL, env=None, **more):
        return subprocess.run([tool, "run", *arguments], env={"PATH": os.environ["PATH"], **(env or {})},
                              text=True, capture_output=True, cwd=self.folder, timeout=60, **more)

    def write(self, name, content, mode=0o755):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
        os.chmod(path, mode)
        return path

    def refused(self, *arguments, says, code=125, **more):
        done = self.run_tool(*arguments, **more)
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertIn("backstay: run: ", done.stderr)
        for text in [says] if isinstance(says, str) else says:
            self.assertIn(text, done.stderr)

    def test_a_database_is_replicated(self):
        os.mkdir(os.path.join(self.folder, "bucket"))
        url = "file://" + os.path.join(self.folder, "bucket")
        done = self.run_tool("--", "sqlite3", "app.db", "CREATE TABLE t(a); INSERT INTO t VALUES (7)", env={
            "BACKSTAY_DB": os.path.join(self.folder, "app.db"), "BACKSTAY_REPLICA_URL": url})
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)
        copy = os.path.join(self.folder, "copy.db")
        subprocess.run([TOOL, "restore", "-o", copy, url], check=True, stdout=subprocess.DEVNULL)
        self.assertEqual(subprocess.check_output(["sqlite3", copy, "SELECT a FROM t"]), b"7\n")

    def test_the_program_is_what_it_would_be(self):
        """Arguments, status, name, signals; LD_PRELOAD has ours before the others."""
        done = self.run_tool("--", "sh", "-c", 'echo "$0 $1" "$LD_PRELOAD"; exit 7', "-n", "--",
                             env={"LD_PRELOAD": "libm.so.6"})
        self.assertEqual(done.stdout, f"-n -- {LIBRARY}:libm.so.6\n")
        self.assertEqual(done.returncode, 7)
        done = self.run_tool("-preload", LIBRARY, "--", "grep", "SigIgn", "/proc/self/status",
                             preexec_fn=lambda: signal.signal(signal.SIGPIPE, signal.SIG_DFL))
        ignored = int(done.stdout.split()[1], 16)
        self.assertEqual(ignored & (1 << (signal.SIGPIPE - 1) | 1 << (signal.SIGXFSZ - 1)), 0, done.stdout)

    def test_programs_that_no_library_comes_into(self):
        self.write("static", program(loader=b"", machine=self.number))
        self.refused("--", "./static", says=["./static is statically linked", "remedy"])
        musl = program(f"/lib/ld-musl-{self.machine}.so.1".encode(), self.number)
        self.write("musl", musl)
        self.refused("--", "./musl", says=["./musl is linked to musl", "glibc"])
        self.write("other", program(b"/system/bin/linker64", self.number))
        self.refused("--", "./other", says="a C library that is not glibc")
        self.write("arch", program(machine=self.number ^ 0xff))
        self.refused("--", "./arch", says="another kind of machine")
        self.write("small", program(machine=self.number, word=1))
        self.refused("--", "./small", says="another kind of machine")
        self.write("cut", musl[:-1])
        self.refused("--", "./cut", says="is damaged: it is cut off")
        self.write("text", "echo hello\n")
        self.refused("--", "./text", says="neither an ELF program nor a script")

    def test_the_interpreter_of_a_script_counts(self):
        static = self.write("static", program(loader=b"", machine=self.number))
        self.write("script", f"#! {static} -x\n")
        self.refused("--", "./script", says=["./script is a script", "static is statically linked"])
        self.write("script", "#!/usr/bin/env static\n")
        self.refused("--", "./script", says="statically linked", env={"PATH": f"{self.folder}:/usr/bin"})
        self.write("script", "#!/usr/bin/env -S A=b static -x\n")
        self.refused("--", "./script", says="statically linked", env={"PATH": f"{self.folder}:/usr/bin"})
        self.write("script", "#!/nowhere/sh\n")
        self.refused("--", "./script", says=["./script is a script", "/nowhere/sh"], code=127)
        self.write("script", f"#!{self.folder}/script\n")
        self.refused("--", "./script", says="script of a script")
        self.write("script", "#!/bin/sh\necho \"$LD_PRELOAD\"\n")
        self.assertEqual(self.run_tool("--", "./script").stdout, LIBRARY + "\n")
        self.write("script", "#!/usr/bin/env sh\necho \"$LD_PRELOAD\"\n")
        self.assertEqual(self.run_tool("--", "./script").stdout, LIBRARY + "\n")

    @unittest.skipUnless(os.getuid() == 0, "needs root")
    def test_privileges_that_a_file_gives(self):
        path = os.path.join(self.folder, "true")
        for name in ["backstay", "libbackstay_preload.so", "libbackstay_engine.so"]:
            shutil.copy(os.path.join(BUILD, name), self.folder)  # where anybody may read
        tool = os.path.join(self.folder, "backstay")
        for mode, capability, words in [(0o4755, None, "set-user-ID"), (0o2755, None, "set-group-ID"),
                                        (0o755, NET_RAW, "file capabilities")]:
            shutil.copy("/bin/true", path)
            os.chmod(path, mode)
            if capability:
                os.setxattr(path, "security.capability", capability)
            self.refused("--", "./true", says=[words, "LD_PRELOAD is ignored"], tool=tool,
                         user=NOBODY, group=NOBODY, extra_groups=[])
            self.assertEqual(self.run_tool("--", "./true").returncode, 0, "root gains nothing")

    def test_settings_that_are_wrong(self):
        """The program would run without a replica."""
        none = os.path.join(self.folder, "none.json")
        self.refused("-config", none, "--", "true", says=none)
        wrong = self.write("wrong.json", '{"dbz": []}')
        self.refused("-config", wrong, "--", "true", says="dbz: unknown key")
        self.refused("--", "true", says=none, env={"BACKSTAY_CONFIG": none})

    def test_programs_that_are_not_there(self):
        self.refused("--", "no-such-program", says="no program `no-such-program` in PATH", code=127)
        self.refused("--", "./nothing", says="./nothing", code=127)
        self.refused("--", self.folder, says="is no program", code=126)
        self.write("data", b"", mode=0o644)
        if os.getuid() != 0 or not os.stat(os.path.join(self.folder, "data")).st_mode & stat.S_IXUSR:
            self.refused("--", "./data", says="cannot be executed", code=126)
        self.refused("--", says="PROGRAM is missing")
        self.refused("true", says="run: ")
        self.assertEqual(self.run_tool("-help").returncode, 0)

    def test_where_the_library_is(self):
        for name in ["bin", "lib", "lib/backstay", "a b"]:
            os.mkdir(os.path.join(self.folder, name))
        tool = shutil.copy(TOOL, os.path.join(self.folder, "bin"))
        self.refused("--", "true", says="no libbackstay_preload.so beside this program", tool=tool)
        installed = shutil.copy(LIBRARY, os.path.join(self.folder, "lib/backstay"))
        self.refused("--", "true", says="libbackstay_engine.so", tool=tool)
        shutil.copy(os.path.join(BUILD, "libbackstay_engine.so"), os.path.join(self.folder, "lib/backstay"))
        self.assertEqual(self.run_tool("--", "sh", "-c", "echo $LD_PRELOAD", tool=tool).stdout, installed + "\n")
        spaced = shutil.copy(LIBRARY, os.path.join(self.folder, "a b"))
        self.refused("-preload", spaced, "--", "true", says="cannot hold a path with a blank")
        self.refused("-preload", "nowhere.so", "--", "true", says="nowhere.so is not there")
        text = self.write("text.so", "no library")
        self.refused("-preload", text, "--", "true", says="text.so is no library")


if __name__ == "__main__":
    unittest.main(verbosity=2)
