#!/usr/bin/env python3
"""Debian's package catalogue, as it lies on this machine, as one JSON object a line.

usage: catalogue_stanzas.py COUNT SEED >stanzas.jsonl

Reads the indexes of apt (compressed or not). A machine without them has at least dpkg's status
file, which is smaller; the choice is told on stderr. Same files, COUNT and SEED: same output.
"""

import glob
import json
import random
import subprocess
import sys

LISTS = "/var/lib/apt/lists"
APT_HELPER = "/usr/lib/apt/apt-helper"
STATUS = "/var/lib/dpkg/status"
FIELDS = (
    "Package Version Architecture Section Priority Maintainer Installed-Size Size Filename "
    "SHA256 Depends Recommends Suggests Conflicts Breaks Provides Description Homepage Tag"
).split()


def read_index(path):
    """The text of an index; apt-helper knows every compression that apt uses."""
    if path == STATUS or path.endswith("_Packages"):
        with open(path, "rb") as file:
            return file.read()
    return subprocess.run([APT_HELPER, "cat-file", path], check=True, capture_output=True).stdout


def sources():
    indexes = sorted(glob.glob(LISTS + "/*_Packages") + glob.glob(LISTS + "/*_Packages.[!d]*"))
    if indexes:
        return indexes
    print(f"no package index below {LISTS}: using {STATUS}", file=sys.stderr)
    return [STATUS]


def parse(stanza):
    """The known fields of one stanza; a folded field keeps its lines (Debian policy, 5.1)."""
    fields = {}
    name = None
    for line in stanza.decode("utf-8", "replace").splitlines():
        if line[:1] in " \t":
            if name in fields:
                fields[name] += "\n" + line.strip()
        else:
            name, _, value = line.partition(":")
            if name in FIELDS:
                fields[name] = value.strip()
    return fields


def stanzas(count, seed):
    raw = []
    for path in sources():
        raw += [s for s in read_index(path).split(b"\n\n") if s.startswith(b"Package:")]
    raw.sort()
    random.Random(seed).shuffle(raw)
    return [parse(stanza) for stanza in raw[:count]]


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    for fields in stanzas(int(sys.argv[1]), int(sys.argv[2])):
        print(json.dumps(fields, ensure_ascii=False, sort_keys=True))
