"""What a Dockerfile says, as far as examples/docker needs it: stages, their instructions, what the image runs as."""

import json
import pathlib
import re
import shlex

KNOWN = {"FROM", "RUN", "WORKDIR", "COPY", "ENV", "USER", "EXPOSE", "ENTRYPOINT", "CMD", "ARG"}


class Dockerfile:
    """Fails with AssertionError for what it does not know. `stages`: [(base, name, [(instruction, rest)])]."""

    def __init__(self, path):
        text = pathlib.Path(path).read_text()
        text = re.sub(r"^\s*#.*\n", "", text, flags=re.M).replace("\\\n", " ")
        self.stages = []
        for line in filter(str.strip, text.splitlines()):
            instruction, _, rest = line.partition(" ")
            assert instruction in KNOWN, line
            if instruction == "FROM":
                base = re.fullmatch(r"(\S+)(?: AS (\S+))?", rest)
                assert base, line
                self.stages.append((base[1], base[2], []))
            else:
                self.stages[-1][2].append((instruction, rest.strip()))

    def last(self, instruction):
        """The last of the kind in the final stage; None if there is none."""
        found = [rest for name, rest in self.stages[-1][2] if name == instruction]
        return found[-1] if found else None

    @property
    def env(self):
        lines = [rest for name, rest in self.stages[-1][2] if name == "ENV"]
        return dict(pair.split("=", 1) for line in lines for pair in shlex.split(line))

    @property
    def user(self):
        return tuple(map(int, self.last("USER").split(":")))

    @property
    def argv(self):
        return json.loads(self.last("ENTRYPOINT") or "[]") + json.loads(self.last("CMD") or "[]")

    def sources(self):
        """What COPY takes from the build's context, in any stage."""
        for _, _, instructions in self.stages:
            for name, rest in instructions:
                if name == "COPY" and not rest.startswith("--from"):
                    yield from shlex.split(rest)[:-1]
