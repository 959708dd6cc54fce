"""What holds for every test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import Phase, settings

from tests.ledger import Page, needed
from tests.parts import PARTS

# A law holds or it does not; how long an example takes says how busy the machine is. On a code host the same examples
# are drawn each time, so that a failure there is a failure here; elsewhere new ones, and a failure prints its blob.
settings.register_profile("local", deadline=None, print_blob=True)
settings.register_profile("ci", parent=settings.get_profile("local"), derandomize=True)
# `--hypothesis-profile night`: five times as many, where nobody waits for them.
settings.register_profile("night", parent=settings.get_profile("local"), max_examples=500)
# `tools/mutate.py`: that a law fails is enough, and what failed for another fault says nothing.
unshrunk = [phase for phase in Phase if phase not in (Phase.shrink, Phase.explain)]
settings.register_profile("mutants", parent=settings.get_profile("local"), phases=unshrunk, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_addoption(parser):
    group = parser.getgroup("parts", "what not every machine has (tests/parts.py)")
    group.addoption(
        "--expect", default="", help="parts that ought to be here, with commas between them: fail, not skip"
    )
    group.addoption("--small", action="store_true", help="benchmarks of a hundredth of their size")
    group.addoption("--ledger", type=Path, help="file that says afterwards which tests ran")


class PlainNames:
    """A test is reported by its own name, whichever group it was in."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report):
        test, at, group = report.nodeid.rpartition("@")
        if at and "]" not in group:
            report.nodeid = test


def pytest_configure(config):
    config.expected = set(filter(None, config.getoption("expect").split(",")))
    if unknown := config.expected - set(PARTS):
        raise pytest.UsageError(f"--expect {', '.join(sorted(unknown))}: there are {', '.join(PARTS)}")
    # Of several processes the first hears of all tests.
    if hasattr(config, "workerinput") or config.getoption("collectonly"):
        return
    config.pluginmanager.register(PlainNames())
    if path := config.getoption("ledger"):
        config.pluginmanager.register(Page(path))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        needed(item)
        # What a module makes once, one process makes: all tests that take it go there.
        fixtures = [made[-1] for made in item._fixtureinfo.name2fixturedefs.values()]
        if homes := {made.baseid for made in fixtures if made.baseid and made.scope != "function"}:
            item.add_marker(pytest.mark.xdist_group(min(homes, key=len)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    for name in needed(item):
        if reason := PARTS[name]():
            said = f"needs {name}: {reason}"
            if name in item.config.expected:
                pytest.fail(said, pytrace=False)
            pytest.skip(said)
