"""Ways through the months of a rollout: as planned, staying, switching now, switching later; and which step pays when.

Money is counted as it is paid: a purchase and one-off costs when a pattern begins, running costs each month, no
amortisation. What hardware fetches that is left, or there after the last month, is taken off: see `hardware`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from simulator.decision.words import usd
from simulator.study.hardware import Stock, buy, due_usd, fetched_usd, parted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from simulator.scenario.rollout import Phase, Rollout
    from simulator.study.hardware import Upfront
    from simulator.study.month import Month

#: How much later "later" is, in months.
DELAY: Final = 3


@dataclass(frozen=True, slots=True)
class Strategy:
    """One way through the months.

    Attributes:
        name: `plan`, `stay`, `switch_now` or `switch_later`; with the pattern where there are several.
        text: The same in words.
        patterns: Hosting pattern of each month.
        cash_usd: What is paid in each month, less what hardware fetches.
        cumulative_usd: Up to and with each month.
        fetched_usd: What hardware fetches when it is left and after the last month.
        missed_months: Months in which its pattern does not meet the objectives, or may not be used.
        impossible_months: Of those, the ones in which it may not be used: they cost nothing here, so the sums of such
            a strategy cannot be compared.
    """

    name: str
    text: str
    patterns: list[str]
    cash_usd: list[float]
    cumulative_usd: list[float]
    fetched_usd: float
    missed_months: list[int]
    impossible_months: list[int]


@dataclass(frozen=True, slots=True)
class Step:
    """From one phase of the plan to the next.

    Attributes:
        month: The month in which it begins; None where its condition never holds.
        date: The same on the calendar.
        before: Pattern until then.
        after: Pattern from then on.
        condition: What makes it begin.
        upfront_usd: Hardware bought for it, and what else its costs say is paid once.
        one_off_usd: What the phase says is paid once.
        cheaper_from_month: First month, from its beginning on, in which running the new pattern costs less.
        pays_in_month: First month by which it has cost no more than having stayed; None within the months simulated.
        text: The same in words.
    """

    month: int | None
    date: str | None
    before: str
    after: str
    condition: str
    upfront_usd: float
    one_off_usd: float
    cheaper_from_month: int | None
    pays_in_month: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Review:
    """A look back and ahead, every quarter unless the scenario says otherwise.

    Attributes:
        month: At the end of this month.
        date: The same on the calendar.
        tokens_per_month: Volume.
        planned: The plan's pattern.
        cheapest: The cheapest that meets the objectives at this volume, purchases written off; None where none does.
        saving_usd_per_month: What it would save beside the planned one.
        text: Advice.
    """

    month: int
    date: str
    tokens_per_month: int
    planned: str
    cheapest: str | None
    saving_usd_per_month: float
    text: str


@dataclass(frozen=True, slots=True)
class Course:
    """Strategies, steps and reviews along one course of adoption."""

    strategies: list[Strategy]
    steps: list[Step]
    reviews: list[Review]


def course(plan: Rollout, months: Sequence[Month], upfront: Mapping[str, Upfront]) -> Course:
    """Work out what the plan and its alternatives cost.

    Args:
        plan: Phases.
        months: Every month with every pattern of the phases.
        upfront: What each pattern takes before its first month: hardware, and all else that is paid once.
    """
    begins = phase_months(plan, months)
    path = path_of(begins, len(months))
    steps = [_step(plan, months, upfront, begins, number) for number, _ in enumerate(plan.phases) if number > 0]
    return Course(_strategies(plan, months, upfront, begins), steps, _reviews(plan, months, path))


def phase_months(plan: Rollout, months: Sequence[Month]) -> list[int | None]:
    """The month in which each phase begins; one never begins before the phase before it, nor where that never does."""
    begins: list[int | None] = [1]
    for phase in plan.phases[1:]:
        earliest = begins[-1]
        later = months[earliest - 1 :] if earliest is not None else ()
        begins.append(next((month.number for month in later if _holds(phase, month)), None))
    return begins


def _holds(phase: Phase, month: Month) -> bool:
    if phase.from_month is not None:
        return month.number >= phase.from_month
    if phase.from_date is not None:
        return month.date >= phase.from_date
    if phase.from_users is not None:
        # Users are a product of two floats.
        return month.users is not None and month.users >= phase.from_users * (1 - 1e-9)
    return phase.from_tokens_per_month is not None and month.tokens_per_month >= phase.from_tokens_per_month


def path_of(begins: Sequence[int | None], count: int) -> list[int]:
    """Index of the phase of each month."""
    known = [(begin, at) for at, begin in enumerate(begins) if begin is not None]
    return [max(at for begin, at in known if begin <= month) for month in range(1, count + 1)]


def _strategies(
    plan: Rollout, months: Sequence[Month], upfront: Mapping[str, Upfront], begins: Sequence[int | None]
) -> list[Strategy]:
    first = plan.phases[0].name
    found = [
        _strategy("plan", "as planned", plan, path_of(begins, len(months)), months, upfront),
        _strategy("stay", f"stay with {first}", plan, [0] * len(months), months, upfront),
    ]
    if len(plan.phases) > 1:
        late = [begins[0], *(begin and begin + DELAY for begin in begins[1:])]
        text = f"as planned, every switch {DELAY} months later"
        found.append(_strategy("switch_later", text, plan, path_of(late, len(months)), months, upfront))
    now: dict[str, int] = {}
    for at, phase in enumerate(plan.phases[1:], start=1):
        if phase.name != first:
            now.setdefault(phase.name, at)
    for pattern, at in now.items():
        name = "switch_now" if len(now) == 1 else f"switch_now_{pattern}"
        found.append(_strategy(name, f"{pattern} from the first month", plan, [at] * len(months), months, upfront))
    return found


def _strategy(
    name: str, text: str, plan: Rollout, path: Sequence[int], months: Sequence[Month], upfront: Mapping[str, Upfront]
) -> Strategy:
    patterns = [plan.phases[at].name for at in path]
    cash, fetched = cash_of(plan, path, months, upfront)
    each = [(month.number, month.patterns[one]) for month, one in zip(months, patterns, strict=True)]
    missed = [number for number, one in each if one.missed]
    impossible = [number for number, one in each if not one.feasible]
    return Strategy(name, text, patterns, cash, list(accumulate(cash)), sum(fetched), missed, impossible)


def cash_of(
    plan: Rollout, path: Sequence[int], months: Sequence[Month], upfront: Mapping[str, Upfront]
) -> tuple[list[float], list[float]]:
    """What is paid in each month, less what hardware fetches, and that; what is there is bought again when worn out."""
    cash: list[float] = []
    fetched: list[float] = []
    stock: Stock = ()
    before = -1
    for at, month in zip(path, months, strict=True):
        phase = plan.phases[at]
        paid, fetches = month.patterns[phase.name].running_usd, 0.0
        if at != before:
            gone, stock = parted(stock, plan, at)
            fetches = fetched_usd(gone, plan, month.number)
            new, stock = buy(stock, phase.pattern, upfront[phase.name], month.number)
            paid += float(phase.one_off) + new.paid_usd
        cash.append(paid + due_usd(stock, month.number) - fetches)
        fetched.append(fetches)
        before = at
    last = fetched_usd(stock, plan, months[-1].number + 1)
    cash[-1] -= last
    fetched[-1] += last
    return cash, fetched


def _step(
    plan: Rollout, months: Sequence[Month], upfront: Mapping[str, Upfront], begins: Sequence[int | None], number: int
) -> Step:
    before, phase, begin = plan.phases[number - 1].name, plan.phases[number], begins[number]
    stock: Stock = ()
    for one, since in zip(plan.phases[:number], begins, strict=False):
        _, stock = buy(stock, one.pattern, upfront[one.name], since or begin or 1)
    new, _ = buy(stock, phase.pattern, upfront[phase.name], begin or 1)
    # What is left for good need not be bought again.
    gone, _ = parted(stock, plan, number)
    price, condition = new.paid_usd, _condition(phase)
    once = price + float(phase.one_off)
    if begin is None:
        text = f"{before} to {phase.name}: never, {condition} is not reached in {len(months)} months"
        return Step(None, None, before, phase.name, condition, price, float(phase.one_off), None, None, text)
    after = months[begin - 1 :]
    more: Stock = (("", new, new.assets),)
    saved = [
        _saved_usd(month, before, phase.name) + due_usd(gone, month.number) - due_usd(more, month.number)
        for month in after
    ]
    cheaper = next((month.number for month in after if _saved_usd(month, before, phase.name) > 0.0), None)
    balance = list(accumulate(saved))
    pays = next((month.number for month, sum_ in zip(after, balance, strict=True) if sum_ >= once), None)
    same = before == phase.name
    worth = sum((one.fetches_usd(months[-1].number + 1, plan.resale) for one in new.assets), 0.0)
    return Step(
        month=begin,
        date=months[begin - 1].date,
        before=before,
        after=phase.name,
        condition=condition,
        upfront_usd=price,
        one_off_usd=float(phase.one_off),
        cheaper_from_month=None if same else cheaper,
        pays_in_month=None if same else pays,
        text=_step_text(before, phase.name, after, condition, balance[-1] - once, pays, worth),
    )


def _saved_usd(month: Month, before: str, after: str) -> float:
    """What one pattern costs less to run than another; nothing where either cannot be used."""
    ours, theirs = month.patterns[after], month.patterns[before]
    return 0.0 if ours.out or theirs.out else theirs.running_usd - ours.running_usd


def _until(before: str, after: str, months: Sequence[Month]) -> tuple[int, str] | None:
    """From which of these months on a step can save nothing, and why: one of its patterns cannot be used any more.

    Months in which either cannot be used save and cost nothing, see `_saved_usd`.
    """
    for month in months:
        for name in (after, before):
            if (why := month.patterns[name].out) is not None:
                return month.number, f"{name} cannot be used from month {month.number}, {why}"
    return None


def _step_text(
    before: str,
    after: str,
    months: Sequence[Month],
    condition: str,
    gain_usd: float,
    pays: int | None,
    worth_usd: float,
) -> str:
    """Advice on a step, from the months it is there in."""
    what = f"{', '.join(dict.fromkeys((f'month {months[0].number}', condition)))}: "
    if before == after:
        return f"{what}{after} stays"
    fetches = f"; its hardware would then fetch {usd(worth_usd)} USD" if worth_usd else ""
    until = _until(before, after, months)
    # What paid at first may be bought again later, or come to cost more.
    sums = f"costs {usd(-gain_usd)} USD more" if gain_usd < 0 else f"saves {usd(gain_usd)} USD"
    if until is None and pays is None:
        return f"{what}{before} to {after} does not pay: it costs {usd(-gain_usd)} USD more by the end{fetches}"
    if until is None:
        return f"{what}{before} to {after} has paid by month {pays}; it {sums} by the end{fetches}"
    fetches = f"; its hardware would fetch {usd(worth_usd)} USD after the last month" if worth_usd else ""
    last, why = until
    if last == months[0].number:
        return f"{what}{before} to {after} is no matter of savings: {why}{fetches}"
    paid = "" if pays is None else f" has paid by month {pays}; it"
    return f"{what}{before} to {after}{paid} {sums} until then: {why}{fetches}"


def _condition(phase: Phase) -> str:
    (name,) = phase.conditions
    value = getattr(phase, name)
    words = {
        "from_month": f"month {value}",
        "from_date": f"{value}",
        "from_users": f"{value:,.0f} users" if name == "from_users" else "",
        "from_tokens_per_month": f"{value / 1e6:,.0f}M tokens a month" if name == "from_tokens_per_month" else "",
    }
    return words[name]


def _reviews(plan: Rollout, months: Sequence[Month], path: Sequence[int]) -> list[Review]:
    return [
        _review(month, plan.phases[at].name)
        for month, at in zip(months, path, strict=True)
        if month.number % plan.review_every == 0
    ]


def _review(month: Month, planned: str) -> Review:
    fine = {name: one.monthly_cost_usd for name, one in month.patterns.items() if one.missed is None}
    cheapest = min(fine, key=lambda name: (fine[name], name), default=None)
    saving = month.patterns[planned].monthly_cost_usd - fine[cheapest] if cheapest else 0.0
    if cheapest is None:
        text = "no pattern of the plan meets every objective at this volume"
    elif cheapest == planned:
        text = f"stay with {planned}"
    elif planned not in fine:
        text = f"{planned} will not do ({month.patterns[planned].missed}); {cheapest} is the cheapest that will"
    else:
        text = f"{cheapest} would save {usd(saving)} USD a month"
    return Review(month.number, month.date, month.tokens_per_month, planned, cheapest, saving, text)
