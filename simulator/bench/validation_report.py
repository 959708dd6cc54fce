"""What a validation found: as a table, as JSON and as a plot."""

from __future__ import annotations

from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from simulator.bench.measurements import METRICS
from simulator.bench.repeats import repeats_of
from simulator.bench.validate import TAILS, Comparison

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import plotly.graph_objects as go
    from rich.console import RenderableType
    from rich.text import Text

#: Headline metrics, in the order of the table.
SHOWN: Final = {
    "itl_mean_s": "inter-token",
    "ttft_mean_s": "TTFT mean",
    "ttft_p99_s": "TTFT p99",
    "e2e_mean_s": "end to end mean",
    "e2e_p90_s": "end to end p90",
    "e2e_p99_s": "end to end p99",
    "output_tokens_per_s": "throughput",
}
#: What a validation comes down to, over the rows in which nothing queues.
HEADLINE: Final = ("ttft_mean_s", "ttft_p99_s", "itl_mean_s", "e2e_mean_s", "e2e_p99_s")
#: Clients that send again when they are answered: they have a median of their own.
CLIENTS: Final = ("one at a time", "closed loop")
#: A row in which nothing queues and whose mean end to end is further off is listed by itself.
FAR: Final = 0.12
COLOURS: Final = {
    "open, unsaturated": "#1f77b4",
    "open, mixture of experts": "#2ca02c",
    "open, saturated": "#ff7f0e",
    "closed loop": "#9467bd",
    "one at a time": "#8c564b",
    "burst, all at once": "#d62728",
}
#: Median absolute errors of the best published simulators over the experiments each could run, as their authors state
#: them (inference-sim sim-to-real validation, retrieved 2026-11).
PEERS: Final = {"itl_mean_s": 6.5, "ttft_mean_s": 18.0, "e2e_mean_s": 6.8, "e2e_p99_s": 9.1}


def kind_of(row: Comparison) -> str:
    """How a row is grouped: by load, and dense or mixture."""
    if row.experiment.kind == "burst":
        return "burst, all at once"
    if row.experiment.kind in ("closed", "single"):
        return "one at a time" if row.stage.concurrency == 1 else "closed loop"
    if row.saturated:
        return "open, saturated"
    return "open, mixture of experts" if row.experts > 1 else "open, unsaturated"


def spread(rows: Iterable[Comparison], metric: str) -> dict[str, float] | None:
    """Median and largest absolute error in per cent, bias, and the share of measurements within the profile's band."""
    having = [row for row in rows if metric in row.metrics()]
    if not having:
        return None
    errors = 100.0 * np.array([row.error(metric) for row in having])
    return {
        "rows": len(having),
        "median_percent": round(float(np.median(np.abs(errors))), 1),
        "max_percent": round(float(np.max(np.abs(errors))), 1),
        "bias_percent": round(float(np.mean(errors)), 1),
        "in_band_percent": round(100.0 * float(np.mean([row.in_band(metric) for row in having])), 0),
    }


def _median_error(rows: Iterable[Comparison], metric: str) -> float | None:
    errors = [abs(row.error(metric)) for row in rows if metric in row.metrics()]
    return round(float(np.median(errors)), 4) if errors else None


def groups(rows: Sequence[Comparison]) -> list[tuple[str, list[Comparison]]]:
    """All rows by kind of load, then by family of models, then the dense ones in which nothing queues by GPU and model.

    Of a family those in which requests queue, or come all at once, stand for themselves: there the engine's host and
    the edge of saturation tell more than a step does.
    """
    quiet = [row for row in rows if kind_of(row) == "open, unsaturated"]
    found = [(f"{kind}", members) for kind, members in _grouped(rows, kind_of)]
    for family, members in _grouped(rows, lambda row: row.family):
        crowded = [row for row in members if row.saturated or row.experiment.kind == "burst"]
        calm = [row for row in members if row not in crowded]
        parts = (f"  family {family}", calm), (f"  family {family}, queueing or bursts", crowded)
        found += [part for part in parts if part[1]]
    found += [(f"  on {gpu}", members) for gpu, members in _grouped(quiet, lambda row: row.experiment.gpu)]
    found += [(f"  {model}", members) for model, members in _grouped(quiet, lambda row: row.profile)]
    return found


