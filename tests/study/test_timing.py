"""The best months are those that trying every month finds."""

from __future__ import annotations

import json
from itertools import combinations_with_replacement, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.errors import ScenarioError
from simulator.scenario.rollout import Rollout
from simulator.study.adoption import adoption_curve
from simulator.study.hardware import Asset, Upfront
from simulator.study.month import Month, PatternMonth
from simulator.study.rollout import rollout
from simulator.study.timing import badness, best_begins, when
from tests.cli.command import run
from tests.experiment.small import small

PHASES = [
    {"pattern": "api"},
    {"pattern": "bought", "from_month": 2},
    {"pattern": "bought", "replicas": 2, "from_month": 3},
]
GROWS = {"kind": "exponential", "first": 0.5, "monthly_growth": "60 %"}
CHEAP = {"kind": "purchase", "gpus": "4 USD", "amortisation": 10}


def scenario(phases=PHASES, **settings):
    plan = {"months": 3, "adoption": GROWS, "phases": phases}
    dear = {"prompt": "10 USD/1M tokens", "output": "30 USD/1M tokens"}
    given = {"rollout": plan, "experiment.replications": 1, "hosting_patterns.bought.costs.compute": CHEAP}
    return small(given | {"hosting_patterns.api.api.prices": dear} | settings)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("gpus", "one_off"),
    [
        ("40 USD", "3 USD"),
        ("4 USD", "0 USD"),
        ("400 USD", "0 USD"),
    ],
)
def test_no_rollout_with_other_months_is_better(store, gpus, one_off):
    """By `rollout` itself, every month of both steps tried, a month after the last for never."""
    changed = {"hosting_patterns.bought.costs.compute": {**CHEAP, "gpus": gpus}}
    phases = [PHASES[0], {**PHASES[1], "one_off": one_off}, PHASES[2]]
    found = when(scenario(phases, **changed), store=store)
    tried = {}
    for first, second in combinations_with_replacement(range(1, 5), 2):
        months = [{}, {"from_month": first}, {"from_month": second}]
        moved = [{**one, **at} for one, at in zip(phases, months, strict=True)]
        plan = rollout(scenario(moved, **changed), store=store).projection.course.strategies[0]
        tried[first, second] = (len(plan.impossible_months), len(plan.missed_months), plan.cumulative_usd[-1])
    least = min(tried.values())
    assert (len(found.missed_months), found.total_usd) == pytest.approx(least[1:])


@st.composite
def invented(draw):
    count, amounts = draw(st.integers(1, 6)), st.integers(0, 200)
    names = ["api", "own", "own_x2"]
    months = [
        Month(
            number,
            f"2027-{number:02d}",
            1.0,
            None,
            number,
            {
                name: PatternMonth(0.0, float(draw(amounts)), 1.0, None, draw(st.sampled_from([None, None, "slow"])))
                for name in names
            },
        )
        for number in range(1, count + 1)
    ]
    phases = [{"pattern": "api"}, {"pattern": "own", "from_month": 1, "one_off": f"{draw(amounts)} USD"}]
    phases += [{"pattern": "own", "replicas": 2, "from_month": 1}]
    if draw(st.booleans()):
        phases += [{"pattern": "api", "from_month": 1}]
    plan = Rollout.model_validate(
        {
            "adoption": {"kind": "exponential", "first": 1, "monthly_growth": 0.1},
            "phases": phases,
            "resale": draw(st.sampled_from([0.0, 0.4, 1.0])),
        }
    )
    own, twice = float(draw(amounts)), float(draw(st.integers(0, 400)))
    lasts = draw(st.integers(1, 8))
    rest = draw(st.integers(0, 10)) / 10.0
    # Half of what is paid is hardware; the rest are taxes, connections, training.
    upfront = {
        "api": Upfront(),
        "own": Upfront(own, (Asset(own / 2, rest * own / 4, lasts),)),
        "own_x2": Upfront(twice, (Asset(twice / 2, rest * twice / 4, lasts),)),
    }
    return plan, months, upfront


@given(invented())
def test_of_all_ways_through_invented_months_it_is_the_best(world):
    plan, months, upfront = world
    count = len(months)
    chosen = [range(1, count + 1), *([[*range(1, count + 1), None]] * (len(plan.phases) - 1))]
    ways = [way for way in product(*chosen) if way[0] == 1 or any(one == 1 for one in way[1:])]
    legal = []
    for way in ways:
        begins = [one for one in way if one is not None]
        if begins == sorted(begins):
            legal.append(badness(plan, months, upfront, [1, *way[1:]]))
    best = best_begins(plan, months, upfront)
    path = [1 if best[0] is None else best[0], *best[1:]]
    assert badness(plan, months, upfront, path) == pytest.approx(min(legal))


def test_growth_by_per_cent_a_month_is_that():
    curve = Rollout.model_validate(
        {
            "adoption": {"kind": "exponential", "first": "2 %", "monthly_growth": "20 %", "ceiling": "300 %"},
            "phases": [{"pattern": "a"}],
        }
    ).adoption
    shares = adoption_curve(curve, 60).shares
    assert shares[:3] == pytest.approx([0.02, 0.024, 0.0288])
    assert shares[12] == pytest.approx(0.02 * 1.2**12)
    assert max(shares) == shares[-1] == 3.0


