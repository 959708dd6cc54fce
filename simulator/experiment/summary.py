"""A result as tidy rows, and how an answer shows itself in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator.analysis.waits import QUANTILES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd


class Tabular:
    """An answer that a notebook shows as its tidy table; how a person prints it is short."""

    __slots__ = ()

    def summary(self) -> pd.DataFrame:
        """The answer as a tidy table."""
        raise NotImplementedError

    def _repr_html_(self) -> str:
        """For notebooks."""
        return str(self.summary().to_html(index=False, float_format=lambda value: f"{value:,.4g}"))


def summary_rows(patterns: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row for each pattern that was simulated (`all`) and each of its workloads; see `Results.summary`.

    Args:
        patterns: As the published JSON document has them.
    """
    rows: list[dict[str, Any]] = []
    for result in patterns:
        cost = result["monthly_cost_usd"]
        if result["requests"] is None or cost is None:
            continue
        whole = {
            **with_ends("monthly_cost_usd", cost["mean"], cost["ci95"]),
            "busy_fraction": (result["utilisation"] or {}).get("busy_fraction"),
            "saturation": result["saturation"],
        }
        rows.append(_row(result["name"], "all", result) | whole)
        rows += [
            _row(result["name"], name, part) | {key: part[key] for key in ("share_met", "goodput", "objective_met")}
            for name, part in result["workloads"].items()
        ]
    return rows


def _row(pattern: str, workload: str, part: Mapping[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {"pattern": pattern, "workload": workload}
    requests = part["requests"]
    row |= {name: count for name, count in requests.items() if name not in ("failed_over", "lost")}
    row["failed_over"] = sum(requests["failed_over"].values())
    for metric, found in part["latency"].items():
        for name in ("mean", *QUANTILES):
            row[f"{metric}_{name}"] = found[name] if found else None
        row |= with_ends(f"{metric}_p99", row[f"{metric}_p99"], found["ci95"] if found else None)
    return row


def with_ends(name: str, value: float | None, ci95: Sequence[float] | None) -> dict[str, float | None]:
    """A figure under its name, and the ends of its 95 % interval beside it; None where there is none."""
    low, high = ci95 or (None, None)
    return {name: value, f"{name}_low": low, f"{name}_high": high}
