"""Where compiled code is kept, which is loaded as code: nowhere that anybody else can write."""

from __future__ import annotations

import os
import stat
import sys
from itertools import chain
from pathlib import Path
from types import ModuleType

import pytest
from numba.core.dispatcher import Dispatcher

import simulator.engine.simulation  # noqa: F401 - all of the engine
from simulator.engine.vllm import compiled


@pytest.fixture
def folder_in(tmp_path, monkeypatch):
    """The folder that is chosen where the user's cache is a file, and temporary files have a place of their own."""
    (tmp_path / "file").write_text("")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    monkeypatch.setattr("atexit.register", lambda *_, **__: None)
    monkeypatch.setattr(compiled.os, "environ", dict(os.environ))

    def choose():
        return Path(compiled._cache_folder.__wrapped__())

    return choose


def test_the_cache_of_the_user_comes_first(tmp_path, folder_in):
    compiled.os.environ["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    before = os.umask(0o002)
    try:
        folder = folder_in()
    finally:
        os.umask(before)
    assert folder.parent == tmp_path / "cache" / "llm-hosting-simulator"
    assert folder_in() == folder
    assert {stat.S_IMODE(one.stat().st_mode) for one in (folder, folder.parent)} == {0o700}


def test_without_one_it_is_a_private_folder_that_is_found_again(tmp_path, folder_in):
    folder = folder_in()
    assert folder.parent.parent == tmp_path / "temporary"
    assert str(os.geteuid()) in folder.parent.name
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert folder_in() == folder


SPOILS = {
    "all may write": lambda folder: folder.chmod(0o777),
    "a group may write": lambda folder: folder.chmod(0o770),
    "all may write to the one above": lambda folder: folder.parent.chmod(0o1777),
    "a link": lambda folder: (folder.rename(folder.with_name("moved")), folder.symlink_to("moved")),
    "a link above": lambda folder: (
        folder.parent.rename(folder.parent.with_name("moved")),
        folder.parent.symlink_to("moved"),
    ),
    "a dangling link": lambda folder: (folder.rmdir(), folder.symlink_to("nowhere")),
    "a file": lambda folder: (folder.rmdir(), folder.write_text("")),
}


@pytest.mark.parametrize("spoil", [*SPOILS.values(), None], ids=[*SPOILS, "of another user"])
def test_what_another_may_have_written_is_not_loaded(folder_in, spoil):
    folder = folder_in()
    if spoil is not None:
        spoil(folder)
    elif os.geteuid() == 0:
        os.chown(folder, 12345, 12345)
    else:
        folder.chmod(0o777)
    other = folder_in()
    assert other != folder
    assert not str(other).startswith(str(folder.parent) + os.sep)
    known = other.lstat()
    assert stat.S_ISDIR(known.st_mode)
    assert (known.st_uid, stat.S_IMODE(known.st_mode)) == (os.geteuid(), 0o700)
    assert compiled.os.environ["NUMBA_CACHE_DIR"] == str(other)


def functions():
    """Functions of the engine that numba compiles, by name."""
    modules = [one for name, one in sys.modules.items() if name.startswith("simulator.engine.")]
    found = {id(one): one for module in modules for one in vars(module).values() if isinstance(one, Dispatcher)}
    return {f"{one.py_func.__module__.removeprefix('simulator.engine.')}.{one.__name__}": one for one in found.values()}


def test_of_a_replica_machine_code_is_made_twice():
    """For Python, and for the router: each entry costs the compilation of all that it calls."""
    found = functions()
    assert len(found) > 150

    known = {id(one): name for name, one in found.items()}

    def below(name, seen):
        """All that a function calls, and they call."""
        here = vars(sys.modules[f"simulator.engine.{name.rpartition('.')[0]}"]).values()
        there = (vars(one).values() for one in here if isinstance(one, ModuleType))
        names = found[name].py_func.__code__.co_names
        for one in chain(here, *there):
            called = known.get(id(one))
            if called and one.__name__ in names and called not in seen:
                seen.add(called)
                below(called, seen)
        return seen

    entries = [name for name, one in found.items() if not one.targetoptions.get("no_cpython_wrapper")]
    whole = [name for name in entries if "vllm.scheduler.schedule" in below(name, set())]
    assert sorted(whole) == ["routing.express.forward", "vllm.dispatch.work"]
