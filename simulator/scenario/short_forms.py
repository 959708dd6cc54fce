"""Short ways to write a part of a scenario: `prompt_tokens: 8000` is `{kind: constant, tokens: 8000}`.

They are written out as soon as a file is read, before anything is laid over it: nothing else knows of them, and a
scenario is the same one however it was written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Pattern = tuple[str, ...]

_CLUSTER: Final = ("cluster", "clusters.*.cluster")
_API: Final = ("api", "apis.*")


def _constant(value: object) -> dict[str, Any]:
    return {"kind": "constant", "tokens": value}


def _prefix(value: object) -> dict[str, Any]:
    return {"tokens": value}


def _median(value: object) -> dict[str, Any]:
    return {"median": value}


def _kind(value: object) -> dict[str, Any]:
    return {"kind": value}


def _month(value: object) -> dict[str, Any]:
    return {"month": value}


def _in_patterns(holders: tuple[str, ...], *keys: str) -> tuple[str, ...]:
    return tuple(f"hosting_patterns.*.{holder}.{key}" for holder in holders for key in keys)


#: How a text or a number is written out, an example of it, and where: a star stands for any name or place in a
#: list, `[]` at the end for each entry of one.
SHORT_FORMS: Final[tuple[tuple[Callable[[object], dict[str, Any]], str | int, tuple[str, ...]], ...]] = (
    (
        _constant,
        8000,
        ("workloads.*.prompt_tokens", "workloads.*.output_tokens", "workloads.*.reasoning.thinking_tokens"),
    ),
    (_prefix, 3000, ("workloads.*.shared_prefix", "workloads.*.shared_prefix.[]")),
    (_kind, "poisson", ("workloads.*.arrivals",)),
    (_median, "900ms", _in_patterns(_API, "ttft")),
    (_median, 80, _in_patterns(_API, "output_tokens_per_s")),
    (_kind, "batch", _in_patterns(_API, "deployment")),
    (_median, "6h", _in_patterns(_API, "deployment.turnaround", "deployment.wait")),
    (_median, "3min", _in_patterns(_CLUSTER, "start_up", "autoscaling.node_start")),
    (_median, "10min", ("hosting_patterns.*.faults.*.replacement",)),
    (_kind, "least_loaded", ("hosting_patterns.*.routing",)),
    (_kind, "least_requests", _in_patterns(_CLUSTER, "balancing")),
    (_month, "2027-04", ("horizon",)),
)  # fmt: skip


def written_out(data: Any) -> None:  # noqa: ANN401 - a file is anything
    """Replace the short forms of a scenario, or of a part of one, and of its overrides, by what they stand for."""
    if not isinstance(data, dict):
        return
    for long, _, places in SHORT_FORMS:
        for place in places:
            *parents, last = place.split(".")
            for holder in _holders(data, parents):
                _write_out(holder, last, long)
    overrides = data.get("overrides")
    for block in overrides.values() if isinstance(overrides, dict) else ():
        written_out(block)


def _write_out(holder: Any, last: str, long: Callable[[object], dict[str, Any]]) -> None:  # noqa: ANN401
    keys: list[Any] = []
    if isinstance(holder, dict):
        keys = [last] if last in holder else []
    elif isinstance(holder, list) and last == "[]":
        keys = [*range(len(holder))]
    for key in keys:
        if isinstance(holder[key], (str, int, float)) and not isinstance(holder[key], bool):
            holder[key] = long(holder[key])


def _holders(data: Any, steps: list[str]) -> Iterator[Any]:  # noqa: ANN401
    if not steps:
        yield data
        return
    step, *rest = steps
    if isinstance(data, dict):
        for name in list(data) if step == "*" else [step]:
            yield from _holders(data.get(name), rest)
    elif isinstance(data, list) and step == "*":
        for entry in data:
            yield from _holders(entry, rest)
