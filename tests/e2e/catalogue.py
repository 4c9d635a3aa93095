#!/usr/bin/env python3
"""An application that keeps Debian's package catalogue in SQLite, in many small transactions.

usage: catalogue.py [options] DATABASE STANZAS

STANZAS is a file of catalogue_stanzas.py. Transaction n does the same in every run with the same
stanzas and seed, and stores n in the table `progress`; a run goes on behind what it finds there. So
a database whose counter says n must equal any other run of n transactions.

  --until N         stop after transaction N (default: when the stanzas are used up)
  --start-at N      fail unless the first transaction of this run is N
  --seed N          (default 1)
  --extension FILE  load this extension first, and then open DATABASE as usual
  --sync-every N    every N transactions, wait until all of them are replicated; print "synced n"
  --sync-timeout MS (default 30000)
  --sync-last       likewise after the last transaction
  --pause-at N      after transaction N print "paused N" and wait for a line on stdin; repeatable
  --journal MODE    journal mode (default wal)
  --no-fsync        faster, for a run whose disk will not fail

Prints "done n" at the end. Exit status 1 when a sync failed.
"""

import argparse
import json
import random
import re
import sqlite3
import sys

SCHEMA = """
CREATE TABLE progress(one INTEGER PRIMARY KEY CHECK(one = 1), n INTEGER, next_stanza INTEGER);
CREATE TABLE sections(id INTEGER PRIMARY KEY, name TEXT UNIQUE);
CREATE TABLE maintainers(id INTEGER PRIMARY KEY, name TEXT UNIQUE, packages INTEGER DEFAULT 0);
CREATE TABLE packages(
  id INTEGER PRIMARY KEY, name TEXT UNIQUE, section INTEGER REFERENCES sections(id),
  maintainer INTEGER REFERENCES maintainers(id), priority TEXT, homepage TEXT, seen REAL);
CREATE INDEX packages_by_section ON packages(section, name);
CREATE INDEX packages_by_maintainer ON packages(maintainer);
CREATE TABLE versions(
  id INTEGER PRIMARY KEY, package INTEGER REFERENCES packages(id), version TEXT,
  architecture TEXT, size INTEGER, installed INTEGER, filename TEXT, sha256 BLOB,
  UNIQUE(package, version, architecture));
CREATE INDEX versions_by_size ON versions(size DESC);
CREATE TABLE dependencies(
  id INTEGER PRIMARY KEY, version INTEGER REFERENCES versions(id), kind TEXT, name TEXT, needs TEXT);
CREATE INDEX dependencies_by_version ON dependencies(version);
CREATE INDEX dependencies_by_name ON dependencies(name, kind);
CREATE TABLE tags(package INTEGER, tag TEXT, PRIMARY KEY(package, tag)) WITHOUT ROWID;
CREATE VIRTUAL TABLE descriptions USING fts5(name, text, tokenize = 'porter');
INSERT INTO progress VALUES(1, 0, 0);
"""
RELATIONS = ("Depends", "Recommends", "Suggests", "Conflicts", "Breaks", "Provides")
DEPENDENCY = re.compile(r"^([^\s(:]+)(?::\w+)?\s*(?:\(([^)]*)\))?")


