"""`max_model_len` where nobody states it: lengths by hand, by counting, and what a run then loses."""

from __future__ import annotations

import numpy as np
import pytest

import simulator
from simulator.cost.overrides import scenario_book
from simulator.engine.api.metered_api import is_too_long
from simulator.engine.arrival import Arrival
from simulator.experiment.checks import checked
from simulator.experiment.model_length import longer_requests, model_lengths, with_model_lengths
from simulator.performance.clusters import cluster_profile
from simulator.performance.memory import kv_capacity
from simulator.report.warnings import too_long, warnings_about
from simulator.scenario.patterns import Cluster
from simulator.scenario.yaml_source import Document
from simulator.study.candidates import Space
from simulator.study.capacity import capacity_advice
from simulator.study.explanation import sources_of
from simulator.study.plan import plan
from simulator.trace.canonical import write_trace
from tests.engine.demand import table
from tests.experiment.small import small

CLUSTER = "hosting_patterns.rented.cluster"


def constant(tokens):
    return {"kind": "constant", "tokens": tokens}


def lengths(scenario, pattern="rented"):
    """What the only cluster of a pattern takes."""
    return with_model_lengths(scenario).hosting_patterns[pattern].cluster.engine.max_model_len


def of_letters(prompt, output=300, more=None):
    """The small scenario, whose letters are so long; notes stay below 4,000 + 2,000 tokens."""
    return small(
        {"workloads.letters.prompt_tokens": prompt, "workloads.letters.output_tokens": constant(output), **(more or {})}
    )


@pytest.mark.parametrize(
    ("prompt", "output", "taken"),
    [(500, 100, 8192), (7892, 300, 8192), (7893, 300, 16_384), (20_000, 300, 32_768), (65_000, 536, 65_536),
     (65_000, 537, 131_072), (200_000, 1, 131_072)],
)  # fmt: skip
def test_the_default_is_the_least_power_of_two_that_holds_prompt_and_answer_up_to_the_models_context(
    prompt, output, taken
):
    scenario = of_letters(constant(prompt), output)
    assert lengths(scenario) == taken
    # Twice is once, and what is stated stays.
    assert lengths(with_model_lengths(scenario)) == taken
    assert lengths(of_letters(constant(prompt), output, {f"{CLUSTER}.engine.max_model_len": 600})) == 600


@pytest.mark.parametrize(
    ("median", "sigma", "correlation", "departments"),
    [(3000, 0.3, 0.0, None), (3500, 0.6, 0.8, None), (9000, 0.2, -0.5, None), (2500, 0.5, 0.3, 0.4)],
)
def test_one_request_in_a_thousand_is_left_out_and_no_more(median, sigma, correlation, departments):
    """Counted among requests drawn here: the default leaves out less, half of it more."""
    more = {
        "workloads.letters.output_tokens": {"kind": "lognormal", "median": 900, "sigma": 0.5},
        "workloads.letters.correlation": correlation,
    }
    if departments:
        more["workloads.letters.departments"] = {"count": 40, "share_sigma": 0.0, "length_sigma": departments}
    taken = lengths(of_letters({"kind": "lognormal", "median": median, "sigma": sigma}, more=more))
    rng = np.random.default_rng(5)
    first, second, third = rng.standard_normal((3, 400_000))
    longer = np.exp((departments or 0.0) * third - 0.5 * (departments or 0.0) ** 2)
    prompt = np.exp(np.log(median) + sigma * first) * longer
    both = correlation * first + np.sqrt(1 - correlation**2) * second
    whole = np.rint(prompt) + np.minimum(np.rint(900 * np.exp(0.5 * both) * longer), 4096)
    assert np.mean(whole > taken) < 0.0013
    assert taken == 8192 or np.mean(whole > taken / 2) > 0.0008


def test_a_conversation_needs_room_for_all_that_was_said():
    """The j-th prompt has 2,000 + 600 (j - 1) tokens; (2/3)^17 = 1 in 986 come after the 17th, 1 in 58 after ten."""
    turns = {"mean": 3, "think": {"median": "60s", "sigma": 0.1}, "question_tokens": 100}
    chat = of_letters(constant(2000), 500, {"workloads.letters.turns": turns})
    assert lengths(chat) == 16_384
    # Prompts of more than 8,191 tokens from the twelfth turn on: (2/3)^11 of the requests, 1.16 %.
    stated = small(
        {"workloads.letters": chat.resolved["workloads"]["letters"], f"{CLUSTER}.engine.max_model_len": 8192}
    )
    (line,) = too_long(stated, ["rented"])
    assert float(line.split()[1]) == pytest.approx(100 * (2 / 3) ** 11, abs=0.15)
    assert "16384 would do" in line


