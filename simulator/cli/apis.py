"""`simulator apis …`: what metered APIs admit, and how many provisioned units a load needs."""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from simulator.cli.options import AsJson
from simulator.errors import Fault, ScenarioError

if TYPE_CHECKING:
    from simulator.performance.provisioned import Scope

apis = typer.Typer(help="Metered APIs: provisioned units by model, and how many a load needs.", no_args_is_help=True)


@apis.command("list")
def list_models(as_json: AsJson = False) -> None:
    """List what one provisioned unit of each model serves, and the sizes that are sold.

    Example: simulator apis list
    """
    from simulator.performance.provisioned import provisioned_models, provisioned_source

    found, source = provisioned_models(), provisioned_source()
    if as_json:
        rows = {name: model.model_dump(mode="json") for name, model in found.items()}
        typer.echo(json.dumps({"schema_version": 1, "source": source, "models": rows}, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    grid = Table("model", "prompt tokens a minute", "an output token counts as", "tokens/s above", "sold as")
    for name, model in found.items():
        sold = ", ".join(f"{scope} {s.minimum} + {s.increment}n" for scope, s in model.steps.items())
        grid.add_row(name, f"{model.tokens_per_unit:,}", f"{model.output_ratio:g}", f"{model.tokens_per_s:g}", sold)
    Console(width=None if sys.stdout.isatty() else 140).print(grid)
    typer.echo(f"per unit; {source}")


@apis.command()
def presets(
    name: Annotated[str | None, typer.Argument(help="Only this one, with its sources.", show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """List what is known of providers and models, for the key `preset` of an API; with a name, where it comes from.

    Example: simulator apis presets azure/gpt-4o
    """
    from simulator.scenario.api_presets import api_presets

    known = api_presets()
    if name is not None and name not in known:
        raise ScenarioError([Fault("preset", 0, name, f"there is none; expected one of {', '.join(known)}")])
    chosen = known if name is None else {name: known[name]}
    if as_json:
        typer.echo(json.dumps({"schema_version": 1, "presets": chosen}, indent=2, ensure_ascii=False))
        return
    for title, entry in chosen.items():
        typer.echo(f"{title}: {json.dumps(entry['settings'], ensure_ascii=False)}")
    if name is not None:
        for key, origin in chosen[name]["sources"].items():
            typer.echo(f"  {key}: {origin['basis']}; {origin['source']}")


@apis.command()
def size(
    model: Annotated[str, typer.Argument(help="Model, such as gpt-5.2 or azure/gpt-4.1.", show_default=False)],
    requests_per_minute: Annotated[float, typer.Option(min=0.001, help="Requests a minute at the peak.")],
    prompt_tokens: Annotated[int, typer.Option(min=1, help="Mean prompt of a request.")],
    output_tokens: Annotated[int, typer.Option(min=0, help="Mean answer to a request.")],
    cached: Annotated[str, typer.Option(metavar="SHARE", help="Share of the prompt tokens read from a cache.")] = "0 %",
    scope: Annotated[
        Literal["global", "data_zone", "regional"], typer.Option(help="Where requests may be processed.")
    ] = "global",
    book: Annotated[str | None, typer.Option(help="Price book.", show_default="the latest")] = None,
    as_json: AsJson = False,
) -> None:
    """Say how many provisioned units a load needs, as the provider's calculator does, and what they cost.

    Example: simulator apis size gpt-5.2 --requests-per-minute 1000 --prompt-tokens 200 --output-tokens 20
    --scope regional
    """
    found = _sizing(
        model, Fraction(str(requests_per_minute)), prompt_tokens, output_tokens, _share(cached), scope, book
    )
    if as_json:
        typer.echo(json.dumps({"schema_version": 1, **found}, indent=2))
        return
    typer.echo(f"{found['normalised_tokens_per_minute']:,.0f} normalised tokens a minute: {found['arithmetic']}")
    typer.echo(
        f"{found['units_needed']:.2f} units of {model}, {found['tokens_per_unit']:,} tokens a minute each: "
        f"{found['units']} as sold ({scope})"
    )
    if found["monthly_cost_usd"] is not None:
        typer.echo(
            f"{found['monthly_cost_usd']:,.0f} USD a month of 730 h at {found['unit_hour_usd']:g} USD per unit-hour, "
            f"used or not ({found['price']})"
        )


@apis.command()
def peak(
    file: Annotated[Path, typer.Argument(help="Scenario file.", show_default=False)],
    model: Annotated[str, typer.Option(help="Model, such as azure/gpt-4.1.")],
    workload: Annotated[
        str | None, typer.Option(metavar="NAME", help="This workload alone.", show_default="all together")
    ] = None,
    scope: Annotated[
        Literal["global", "data_zone", "regional"], typer.Option(help="Where requests may be processed.")
    ] = "global",
    as_json: AsJson = False,
) -> None:
    """Say how much of a scenario's demand provisioned units of several sizes serve, minute by minute.

    Example: simulator apis peak scenarios/health_system.yaml --model azure/gpt-4.1
    """
    from simulator.experiment.checks import load_checked
    from simulator.performance.provisioned import provisioned_model
    from simulator.study.api_candidates import load_by_minute, sizes

    scenario = load_checked(file, must_fit=False)
    if workload is not None and workload not in scenario.workloads:
        expected = f"no such workload; expected one of {', '.join(scenario.workloads)}"
        raise ScenarioError([Fault("--workload", 0, workload, expected)])
    if workload is not None:
        scenario = scenario.model_copy(update={"workloads": {workload: scenario.workloads[workload]}})
    known = provisioned_model(model)
    load = load_by_minute(known, scenario)
    total = max(1.0, float(load.sum()))
    rows = [
        {
            "units": units,
            "tokens_per_minute": units * known.tokens_per_unit,
            "minutes_within": float((load <= units * known.tokens_per_unit).mean()),
            "load_within": float(load.clip(max=units * known.tokens_per_unit).sum()) / total,
        }
        for units in sizes(known, load, scope)
    ]
    busiest, mean = float(load.max(initial=0.0)), float(load.mean())
    if as_json:
        facts = {"model": model, "scope": scope, "busiest_minute_tokens": busiest, "mean_minute_tokens": mean}
        typer.echo(json.dumps({"schema_version": 1, **facts, "sizes": rows}, indent=2))
        return
    typer.echo(f"{mean:,.0f} normalised tokens in a mean minute, {busiest:,.0f} in the busiest")
    for row in rows:
        typer.echo(
            f"{row['units']:>6,} units serve {row['tokens_per_minute']:>9,} a minute: enough in "
            f"{100 * row['minutes_within']:.2f} % of the minutes and for {100 * row['load_within']:.2f} % of the load"
        )


def _share(text: str) -> Fraction:
    from simulator.units import parse_share

    try:
        number = Decimal(text.removesuffix("%").strip()) / 100 if "%" in text else Decimal(text)
        parse_share(float(number))
    except (ArithmeticError, ValueError):
        raise ScenarioError([Fault("--cached", 0, text, "expected a share such as '25 %' or 0.25")]) from None
    return Fraction(number)


def _sizing(
    name: str,
    rpm: Fraction,
    prompt: int,
    output: int,
    cached: Fraction,
    scope: Scope,
    book_id: str | None,
) -> dict[str, Any]:
    from simulator.cost import tco
    from simulator.cost.prices import load_price_book, price_book_ids
    from simulator.performance.provisioned import provisioned_model, provisioned_source, units_needed
    from simulator.scenario.apis import Provisioned
    from simulator.units import MONTH_HOURS

    model = provisioned_model(name)
    if scope not in model.steps:
        raise ScenarioError([Fault("--scope", 0, scope, f"{name} is sold as {', '.join(model.steps)}")])
    needed = units_needed(
        model, prompt_tokens_per_minute=rpm * prompt, output_tokens_per_minute=rpm * output, cached_share=cached
    )
    units = model.steps[scope].at_least(needed)
    book = load_price_book(book_id or price_book_ids()[-1])
    provider = name.partition("/")[0] if "/" in name else "azure"
    price = book.provisioned_units.get(Provisioned(kind="provisioned", units=units, scope=scope).price_key(provider))
    return {
        "model": name,
        "scope": scope,
        "normalised_tokens_per_minute": float(needed * model.tokens_per_unit),
        "arithmetic": f"{float(rpm):g} × ({prompt} × {float(1 - cached):g} + {model.output_ratio:g} × {output})",
        "tokens_per_unit": model.tokens_per_unit,
        "output_ratio": model.output_ratio,
        "units_needed": round(float(needed), 4),
        "units": units,
        "unit_hour_usd": None if price is None else float(price.unit_hour),
        "monthly_cost_usd": None if price is None else float(tco.rental_usd(price.unit_hour, MONTH_HOURS, units)),
        "price": None if price is None else price.source,
        "source": provisioned_source(),
    }
