"""A policy applied to a comparison: what passes, what fails, and what cannot be told."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from simulator.errors import Fault, ScenarioError, nearest
from simulator.experiment.summary import Tabular
from simulator.gate.comparison import compare
from simulator.gate.metrics import METRICS, Unit, shown
from simulator.gate.policy import Policy, read_policy
from simulator.gate.words import cause_of_change, cause_of_choice, objectives_of

if TYPE_CHECKING:
    from collections.abc import Collection

    import pandas as pd

    from simulator.analysis.output_analysis import Estimate
    from simulator.gate.comparison import Comparison, MetricChange
    from simulator.gate.metrics import Metric
    from simulator.gate.policy import Rule
    from simulator.gate.result_file import Source

Outcome = Literal["passed", "warned", "inconclusive", "failed"]

#: Limits of an objective, and whether more of one promises less.
_PROMISES: Final[dict[str, tuple[float, Unit]]] = {
    "ttft": (1.0, "s"),
    "ttfat": (1.0, "s"),
    "end_to_end": (1.0, "s"),
    "chain": (1.0, "s"),
    "share": (-1.0, "share"),
    "availability": (-1.0, "share"),
}
#: Exit codes of `simulator check`, by what the gate as a whole says.
EXIT: Final[dict[Outcome, int]] = {"passed": 0, "warned": 0, "failed": 1, "inconclusive": 3}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule says about one figure.

    Attributes:
        rule: What was judged: a metric, `arrivals`, `recommendation`, `objectives` or `missing_pattern`.
        pattern: Hosting pattern; empty where it is about the verdict.
        workload: Workload, or `all`.
        outcome: What came of it.
        message: The figures, and what was allowed.
        cause: What explains them, in one line; empty where nothing does, or nothing needs to.
    """

    rule: str
    pattern: str
    workload: str
    outcome: Outcome
    message: str
    cause: str = ""

    @property
    def place(self) -> str:
        """Hosting pattern and workload, as far as it is about one."""
        return " ".join(part for part in (self.pattern, "" if self.workload == "all" else self.workload) if part)

    @property
    def text(self) -> str:
        """Message and cause in one line."""
        return f"{self.message}; cause: {self.cause}" if self.cause else self.message

    def __str__(self) -> str:
        return f"{self.place}: {self.text}" if self.place else self.text


@dataclass(frozen=True, slots=True, repr=False)
class Check(Tabular):
    """What the gate says.

    Attributes:
        outcome: The worst finding: failed before inconclusive before warned.
        findings: One for each rule and figure.
    """

    outcome: Outcome
    findings: list[Finding]

    @property
    def exit_code(self) -> int:
        """For a shell."""
        return EXIT[self.outcome]

    def summary(self) -> pd.DataFrame:
        """One row per finding, worst first: rule, hosting pattern, workload, outcome, message, cause."""
        import pandas as pd

        return pd.DataFrame([asdict(one) for one in self.having("failed", "inconclusive", "warned", "passed")])

    def __repr__(self) -> str:
        counts = Counter(one.outcome for one in self.findings)
        return f"<Check: {self.outcome}; {', '.join(f'{count} {name}' for name, count in counts.items())}>"

    def having(self, *outcomes: Outcome) -> list[Finding]:
        """Findings of these outcomes, worst first."""
        order: list[Outcome] = ["failed", "inconclusive", "warned", "passed"]
        found = [finding for finding in self.findings if finding.outcome in outcomes]
        return sorted(found, key=lambda finding: order.index(finding.outcome))


def check(
    result: Source,
    baseline: Source,
    *,
    policy: Policy | str | PathLike[str] | None = None,
    allow_different: str | Collection[str] = (),
) -> Check:
    """Judge a result against a baseline, as a gate does.

    Args:
        result: What is judged; see `simulator.gate.result_file.as_result`.
        baseline: What it is judged against.
        policy: What may change, or its file; the shipped one when absent.
        allow_different: See `simulator.compare`.

    Raises:
        RunStoreError: One is no result or contradicts itself, or they answer different questions.
        ScenarioError: Everything that is wrong with the policy.
    """
    rules = policy if isinstance(policy, Policy) else read_policy(None if policy is None else Path(policy))
    return judge(compare(baseline, result, allow_different=allow_different), rules)


def judge(comparison: Comparison, policy: Policy) -> Check:
    """Judge a comparison.

    Raises:
        ScenarioError: The policy names hosting patterns or workloads that neither result has.
    """
    _refuse_unknown(comparison, policy)
    findings = [*_nothing(comparison), *_verdict(comparison, policy), *_missing(comparison, policy)]
    findings += _relaxed(comparison)
    findings += [
        _judge(rule, change, comparison, policy)
        for rule in policy.rules
        for change in comparison.metrics
        if _concerns(rule, change) and change.pattern not in comparison.missing
    ]
    found = {finding.outcome for finding in findings}
    worst: Outcome = next((one for one in ("failed", "inconclusive", "warned") if one in found), "passed")
    return Check(worst, findings)


