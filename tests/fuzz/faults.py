"""`python -m tests.fuzz.faults`: every write, rename, fsync, removal and new folder of some commands fails, once each.

The n-th operation fails, or the disk is full from then on, or the process is killed right after it: nothing that it
would still do takes place. Then the same command is given again: its output is, byte for byte, what it is undisturbed.
"""

from __future__ import annotations

import errno
import fcntl
import io
import json
import os
import shutil
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from simulator import files
from tests.fuzz.command import run, tree
from tests.fuzz.readers import prepare

KINDS = ("fail", "full", "kill")
COMMANDS = {
    "run": "run {at}/scenario.yaml --output {out}/run --store {out}/store --quiet --jobs 1 --pattern hybrid",
    "run, replacing": "run {at}/scenario.yaml --output {out}/run --store {at}/store --quiet --jobs 1 --pattern api",
    "report": "report {at}/run --output {out}/report.html",
    "export csv": "export csv {at}/run --output {out}/tables",
    "export parquet": "export parquet {at}/run --output {out}/tables",
    "export prometheus": "export prometheus {at}/run --output {out}/run.om",
    "trace scale": "trace scale {at}/t.csv {out}/t.parquet --factor 2",
    "trace convert": "trace convert --format litellm {at}/log-litellm {out}/t.csv",
    "trace synthesise": "trace synthesise {at}/scenario.yaml {out}/t.csv",
    "bench fit": "bench fit {at}/steps.json.gz --output {out}/profile.json",
    "init": "init {out}/new.yaml",
    "sweep": "sweep {at}/scenario.yaml --over experiment.seed=1,2 --pattern api --output {out}/sweep"
    " --store {out}/store --quiet --jobs 1",
}


class Killed(BaseException):
    """The process is no more."""


class Disk:
    """Counts the operations below a folder, and has one of them go wrong.

    Attributes:
        seen: Names of the operations, in order.
    """

    def __init__(self, below, kind="none", at=-1):
        self.seen = []
        self._below, self._kind, self._at = str(below), kind, at
        self._dead, self._locks = False, []

    def _does(self, name, really, path=None):
        if path is not None and not os.path.abspath(os.fspath(path)).startswith(self._below):
            return really()
        if self._dead:
            raise Killed
        number = len(self.seen)
        self.seen.append(name)
        if self._kind == "fail" and number == self._at:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if self._kind == "full" and number >= self._at and name in ("write", "create", "mkdir"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done = really()
        if self._kind == "kill" and number == self._at:
            self._dead = True
            raise Killed
        return done

    def __enter__(self):
        real = {name: getattr(os, name) for name in ("replace", "rename", "fsync", "unlink", "mkdir", "rmdir")}
        disk, real_open, real_lock = self, files._open_new, fcntl.flock

        class Raw(io.FileIO):
            def write(self, content):
                return disk._does("write", lambda: super(Raw, self).write(content))

        def opened(path, mode):
            def really():
                file = real_open(path, mode)
                handle = os.dup(file.fileno())
                disk._locks.append(handle)
                file.close()
                return io.BufferedRandom(Raw(os.dup(handle), "r+b"))

            return self._does("create", really, path)

        def locked(handle, how):
            real_lock(handle, how)
            if how == fcntl.LOCK_EX:
                disk._locks.append(os.dup(handle))

        def patched(name):
            def does(path, *rest, **more):
                # Removing a tree names what is in a folder by its descriptor.
                where = None if name == "fsync" or more.get("dir_fd") is not None else path
                return self._does(name, lambda: real[name](path, *rest, **more), where)

            return does

        self._patches = [patch.object(os, name, patched(name)) for name in real]
        self._patches += [patch.object(files, "_open_new", opened), patch.object(fcntl, "flock", locked)]
        for one in self._patches:
            one.start()
        return self

    def __exit__(self, *_):
        for one in self._patches:
            one.stop()
        for handle in self._locks:
            # What the death of a process does to its locks.
            with suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_UN)
                os.close(handle)


def words(command, at, out):
    return [word.format(at=at, out=out) for word in command.split()]


def plain(out):
    """What was put out, without what names the machine and the day."""
    found = tree(out)
    for name in [name for name in found if name.endswith(("manifest.json", "sweep.json"))]:
        made_by = json.loads(found[name])
        for key in ("environment", "command", "sha256"):
            made_by.pop(key, None)
        found[name] = made_by
    return {name: content for name, content in found.items() if "/." not in f"/{name}"}


def at_start(sound, out, name):
    """The folder for output before the command: with an older run where one is replaced."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    if name == "run, replacing":
        shutil.copytree(sound / "run", out / "run")
        for file in (out / "run").glob("levels.parquet"):
            file.unlink()


def operations(sound, out, name):
    """The operations of a command, undisturbed, and what it puts out."""
    at_start(sound, out, name)
    with Disk(out) as disk:
        ended = run(*words(COMMANDS[name], sound, out))
    assert ended.code == 0, ended.said
    return disk.seen, plain(out)


def inject(sound, out, name, kind, at, wanted):
    """What broke the law when the operation of this number goes wrong; None where nothing did."""
    at_start(sound, out, name)
    before, older = tree(sound), plain(out)
    code = None
    try:
        with Disk(out, kind, at) as disk:
            code = run(*words(COMMANDS[name], sound, out)).code
    except Killed:
        pass
    if kind != "kill" and code not in (0, 2):
        return f"exit {code}"
    if (
        kind != "kill"
        and disk.seen[at] not in ("unlink", "rmdir")
        and [one for one in out.rglob(".*") if one.is_file()]
    ):
        return "something half-written was left"
    if kind == "fail" and name == "run, replacing" and code == 2 and plain(out) != older:
        return "the older run was lost"
    if name == "init":  # does not replace a file, by intention
        (out / "new.yaml").unlink(missing_ok=True)
    ended = run(*words(COMMANDS[name], sound, out))
    if ended.code != 0:
        return f"the second time: exit {ended.code}: {ended.said[-200:]}"
    if plain(out) != wanted:
        return "the second time: other bytes"
    return "something else changed" if tree(sound) != before else None


def main():
    """Print a table of commands, operations, faults and what broke; exit 1 where something did."""
    total, failed = Counter(), []
    print("| command | operations | faults | recovered |\n|---|---|---|---|")
    with TemporaryDirectory() as place:
        sound, out = Path(place) / "sound", Path(place) / "out"
        sound.mkdir()
        prepare(sound)
        for name in COMMANDS:
            seen, wanted = operations(sound, out, name)
            broken = [
                (name, kind, at, seen[at], said)
                for kind in KINDS
                for at in range(len(seen))
                if (said := inject(sound, out, name, kind, at, wanted)) is not None
            ]
            faults = len(KINDS) * len(seen)
            print(f"| {name} | {len(seen)} | {faults} | {faults - len(broken)} |", flush=True)
            for one in broken[:8]:
                print("  ", one, file=sys.stderr, flush=True)
            total.update(faults=faults, operations=len(seen), broken=len(broken))
            failed += broken
    print(f"| all | {total['operations']} | {total['faults']} | {total['faults'] - total['broken']} |")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
