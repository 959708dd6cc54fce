"""Azure Monitor's metrics of a model deployment: requests and tokens by minute or longer."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from simulator.errors import TraceError
from simulator.streams import stream
from simulator.trace.importers.aggregate import Bucket, rows_of
from simulator.trace.importers.context import Format, label_field
from simulator.trace.importers.log_analytics import PORTAL_TIME, unpack_azure
from simulator.trace.importers.read import read_records
from simulator.trace.importers.records import LONGEST, Records, is_absent
from simulator.trace.importers.source import BROKEN, open_text
from simulator.trace.importers.values import NS, instants_ns, numbers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from simulator.trace.importers.context import Context
    from simulator.trace.importers.rows import Rows

    #: By kind of metric, its name and the dimensions of an answer: totals by interval.
    _Page = dict[tuple[str, str, str], dict[str, float]]

#: Names of the metrics in lower case; the portal's titles are published, those of the interface are from memory, hence
#: `--column`.
METRICS: Final = {
    "requests": ("azureopenairequests", "modelrequests", "azure openai requests", "model requests"),
    "prompt_tokens": ("processedprompttokens", "inputtokens", "processed prompt tokens", "input tokens"),
    "output_tokens": (
        "generatedtokens", "generatedcompletiontokens", "outputtokens", "generated completion tokens", "output tokens",
    ),
}  # fmt: skip
_FIELDS: Final = {
    "time": ("TimeGenerated", "TimeGenerated [UTC]", "timeStamp", "time"),
    "metric": ("MetricName", "metricName"),
    "total": ("Total", "total"),
    "grain": ("TimeGrain", "timeGrain"),
    "deployment": ("deployment",),
    "series": ("(series)",),
    "answer": ("(answer)",),
    "resource": ("ResourceId", "resourceId", "_ResourceId", "Resource"),
}
#: A column of a chart: the metric's title, how it is summed up, and of what.
TITLE: Final = re.compile(r"(.+?) \(Sum\)(?: - .*|, .*)?")
_PLAIN: Final = {"requests": "requests", "prompt_tokens": "prompt tokens", "output_tokens": "generated tokens"}
#: How much later than a request its tokens may be counted: assumed, answers take minutes at most.
_LAG_NS: Final = 10 * 60 * NS
_LATE: Final = (
    "tokens counted in an interval without requests, or missing in one with some, were put together with those of the "
    "interval before: Azure counts them when an answer ends"
)
_REPEATED: Final = (
    "what several files or pages have of one interval of a resource was counted once: the larger, where they differ"
)
_UNNAMED: Final = (
    "pages that name no resource count all that several of them have of one interval alike once, and add up the rest"
)
_GRAIN: Final = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?)?")


def _unpack(value: Any) -> Iterator[Any]:  # noqa: ANN401 - whatever the file holds
    """Points of the interface's answer (`value` with `timeseries`), else rows of the table `AzureMetrics`."""
    if not (isinstance(value, dict) and isinstance(value.get("value"), list)):
        yield from unpack_azure(value)
        return
    for metric in value["value"]:
        for series in metric["timeseries"]:
            names = {str(one["name"]["value"]).lower(): one["value"] for one in series.get("metadatavalues") or ()}
            shared = {
                "metricName": metric["name"]["value"], "timeGrain": value.get("interval"),
                "deployment": names.get("modeldeploymentname"),
                "(series)": repr((metric["id"], sorted(names.items()))) if metric.get("id") else None,
                "(answer)": repr(sorted(names.items())),
            }  # fmt: skip
            yield from (point | shared for point in series["data"])