def _grouped(rows: Iterable[Comparison], key: Callable[[Comparison], str]) -> list[tuple[str, list[Comparison]]]:
    return [(name, list(members)) for name, members in groupby(sorted(rows, key=key), key=key)]


def table(rows: Sequence[Comparison], skipped: dict[str, list[str]]) -> RenderableType:
    """Errors by group and metric, the rows furthest off, what runs of the same measured, and what was not replayed."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    grid = Table(title="Simulated against measured: median | largest absolute error, %", title_justify="left")
    grid.add_column("rows of")
    grid.add_column("n", justify="right")
    for name in SHOWN.values():
        grid.add_column(name, justify="right")
    for name, members in groups(rows):
        cells = [spread(members, metric) for metric in SHOWN]
        texts = ["" if cell is None else f"{cell['median_percent']:.1f} | {cell['max_percent']:.1f}" for cell in cells]
        grid.add_row(name, str(len(members)), *texts)
    grid.add_row("best published simulators (median)", "", *(f"{PEERS[m]:.1f}" if m in PEERS else "" for m in SHOWN))
    parts: list[RenderableType] = [grid, Text("")]
    worst = sorted(_mean_errors(rows), key=lambda found: -abs(found[2]))[:5]
    for row, metric, error in worst:
        steps = "" if row.leverage is None else f"; a step 1 % longer makes its end to end {row.leverage:.1f} % longer"
        parts.append(
            Text(f"furthest off: {row.stage.row} ({row.profile}), {SHOWN[metric]} {100 * error:+.1f} %{steps}")
        )
    parts.append(_far_text(rows))
    in_band = spread(rows, "itl_mean_s")
    if in_band:
        parts.append(
            Text(f"{in_band['in_band_percent']:.0f} % of measured inter-token times lie within their profile's band")
        )
    parts += [Text(f"not replayed, {len(names)} rows: {reason}") for reason, names in skipped.items()]
    return Group(*parts)


def _mean_errors(rows: Sequence[Comparison]) -> list[tuple[Comparison, str, float]]:
    means = ("itl_mean_s", "e2e_mean_s", "ttft_mean_s")
    quiet = [row for row in rows if not row.saturated]
    return [(row, metric, row.error(metric)) for row in quiet for metric in means if metric in row.metrics()]


def far(rows: Sequence[Comparison]) -> list[Comparison]:
    """The rows in which nothing queues and whose mean end to end is more than `FAR` off, the worst first."""
    having = [row for row in rows if not row.saturated and "e2e_mean_s" in row.metrics()]
    return sorted(
        (row for row in having if abs(row.error("e2e_mean_s")) > FAR), key=lambda row: -abs(row.error("e2e_mean_s"))
    )


def _far_text(rows: Sequence[Comparison]) -> Text:
    from rich.text import Text

    found, quiet = far(rows), [row for row in rows if not row.saturated]
    lines = [
        f"{len(found)} of {len(quiet)} rows in which nothing queues are more than {100 * FAR:.0f} % off end to end"
    ]
    for row in found:
        simulated, repeats = row.simulated["e2e_mean_s"], repeats_of(row, rows, "e2e_mean_s")
        beside = "no other run of the same"
        if repeats is not None:
            where = "within" if repeats.hold(simulated) else "outside"
            beside = (
                f"{where} the {repeats.lowest:.2f} to {repeats.highest:.2f} s of {repeats.runs} runs of the same, "
                f"itself among them, and {100 * (simulated / repeats.median - 1):+.1f} % from their median"
            )
        lines.append(f"  {row.stage.row} {100 * row.error('e2e_mean_s'):+.1f} %: {beside}")
    return Text("\n".join(lines))


def document(rows: Sequence[Comparison], skipped: dict[str, list[str]]) -> dict[str, Any]:
    """Everything, for programs: the headline errors as shares, the groups', and every row and metric."""
    quiet = [row for row in rows if not row.saturated]
    clients = [row for row in rows if kind_of(row) in CLIENTS]
    return {
        "schema_version": 1,
        "median_absolute_error": {name.removesuffix("_s"): _median_error(quiet, name) for name in HEADLINE},
        "median_absolute_error_of": f"the {len(quiet)} cases in which nothing queues, as a share of the measurement",
        "clients_median_absolute_error": {name.removesuffix("_s"): _median_error(clients, name) for name in HEADLINE}
        | {"output_tokens_per_s": _median_error(clients, "output_tokens_per_s")},
        "clients_median_absolute_error_of": f"the {len(clients)} cases of clients that wait for their answers",
        "far_off": {
            "beyond_percent": 100.0 * FAR,
            "of": "the mean end to end, over the same cases",
            "cases": [row.stage.row for row in far(rows)],
            "within_repeats": [
                row.stage.row
                for row in far(rows)
                if (repeats := repeats_of(row, rows, "e2e_mean_s")) and repeats.hold(row.simulated["e2e_mean_s"])
            ],
        },
        "groups": [
            {"name": name.strip(), "rows": len(members), "errors": {m: spread(members, m) for m in (*SHOWN,)}}
            for name, members in groups(rows)
        ],
        "cases": [
            {
                "id": row.stage.row,
                "experiment": row.experiment.name,
                "model": row.experiment.model,
                "gpu": row.experiment.gpu,
                "tensor_parallel": row.experiment.tensor_parallel,
                "quality": row.experiment.quality,
                "profile": row.profile,
                "label": row.label,
                "kind": kind_of(row),
                "saturated": row.saturated,
                "leverage": None if row.leverage is None else round(row.leverage, 2),
                "metrics": {
                    name: {
                        "measured": row.stage.measured[name],
                        "simulated": row.simulated[name],
                        "low": row.low[name],
                        "high": row.high[name],
                        "error_percent": round(100.0 * row.error(name), 2),
                        "in_band": row.in_band(name),
                        "repeats": _repeats(row, rows, name),
                    }
                    for name in row.metrics()
                },
            }
            for row in rows
        ],
        "not_replayed": skipped,
        "not_compared": f"{', '.join(sorted(TAILS))} of stages with the engine's start-up in them",
    }


