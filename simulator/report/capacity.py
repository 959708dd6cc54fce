"""Advice about the size of clusters, on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from simulator.decision.thresholds import thresholds
from simulator.decision.words import percent, seconds, usd

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from simulator.study.capacity import CapacityAdvice, Option


def render(found: Sequence[CapacityAdvice]) -> RenderableType:
    """Everything `simulator capacity` shows."""
    if not found:
        return Text("No hosting pattern has a cluster that can be simulated.")
    return Group(*(part for one in found for part in _pattern(one)))


def _pattern(one: CapacityAdvice) -> Iterator[RenderableType]:
    yield Text.assemble((f"\n{one.name}", "bold"), f"  {one.text}")
    if one.failover is not None:
        shares = Table("fails over", "of the requests", "of the tokens", box=None, pad_edge=False)
        for reason, share in {"in all": one.failover.share, **one.failover.by_reason}.items():
            shares.add_row(reason, percent(share.requests), percent(share.tokens))
        yield Padding(shares, (1, 0, 0, 0))
        yield Text(f"APIs cost {usd(one.failover.api_usd_per_month)} USD a month.")
    options = Table(
        "replicas", "USD a month", "more", "end to end p99", "TTFT p99", "fail over", "", box=None, pad_edge=False
    )
    for option in one.options:
        options.add_row(
            Text(option.label, "bold" if option.label == one.recommended else ""),
            usd(option.monthly_cost_usd),
            usd(option.more_usd),
            "" if option.e2e_p99_s is None else seconds(option.e2e_p99_s),
            "" if option.ttft_p99_s is None else seconds(option.ttft_p99_s),
            percent(option.failover_share),
            _judged(option),
        )
    yield Padding(options, (1, 0, 0, 0))
    if one.rules:
        yield Text.assemble(("\nRules of thumb", "bold"), (f"  {thresholds().source}", "dim"))
    for rule in one.rules:
        yield Text.assemble(("  holds  " if rule.holds else "  –      ", "yellow" if rule.holds else "dim"), rule.text)
    for text in one.contradictions:
        yield Text(f"  contradiction: {text}", "red")


def _judged(option: Option) -> Text:
    if option.falls_short:
        return Text(option.falls_short, "red")
    if option.cannot_tell:
        return Text(f"cannot tell ({option.cannot_tell})", "yellow")
    return Text("meets every objective", "green")
