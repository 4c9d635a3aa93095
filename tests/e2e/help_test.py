#!/usr/bin/python3
"""Help, versions, manual pages and completions: all from what the commands declare."""
import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest

BUILD = os.environ["BACKSTAY_BUILD"]
TOOL = os.path.join(BUILD, "backstay")


def run(*command, code=0, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)
    assert done.returncode == code, (command, done.returncode, done.stdout, done.stderr)
    return done


def page(form):
    return run(TOOL, "help", "-as", form).stdout


def commands():
    """Their names, as the usage lists them."""
    return re.findall(r"^  (\w+) ", run(TOOL, "help").stdout, re.M)


def options(command):
    """As its help lists them, with one dash."""
    found = re.findall(r"^  (-\S+)", run(TOOL, command, "-help").stdout, re.M)
    return sorted({"-" + name.lstrip("-") for each in found for name in each.split(",")[-1:]})


class HelpTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def write(self, form):
        path = os.path.join(self.folder, form)
        with open(path, "w", encoding="utf-8") as file:
            file.write(page(form))
        return path

    def test_version(self):
        version = json.loads(run(TOOL, "version", "-json").stdout)
        for words in (["version"], ["--version"], ["-version"], ["-V"]):
            self.assertIn(f"backstay {version['version']}\n", run(TOOL, *words).stdout)
        self.assertEqual(json.loads(run(TOOL, "--version", "-json").stdout), version)

    def test_help_of_one_command(self):
        self.assertEqual(run(TOOL, "help", "list").stdout, run(TOOL, "list", "-help").stdout)
        self.assertIn("unknown command `lits`", run(TOOL, "help", "lits", code=2).stderr)

    def test_every_command_and_option_is_in_the_manual(self):
        manual = page("man").replace("\\-", "-")
        self.assertGreater(len(commands()), 6)
        for command in commands():
            section = manual.split(f".SS {command}\n")[1].split(".SS ")[0].split(".SH ")[0]
            self.assertGreater(len(options(command)), 1, command)
            for option in options(command):
                self.assertIn(f"\\fB{option}\\fR", section, command)

    def test_every_exit_status_is_in_the_manual(self):
        text = page("man").split(".SH EXIT STATUS")[1].split(".SH")[0]
        for status in (*range(9), 125, 126, 127):
            self.assertRegex(text, rf"\b{status} ")

    def test_every_setting_is_in_its_manual(self):
        with open(os.path.join(os.path.dirname(__file__), "../../README.md"), encoding="utf-8") as file:
            table = re.findall(r"^\| (`[^|]*`)? ?\| ([^|]*)\|", file.read(), re.M)
        names = {name for row in table for cell in row for name in re.findall(r"`([^`]+)`", cell)}
        names = {name for name in names if name.startswith(("BACKSTAY_", "dbs[]", "logging."))}
        manual = page("settings-man").replace("\\-", "-")
        self.assertGreater(len(names), 40)
        for name in names:
            self.assertIn(f"\\fB{name}\\fR", manual)

    @unittest.skipUnless(shutil.which("man"), "no man")
    def test_the_manual_renders_without_a_warning(self):
        for form, word in (("man", "restore"), ("settings-man", "min-interval")):
            done = run("man", "--warnings=w", "-E", "UTF-8", "-l", self.write(form),
                       env=dict(os.environ, MANWIDTH="80", LC_ALL="C.UTF-8"))
            self.assertIn(word, re.sub(".\b", "", done.stdout))
            self.assertEqual(done.stderr, "")

    def bash(self, *words):
        """What bash offers behind these words; the last one is begun, or empty."""
        script = ('source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _backstay; '
                  'printf "%s\\n" "${COMPREPLY[@]}"')
        done = run("bash", "-c", script, "bash", self.write("bash"), "backstay", *words)
        return sorted(done.stdout.split())

    def test_bash(self):
        self.assertEqual(self.bash(""), sorted([*commands(), "help"]))
        self.assertEqual(self.bash("ver"), [each for each in sorted(commands()) if each.startswith("ver")])
        for command in commands():
            self.assertEqual(self.bash(command, "-"), options(command))
            self.assertEqual(self.bash(command, "--"), ["-" + each for each in options(command)])
        self.assertEqual(self.bash("restore", "-integrity-check", "f"), ["full"])
        self.assertEqual(self.bash("restore", "--integrity-check", "q"), ["quick"])
        self.assertIn("bash", self.bash("run", "--", "bas"))
        self.assertEqual(self.bash("run", "--", "sqlite3", "-js"), [])

    @unittest.skipUnless(shutil.which("fish"), "no fish")
    def test_fish(self):
        source = f"source {self.write('fish')}; complete -C"
        home = dict(os.environ, HOME=self.folder)

        def offered(line):
            out = run("fish", "--no-config", "-c", f"{source} '{line}'", env=home).stdout
            return {each.split("\t")[0] for each in out.splitlines()}

        self.assertEqual(offered("backstay "), {*commands(), "help"})
        for command in commands():
            self.assertLessEqual(set(options(command)), offered(f"backstay {command} -"), command)
        self.assertEqual(offered("backstay restore -integrity-check f"), {"full"})

    @unittest.skipUnless(shutil.which("zsh"), "no zsh")
    def test_zsh(self):
        run("zsh", "-n", self.write("zsh"))
        text = page("zsh")
        for command in commands():
            section = text.split(f"\n    {command})\n")[1].split(";;")[0]
            for option in options(command):
                self.assertIn(f"'{option}[", section, command)


if __name__ == "__main__":
    unittest.main()