def _refuse_unknown(comparison: Comparison, policy: Policy) -> None:
    sides = (comparison.base, comparison.new)
    patterns = dict.fromkeys(name for side in sides for name in side.patterns)
    workloads = dict.fromkeys(load for side in sides for one in side.patterns.values() for load in one.workloads)
    faults = [
        Fault("policy", 0, f"rules.{number}.{key}", f"neither result has '{name}'; {nearest(name, known)}")
        for number, rule in enumerate(policy.rules)
        for key, names, known in (("patterns", rule.patterns, patterns), ("workloads", rule.workloads, workloads))
        for name in names or ()
        if name not in known
    ]
    if faults:
        raise ScenarioError(faults)


def _verdict(comparison: Comparison, policy: Policy) -> Iterator[Finding]:
    before, after = comparison.base.result.decision, comparison.new.result.decision
    if policy.recommendation == "ignore":
        return
    if (before.recommended, before.candidates) == (after.recommended, after.candidates):
        yield Finding("recommendation", "", "all", "passed", f"{after}, as before")
        return
    # Nothing was promised that could be broken: what could not be told before has narrowed, or is still open.
    if before.undecided and before.candidates & after.candidates:
        yield Finding("recommendation", "", "all", "passed", f"{after}; before: {before}")
        return
    # What may be the same choice as before is no change yet.
    open_still = comparison.by_chance or (after.undecided is not None and bool(before.candidates & after.candidates))
    failed: Outcome = "inconclusive" if open_still else "failed"
    outcome: Outcome = failed if policy.recommendation == "fail" else "warned"
    concerned = dict.fromkeys((*sorted(before.candidates), *sorted(after.candidates)))
    cause = cause_of_choice(comparison, [name for name in concerned if name in comparison.new.patterns])
    yield Finding("recommendation", "", "all", outcome, f"{after}; before: {before}", cause)


def _nothing(comparison: Comparison) -> Iterator[Finding]:
    """A gate that has seen no request says nothing."""
    for side in (comparison.base, comparison.new):
        counts = [pattern.requests.arrived for pattern in side.patterns.values() if pattern.requests is not None]
        if counts and not any(counts):
            yield Finding("arrivals", "", "all", "inconclusive", f"nothing arrived in {side.path}")


def _missing(comparison: Comparison, policy: Policy) -> Iterator[Finding]:
    for name, reason in comparison.missing.items():
        if policy.missing_pattern != "ignore":
            outcome: Outcome = "failed" if policy.missing_pattern == "fail" else "warned"
            yield Finding("missing_pattern", name, "all", outcome, f"no figures any more: {reason}")


def _relaxed(comparison: Comparison) -> Iterator[Finding]:
    """Promises that ask less than before: what is measured against them passes more easily."""
    sides = (comparison.base.scenario, comparison.new.scenario)
    if sides[0] is None or sides[1] is None:
        return
    for name, load in sides[0].workloads.items():
        if load.objectives is None or name not in sides[1].workloads:
            continue
        was, now = load.objectives, sides[1].workloads[name].objectives
        told = [
            f"{limit} {_promise(before, unit)} → {_promise(after, unit)}"
            for limit, (sign, unit) in _PROMISES.items()
            if (before := getattr(was, limit)) is not None
            and ((after := getattr(now, limit, None)) is None or sign * (after - before) > 0.0)
        ]
        if told:
            yield Finding("objectives", "", name, "warned", f"promised less: {', '.join(told)}")


def _promise(value: float | None, unit: Unit) -> str:
    return "none" if value is None else shown(value, unit)


def _concerns(rule: Rule, change: MetricChange) -> bool:
    if rule.metric != change.metric or (rule.patterns is not None and change.pattern not in rule.patterns):
        return False
    if rule.workloads is not None:
        return change.workload in rule.workloads
    return change.workload == "all" or rule.compares


def _judge(rule: Rule, change: MetricChange, comparison: Comparison, policy: Policy) -> Finding:
    metric = METRICS[rule.metric]
    replications = min(side.result.replications for side in (comparison.base, comparison.new))
    too_few = metric.needs_interval and replications < policy.replications_at_least
    compared = _compared(rule, change, metric, comparison, too_few=too_few)
    parts = [compared, _limited(rule, change, metric, too_few=too_few)]
    known = [part for part in parts if part is not None]
    order = ("failed", "inconclusive", "passed")
    outcome, message = min(known, key=lambda part: order.index(part[0]))
    message = f"{rule.metric} {message}"
    if outcome != "passed" and rule.metric == "objectives_missed":
        message += _unmet(comparison, change)
    if outcome == "inconclusive" and rule.metric == "objectives_missed":
        message += "; whether objectives are met cannot be told with these replications"
    if outcome == "inconclusive" and too_few:
        message += f"; replications: {replications}, the policy wants {policy.replications_at_least}"
    if outcome == "failed" and rule.severity == "warn":
        outcome = "warned"
    # What is only to be looked at stops nobody for want of replications.
    if outcome == "inconclusive" and rule.severity == "warn":
        outcome = "warned"
    cause = "" if outcome == "passed" else cause_of_change(comparison, change.pattern, rule.metric)
    return Finding(rule.metric, change.pattern, change.workload, outcome, message, cause)


