"""What a million tokens, a request of each workload and a patient cost, on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from simulator.cost.unit_costs import SHARES
from simulator.report.layout import NONE, section, table_of
from simulator.report.page_headlines import unit_usd
from simulator.wording import article

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType
    from rich.text import Text

    from simulator.experiment.pattern_result import PatternResult
    from simulator.results import Results

_WORKLOADS_SIDE_BY_SIDE: Final = 6


def unit_costs(results: Results) -> list[RenderableType]:
    """Sections for the patterns that were simulated."""
    priced = [one for one in results.patterns if one.unit_costs is not None]
    if not priced:
        return []
    names = list(priced[0].workloads)
    parts = [names[at : at + _WORKLOADS_SIDE_BY_SIDE] for at in range(0, len(names), _WORKLOADS_SIDE_BY_SIDE)]
    return [_tokens(priced), *(_requests(priced, part) for part in parts)]


def _tokens(priced: Sequence[PatternResult]) -> RenderableType:
    patients = any(one.unit_costs and one.unit_costs.usd_per_patient is not None for one in priced)
    shares = [f"{'of capacity' if number == 0 else ''}\n{100 * share:.0f} %" for number, share in enumerate(SHARES)]
    heads = ["as\nsimulated", "one more\nmillion", *shares, *(["a\npatient"] if patients else [])]
    table = table_of(("hosting pattern", *heads))
    for one in priced:
        found = one.unit_costs
        if found is None:
            continue
        levels = {level.capacity_share: level.usd_per_million_tokens for level in found.at_utilisation}
        cells = [one.usd_per_million_tokens, found.marginal_usd_per_million_tokens, *map(levels.get, SHARES)]
        cells += [found.usd_per_patient] if patients else []
        table.add_row(one.name, *map(_usd, cells))
    return section("What a million tokens cost", "USD; the same hardware, fuller or emptier", table)


def _requests(priced: Sequence[PatternResult], workloads: Sequence[str]) -> RenderableType:
    first = priced[0].workloads
    heads = (f"{name}\n{article(cost.unit)}" for name in workloads if (cost := first[name].cost) is not None)
    table = table_of(("hosting pattern", *heads))
    for one in priced:
        costs = [one.workloads[name].cost for name in workloads]
        table.add_row(one.name, *(_usd(cost.usd_per_unit) for cost in costs if cost is not None))
    return section("What a request costs", "USD; shared clusters by the tokens computed for each workload", table)


def _usd(value: float | None) -> str | Text:
    """Two digits after the point, or enough to show something."""
    return NONE if value is None else unit_usd(value)
