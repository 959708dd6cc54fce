from __future__ import annotations

from simulator.cost.overrides import scenario_book
from simulator.experiment.checks import load_checked
from simulator.report.warnings import too_long, warnings_about
from simulator.scenario.apis import FLEX_ASSUMED
from simulator.study.explanation import sources_of
from tests.experiment.small import small
from tests.parts import SCENARIOS

PRICES = {"prompt": "1 USD/1M tokens", "output": "4 USD/1M tokens"}


def test_settings_beyond_the_measured_range_are_flagged():
    inside = small()
    cluster = "hosting_patterns.rented.cluster.engine"
    beyond = small(
        {
            f"{cluster}.max_num_seqs": 2000,
            f"{cluster}.max_num_batched_tokens": 16_384,
            f"{cluster}.max_model_len": 16_384,
        }
    )
    assert not [line for line in warnings_about(inside, ["rented"]) if "measured for" in line]
    found = [line for line in warnings_about(beyond, ["rented"]) if "measured for" in line]
    assert [line.split(": ")[1].split()[0] for line in found] == [
        "max_num_seqs",
        "max_num_batched_tokens",
        "max_model_len",
    ]
    assert all("straight lines" in line for line in found)


def test_that_the_speed_of_flex_is_assumed_is_said_wherever_it_is_used():
    flex = small({"hosting_patterns.api.api.deployment": {"kind": "flex"}, "hosting_patterns.api.api.prices": PRICES})
    assert [line for line in warnings_about(flex) if "flex" in line] == [f"api: {FLEX_ASSUMED}"]
    assert not [line for line in warnings_about(small()) if "flex" in line]
    (source,) = [one for one in sources_of(flex, scenario_book(flex.prices)) if one.what == "flex"]
    assert (source.label, source.source) == ("assumed", FLEX_ASSUMED)


def test_what_will_be_refused_as_too_long_is_told_before():
    """Median exp(ln 600 - 0.08) = 554 tokens; a server of 555 takes prompts below that: half of them."""
    assert too_long(small(), small().hosting_patterns) == []
    (line,) = too_long(small({"hosting_patterns.rented.cluster.engine.max_model_len": 555}), ["rented"])
    assert line.startswith("rented: 49.9 %")
    assert "of the requests of notes are longer than engine.max_model_len 555 allows" in line
    assert "2048 would do" in line
    # An API counts `max_tokens` too: 4,096 of 4,600 leave 504, less than letters of 500 need.
    lines = too_long(small({"hosting_patterns.api.api.context_tokens": 4600}), ["api"])
    assert [line.split()[7] for line in lines] == ["notes"]


def test_little_room_for_long_requests_is_told_before():
    """70B in bf16 on two A100s: it runs, and holds about four requests of 8,192 tokens."""
    full = {"model": "llama-3.3-70b", "gpu": "a100-80gb", "tensor_parallel": 2, "quantisation": "bf16"}
    (line,) = [
        line for line in warnings_about(small({"hosting_patterns.rented.cluster": full})) if "KV blocks hold" in line
    ]
    assert line.startswith("rented: KV blocks hold 4.0 requests of max_model_len at once. a100-80gb: 79.2 GiB x 0.92")
    assert not [line for line in warnings_about(small()) if "KV blocks hold" in line]


def test_what_several_patterns_have_in_common_is_said_once():
    """One cluster rented, bought and beside an API: three patterns, one link that nobody stated."""
    unstated = dict.fromkeys(
        f"hosting_patterns.{name}.cluster.interconnect"
        for name in ("self_hosted_rental", "self_hosted_on_premises", "hybrid")
    )
    scenario = load_checked(SCENARIOS / "health_system.yaml", settings=unstated)
    links = [text for text in warnings_about(scenario) if "interconnect is not stated" in text]
    assert len(links) == 1
    assert links[0].startswith("self_hosted_rental, self_hosted_on_premises, hybrid: ")
    (alone,) = [text for text in warnings_about(scenario, ["hybrid"]) if "interconnect is not stated" in text]
    assert alone.startswith("hybrid: ")


def test_how_the_blocks_of_layers_that_keep_different_things_are_counted_is_said_where_it_is_cautious():
    cluster = "hosting_patterns.rented.cluster"
    one = {
        f"{cluster}.model": "gpt-oss-120b", f"{cluster}.gpu": "h100-80gb", f"{cluster}.quantisation": "mxfp4",
        f"{cluster}.tensor_parallel": 1, f"{cluster}.engine": {"max_num_seqs": 128, "max_model_len": 8192},
    }  # fmt: skip
    (said,) = [line for line in warnings_about(small(one), ["rented"]) if "the scheduler counts" in line]
    assert "every token in layers with a window" in said
    assert "With prefix_caching: false it counts what each group of layers keeps" in said
    by_group = small(one | {f"{cluster}.engine": {"max_num_seqs": 128, "max_model_len": 8192, "prefix_caching": False}})
    assert not [line for line in warnings_about(by_group, ["rented"]) if "the scheduler counts" in line]


def test_how_replicas_share_requests_is_said_for_each_cluster_with_several():
    cluster = "hosting_patterns.rented.cluster"

    def said(changes):
        return [line for line in warnings_about(small(changes), ["rented"]) if "share requests" in line]

    assert said({}) == []
    (line,) = said({f"{cluster}.replicas": 3})
    assert line.startswith(
        "rented: balancing is not stated: 3 replicas are taken to share requests by balancing random, "
    )
    (line,) = said({f"{cluster}.replicas": 2, f"{cluster}.balancing": {"kind": "random"}})
    assert line.startswith("rented: 2 replicas share requests by balancing random, at random (a Kubernetes service")
    assert "one may queue while another idles" in line
