"""What numba keeps: compiled once, for the types that are really passed."""

from __future__ import annotations

import numba
import pytest

from simulator.engine.simulation import simulate
from simulator.engine.vllm import dispatch
from tests.engine.demand import plan, self_hosted, table

pytestmark = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")


def test_prepared_is_what_a_simulation_calls():
    dispatch.prepare()
    assert dispatch.is_compiled()
    before = [list(function.signatures) for function, _ in dispatch._ENTRIES]
    simulate(self_hosted(), table([0.0, 1.0]), horizon_s=100.0, seed=1, replication=0, plan=plan())
    assert [list(function.signatures) for function, _ in dispatch._ENTRIES] == before
    assert [len(signatures) for signatures in before] == [1] * len(before)
