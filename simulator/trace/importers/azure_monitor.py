"""Azure Monitor's metrics of a model deployment: requests and tokens by minute or longer."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from simulator.streams import stream
from simulator.trace.importers.aggregate import Bucket, rows_of
from simulator.trace.importers.context import Format, label_field
from simulator.trace.importers.log_analytics import PORTAL_TIME, unpack_azure
from simulator.trace.importers.read import read_records
from simulator.trace.importers.values import NS, instants_ns, numbers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from simulator.trace.importers.context import Context
    from simulator.trace.importers.rows import Rows

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
}
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
            }  # fmt: skip
            yield from (point | shared for point in series["data"])


def _read(path: Path, context: Context) -> Iterator[Rows]:
    label_field(context.labels, ("deployment",))
    parts = 0
    metrics = {name: (context.columns.get(name, "").lower(), *known) for name, known in METRICS.items()}
    kind_of = {name: kind for kind, names in metrics.items() for name in names if name}
    found: dict[tuple[int, int, str], dict[str, float]] = defaultdict(dict)
    line_of: dict[tuple[int, int, str], int] = {}
    for records in read_records(path, _FIELDS, ("time", "metric", "total"), context.tally, _unpack):
        columns = records.columns
        time_ns, bad = instants_ns(columns["time"], context.zone, context.time_form or PORTAL_TIME)
        totals = numbers([0 if total in (None, "") else total for total in columns["total"]])
        for at, line in enumerate(records.lines):
            kind = kind_of.get(str(columns["metric"][at]).lower())
            length_ns = _grain_ns(columns["grain"][at])
            if kind is None:
                context.tally.leave_out("another metric", 1)
            elif bad[at] or length_ns is None:
                context.tally.reject(path, [line], "no time, or no grain of whole minutes, hours or days")
            elif not 0 <= totals[at] < 1e15:
                context.tally.reject(path, [line], "total: not a number of 0 or more")
            else:
                key = (int(time_ns[at]), length_ns, str(columns["deployment"][at]))
                # The same metric of other status codes or stream types.
                found[key][kind] = found[key].get(kind, 0.0) + float(totals[at])
                line_of.setdefault(key, line)
                parts += 1
    context.tally.regroup(parts, len(found))
    buckets = [
        Bucket(line_of[key], key[0], key[1], key[2], *(round(found[key].get(kind, 0.0)) for kind in METRICS))
        for key in sorted(found)
    ]
    draw = stream(context.seed, context.next_file(), "trace/azure-monitor")
    yield from rows_of(buckets, path, context, draw)


def _grain_ns(value: object) -> int | None:
    """Nanoseconds of a duration such as PT1M; a minute where none is given."""
    if value in (None, ""):
        return 60 * NS
    match = _GRAIN.fullmatch(value) if isinstance(value, str) and len(value) < 20 else None
    days, hours, minutes = (int(one or 0) for one in match.groups()) if match else (0, 0, 0)
    length_s = days * 86_400 + hours * 3600 + minutes * 60
    return length_s * NS if 0 < length_s <= 32 * 86_400 else None


FORMATS = (
    Format(name="azure-monitor", read=_read, source="Azure Monitor metrics by interval", columns=tuple(METRICS)),
)
