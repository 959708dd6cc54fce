"""vLLM's `/metrics` as it is: text of Prometheus, one scrape a file or many in one, the histograms of lengths in it.

A scrape says no time unless its lines do (text exposition format: an optional last word, in milliseconds). Then the
file was written when it was scraped, which its date tells, and what it counts began when the counters were made, which
`_created` and `process_start_time_seconds` tell (prometheus_client).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from simulator.errors import TraceError
from simulator.trace.importers import vllm_prometheus as prometheus
from simulator.trace.importers.context import Format, label_field
from simulator.trace.importers.records import LONGEST
from simulator.trace.importers.source import BROKEN, open_text
from simulator.trace.importers.values import as_number

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from simulator.trace.importers.context import Context
    from simulator.trace.importers.rows import Rows

_STEMS: Final = "|".join((*prometheus.SIDES, *prometheus.TYPED))
_SAMPLE: Final = re.compile(rf"({_STEMS})_(bucket|sum|created)(?:\{{([^}}]*)\}})? (\S+)(?: (\d{{1,18}}))?\s*")
_START: Final = re.compile(r"process_start_time_seconds (\S+)\s*")
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_DATED: Final = "a scrape says no time: the date of its file was taken, and that its counters were made for its begin"


def _read(path: Path, context: Context) -> Iterator[Rows]:
    label_field(context.labels, ("model",))
    context.assume(*prometheus.ASSUMED)
    found: list[tuple[int, str, str, dict[str, str], float, float | None]] = []
    start_s: float | None = None
    with open_text(path) as text:
        number = 0
        try:
            for number, line in enumerate(iter(lambda: text.readline(LONGEST), ""), 1):
                if match := _SAMPLE.fullmatch(line):
                    labels = dict(_LABEL.findall(match[3] or ""))
                    moment_s = None if match[5] is None else int(match[5]) / 1000
                    found.append((number, match[1], match[2], labels, _number(match[4]), moment_s))
                elif match := _START.fullmatch(line):
                    start_s = _number(match[1])
        except BROKEN:
            raise TraceError(f"{path}:{number + 1}: the file breaks off or is corrupt from here on") from None
    if not found:
        raise TraceError(f"{path}: no histogram of the lengths of vLLM's requests is in it")
    created = {prometheus.engine_of(labels): value for _, _, what, labels, value, _ in found if what == "created"}
    for number, stem, what, labels, value, moment_s in found:
        if what == "created":
            continue
        context.tally.rows += 1
        values = [[path.stat().st_mtime if moment_s is None else moment_s, value]]
        begin_s = created.get(prometheus.engine_of(labels), start_s)
        if moment_s is None:
            context.assume(_DATED)
            if begin_s is not None:
                values = [[begin_s, 0.0], *values]
        one = {
            "side": prometheus.side_of(stem, labels), "what": what, "le": labels.get("le"),
            "series": prometheus.engine_of(labels), "model": prometheus.model_of(labels), "values": values,
        }  # fmt: skip
        prometheus.take(one, number, path, context)
    yield from ()


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return as_number(None)


FORMATS = (
    Format(
        name="vllm-metrics",
        read=_read,
        end=prometheus.end,
        source="vLLM's own histograms of request lengths",
        patterns=("*.txt", "*.prom", "*.metrics"),
    ),
)
