"""`simulator compare` and `simulator check`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from simulator.cli.options import AsJson

if TYPE_CHECKING:
    from simulator.gate.check import Check
    from simulator.gate.comparison import Comparison

Allowed = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-different",
        metavar="WHAT",
        help="Compare although scenario, horizon, month or currency differs. Repeatable.",
    ),
]
Markdown = Annotated[
    Path | None, typer.Option("--markdown", metavar="FILE", help="Also write it as Markdown, for a pull request.")
]


def compare(
    base: Annotated[
        Path, typer.Argument(help="Result before: a JSON document or a run directory.", show_default=False)
    ],
    new: Annotated[Path, typer.Argument(help="Result after.", show_default=False)],
    allow: Allowed = None,
    markdown: Markdown = None,
    as_json: AsJson = False,
) -> None:
    """Show what changed between two results, and why each bill moved. Judges nothing: see `simulator check`.

    Example: simulator compare scenarios/baselines/ci_small.json runs/candidate
    """
    _show(_compared(base, new, allow), None, markdown, as_json=as_json)


def check(
    result: Annotated[
        Path, typer.Argument(help="Result to judge: a JSON document or a run directory.", show_default=False)
    ],
    baseline: Annotated[Path, typer.Option(metavar="FILE", help="Result to judge it against.", show_default=False)],
    policy: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What may change.", show_default="the shipped policy")
    ] = None,
    allow: Allowed = None,
    markdown: Markdown = None,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write it as JUnit XML.")] = None,
    as_json: AsJson = False,
) -> None:
    """Judge a result against a baseline: exit 0 passed, 1 failed, 2 bad input, 3 inconclusive.

    Example: simulator check runs/candidate --baseline scenarios/baselines/ci_small.json --markdown comment.md
    """
    from simulator.files import write_whole
    from simulator.gate.check import judge
    from simulator.gate.policy import read_policy
    from simulator.report.junit import junit as as_junit

    rules = read_policy(policy)
    comparison = _compared(baseline, result, allow)
    judged = judge(comparison, rules)
    if junit is not None:
        write_whole(junit, as_junit(judged, comparison.new.result.scenario.name))
    _show(comparison, judged, markdown, as_json=as_json)
    raise typer.Exit(judged.exit_code)


def _compared(base: Path, new: Path, allow: list[str] | None) -> Comparison:
    from simulator.gate.comparison import compare as side_by_side

    return side_by_side(base, new, allow_different=allow or ())


def _show(comparison: Comparison, judged: Check | None, markdown: Path | None, *, as_json: bool) -> None:
    from rich.console import Console

    from simulator.files import write_whole
    from simulator.gate.published import gate_document
    from simulator.report.comparison import markdown as as_markdown
    from simulator.report.comparison import print_comparison

    if markdown is not None:
        write_whole(markdown, as_markdown(comparison, judged))
    if as_json:
        sys.stdout.buffer.write(gate_document(comparison, judged))
        return
    # A pipe has no width of its own, and a cause is one line.
    console = Console(width=None if sys.stdout.isatty() else 10_000, soft_wrap=True)
    print_comparison(console, comparison, judged)
