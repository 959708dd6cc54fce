"""The real vLLM scheduler, where it is installed, on workloads nobody has recorded."""

from __future__ import annotations

import importlib.util
import json
import random
import sys
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulator.bench.conform import conform
from simulator.bench.recording import Recording
from tests.parts import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.needs("vLLM"), pytest.mark.filterwarnings("ignore")]

#: Seconds of the host between scheduling a step and its start: no longer than a step takes, and off the microseconds
#: of arrivals, so that nobody comes at the very moment of a look, when who was first is a matter of rounding.
overheads = st.sampled_from([0.0, 0.0, 0.00170003, 0.00600007])


@pytest.fixture(scope="module")
def oracle():
    path = ROOT / "tools" / "record_vllm_scheduler.py"
    spec = importlib.util.spec_from_file_location("record_vllm_scheduler", path)
    module = sys.modules["record_vllm_scheduler"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.init_none_hash(module.get_hash_fn_by_name("sha256"))
    return module


@pytest.fixture(scope="module")
def counts():
    """Counted over all examples, and said at the end."""
    found = Counter()
    yield found
    print(f"live against vLLM: {found['cases']} cases, {found['steps']:,} steps, none differs")


@pytest.fixture(scope="module")
def model(oracle, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    (folder / "config.json").write_text(json.dumps(oracle.MODEL), encoding="utf-8")
    return str(folder)


@pytest.fixture(scope="module")
def played_alike(oracle, model, counts):
    """Has the real scheduler play a case, and sees that ours does the same."""

    def play(case, seed, gives_up, overhead=0.0):
        case = case | {"config": case["config"] | {"overhead": overhead}}
        if gives_up:
            case = oracle.with_aborts(case, random.Random(seed))
        found = conform(Recording.model_validate(oracle.Run(case, model).play()))
        counts["steps"] += found.steps
        counts["cases"] += 1
        assert found.differing_steps == [], found.first
        assert found.differing_requests == []
        assert found.agrees

    return play


@settings(max_examples=250, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 1 << 32), nested=st.booleans(), gives_up=st.booleans(), overhead=overheads)
def test_no_step_differs(oracle, played_alike, seed, nested, gives_up, overhead):
    case = oracle.random_case(random.Random(seed))
    if nested:
        case = oracle.with_levels(case, random.Random(seed))
    played_alike(case, seed, gives_up, overhead)


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 1 << 32), caches=st.booleans(), gives_up=st.booleans(), overhead=overheads)
def test_no_step_differs_with_groups_of_layers(oracle, played_alike, seed, caches, gives_up, overhead):
    """Prefixes are cached by group in the step-by-step replica alone."""
    case = oracle.random_case(random.Random(seed))
    case["config"]["prefix_caching"] = caches
    case = oracle.with_groups(case, random.Random(seed))
    played_alike(case, seed, gives_up, overhead)


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 1 << 32), nested=st.booleans(), gives_up=st.booleans(), overhead=overheads)
def test_no_step_differs_with_speculative_decoding(oracle, played_alike, seed, nested, gives_up, overhead):
    case = oracle.with_drafts(oracle.random_case(random.Random(seed)), random.Random(seed))
    if nested:
        case = oracle.with_levels(case, random.Random(seed))
    played_alike(case, seed, gives_up, overhead)


@settings(max_examples=30, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 1 << 32), nested=st.booleans(), gives_up=st.booleans(), overhead=overheads)
def test_no_step_differs_with_adapters(oracle, played_alike, seed, nested, gives_up, overhead):
    case = oracle.with_adapters(oracle.random_case(random.Random(seed)), random.Random(seed))
    if nested:
        case = oracle.with_levels(case, random.Random(seed))
    played_alike(case, seed, gives_up, overhead)


@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 1 << 32),
    nested=st.booleans(),
    gives_up=st.booleans(),
    overhead=overheads,
    also=st.sampled_from([None, None, "with_drafts", "with_adapters"]),
)
def test_no_step_differs_in_conversations(oracle, played_alike, seed, nested, gives_up, overhead, also):
    case = oracle.with_turns(oracle.random_case(random.Random(seed)), random.Random(seed), nested=nested)
    if also is not None:
        case = getattr(oracle, also)(case, random.Random(seed))
    played_alike(case, seed, gives_up, overhead)
