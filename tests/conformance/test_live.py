"""The real vLLM scheduler, where it is installed, on workloads nobody has recorded."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.bench.conform import conform
from simulator.bench.recording import Recording

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def oracle():
    pytest.importorskip("vllm")
    path = Path(__file__).parents[2] / "tools" / "record_vllm_scheduler.py"
    spec = importlib.util.spec_from_file_location("record_vllm_scheduler", path)
    module = sys.modules["record_vllm_scheduler"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.init_none_hash(module.get_hash_fn_by_name("sha256"))
    return module


@pytest.fixture(scope="module")
def model(oracle, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    (folder / "config.json").write_text(json.dumps(oracle.MODEL), encoding="utf-8")
    return str(folder)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(1000, 1_000_000))
def test_no_step_differs(oracle, model, seed):
    recorded = Recording.model_validate(oracle.Run(oracle.random_case(seed), model).play())
    found = conform(recorded)
    assert found.differing_steps == [], found.first
    assert found.differing_requests == []
    if not recorded.config.prefix_caching:
        assert found.agrees