def test_a_trace_is_held_to_its_longest_request(tmp_path):
    demand = table([60.0 * n for n in range(3000)], [500] * 2999 + [12_000], 100)
    write_trace(demand, tmp_path / "t.csv", source="test", licence="none", span_s=86_400.0 * 7)
    load = {"trace": {"file": str(tmp_path / "t.csv")}, "phi": False}
    scenario = small({"workloads": {"all": load}})
    assert lengths(scenario) == 16_384
    stated = small({"workloads": {"all": load}, f"{CLUSTER}.engine.max_model_len": 8192})
    # One in three thousand is no word worth.
    assert too_long(stated, ["rented"]) == []
    assert too_long(small({"workloads": {"all": load}, f"{CLUSTER}.engine.max_model_len": 500}), ["rented"])
    # What is gone is told by whoever replays it; an old run can still be shown.
    (tmp_path / "t.csv").unlink()
    assert lengths(scenario) == 8192


@pytest.mark.parametrize(
    ("changes", "taken", "why"),
    [
        ({"model": "qwen3-30b-a3b", "gpu": "h100-80gb"}, 40_960, "is the model's own context, where 65,536"),
        ({"model": "llama-2-7b", "gpu": "h100-80gb"}, 4096, "is the model's own context, where 65,536"),
        ({"engine": {"chunked_prefill": False, "max_num_batched_tokens": 20_000}}, 20_000, "without chunked_prefill"),
    ],
)
def test_nothing_is_taken_that_the_model_or_the_engine_does_not(changes, taken, why):
    scenario = of_letters(constant(50_000), more={CLUSTER: {"model": "llama-3.1-8b", "gpu": "l40s", **changes}})
    assert lengths(scenario) == taken
    (found,) = model_lengths(scenario, scenario.hosting_patterns["rented"]).values()
    assert why in found.why


def test_no_more_is_taken_than_the_memory_holds():
    """70B on two A100s: a request fills all KV blocks, and one token more fits nowhere."""
    large = {"model": "llama-3.3-70b", "gpu": "a100-80gb", "tensor_parallel": 2}
    scenario = of_letters(constant(60_000), more={CLUSTER: large})
    sized = with_model_lengths(scenario).hosting_patterns["rented"]
    taken = sized.cluster.engine.max_model_len
    assert taken == kv_capacity(cluster_profile(sized.cluster), sized.cluster.engine).tokens == 32_624
    assert longer_requests(sized) == "more KV memory (larger or more GPUs)"
    (line,) = too_long(with_model_lengths(scenario), ["rented"])
    assert "65536 would do" in line
    assert line.endswith("but the KV memory of a replica holds no request of 65,536")
    tiny = of_letters(constant(60_000), more={f"{CLUSTER}.engine": {"num_gpu_blocks": 100}})
    assert lengths(tiny) == 8192


def test_only_what_is_sent_to_a_cluster_counts():
    """Letters of 50,000 tokens that go to the API alone; and that may go to either."""
    routed = of_letters(
        constant(50_000), more={"hosting_patterns.hybrid.routing.backends": {"letters": ["bedrock/llama-3.3-70b"]}}
    )
    assert lengths(routed, "hybrid") == 8192
    assert lengths(of_letters(constant(50_000)), "hybrid") == 65_536


def test_a_cluster_that_moves_forgets_what_was_not_stated():
    """An A100 of 80 GB holds more of 70B than one of 40 GB: what the one took is not asked of the other."""
    cluster = Cluster.model_validate({"model": "llama-3.1-8b", "gpu": "h200"})
    sized = cluster.model_copy(update={"engine": cluster.engine.on("h200", 131_072)})
    assert (
        sized.moved({"gpu": "l40s"}).engine == Cluster.model_validate({"model": "llama-3.1-8b", "gpu": "l40s"}).engine
    )
    stated = Cluster.model_validate({"model": "llama-3.1-8b", "gpu": "h200", "engine": {"max_model_len": 20_000}})
    assert stated.moved({"gpu": "l40s"}).engine.max_model_len == 20_000


def test_no_request_is_lost_as_too_long_whoever_asks():
    """A run of what was made in Python, capacity, and a plan that moves the cluster."""
    scenario = of_letters(constant(30_000), more={"experiment.replications": 1})
    found = simulator.run(scenario, patterns=["rented", "hybrid"], band=False, outlook=False)
    assert {one.requests.lost["too_long"] for one in found.patterns} == {0}
    (advice,) = capacity_advice(scenario, patterns=["rented"], replications=1)
    assert {one.falls_short for one in advice.options} == {None}
    space = Space(gpus=("h100-80gb",), tensor_parallel=(1,), most_replicas=1, quantisations=("bf16", "fp8"))
    answer = plan(scenario, ["rented"], space, replications=1)
    assert {one.result.requests.lost["too_long"] for one in answer.simulated} == {0}
    assert {one.pattern.cluster.gpu for one in answer.simulated} == {"h100-80gb"}


