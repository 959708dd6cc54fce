"""`simulator schema`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer


def schema(
    of: Annotated[
        Literal["scenario", "result", "comparison", "policy"],
        typer.Argument(help="Of what; result: of run --json; comparison: of compare and check; policy: of check."),
    ] = "scenario",
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Scenario files as a page to read.")] = False,
) -> None:
    """Print the JSON Schema of scenario or policy files, for editors, or of what `run`, `compare` and `check` print.

    Example: simulator schema > scenario.schema.json
    """
    from simulator.gate.policy import policy_schema
    from simulator.gate.published import gate_schema, result_schema
    from simulator.scenario.json_schema import scenario_schema
    from simulator.scenario.reference import scenario_reference

    own = scenario_reference if as_markdown else scenario_schema
    schemas = {"scenario": own, "result": result_schema, "comparison": gate_schema, "policy": policy_schema}
    typer.echo(schemas[of](), nl=False)