@pytest.mark.parametrize("growth", ["0 %", "-5 %", "20", 0.0, "2000 %", True])
def test_growth_that_is_none_is_refused(growth):
    adoption = {"kind": "exponential", "first": 0.1, "monthly_growth": growth}
    with pytest.raises(ValueError, match="monthly_growth"):
        Rollout.model_validate({"adoption": adoption, "phases": [{"pattern": "a"}]})


def test_a_table_may_outgrow_the_scenario():
    adoption = {"kind": "table", "points": [{"month": 1, "share": "50 %"}, {"month": 3, "share": "250 %"}]}
    plan = Rollout.model_validate({"adoption": adoption, "phases": [{"pattern": "a"}]})
    assert adoption_curve(plan.adoption, 3).shares == pytest.approx([0.5, 1.5, 2.5])


def test_a_cluster_that_grows_pays_only_for_what_is_added(store):
    """Twice the GPUs cost twice as much; the half that is there is not bought again."""
    phases = [{"pattern": "bought"}, {"pattern": "bought", "replicas": 2, "from_month": 3}]
    plan = rollout(scenario(phases), store=store).projection
    cash = plan.course.strategies[0].cash_usd
    running = [month.patterns["bought" if month.number < 3 else "bought_x2"].running_usd for month in plan.months]
    once = [paid - run_usd for paid, run_usd in zip(cash, running, strict=True)]
    assert once == pytest.approx([once[0], 0.0, once[0]])
    assert once[0] == pytest.approx(4.0)


def test_the_command_says_when_and_what_early_and_late_cost(tmp_path, store, capsys):
    import ruamel.yaml

    path = tmp_path / "grows.yaml"
    with path.open("w") as file:
        ruamel.yaml.YAML().dump(scenario().resolved, file)
    code, out, _ = run(["when", str(path), "--store", str(store), "--quiet", "--jobs", "1"], capsys)
    assert code == 0
    assert "bought" in out
    assert "At best: " in out
    code, out, _ = run(["when", str(path), "--store", str(store), "--quiet", "--jobs", "1", "--json"], capsys)
    plain = json.loads(out)
    assert plain["phases"] == ["api", "bought", "bought_x2"]
    assert len(plain["begins"]) == len(plain["at_nothing"]) == len(plain["at_book_value"]) == 3


def test_a_purchase_is_best_sooner_where_its_hardware_keeps_its_price():
    """An API of ten dollars more each month beside 300 USD of hardware and nothing a month; six months of sixty."""
    months = [
        Month(n, f"2027-{n:02d}", 1.0, None, n, {
            "api": PatternMonth(0.0, 10.0 * n, 1.0, None, None), "own": PatternMonth(0.0, 0.0, 1.0, None, None),
        })
        for n in range(1, 7)
    ]  # fmt: skip
    phases = [{"pattern": "api"}, {"pattern": "own", "from_month": 1}]
    growth = {"kind": "exponential", "first": 1, "monthly_growth": 0.1}
    upfront = {"api": Upfront(), "own": Upfront(300.0, (Asset(300.0, 0.0, 60),))}

    def best(resale):
        plan = Rollout.model_validate({"adoption": growth, "phases": phases, "resale": resale})
        return best_begins(plan, months, upfront)

    # In six months the API takes 210 USD, and hardware that is held for all of them loses 30.
    assert best("0 %") == [1, None]
    assert best("100 %") == [1, 1]
    # Bought in month m it costs 150 and half of 5 for each month; the API before it 5 m (m - 1).
    cost = {m: 150 + 2.5 * (7 - m) + 5 * m * (m - 1) for m in range(1, 7)}
    assert best("50 %") == [1, min(cost, key=cost.get)]
    assert min(cost.values()) < 210


def test_growth_is_said_in_per_cent_and_what_hardware_fetches_beside_its_way(store, tmp_path, capsys):
    import ruamel.yaml

    path = tmp_path / "grows.yaml"
    bought = {"hosting_patterns.bought.costs.compute": {**CHEAP, "gpus": "40 USD"}}
    with path.open("w") as file:
        ruamel.yaml.YAML().dump(scenario(PHASES[:2], **bought, **{"rollout.resale": "50 %"}).resolved, file)
    code, out, _ = run(["rollout", str(path), "--store", str(store), "--quiet", "--jobs", "1"], capsys)
    assert code == 0
    assert "exponential: first 50 %, monthly growth 60 %" in " ".join(out.split())
    # Two of ten months are used, from the second of three on: 40 USD, of which a fifth is written off, at half of it.
    assert "as planned, hardware fetching 16.00" in out


def test_nothing_to_begin_is_said(tmp_path):
    with pytest.raises(ScenarioError, match="has one phase; there is nothing to begin"):
        when(scenario([{"pattern": "api"}]))
    with pytest.raises(ScenarioError, match="missing: it says how use grows"):
        when(small())
