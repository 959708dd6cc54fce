"""A run as one HTML file that opens offline: the verdict first, then what it rests on.

Every number of a table stands in a `<data>` element with its value and its path in the published JSON document, so that
a test can hold the page against the document. Everything that comes from a scenario is escaped.
"""

from __future__ import annotations

import json
import re
from functools import cache, partial
from importlib import resources
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from simulator.decision.words import sentence
from simulator.errors import RunStoreError
from simulator.experiment.runs import read_manifest, read_summary, reading
from simulator.experiment.tables import Tables
from simulator.export.kept_run import KeptRun
from simulator.files import write_whole
from simulator.plots import Plots
from simulator.reading import read_json
from simulator.report import page_board, page_figures, page_headlines, page_tables
from simulator.report.chains import chain_table
from simulator.report.currency import Shown
from simulator.report.pdf import pdf_of
from simulator.report.show import Show
from simulator.report.thinking import thinking_table
from simulator.report.warnings import warnings_about
from simulator.scenario.loading import load_scenario
from simulator.wording import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from simulator.results import Results
    from simulator.scenario.schema import Scenario

_SECTIONS: Final = {
    "verdict": "Verdict",
    "compare": "Comparison",
    "change": "What would change it",
    "cost": "Cost",
    "rollout": "Rollout",
    "wait": "Waiting",
    "busy": "GPUs",
    "demand": "Demand",
    "assumptions": "Assumptions",
    "made": "Provenance",
}


#: Stands for the scenario while the page is made.
_SCENARIO = "the scenario as it was written goes here"


def write_report(
    run: Results | KeptRun | str | PathLike[str],
    output: str | PathLike[str] | None = None,
    *,
    rollout: str | PathLike[str] | None = None,
) -> Path:
    """Write a result as one HTML file that opens offline.

    Args:
        run: The result, or the directory of a run.
        output: The file; `report.html` in the directory when absent.
        rollout: What `simulator rollout --json` printed, to go into the report.

    Returns:
        The file written.

    Raises:
        RunStoreError: There is no run, it was kept by an earlier version, or what is given as a rollout is none.
        SimulatorError: The file cannot be written.
        ValueError: A result that lies in no directory needs to be told a file.
    """
    target, more = (None if one is None else Path(one) for one in (output, rollout))
    if isinstance(run, (str, PathLike)):
        place = Path(run)
        with reading(place):
            return write_page(place, target, more)
    if isinstance(run, KeptRun):
        return write_report(run.path, output, rollout=rollout)
    if target is None:
        raise ValueError("a result that was not saved lies in no directory: say where its report goes")
    with TemporaryDirectory() as folder:
        return write_page(run.save(Path(folder) / run.scenario.name), target, more)


def write_page(run: Path, target: Path | None = None, rollout: Path | None = None) -> Path:
    """Write the report of a run directory.

    Args:
        run: The directory.
        target: The file; `report.html` in the directory when absent.
        rollout: What `simulator rollout --json` printed, to go into the report.

    Returns:
        The file written.

    Raises:
        RunStoreError: See `page_of`.
        SimulatorError: The file cannot be written.
    """
    written = target or run / "report.html"
    write_whole(written, page_of(run, rollout))
    return written


def write_pdf(run: Path, target: Path, rollout: Path | None = None) -> Path:
    """Write the same as PDF: two pages for a board, and the rest as their annex.

    Args:
        run: The directory.
        target: The file.
        rollout: See `write_page`.

    Returns:
        The file written.

    Raises:
        RunStoreError: See `page_of`.
        SimulatorError: No browser prints it, or the file cannot be written.
    """
    write_whole(target, pdf_of(page_of(run, rollout)))
    return target


def page_of(run: Path, rollout: Path | None = None) -> str:
    """The report of a run directory.

    Args:
        run: The directory.
        rollout: See `write_page`.

    Raises:
        RunStoreError: There is no run, it was kept by an earlier version, or what is given as a rollout is none.
    """
    document, manifest = read_summary(run), read_manifest(run)
    if "inputs" not in document:
        raise RunStoreError(f"{run} was kept by an earlier version, without its inputs; simulate it again")
    scenario = load_scenario(run / "scenario.yaml")
    shown = Shown.of(scenario.prices)
    document = shown.amounts(document)
    plots = Plots(scenario, document, Tables(run=run, shared=manifest["same_simulation"]))
    doubts = warnings_about(scenario, [row["name"] for row in document["patterns"]])
    doubts += [shown.rate] if shown.rate else []
    grown = None if rollout is None else shown.amounts(_rollout(rollout))
    page = shown.labelled(render_page(document, plots, manifest, shown.amounts(doubts), grown))
    # As it was written: its amounts are not converted.
    return page.replace(_SCENARIO, str(escape(_yaml(scenario.resolved))))