def _repeats(row: Comparison, rows: Sequence[Comparison], metric: str) -> dict[str, Any] | None:
    found = repeats_of(row, rows, metric)
    return None if found is None else asdict(found) | {"within": found.hold(row.simulated[metric])}


def figure(rows: Sequence[Comparison]) -> go.Figure:
    """Simulated against measured on logarithmic axes, a panel for each metric, bars for the profile's band."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    shown = [name for name in SHOWN if name in METRICS and any(name in row.metrics() for row in rows)]
    named: set[str] = set()
    down = (len(shown) + 1) // 2
    titles = [SHOWN[name] for name in shown]
    panels = make_subplots(rows=down, cols=2, subplot_titles=titles, vertical_spacing=0.3 / max(1, down))
    for number, metric in enumerate(shown):
        place = {"row": number // 2 + 1, "col": number % 2 + 1}
        having = [row for row in rows if metric in row.metrics()]
        values = [row.stage.measured[metric] for row in having]
        ends = [min(values), max(values)]
        panels.add_trace(go.Scatter(x=ends, y=ends, mode="lines", line={"color": "#999"}, showlegend=False), **place)
        for kind, members in _grouped(having, kind_of):
            panels.add_trace(
                go.Scatter(
                    x=[row.stage.measured[metric] for row in members],
                    y=[row.simulated[metric] for row in members],
                    error_y={
                        "array": [abs(row.high[metric] - row.simulated[metric]) for row in members],
                        "arrayminus": [abs(row.simulated[metric] - row.low[metric]) for row in members],
                        "width": 2,
                        "thickness": 1,
                    },
                    text=[f"{row.stage.row}<br>{row.profile}" for row in members],
                    mode="markers",
                    marker={"color": COLOURS[kind], "size": 6},
                    name=kind,
                    legendgroup=kind,
                    showlegend=kind not in named,
                ),
                **place,
            )
            named.add(kind)
        unit = "tokens/s" if metric == "output_tokens_per_s" else "s"
        panels.update_xaxes(type="log", title=f"measured, {unit}", **place)
        panels.update_yaxes(type="log", title=f"simulated, {unit}", **place)
    title = "Simulated against measured; bars show the profile's band"
    return panels.update_layout(
        title=title, height=360 * down + 80, template="plotly_white", legend={"orientation": "h", "y": -0.06}
    )