class Catalogue:
    """The tables, and what one transaction does to them."""

    def __init__(self, db, stanzas, seed):
        self.db = db
        self.stanzas = stanzas
        self.seed = seed

    def name_id(self, table, name):
        self.db.execute(f"INSERT OR IGNORE INTO {table}(name) VALUES(?)", (name,))
        return self.db.execute(f"SELECT id FROM {table} WHERE name = ?", (name,)).fetchone()[0]

    def insert(self, stanza):
        name = stanza["Package"]
        section = self.name_id("sections", stanza.get("Section", "none"))
        maintainer = self.name_id("maintainers", stanza.get("Maintainer", "nobody"))
        package = self.name_id("packages", name)
        self.db.execute(
            "UPDATE packages SET section = ?, maintainer = ?, priority = ?, homepage = ? WHERE id = ?",
            (section, maintainer, stanza.get("Priority"), stanza.get("Homepage"), package))
        self.db.execute("UPDATE maintainers SET packages = packages + 1 WHERE id = ?", (maintainer,))
        self.insert_version(package, stanza)
        tags = stanza.get("Tag", "").replace("\n", " ").split(", ")
        self.db.executemany("INSERT OR IGNORE INTO tags VALUES(?, ?)",
                            [(package, tag) for tag in tags if tag])
        self.db.execute("DELETE FROM descriptions WHERE rowid = ?", (package,))
        self.db.execute("INSERT INTO descriptions(rowid, name, text) VALUES(?, ?, ?)",
                        (package, name, stanza.get("Description", "")))

    def insert_version(self, package, stanza):
        key = (package, stanza.get("Version"), stanza.get("Architecture"))
        self.delete_versions("package = ? AND version = ? AND architecture = ?", key)
        version = self.db.execute(
            "INSERT INTO versions(package, version, architecture, size, installed, filename, sha256)"
            " VALUES(?, ?, ?, ?, ?, ?, ?)",
            key + (int(stanza.get("Size", 0)), int(stanza.get("Installed-Size", 0)),
                   stanza.get("Filename"), bytes.fromhex(stanza.get("SHA256", "")))).lastrowid
        rows = []
        for kind in RELATIONS:
            for item in re.split(r"[,|]", stanza.get(kind, "")):
                found = DEPENDENCY.match(item.strip())
                if found:
                    rows.append((version, kind, found[1], found[2]))
        self.db.executemany(
            "INSERT INTO dependencies(version, kind, name, needs) VALUES(?, ?, ?, ?)", rows)

    def delete_versions(self, where, values):
        self.db.execute(
            f"DELETE FROM dependencies WHERE version IN (SELECT id FROM versions WHERE {where})", values)
        self.db.execute(f"DELETE FROM versions WHERE {where}", values)

    def random_package(self, rng):
        top = self.db.execute("SELECT max(id) FROM packages").fetchone()[0] or 0
        row = self.db.execute("SELECT id FROM packages WHERE id >= ? ORDER BY id LIMIT 1",
                              (rng.randint(0, top),)).fetchone()
        return row[0] if row else 0

    def update(self, rng):
        package = self.random_package(rng)
        self.db.execute("UPDATE packages SET seen = ?, priority = ? WHERE id = ?",
                        (rng.random(), rng.choice(["optional", "extra", "important"]), package))
        self.db.execute("UPDATE versions SET installed = installed + ? WHERE package = ?",
                        (rng.randint(1, 100), package))
        self.db.execute("UPDATE descriptions SET text = text || ' ' || ? WHERE rowid = ?",
                        (f"revision {rng.randint(0, 999)}", package))

    def delete(self, rng):
        package = self.random_package(rng)
        self.delete_versions("package = ?", (package,))
        for table, column in (("tags", "package"), ("descriptions", "rowid"), ("packages", "id")):
            self.db.execute(f"DELETE FROM {table} WHERE {column} = ?", (package,))

    def sweep(self, rng):
        """A transaction over many pages."""
        self.db.execute("UPDATE dependencies SET needs = '>= ' || ? WHERE id % 61 = ? AND kind = 'Depends'",
                        (rng.randint(0, 99), rng.randint(0, 60)))

    def maintain(self, n):
        """What stands between transactions n - 1 and n, and changes no row."""
        if n % 1009 == 0:
            self.db.execute("VACUUM")
        if n % 193 == 0:
            self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def transaction(self, n, start):
        """Does transaction n, with the stanzas from `start`; returns where the next one starts."""
        rng = random.Random(self.seed * 1_000_003 + n)
        self.maintain(n)
        self.db.execute("BEGIN IMMEDIATE")
        dice = rng.random()
        end = start
        if dice < 0.70:
            size = rng.randint(1, 8) if rng.random() < 0.975 else 200
            end = min(start + size, len(self.stanzas))
            for stanza in self.stanzas[start:end]:
                self.insert(stanza)
        elif dice < 0.88:
            self.update(rng)
        elif dice < 0.985:
            self.delete(rng)
        else:
            self.sweep(rng)
        self.db.execute("UPDATE progress SET n = ?, next_stanza = ?", (n, end))
        self.db.execute("COMMIT")
        return end


def arguments():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("database")
    parser.add_argument("stanzas")
    parser.add_argument("--until", type=int, default=sys.maxsize)
    parser.add_argument("--start-at", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--extension")
    parser.add_argument("--sync-every", type=int, default=0)
    parser.add_argument("--sync-timeout", type=int, default=30000)
    parser.add_argument("--sync-last", action="store_true")
    parser.add_argument("--pause-at", type=int, action="append", default=[])
    parser.add_argument("--journal", default="wal")
    parser.add_argument("--no-fsync", action="store_true")
    return parser.parse_args()


def open_database(options):
    """The connection; the loading one is kept, as an application would not know to close it."""
    if options.extension:
        loader = sqlite3.connect(":memory:")
        loader.enable_load_extension(True)
        loader.load_extension(options.extension)
    db = sqlite3.connect(options.database, isolation_level=None)
    db.execute(f"PRAGMA journal_mode = {options.journal}").fetchall()
    db.execute(f"PRAGMA synchronous = {'OFF' if options.no_fsync else 'NORMAL'}")
    db.execute("PRAGMA wal_autocheckpoint = 300")
    if not db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'progress'").fetchone():
        db.executescript("BEGIN;" + SCHEMA + "COMMIT;")
    return db


def sync(db, options, n):
    if db.execute("SELECT backstay_sync(?)", (options.sync_timeout,)).fetchone()[0] != 1:
        print(f"sync failed behind {n}", flush=True)
        sys.exit(1)
    print(f"synced {n}", flush=True)


def main():
    options = arguments()
    with open(options.stanzas, encoding="utf-8") as file:
        stanzas = [json.loads(line) for line in file]
    db = open_database(options)
    n, start = db.execute("SELECT n, next_stanza FROM progress").fetchone()
    if options.start_at is not None and options.start_at != n + 1:
        sys.exit(f"the database stands at {n}, the next transaction is not {options.start_at}")
    catalogue = Catalogue(db, stanzas, options.seed)
    while n < options.until and start < len(stanzas):
        n += 1
        start = catalogue.transaction(n, start)
        if options.sync_every and n % options.sync_every == 0:
            sync(db, options, n)
        if n in options.pause_at:
            print(f"paused {n}", flush=True)
            sys.stdin.readline()
    if options.sync_last:
        sync(db, options, n)
    db.close()
    print(f"done {n}", flush=True)


if __name__ == "__main__":
    main()
