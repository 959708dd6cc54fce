"""What numba keeps: compiled once, for the types that are really passed."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: In a process of its own: another test may have called an entry with types of its own.
_COUNT = """
from simulator.engine.simulation import simulate
from simulator.engine.vllm import dispatch
from tests.engine.demand import plan, self_hosted, table

dispatch.prepare()
assert dispatch.is_compiled()
counts = lambda: [len(function.signatures) for function, _ in dispatch._ENTRIES]
before = counts()
simulate(self_hosted(), table([0.0, 1.0]), horizon_s=100.0, seed=1, replication=0, plan=plan())
print(before, counts())
"""


@pytest.mark.needs("compiled engine")
def test_prepared_is_what_a_simulation_calls(pytestconfig):
    done = subprocess.run(
        [sys.executable, "-c", _COUNT], cwd=pytestconfig.rootpath, capture_output=True, text=True, check=True
    )
    before, after = done.stdout.strip().split("] [")
    assert before.strip("[]") == after.strip("[]")
    assert set(before.strip("[]").split(", ")) == {"1"}
