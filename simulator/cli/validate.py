"""`simulator validate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from simulator.cli.exit_codes import BAD_INPUT
from simulator.cli.options import AsJson, Overrides, Settings, load, said
from simulator.errors import Fault, ScenarioError
from simulator.wording import counted

if TYPE_CHECKING:
    from simulator.scenario.schema import Scenario


def validate(
    files: Annotated[list[Path], typer.Argument(help="Scenario files.", show_default=False)],
    settings: Settings = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Check scenario files without simulating; print every fault with its file and line.

    A file is checked as it stands, and with each of its overrides unless some are named. A policy of the gate is
    checked as one; a part that others extend, without a name of its own, with those.

    Example: simulator validate scenarios/*.yaml
    """
    faults: list[Fault] = []
    warnings: dict[str, list[str]] = {}
    for path in files:
        try:
            kind, found = _checked(path, overrides, settings)
        except ScenarioError as error:
            faults += error.faults
            continue
        if found:
            warnings[str(path)] = found
        if not as_json:
            typer.echo(f"{path}: ok ({kind})")
            for warning in found:
                typer.echo(f"{path}: take care: {warning}", err=True)
    if as_json:
        rows = [{"file": f.file, "line": f.line, "key": f.key, "message": f.message} for f in faults]
        document = {"schema_version": 1, "ok": not faults, "faults": rows}
        typer.echo(json.dumps(document | ({"warnings": warnings} if warnings else {}), indent=2))
    else:
        for fault in faults:
            typer.echo(said(fault), err=True)
    if faults:
        raise typer.Exit(BAD_INPUT)


def _checked(path: Path, overrides: list[str] | None, settings: list[str] | None) -> tuple[str, list[str]]:
    """What a file is, and what to take care of.

    Raises:
        ScenarioError: Everything that is wrong.
    """
    from simulator.experiment.checks import expected_refusals
    from simulator.report.warnings import too_long

    if (kind := _other_kind(path)) is not None:
        return kind, []
    scenario = _with_each_override(path, overrides, settings)
    refused = [f"{name} is refused, as expected: {'; '.join(why)}" for name, why in expected_refusals(scenario).items()]
    counts = (
        f"{counted(len(scenario.workloads), 'workload')}, {counted(len(scenario.hosting_patterns), 'hosting pattern')}"
    )
    return "; ".join((counts, *refused)), too_long(scenario, scenario.hosting_patterns)


def _with_each_override(path: Path, overrides: list[str] | None, settings: list[str] | None) -> Scenario:
    """The scenario as it stands, where it is sound with each of its overrides too, unless some are named.

    Raises:
        ScenarioError: All faults of all of these, each once.
    """
    from simulator.scenario.loading import read_merged

    faults: dict[Fault, None] = {}
    found: list[Scenario] = []
    for names in [overrides] if overrides else [None, *([name] for name in read_merged(path).overrides)]:
        try:
            found.append(load(path, names, settings))
        except ScenarioError as error:
            faults |= dict.fromkeys(error.faults)
    if faults:
        raise ScenarioError([*faults])
    return found[0]


def _other_kind(path: Path) -> str | None:
    """What a file is that lies beside scenarios and is none.

    Raises:
        ScenarioError: It is a policy, and a wrong one.
    """
    from simulator.gate.policy import read_policy
    from simulator.scenario.schema import Scenario
    from simulator.scenario.yaml_source import read_document

    try:
        document = read_document(path)
    except ScenarioError:
        return None
    keys = set(document.data)
    if isinstance(document.data.get("rules"), list) and not keys & (set(Scenario.model_fields) - {"rules"}):
        policy = read_policy(path)
        return f"a policy of the gate with {counted(len(policy.rules), 'rule')}"
    known = set(Scenario.model_fields)
    needed = {name for name, field in Scenario.model_fields.items() if field.is_required()}
    # Without a name and something else, and without a key that nobody knows, which a whole one would be told of.
    is_part = keys and keys <= known and not keys & {"name", "extends"} and needed - keys != {"name"}
    return "a part of a scenario, checked with what extends it" if is_part and not document.faults else None
