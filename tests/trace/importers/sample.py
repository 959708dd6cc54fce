"""What a sample of a log is, and what all of them have in common."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime

#: Stands wherever a log may keep text or who somebody is.
CANARY = "Q7canary"

T0 = 1_715_644_801  # 2024-05-14 00:00:01 UTC, a Tuesday


@dataclass(frozen=True)
class Sample:
    """A log and the requests in it: seconds after the first, prompt and output tokens."""

    name: str
    text: str
    rows: list[tuple[float, int, int]]
    options: tuple[str, ...] = ()
    left_out: int = 0


def lines(*records):
    return "".join(json.dumps(record) + "\n" for record in records)


def stamped(second, form="%Y-%m-%dT%H:%M:%S.000Z"):
    return datetime.fromtimestamp(T0 + second, UTC).strftime(form)


THREE = [(0.0, 1200, 300), (2.0, 2400, 150), (5.0, 600, 90)]
