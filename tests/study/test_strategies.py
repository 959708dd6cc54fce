"""Ways through the months, with invented bills."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.cost.cash import renewals_usd
from simulator.scenario.rollout import Rollout
from simulator.study.hardware import Asset, Upfront
from simulator.study.hardware import upfront as upfront_of
from simulator.study.month import Month, PatternMonth
from simulator.study.strategies import course, phase_months
from tests.cost.test_bill import self_hosted

LINE = {"kind": "table", "points": [{"month": 36, "share": 1.0}]}


def plan(*phases, **more):
    first = {"pattern": "api"}
    return Rollout.model_validate({"adoption": LINE, "users": 360, "phases": [first, *phases], **more})


def month(number, api=10.0, own=100.0, tokens=None, missed=None):
    bills = {
        "api": PatternMonth(api * number, api * number, 1.0, None, missed),
        "own": PatternMonth(own + 50.0, own, 1.0, 0.1, None),
    }
    date = f"{2027 + (number - 1) // 12}-{(number - 1) % 12 + 1:02d}"
    return Month(number, date, number / 36, 10.0 * number, tokens or number * 10**6, bills)


#: An API that costs ten dollars more each month beside a cluster of 500 USD and 100 USD a month.
MONTHS = [month(number) for number in range(1, 37)]
UPFRONT = {"api": Upfront(), "own": Upfront(500.0)}


@pytest.mark.parametrize(
    ("later", "month", "fetches"),
    [
        # Six of its twenty months were used: 100 + half of 14/20 of 400; ten of them at the end: 100 + half of 10/20.
        ([{"pattern": "api", "from_month": 9}], 9, 240.0),
        ([], 12, 200.0),
        # A phase that comes back to it keeps it, though it never begins.
        ([{"pattern": "api", "from_month": 9}, {"pattern": "own", "from_month": 30}], 12, 200.0),
    ],
)
def test_hardware_fetches_what_is_not_written_off_when_it_is_left(later, month, fetches):
    """500 USD of hardware of which 100 USD are left after 20 months, bought with 70 USD of taxes in the third."""
    asked = plan({"pattern": "own", "from_month": 3}, *later, months=12, resale="50 %")
    upfront = {"api": Upfront(), "own": Upfront(570.0, (Asset(500.0, 100.0, 20),))}
    found = strategies(course(asked, MONTHS[:12], upfront))["plan"]
    plain = strategies(course(asked, MONTHS[:12], {**upfront, "own": Upfront(570.0)}))["plan"]
    assert found.fetched_usd == pytest.approx(fetches)
    less = [one - other for one, other in zip(plain.cash_usd, found.cash_usd, strict=True)]
    assert less == pytest.approx([fetches if number == month else 0.0 for number in range(1, 13)])
    assert plain.fetched_usd == 0.0


@given(st.integers(1, 20), st.integers(0, 20), st.integers(0, 3), st.floats(0, 1))
def test_what_hardware_fetches_falls_to_its_residual_and_no_further(month, later, lives, resale):
    one = Asset(500.0, 100.0, 20, bought=1)
    sooner = one.fetches_usd(1 + month, resale)
    assert 100.0 <= one.fetches_usd(1 + min(20, month + later), resale) <= sooner <= 500.0
    assert month < 20 or sooner == 100.0
    # Bought again, it is as the first set was.
    assert one.fetches_usd(1 + month + 20 * lives, resale) == sooner
    assert one.renewals_usd(1 + month + 20 * lives) == 400.0 * lives


@pytest.mark.parametrize(
    ("condition", "begins"),
    [
        ({"from_month": 7}, 7),
        ({"from_date": "2027-12"}, 12),
        ({"from_users": 95}, 10),
        ({"from_users": 100}, 10),
        ({"from_tokens_per_month": 20_000_000}, 20),
        ({"from_tokens_per_month": 20_000_001}, 21),
        ({"from_users": 361}, None),
    ],
)
def test_a_phase_begins_when_its_condition_first_holds(condition, begins):
    assert phase_months(plan({"pattern": "own", **condition}), MONTHS) == [1, begins]


def test_a_phase_waits_for_the_one_before():
    late = {"pattern": "own", "from_month": 20}
    assert phase_months(plan(late, {"pattern": "api", "from_users": 10}), MONTHS) == [1, 20, 20]
    never = {"pattern": "own", "from_users": 1000}
    assert phase_months(plan(never, {"pattern": "api", "from_month": 2}), MONTHS) == [1, None, None]


def strategies(found):
    return {one.name: one for one in found.strategies}


def test_money_is_counted_when_it_is_paid():
    found = course(plan({"pattern": "own", "from_month": 3, "one_off": "70 USD"}), MONTHS, UPFRONT)
    planned = strategies(found)["plan"]
    assert planned.cash_usd[:4] == [10.0, 20.0, 100.0 + 500.0 + 70.0, 100.0]
    assert planned.cumulative_usd[2] == 700.0
    assert strategies(found)["stay"].cumulative_usd[-1] == sum(10.0 * number for number in range(1, 37))
    assert strategies(found)["switch_now"].cash_usd[0] == 670.0
    later = strategies(found)["switch_later"]
    assert later.patterns.index("own") == planned.patterns.index("own") + 3


def test_a_step_pays_when_the_sum_of_savings_reaches_what_it_took():
    (step,) = course(plan({"pattern": "own", "from_month": 3, "one_off": "70 USD"}), MONTHS, UPFRONT).steps
    assert (step.month, step.date, step.upfront_usd, step.one_off_usd) == (3, "2027-03", 500.0, 70.0)
    # The API costs more from month 11 on; what months 3 to 9 lose has to be made up too.
    assert step.cheaper_from_month == 11
    balance = 0.0
    for number in range(3, 37):
        balance += 10.0 * number - 100.0
        if balance >= 570.0:
            break
    assert step.pays_in_month == number
    assert f"paid by month {number}" in step.text


def test_a_step_that_never_comes_says_so():
    (step,) = course(plan({"pattern": "own", "from_users": 1000}), MONTHS, UPFRONT).steps
    assert (step.month, step.pays_in_month) == (None, None)
    assert "never, 1,000 users is not reached in 36 months" in step.text


def test_hardware_is_bought_once():
    phases = (
        {"pattern": "own", "from_month": 2},
        {"pattern": "api", "from_month": 3},
        {"pattern": "own", "from_month": 4},
    )
    found = course(plan(*phases), MONTHS, UPFRONT)
    assert strategies(found)["plan"].cash_usd[:5] == [10.0, 600.0, 30.0, 100.0, 100.0]
    assert [step.upfront_usd for step in found.steps] == [500.0, 0.0, 0.0]


@given(st.integers(1, 12), st.integers(1, 40), st.integers(0, 100), st.sampled_from([0.0, 0.19]))
def test_law_what_is_kept_is_bought_again_as_in_the_cash_of_a_run(life, count, rest, vat):
    """The residual at the very end apart, which the cash of a run does not take off."""
    compute = {"kind": "purchase", "gpus": "500 USD", "residual": f"{rest} USD", "amortisation": life}
    pattern = self_hosted(compute)
    months = [month(number) for number in range(1, count + 1)]
    own = {"own": upfront_of(pattern, vat), "api": Upfront()}
    asked = plan({"pattern": "own", "from_month": 1}, months=count)
    found = strategies(course(asked, months, own))["switch_now"]
    again = renewals_usd(pattern, count, vat)
    assert found.cumulative_usd[-1] + found.fetched_usd == pytest.approx(
        500 * (1 + vat) + 100 * count + float(sum(again.values()))
    )
    assert [at for at, usd in enumerate(found.cash_usd[:-1]) if usd > 100.0 + 1e-9 and at] == [
        at for at in again if at < count - 1
    ] or rest == 500 * (1 + vat)
    assert found.fetched_usd == pytest.approx(rest)


def test_a_step_counts_what_is_bought_again_on_both_sides():
    """400 USD of hardware for two months, twice: 300 + 400 + 500 USD of the API against 100 USD a month and 800."""
    own = {"api": Upfront(), "own": Upfront(400.0, (Asset(400.0, 0.0, 2),))}
    asked = plan({"pattern": "own", "from_month": 3}, months=5)
    (step,) = course(asked, [month(number, api=100.0) for number in range(1, 6)], own).steps
    assert step.text == "month 3: api to own has paid by month 4; it saves 100 USD by the end"
    back = plan({"pattern": "own", "from_month": 1}, {"pattern": "api", "from_month": 3}, months=5)
    step = course(back, [month(number, api=100.0) for number in range(1, 6)], own).steps[1]
    # 800 USD less for hardware in months 3 and 5, 900 USD more to run.
    assert step.text == "month 3: own to api has paid by month 3; it costs 100 USD more by the end"


def test_reviews_come_every_quarter_and_look_at_the_amortised_bill():
    reviews = course(plan({"pattern": "own", "from_month": 30}), MONTHS, UPFRONT).reviews
    assert [one.month for one in reviews] == list(range(3, 37, 3))
    # 150 USD with its amortisation: dearer than the API until month 15.
    assert [one.cheapest for one in reviews[3:6]] == ["api", "api", "own"]
    assert reviews[5].saving_usd_per_month == 30.0
    assert "own would save 30.00 USD a month" in reviews[5].text
    assert reviews[0].text == "stay with api"


def test_a_pattern_that_misses_objectives_is_no_advice():
    months = [month(number, missed="too slow") for number in range(1, 4)]
    found = course(plan({"pattern": "own", "from_month": 3}, months=3), months, UPFRONT)
    assert strategies(found)["stay"].missed_months == [1, 2, 3]
    assert found.reviews[0].cheapest == "own"


def test_months_in_which_a_pattern_may_not_be_used_are_told_apart():
    months = [month(number) for number in range(1, 4)]
    gone = PatternMonth(0.0, 0.0, None, None, "it was shut down", feasible=False)
    months[2] = replace(months[2], patterns=months[2].patterns | {"api": gone})
    found = strategies(course(plan(months=3), months, UPFRONT))
    assert (found["stay"].missed_months, found["stay"].impossible_months) == ([3], [3])
    assert course(plan({"pattern": "own", "from_month": 3}, months=3), months, UPFRONT).reviews[0].cheapest == "own"


SHUT = "azure/gpt-x is shut down on 2027-03-31 (its successor is azure/gpt-y)"


def _ending(number, *, pattern="api", feasible=True):
    """Six months, from one of which on a pattern cannot be used: its model is shut down, or it may not be."""
    months = [month(one, api=100.0, own=120.0) for one in range(1, 7)]
    for at in range(number - 1, 6):
        one = months[at].patterns[pattern]
        out = replace(one, gone=SHUT, missed=SHUT) if feasible else PatternMonth(0.0, 0.0, None, None, SHUT, False)
        months[at] = replace(months[at], patterns=months[at].patterns | {pattern: out})
    return months


@pytest.mark.parametrize("feasible", [True, False])
@pytest.mark.parametrize(
    ("begin", "ends", "pattern", "price", "said"),
    [
        # The API costs 100 USD times the month, the cluster 120 USD and 1,000 USD once.
        (3, 3, "api", 1000.0, "is no matter of savings: api cannot be used from month 3"),
        (4, 2, "api", 1000.0, "is no matter of savings: api cannot be used from month 4"),
        # 300 + 400 - 2 x 120 - 1,000 USD in months 3 and 4.
        (3, 5, "api", 1000.0, "costs 540 USD more until then: api cannot be used from month 5"),
        (3, 5, "own", 1000.0, "costs 540 USD more until then: own cannot be used from month 5"),
        # 400 USD are back with the fourth month: 180 of the third and 280 of the fourth.
        (3, 5, "api", 400.0, "has paid by month 4; it saves 60.00 USD until then: api cannot be used from month 5"),
    ],
)
def test_a_step_from_what_cannot_be_used_is_no_matter_of_savings(begin, ends, pattern, price, said, feasible):
    asked = plan({"pattern": "own", "from_month": begin}, months=6)
    upfront = {"api": Upfront(), "own": Upfront(price)}
    (step,) = course(asked, _ending(ends, pattern=pattern, feasible=feasible), upfront).steps
    assert step.text == f"month {begin}: api to own {said}, {SHUT}"
    assert "does not pay" not in step.text
    assert step.pays_in_month == (4 if price == 400.0 else None)


@given(st.integers(2, 6), st.integers(1, 7), st.sampled_from(["api", "own"]), st.integers(0, 2000))
def test_law_savings_are_counted_while_both_can_be_used(begin, ends, pattern, price):
    asked = plan({"pattern": "own", "from_month": begin}, months=6)
    (step,) = course(asked, _ending(ends, pattern=pattern), {"api": Upfront(), "own": Upfront(float(price))}).steps
    saved, pays = -float(price), None
    for number in range(begin, min(ends, 7)):
        saved += 100.0 * number - 120.0
        pays = number if pays is None and saved >= 0.0 else pays
    # What takes nothing has paid at once.
    pays = begin if price == 0 and begin >= ends else pays
    assert step.pays_in_month == pays
    assert ("does not pay" in step.text) is (ends > 6 and pays is None)
    assert (f"{pattern} cannot be used from month {max(begin, ends)}" in step.text) is (ends <= 6)


costs = st.lists(st.tuples(st.floats(0, 1e4), st.floats(0, 1e4)), min_size=36, max_size=36)


@given(costs, st.integers(2, 36), st.floats(0, 1e5))
def test_law_a_step_has_paid_where_the_strategies_cross(drawn, begin, upfront):
    """Cumulative cost with the switch falls to that of staying in the month the step says, and not before."""
    months = [month(number, api / number, own) for number, (api, own) in enumerate(drawn, start=1)]
    found = course(plan({"pattern": "own", "from_month": begin}), months, {"api": Upfront(), "own": Upfront(upfront)})
    planned, stay = (strategies(found)[name].cumulative_usd for name in ("plan", "stay"))
    (step,) = found.steps
    paid = [number for number in range(begin, 37) if planned[number - 1] <= stay[number - 1] + 1e-6]
    if step.pays_in_month is None:
        assert not [number for number in paid if planned[number - 1] < stay[number - 1] - 1e-6]
    else:
        assert step.pays_in_month in paid
        assert not [
            number for number in paid if number < step.pays_in_month and planned[number - 1] < stay[number - 1] - 1e-6
        ]


@given(costs)
def test_law_cumulative_is_the_sum_of_the_months(drawn):
    months = [month(number, api / number, own) for number, (api, own) in enumerate(drawn, start=1)]
    for one in course(plan({"pattern": "own", "from_month": 5}), months, UPFRONT).strategies:
        assert one.cumulative_usd[-1] == pytest.approx(sum(one.cash_usd))
        assert len(one.patterns) == 36