def _rollout(file: Path) -> dict[str, Any]:
    try:
        found = read_json(file)
    except (OSError, ValueError) as error:
        raise RunStoreError(f"{file} is not what 'simulator rollout --json' prints: {error}") from None
    if not isinstance(found, dict) or not {"projection", "scenario"} <= set(found):
        raise RunStoreError(f"{file} is not what 'simulator rollout --json' prints: it has no projection")
    try:
        # Whether it has all that the report shows of it is known once it is shown.
        for text in page_tables.rollout(found)["steps"]:
            sentence(text)
        page_figures.of_rollout(found)
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        said = f"{type(error).__name__}: {' '.join(str(error).split()):.200}"
        raise RunStoreError(f"{file} is not what 'simulator rollout --json' prints: {said}") from None
    return found


def render_page(
    document: Mapping[str, Any],
    plots: Plots,
    manifest: Mapping[str, Any],
    warnings: Sequence[str],
    rollout: Mapping[str, Any] | None = None,
) -> str:
    """The page.

    Args:
        document: The published JSON document of the run.
        plots: Its figures.
        manifest: What made it.
        warnings: What deserves doubt.
        rollout: The JSON document of a rollout that goes with it.
    """
    scenario, show = plots.scenario, Show(document)
    figures = page_figures.of(plots, rollout)
    groups = page_figures.groups(figures)
    names = [row["name"] for row in document["patterns"]]
    rows = page_tables.comparison(document, show)
    doubts = [*_drawn(document), *document["decision"]["take_care"], *warnings]
    context = {
        "title": scenario.description or scenario.name,
        "document": document,
        "decision": document["decision"],
        "period": _period(scenario),
        "first": next((at for at, row in enumerate(document["patterns"]) if row["requests"]), 0),
        "sections": [(key, label) for key, label in _SECTIONS.items() if _there(key, document, groups)],
        "tiles": page_tables.tiles(document, show),
        "headlines": page_headlines.headlines(document, show),
        "warnings": doubts,
        "board": page_board.board(document, show, figures, doubts, manifest),
        "rows": rows,
        "rollout": None if rollout is None else page_tables.rollout(rollout),
        "grows": any(row["saturation"] == "overloaded" for row in document["patterns"]),
        "promised": page_tables.promised(document, scenario, show),
        "chains": chain_table(document, show),
        "thinking": thinking_table(document, show),
        "bills": page_tables.bills(document, show),
        "doubts": page_tables.doubts(document, names),
        "failed_over": any(not name.startswith("loss-") for name in groups["demand"][1:]),
        "prices": page_tables.prices(document),
        "profiles": page_tables.profiles(manifest),
        "lengths": page_tables.lengths(scenario, names),
        "demand": page_tables.demand(document, scenario, show),
        "scenario_yaml": _SCENARIO,
        "manifest": page_tables.provenance(document, manifest),
        "figures": figures,
        "groups": groups,
        "figures_json": _json({name: one["plotly"] for name, one in figures.items()}),
        "show": show,
        "sentence": partial(sentence, names={*names, *scenario.workloads}),
    }
    return _template().render(context)


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("simulator.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.globals.update(sentence=sentence, count=page_tables.count, **_assets())
    return environment.get_template("report.html.j2")


def _drawn(document: Mapping[str, Any]) -> list[str]:
    return [note for one in document.get("demand", {}).values() for note in one["notes"]]


def _there(section: str, document: Mapping[str, Any], groups: Mapping[str, list[str]]) -> bool:
    decision = document["decision"]
    if section == "change":
        return bool(decision["what_would_change_it"] or decision["capacity_advice"])
    return section not in ("busy", "rollout") or bool(groups[section])


def _period(scenario: Scenario) -> str:
    begin: datetime = scenario.horizon.start_local
    days = scenario.horizon.duration_s / 86_400.0
    return f"{counted(float(f'{days:.4g}'), 'day')} from {begin:%A} {begin.day} {begin:%B %Y}"


def _yaml(resolved: Any) -> str:  # noqa: ANN401 - YAML is anything
    from io import StringIO

    from ruamel.yaml import YAML

    text = StringIO()
    YAML().dump(resolved, text)
    return text.getvalue()


def _assets() -> dict[str, Markup]:
    """Style and scripts, embedded as they are: they are ours, or plotly's."""
    from plotly.offline import get_plotlyjs

    folder = resources.files("simulator.report") / "templates"
    own = {name: (folder / f"report.{name}").read_text("utf-8") for name in ("css", "js")}
    return {
        "css": Markup(own["css"]),  # nosec B704
        "js": _embedded(own["js"]),
        "plotly_js": _embedded(get_plotlyjs()),
    }


def _embedded(script: str) -> Markup:
    """A script element's text, which nothing in it can close."""
    return Markup(re.sub("</(script)", r"<\\/\1", script, flags=re.IGNORECASE))  # nosec B704


def _json(value: Any) -> Markup:  # noqa: ANN401 - JSON is anything
    """Data in a script element, in which no text can close it."""
    return Markup(json.dumps(value, separators=(",", ":")).replace("<", "\\u003c"))  # nosec B704