@dataclass(slots=True)
class _Interval:
    """What was counted in a time of one deployment, by kind, and by kind and series, and where it first stands."""

    path: Path
    line: str
    start_ns: int
    length_ns: int
    deployment: str
    totals: dict[str, float] = field(default_factory=dict)
    parts: dict[tuple[str, str], float] = field(default_factory=dict)

    def count(self, kind: str, total: float, series: str | None) -> bool:
        """Add what a series counted; False where it had been counted, of which the larger is the whole."""
        before = None if series is None else self.parts.get((kind, series))
        if series is not None:
            self.parts[kind, series] = max(total, before or 0.0)
        self.totals[kind] = self.totals.get(kind, 0.0) + max(total - (before or 0.0), 0.0)
        return before is None

    def take(self, other: _Interval) -> None:
        """Join another to it, which begins later or at the same time."""
        for kind, total in other.totals.items():
            self.totals[kind] = self.totals.get(kind, 0.0) + total
        self.length_ns = max(self.length_ns, other.start_ns + other.length_ns - self.start_ns)

    @property
    def requests(self) -> float:
        """How many began in it."""
        return self.totals.get("requests", 0.0)

    @property
    def tokens(self) -> tuple[float, float]:
        """Of prompts and of outputs."""
        return self.totals.get("prompt_tokens", 0.0), self.totals.get("output_tokens", 0.0)


def _read(path: Path, context: Context) -> Iterator[Rows]:
    """Keeps what a file counts: the next may have another metric of the same minutes."""
    label_field(context.labels, ("deployment",))
    own = {name: tuple(map(str.lower, names)) for name, names in context.columns.items()}
    metrics = {name: (*own.get(name, ()), *known) for name, known in METRICS.items()}
    kind_of = {name: kind for kind, names in metrics.items() for name in names if name}
    pages: dict[str, _Page] = {}
    for records in _points(path, kind_of, context):
        columns, places = records.columns, records.places(range(len(records.lines)))
        time_ns, bad = instants_ns(columns["time"], context.zone, context.time_form or PORTAL_TIME)
        totals = numbers([0 if is_absent(total) else total for total in columns["total"]])
        for at, place in enumerate(places):
            kind = kind_of.get(str(columns["metric"][at]).lower())
            length_ns = _grain_ns(columns["grain"][at])
            if kind is None:
                context.tally.leave_out("another metric", 1)
            elif bad[at] or length_ns is None:
                context.tally.reject(path, [place], "no time, or no grain of whole minutes, hours or days")
            elif not 0 <= totals[at] < 1e15:
                context.tally.reject(path, [place], "total: not a number of 0 or more")
            else:
                deployment, series = str(columns["deployment"][at]), columns["series"][at]
                answer, resource = columns["answer"][at], columns["resource"][at]
                if series is None and answer is None and not is_absent(resource):
                    # Exported metrics have no dimensions (Azure Monitor, "Diagnostic settings"): a second is a repeat.
                    series = repr((str(columns["metric"][at]).lower(), resource))
                found = _Interval(path, place, int(time_ns[at]), length_ns, deployment)
                key = repr((found.start_ns, length_ns, deployment))
                kept = _intervals(context).setdefault(key, found)
                if series is not None:
                    if not kept.count(kind, float(totals[at]), series):
                        context.assume(_REPEATED)
                else:  # the same metric of other status codes or stream types is added, within a page
                    page = pages.setdefault(f"{answer} {place}" if answer else "", {})
                    points = page.setdefault((kind, str(columns["metric"][at]).lower(), str(answer)), {})
                    points[key] = points.get(key, 0.0) + float(totals[at])
                context.tally.regroup(1, 0)
                context.metrics.add(kind)
    for page in pages.values():
        _lay(page, context)
    yield from ()


def _intervals(context: Context) -> dict[str, _Interval]:
    found: dict[str, _Interval] = context.kept.setdefault("intervals", {})
    return found


def _lay(page: _Page, context: Context) -> None:
    """Count what a page has that names no resource, without what is all alike in one before it."""
    for name, points in page.items():
        known: dict[str, float] = context.kept.setdefault("unnamed", {}).setdefault(name, {})
        both = points.keys() & known.keys()
        alike = any(points[key] for key in both) and all(points[key] == known[key] for key in both)
        for key, total in points.items():
            if key in both and alike:
                context.assume(_UNNAMED)
            else:
                _intervals(context)[key].count(name[0], total, None)
        known |= points