def test_what_was_taken_is_told_with_its_reason():
    scenario = checked(Document(of_letters(constant(20_000)).resolved))
    assert scenario.hosting_patterns["rented"].cluster.engine.max_model_len == 32_768
    found = {one.place: one for one in sources_of(scenario, scenario_book(scenario.prices))}
    told = found[f"{CLUSTER}.engine.max_model_len"]
    assert (told.what, told.label) == ("max_model_len 32,768", "derived")
    assert (
        told.source == "holds all but 1 in 1,000 requests of each workload sent there; half of it would not, of letters"
    )


@pytest.mark.parametrize(
    ("model", "prompt", "refused"),
    [
        ("azure/gpt-4o", 128_000 - 4096, False),
        ("azure/gpt-4o", 128_001 - 4096, True),
        # 400,000 in all, of which the answer's 128,000 are no room for a prompt.
        ("azure/gpt-5-mini-eu-data-zone", 272_000, False),
        ("azure/gpt-5-mini-eu-data-zone", 272_001, True),
        ("gemini/gemini-2.5-pro", 1_048_576, False),
        ("gemini/gemini-2.5-pro", 1_048_577, True),
        # Its book has prices beyond 200,000, and no word of how long a request may be.
        ("bedrock/claude-sonnet-4.5", 900_000, False),
    ],
)
def test_an_api_refuses_what_its_model_does_not_take_by_the_price_book(model, prompt, refused):
    scenario = with_model_lengths(of_letters(constant(prompt), more={"hosting_patterns.api.api.model": model}))
    assert scenario == with_model_lengths(scenario)
    (api,) = scenario.hosting_patterns["api"].metered.values()
    assert is_too_long(api, Arrival(0, 0, prompt, 4096, -1, 0, 3)) is refused
    assert bool(too_long(scenario, ["api"])) is refused
    stated = of_letters(
        constant(prompt),
        more={"hosting_patterns.api.api.model": model, "hosting_patterns.api.api.context_tokens": 5_000_000},
    )
    assert too_long(with_model_lengths(stated), ["api"]) == []


def test_what_an_api_refuses_is_lost_as_too_long_and_told_with_its_source():
    gpt = {"hosting_patterns.api.api.model": "azure/gpt-4o", "experiment.replications": 1}
    scenario = of_letters(constant(124_000), more=gpt)
    (found,) = simulator.run(scenario, patterns=["api"], band=False, outlook=False).patterns
    letters = found.workloads["letters"].requests
    assert letters.arrived == letters.rejected == letters.lost["too_long"] > 0
    assert found.workloads["notes"].requests.rejected == 0
    told = {one.place: one for one in sources_of(scenario, scenario_book(scenario.prices))}
    limit = told["hosting_patterns.api.api.context_tokens"]
    assert (limit.what, limit.label) == ("context_tokens 128,000", "documented")
    assert "litellm" in limit.source
    assert "2026-11-20" in limit.source
    own = {"azure/gpt-4o": {"context_tokens": 129_000}}
    longer = of_letters(constant(124_000), more=gpt | {"prices.overrides": own})
    assert too_long(with_model_lengths(longer), ["api"]) == []


def test_a_plan_asks_each_model_how_long_a_request_it_takes():
    """What is stated of one is not said of another: 124,000 tokens are too many for 4o, not for 4.1."""
    scenario = of_letters(
        constant(124_000),
        more={
            "hosting_patterns.api.api.model": "azure/gpt-4o",
            "hosting_patterns.api.api.context_tokens": 128_000,
            "experiment.replications": 1,
        },
    )
    space = Space(api_models=("azure/gpt-4o", "azure/gpt-4.1"), deployments=("own",), mixes=False)
    lost = {
        one.label: one.result.requests.lost["too_long"]
        for one in plan(scenario, ["api"], space, replications=1).simulated
    }
    assert lost["azure/gpt-4o"] > 0
    assert lost["azure/gpt-4.1"] == 0


def test_more_than_the_model_takes_is_told_where_it_is_stated():
    (line,) = [
        line for line in warnings_about(small({f"{CLUSTER}.engine.max_model_len": 131_073})) if "LONG_MAX" in line
    ]
    assert "131,073 is more than llama-3.1-8b takes, 131,072" in line
    assert not [
        line for line in warnings_about(small({f"{CLUSTER}.engine.max_model_len": 131_072})) if "LONG_MAX" in line
    ]
