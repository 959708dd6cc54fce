"""Who pays for what is shared."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.cost.allocation import allocate, split
from simulator.cost.bill import monthly_bill
from simulator.cost.prices import load_price_book
from simulator.cost.usage import ApiUse, ClusterUse, Usage, pooled
from simulator.scenario.patterns import HybridPattern, SelfHostedPattern
from simulator.workload.work import Work

BOOK = load_price_book("2026-11")
MONTH = Decimal(730)
API = "azure/gpt-4.1"
HYBRID = HybridPattern.model_validate(
    {
        "kind": "hybrid",
        "cluster": {"model": "llama-3.3-70b", "gpu": "a100-80gb", "tensor_parallel": 2},
        "costs": {"compute": {"kind": "rental", "replica_hour": "2 USD/h"}, "storage": "40 USD/month"},
        "api": {
            "model": API,
            "ttft": {"median": "1s"},
            "output_tokens_per_s": {"median": 50},
            "costs": {"monitoring": "100 USD/month"},
        },
    }
)
counts = st.integers(min_value=0, max_value=10**9)


@st.composite
def works(draw):
    prompt = draw(counts)
    return Work(draw(counts), prompt, draw(st.integers(min_value=0, max_value=prompt)), draw(counts))


def usage(cluster, api, charged=ApiUse(0, 0, 0)):  # noqa: B008
    work = {"cluster": cluster, API: api}
    served = [one for part in work.values() for one in part.values()]
    prompt, output = sum(one.prompt_tokens for one in served), sum(one.output_tokens for one in served)
    return Usage(730.0, {"cluster": ClusterUse(0.5)}, {API: charged}, prompt, output, work)


@given(st.dictionaries(st.sampled_from("abc"), st.tuples(works(), works()), min_size=1), counts, counts)
def test_shares_add_up_to_the_bill(found, prompt, output):
    used = usage(
        {name: pair[0] for name, pair in found.items()},
        {name: pair[1] for name, pair in found.items()},
        ApiUse(prompt, 0, output),
    )
    owed = allocate(HYBRID, used, BOOK, MONTH)
    assert sum(owed.values()) == monthly_bill(HYBRID, used, BOOK, MONTH).total_usd
    for name, pair in found.items():
        # Nobody is paid for, and who asked for nothing owes nothing where somebody did.
        assert owed[name] >= 0
        idle = all(work.computed_tokens + work.cached_prompt_tokens == 0 for work in pair)
        if idle and all(any(pair[place].computed_tokens for pair in found.values()) for place in (0, 1)):
            assert owed[name] == 0


def test_tokens_fall_to_those_who_sent_them_and_the_cluster_to_those_it_computed_for():
    cluster = {"notes": Work(10, 900, 100, 200), "letters": Work(10, 500, 0, 500)}
    api = {"notes": Work(1, 100, 0, 0), "letters": Work(1, 0, 0, 300)}
    charged = ApiUse(1_000_000, 0, 1_000_000)
    owed = allocate(HYBRID, usage(cluster, api, charged), BOOK, MONTH)
    # 1,500 USD of cluster by 1,000 and 1,000 computed tokens; 2 USD of prompts to notes, 8 USD of output to letters;
    # 100 USD of monitoring by 100 and 300 tokens at the API.
    assert owed == {"notes": 750 + 2 + 25, "letters": 750 + 8 + 75}


def test_a_backend_nobody_used_is_shared_by_what_the_others_did():
    cluster = {"notes": Work(1, 300, 0, 0), "letters": Work(1, 100, 0, 0)}
    nothing = dict.fromkeys(("notes", "letters"), Work(0, 0, 0, 0))
    owed = allocate(HYBRID, usage(cluster, nothing), BOOK, MONTH)
    assert owed == {"notes": 1200, "letters": 400}
    assert allocate(HYBRID, usage(nothing, nothing), BOOK, MONTH) == {"notes": 800, "letters": 800}


def test_replications_are_pooled_by_workload():
    one = usage({"notes": Work(1, 2, 1, 3)}, {"notes": Work(4, 5, 0, 6)})
    both = pooled([one, one])
    assert both.work == {"cluster": {"notes": Work(2, 4, 2, 6)}, API: {"notes": Work(8, 10, 0, 12)}}


@given(st.decimals(min_value=0, max_value=10**9, places=6), st.lists(counts, min_size=1).filter(any))
def test_splitting_loses_nothing_and_keeps_proportions(usd, weights):
    found = split(usd, {str(number): weight for number, weight in enumerate(weights)})
    assert sum(found.values()) == usd
    for share, weight in zip(found.values(), weights, strict=True):
        assert abs(share - usd * weight / sum(weights)) <= Decimal("1e-11") + usd * Decimal("1e-25")


def test_only_workloads_can_share():
    with pytest.raises(ValueError, match="shared among workloads"):
        allocate(HYBRID, Usage(1.0, {"cluster": ClusterUse(0.0)}, {API: ApiUse(0, 0, 0)}, 0, 0), BOOK, MONTH)


def of_ones_own(share):
    """A cluster for each of two workloads, and so much of an engineer of 120,000 USD a year at each."""
    staff = [{"role": "engineer", "salary": "120000 USD/year", "share": share}] if share else []
    one = {
        "cluster": {"model": "llama-3.3-70b", "gpu": "a100-80gb", "tensor_parallel": 2},
        "costs": {"compute": {"kind": "rental", "replica_hour": "2 USD/h"}, "staff": staff},
    }
    routing = {"backends": {"notes": ["first"], "letters": ["second"]}}
    content = {"kind": "self_hosted", "clusters": {"first": one, "second": one}, "routing": routing}
    return SelfHostedPattern.model_validate(content)


@pytest.mark.parametrize(("share", "each_usd"), [(0.0, 1460), (0.5, 1460 + 5000), (1.0, 1460 + 10_000)])
def test_a_cluster_for_each_workload_is_paid_by_it_with_shared_or_separate_staff(share, each_usd):
    """2 USD an hour and 10,000 USD a month for an engineer: one of them shared by both clusters, or one at each."""
    work = {"first": {"notes": Work(10, 900, 0, 100)}, "second": {"letters": Work(10, 9, 0, 1)}}
    use = dict.fromkeys(work, ClusterUse(0.5))
    own = allocate(of_ones_own(share), Usage(730.0, use, {}, 909, 101, work), BOOK, MONTH)
    assert own == {"notes": each_usd, "letters": each_usd}
    # Together on one cluster they share one rent, in proportion to what was computed for each.
    pattern = of_ones_own(share)
    together = SelfHostedPattern.model_validate(
        {"kind": "self_hosted", "cluster": pattern.clusters["first"].cluster, "costs": pattern.clusters["first"].costs}
    )
    both = {"cluster": {"notes": Work(10, 900, 0, 100), "letters": Work(10, 9, 0, 1)}}
    owed = allocate(together, Usage(730.0, {"cluster": ClusterUse(0.5)}, {}, 909, 101, both), BOOK, MONTH)
    assert sum(owed.values()) == each_usd
    assert owed["notes"] == pytest.approx(Decimal(each_usd) * 1000 / 1010, abs=Decimal("0.01"))


def test_each_kind_of_tokens_falls_to_those_who_sent_that_kind():
    """By hand, of a hybrid: cached and uncached prompts and outputs of two workloads that mix them differently."""
    notes, letters = Work(1, 900, 600, 100), Work(1, 500, 100, 700)
    charged = ApiUse(1_400_000_000, 700_000_000, 800_000_000)
    shared = allocate(HYBRID, usage({"notes": notes}, {"notes": notes, "letters": letters}, charged), BOOK, MONTH)
    lines = {line.key: line.usd for line in monthly_bill(
        HYBRID, usage({"notes": notes}, {"notes": notes, "letters": letters}, charged), BOOK, MONTH).lines}  # fmt: skip
    # Uncached prompts 300 to 400, cached 600 to 100, outputs 100 to 700; all else by 400 to 1,100 computed tokens.
    parts = {"api_prompt": (400, 700), "api_cached_prompt": (100, 700), "api_output": (700, 800)}
    rest = sum(usd for key, usd in lines.items() if key.startswith("api_") and key not in parts)
    wanted = sum(lines[key] * part / whole for key, (part, whole) in parts.items()) + rest * 1100 / 1500
    assert shared["letters"] == pytest.approx(wanted, abs=Decimal("1e-9"))
    assert shared["notes"] == pytest.approx(sum(lines.values()) - wanted, abs=Decimal("1e-9"))


def test_tokens_that_answered_nobody_fall_to_those_the_backend_computed_for():
    """Cached prompts were charged for lost calls alone: by the 100 to 300 that the API computed."""
    api = {"notes": Work(1, 100, 0, 0), "letters": Work(1, 300, 0, 0)}
    used = usage({"notes": Work(1, 1000, 0, 0)}, api, ApiUse(10**9, 10**9, 0))
    line = monthly_bill(HYBRID, used, BOOK, MONTH).usd("api_cached_prompt")
    rest = monthly_bill(HYBRID, used, BOOK, MONTH).total_usd - line
    beside = rest - monthly_bill(HYBRID, used, BOOK, MONTH).usd("api_monitoring")
    assert line > 0
    # Cluster and storage are the notes'; monitoring and the tokens of the API go three to one.
    assert allocate(HYBRID, used, BOOK, MONTH)["letters"] == (line + rest - beside) * 3 / 4
