"""Fluent Bit's classic configuration: read from its files, and played line by line.

Plays the filters that examples/alerting uses, as Fluent Bit's manual describes them, where no real
Fluent Bit is at hand; one that is not known is an error. The time does not pass: a throttle lets its
first Rate * Window records through.
"""

import fnmatch
import json
import pathlib
import re


class Section:
    """One [SECTION]: its keys in lower case; a key may stand there several times."""

    def __init__(self, kind):
        self.kind, self.entries = kind, []

    def all(self, key):
        return [value for name, value in self.entries if name == key]

    def get(self, key, default=None):
        return (self.all(key) or [default])[0]

    def matches(self, tag):
        if self.get("match_regex"):
            return re.search(self.get("match_regex"), tag) is not None
        return fnmatch.fnmatchcase(tag, self.get("match"))


def read(path):
    """The sections of a file, those of the files that it includes in their place."""
    path, sections = pathlib.Path(path), []
    for line in map(str.strip, path.read_text().splitlines()):
        if line.startswith("@INCLUDE "):
            sections += read(path.parent / line.split()[1])
        elif re.fullmatch(r"\[\w+\]", line):
            sections.append(Section(line[1:-1]))
        elif line and not line.startswith("#"):
            key, value = line.split(None, 1)
            sections[-1].entries.append((key.lower(), value))
    return sections


def value_at(record, accessor):
    """What a record accessor like $kubernetes['container_name'] names; None where it is not text."""
    assert accessor.startswith("$"), accessor
    for part in re.findall(r"\w+", accessor):
        record = record.get(part) if isinstance(record, dict) else None
    return record if isinstance(record, str) else None


class Pipeline:
    """What the files of a folder of containers' logs become: play() gives [(output's alias, tag, record)]."""

    def __init__(self, path):
        sections = read(path)
        (service,) = [s for s in sections if s.kind == "SERVICE"]
        parsers = read(pathlib.Path(path).parent / service.get("parsers_file"))
        (self.input,) = [s for s in sections if s.kind == "INPUT"]
        (parser,) = [p for p in parsers if p.get("name") == self.input.get("parser")]
        self.line = re.compile(parser.get("regex").replace("(?<", "(?P<"))
        self.time_key = parser.get("time_key")
        self.filters = [s for s in sections if s.kind == "FILTER"]
        self.outputs = [s for s in sections if s.kind == "OUTPUT"]
        self.passed = {}

    def play(self, folder):
        self.out = []
        for path in sorted(pathlib.Path(folder).glob("*.log")):
            tag = self.input.get("tag").replace("*", "var.log.containers." + path.name)
            for line in path.read_text().splitlines():
                record = self.line.fullmatch(line).groupdict()
                del record[self.time_key]  # it is the event's time, not a field
                self.send(tag, record)
        return self.out

    def send(self, tag, record):
        for step in self.filters:
            if step.matches(tag):
                record = getattr(self, "do_" + step.get("name"))(step, tag, record)
                if record is None:
                    return
        self.out += [(o.get("alias"), tag, record) for o in self.outputs if o.matches(tag)]

    def do_kubernetes(self, step, tag, record):
        name = tag.removeprefix(step.get("kube_tag_prefix"))
        pod, namespace, container = re.fullmatch(r"(.+)_(.+)_(.+)-[0-9a-f]{64}\.log", name).groups()
        try:
            merged = json.loads(record["log"])
        except ValueError:
            merged = None
        if step.get("merge_log") == "On" and isinstance(merged, dict):
            record = {**{k: v for k, v in record.items() if k != "log"}, **merged}
        return {**record, "kubernetes": {"pod_name": pod, "namespace_name": namespace, "container_name": container}}

    def do_grep(self, step, _, record):
        rules = [value.split(None, 1) for value in step.all("regex")]
        assert step.get("logical_op") == "and" or len(rules) == 1
        found = [re.search(rule, value_at(record, name) or "") is not None for name, rule in rules]
        return record if all(found) else None

    def do_rewrite_tag(self, step, tag, record):
        for rule in step.all("rule"):
            name, pattern, new_tag, keep = rule.split()
            value = value_at(record, name)
            if value is not None and re.search(pattern, value):
                self.send(new_tag.replace("$TAG", tag), record)
                return record if keep == "true" else None
        return record

    def do_throttle(self, step, _, record):
        self.passed[id(step)] = self.passed.get(id(step), 0) + 1
        return record if self.passed[id(step)] <= int(step.get("rate")) * int(step.get("window")) else None