def _points(path: Path, kind_of: dict[str, str], context: Context) -> Iterator[Records]:
    """Points of metrics; of a chart of the portal, which has a column for each, one after the other."""
    with open_text(path) as text:
        try:
            start = text.readline(LONGEST)
        except BROKEN:
            raise TraceError(f"{path}: line 1: the compressed data breaks off or is corrupt") from None
    columns = [] if start.lstrip()[:1] in ("{", "[") else next(csv.reader([start.strip()]), [])
    titles = {name: match[1] for name in columns if (match := TITLE.fullmatch(name.strip()))}
    if not titles or "Time" not in columns:
        yield from read_records(path, _FIELDS, ("time", "metric", "total"), context.tally, _unpack)
        return
    if not any(title.lower() in kind_of for title in titles.values()):
        raise TraceError(f"{path}:1: a chart without requests or tokens of a model")
    for records in read_records(path, {name: (name,) for name in ("Time", *titles)}, ("Time",), context.tally):
        times = records.columns["Time"]
        context.tally.regroup(len(records.lines), len(records.lines) * len(titles))
        grain = _spacing(times, context)
        for name, title in titles.items():
            # Behind a comma stands the resource, without which two charts may be of two.
            same = {
                "metric": title,
                "grain": grain,
                "deployment": None,
                "series": name if ", " in name else None,
                "answer": None,
                "resource": None,
            }
            filled = {key: [value] * len(times) for key, value in same.items()}
            yield Records(path, records.lines, filled | {"time": times, "total": records.columns[name]})


def _spacing(times: list[Any], context: Context) -> str:
    """The grain of a chart, which does not say it: the distance of its points."""
    time_ns, bad = instants_ns(times, context.zone, context.time_form or PORTAL_TIME)
    steps = np.diff(np.unique(time_ns[~bad]))
    return f"PT{max(int(steps.min()) // (60 * NS), 1) if len(steps) else 1}M"


def _end(context: Context) -> Iterator[Rows]:
    """Requests of all intervals, once every metric is there."""
    if missing := [_PLAIN[kind] for kind in METRICS if kind not in context.metrics] if _intervals(context) else []:
        raise TraceError(
            f"nothing counts {' or '.join(missing)}: put requests, prompt tokens and generated tokens on one chart, or "
            "import the files of three as a folder (`columns` names a metric that is called otherwise)"
        )
    intervals = sorted(_intervals(context).values(), key=lambda one: (one.deployment, one.start_ns, one.length_ns))
    context.tally.regroup(0, len(intervals))
    draw = stream(context.seed, context.next_file(), "trace/azure-monitor")
    for one in sorted(_joined(intervals, context), key=lambda one: (one.start_ns, one.length_ns, one.deployment)):
        counts = (round(one.totals.get(kind, 0.0)) for kind in METRICS)
        bucket = Bucket(one.line, one.start_ns, one.length_ns, one.deployment, *counts)
        yield from rows_of([bucket], one.path, context, draw)


def _joined(intervals: list[_Interval], context: Context) -> list[_Interval]:
    """Intervals with the tokens of their own requests: a metric counts those when an answer ends, perhaps later."""
    joined: list[_Interval] = []
    for one in intervals:
        last = joined[-1] if joined else None
        near = (
            last is not None
            and last.deployment == one.deployment
            and last.requests > 0
            and one.start_ns - last.start_ns - last.length_ns <= _LAG_NS
        )
        if (
            last is not None
            and near
            and ((one.requests == 0 and any(one.tokens)) or (any(one.tokens) and min(last.tokens) < last.requests))
        ):
            context.assume(_LATE)
            context.tally.leave_out("an interval joined to the one before it, whose answers ended in it", 1)
            last.take(one)
        else:
            joined.append(one)
    return joined


def _grain_ns(value: object) -> int | None:
    """Nanoseconds of a duration such as PT1M; a minute where none is given."""
    if value in (None, ""):
        return 60 * NS
    match = _GRAIN.fullmatch(value) if isinstance(value, str) and len(value) < 20 else None
    days, hours, minutes = (int(one or 0) for one in match.groups()) if match else (0, 0, 0)
    length_s = days * 86_400 + hours * 3600 + minutes * 60
    return length_s * NS if 0 < length_s <= 32 * 86_400 else None


FORMATS = (
    Format(
        name="azure-monitor",
        read=_read,
        end=_end,
        source="Azure Monitor metrics by interval",
        columns=tuple(METRICS),
    ),
)
