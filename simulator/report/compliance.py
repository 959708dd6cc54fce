"""What compliance says, on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from simulator.compliance.check import DISCLAIMER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from simulator.compliance.check import Assessment, PatternAssessment

_CONTROL = {"in place": "green", "missing": "red", "not stated": "yellow"}


def render(found: Assessment) -> RenderableType:
    """Everything `simulator compliance` shows."""
    register = found.registry
    about = f"registry {register['id']} of {register['date']}" if register else "not assessed"
    controls = Table("control", "", box=None, pad_edge=False) if found.controls else Text("")
    if isinstance(controls, Table):
        for name, state in found.controls.items():
            controls.add_row(name.replace("_", " "), Text(state, _CONTROL[state]))
    return Group(
        Text.assemble(("Who may see what", "bold"), (f"  {about}", "dim")),
        *(_pattern(pattern) for pattern in found.patterns),
        controls,
        *_lines("Not assessed", found.not_assessed, "yellow"),
        Text(f"\n{DISCLAIMER}", "dim"),
    )


def _pattern(pattern: PatternAssessment) -> RenderableType:
    fine = Text("not assessed", "yellow") if pattern.allowed is None else Text("may be used", "green")
    verdict = Text("is refused", "red") if pattern.reasons else fine
    table = Table("workload", "backend", "", box=None, pad_edge=False)
    for load, row in pattern.backends.items():
        for backend, reason in row.items():
            table.add_row(load, backend, Text(reason, "red") if reason else fine)
    hops = Table("hop", "kind", "run by", "sees health information of", "", box=None, pad_edge=False)
    for hop in pattern.data_flow:
        state = Text("covered", "green") if hop.covered else Text("; ".join(hop.reasons), "red")
        sees = ", ".join(hop.sees_phi_of) or "nobody"
        hops.add_row(hop.hop, hop.kind.replace("_", " "), hop.provider or "on site", sees, state)
    parts = [table, hops] if pattern.data_flow else [table]
    return Padding(Group(Text.assemble((pattern.name, "bold"), " ", verdict), *parts), (1, 0, 0, 0))


def _lines(title: str, lines: Sequence[str], style: str) -> list[RenderableType]:
    if not lines:
        return []
    return [Text(f"\n{title}", "bold"), *(Text.assemble((" • ", style), line) for line in lines)]
