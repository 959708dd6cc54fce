"""The claims of the source document and what becomes of them when their figures are worked out again.

A figure agrees with its recomputation when rounding it as written explains the difference, or when they are within
one per cent. A claim is as good as its worst figure.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from importlib import resources
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import Field

from simulator.audit.recompute import recomputed
from simulator.cost.tco import Number, exact, to_decimal
from simulator.scenario.base import Config

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.cost.prices import PriceBook

#: From the worst to the best.
VERDICTS: Final = ("wrong", "inconsistent", "unverifiable", "right")
_FAULTS: Final = {"arithmetic": "wrong", "document": "inconsistent"}
_TOLERANCE: Final = Fraction(1, 100)

Written = Annotated[Decimal, Field(strict=False)]


class Figure(Config):
    """One number of a claim."""

    what: str
    """What it measures."""
    stated: Written | Annotated[list[Written], Field(min_length=2, max_length=2)] | None
    """The document's number, with the digits it means (1.8E+4 is 18 thousand), or its range; None where it has none."""
    unit: str
    """Unit of both the stated and the recomputed number."""
    against: Literal["arithmetic", "document", "nothing"] = "arithmetic"
    """What the recomputed number follows from: the document's premises, another statement of the document, or no
    source."""


class Claim(Config):
    """A claim of the document, in our words."""

    id: str
    """Its number."""
    lines: str
    """Where it stands in the document."""
    claim: str
    """What it says."""
    note: str = ""
    """What else to know."""
    figures: Annotated[list[Figure], Field(min_length=1)]
    """Its numbers."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A figure beside its recomputation; None where there is nothing to work one out from."""

    figure: Figure
    value: Fraction | None

    @property
    def verdict(self) -> str:
        """One of `VERDICTS`."""
        if self.figure.against == "nothing":
            return "unverifiable"
        if self.figure.stated is None or (self.value is not None and agrees(self.figure.stated, self.value)):
            return "right"
        return _FAULTS[self.figure.against]


@dataclass(frozen=True, slots=True)
class Audited:
    """A claim with all its findings."""

    claim: Claim
    findings: Sequence[Finding]

    @property
    def verdict(self) -> str:
        """The worst of the figures' verdicts."""
        return min((finding.verdict for finding in self.findings), key=VERDICTS.index)

    @property
    def recomputed(self) -> str:
        """Every figure that can be worked out, in words."""
        known = ((one.figure, one.value) for one in self.findings if one.value is not None)
        words = (f"{figure.what}: {amount(value, figure.unit)}" for figure, value in known)
        return "; ".join(words) or "nothing to work it out from"


def agrees(stated: Decimal | Sequence[Decimal], value: Number) -> bool:
    """Whether a number, or a range, is what `value` could be written as."""
    found = exact(value)
    if not isinstance(stated, Decimal):
        low, high = map(exact, stated)
        return low <= found <= high
    step = Fraction(10) ** int(stated.as_tuple().exponent)
    return abs(found - exact(stated)) <= max(step / 2, abs(found) * _TOLERANCE)


def amount(value: Number, unit: str) -> str:
    """A number for people, with at least three significant digits.

    >>> amount(Fraction(7776, 5), "M tokens/month")
    '1,555.2M tokens/month'
    """
    size = abs(float(value))
    places = 2 if unit.startswith("USD") and size >= 1 else 1 if size >= 100 else 2 if size >= 1 else 4
    text = f"{to_decimal(exact(value)).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP):,f}"
    if not unit.startswith("USD"):
        text = text.rstrip("0").rstrip(".")
    return f"{text}{unit}" if unit.startswith("M ") else f"{text} {unit}".strip()


def claims() -> list[Claim]:
    """The document's claims in its order."""
    raw = resources.files("simulator.audit").joinpath("data", "claims.json").read_bytes()
    return [Claim.model_validate(one) for one in json.loads(raw)["claims"]]


def audit(book: PriceBook) -> list[Audited]:
    """Work out every figure of every claim again, with this book's prices."""
    values = recomputed(book)
    return [
        Audited(
            claim,
            [
                Finding(figure, None if value is None else exact(value))
                for figure, value in zip(claim.figures, values[claim.id], strict=True)
            ],
        )
        for claim in claims()
    ]


def tally(audited: Sequence[Audited]) -> dict[str, int]:
    """How many claims got each verdict."""
    verdicts = [one.verdict for one in audited]
    return {verdict: verdicts.count(verdict) for verdict in reversed(VERDICTS)}