def _unmet(comparison: Comparison, change: MetricChange) -> str:
    """Which limits are not kept now, with their shares."""
    pattern = comparison.new.patterns.get(change.pattern)
    part = pattern if pattern is None or change.workload == "all" else pattern.workloads.get(change.workload)
    told = objectives_of(part).items() if part is not None else ()
    return "".join(f"; {name}{' ' if name else ''}{said}" for name, said in told if said != "met")


def _compared(
    rule: Rule, change: MetricChange, metric: Metric, comparison: Comparison, *, too_few: bool
) -> tuple[Outcome, str] | None:
    """Judge the change against the tolerances; None where the rule has none.

    Without an interval, a change between runs that drew different random numbers may be chance, and a p99 may always.
    Where nothing but the random numbers differs, what may be nothing is nothing.
    """
    if not rule.compares:
        return None
    if change.change is None or change.base is None or change.new is None:
        if change.base is None:
            return "passed", f"{_figure(change.new, metric)}: the baseline has none"
        return "failed", f"{_figure(change.base, metric)} before, none now"
    allowed = max((rule.relative or 0.0) * abs(change.base), rule.absolute or 0.0)
    text = f"{shown(change.base, metric.unit)} → {shown(change.new, metric.unit)}"
    text += f" ({_moved(change, metric)}; {_allowed(rule, metric)})"
    direction = rule.direction or metric.better
    outcome = _place(_worse(change.change, direction), allowed, unknown=metric.needs_interval and too_few)
    unsure = change.change.low is None and (metric.needs_interval or not comparison.paired)
    if outcome == "failed" and (unsure or comparison.by_chance):
        outcome = "inconclusive"
    if outcome == "inconclusive" and comparison.by_chance and not too_few and _may_be_nothing(change.change):
        return "passed", f"{text}; only the random numbers differ"
    return outcome, text


def _may_be_nothing(change: Estimate) -> bool:
    return change.low is not None and change.high is not None and change.low <= 0.0 <= change.high


def _limited(rule: Rule, change: MetricChange, metric: Metric, *, too_few: bool) -> tuple[Outcome, str] | None:
    """Judge the new value against the hard limits; without workloads they are of the pattern as a whole."""
    if rule.workloads is None and change.workload != "all":
        return None
    limits = [(rule.at_most, 1.0, "at most"), (rule.at_least, -1.0, "at least")]
    given = [(limit, sign, words) for limit, sign, words in limits if limit is not None]
    if not given:
        return None
    if change.new is None:
        return "failed", f"none now; {given[0][2]} {shown(given[0][0], metric.unit)} is wanted"
    found: list[tuple[Outcome, str]] = []
    for limit, sign, words in given:
        interval = change.new_interval
        low = high = change.new
        if interval is not None and interval.low is not None and interval.high is not None:
            low, high = interval.low, interval.high
        ends = (sign * (low - limit), sign * (high - limit))
        outcome = _place((min(ends), max(ends)), 0.0, unknown=too_few)
        found.append((outcome, f"{shown(change.new, metric.unit)}, {words} {shown(limit, metric.unit)} is allowed"))
    return min(found, key=lambda part: ("failed", "inconclusive", "passed").index(part[0]))


def _worse(change: Estimate, direction: str) -> tuple[float, float]:
    """How much worse it has become: both ends of the interval, or the point twice."""
    low, high = (change.mean, change.mean) if change.low is None or change.high is None else (change.low, change.high)
    match direction:
        case "lower":
            return low, high
        case "higher":
            return -high, -low
        case _:
            far = max(abs(low), abs(high))
            return (0.0 if low <= 0.0 <= high else min(abs(low), abs(high))), far


def _place(worse: tuple[float, float], allowed: float, *, unknown: bool) -> Outcome:
    """Beyond what is allowed, within it, or across it.

    Where figures are equal to nine digits, as published ones are, rounding must not decide.
    """
    if unknown:
        return "inconclusive"
    low, high = worse
    slack = 1e-8 * max(abs(low), abs(high), allowed)
    if low > allowed + slack:
        return "failed"
    return "passed" if high <= allowed + slack else "inconclusive"


def _figure(value: float | None, metric: Metric) -> str:
    return "none" if value is None else shown(value, metric.unit)


def _moved(change: MetricChange, metric: Metric) -> str:
    assert change.change is not None
    mean, half = change.change.mean, change.change.half_width
    text = shown(mean, metric.unit, signed=True)
    if half is not None and half > 1e-8 * max(abs(mean), math.ulp(1.0)):
        text += f" ± {_size(half, metric)}"
    return f"{text}, {100 * change.relative:+.1f} %" if change.relative is not None else text


def _allowed(rule: Rule, metric: Metric) -> str:
    parts = [] if rule.relative is None else [f"{100 * rule.relative:g} %"]
    parts += [] if rule.absolute is None else [_size(rule.absolute, metric)]
    return f"allowed {' and '.join(parts)}"


def _size(difference: float, metric: Metric) -> str:
    return shown(difference, metric.unit, signed=True).removeprefix("+")
