"""Who pays for what is shared: the lines of a backend split among the workloads it served.

The rule: token lines of an API fall to each workload by its own tokens of that kind, every other line by the tokens
computed for it (prompt tokens that were in no cache, and output tokens) at that backend. What is paid for time nobody
used is part of the lines, so it is shared by the same rule. A backend that completed nothing is shared by what the
whole pattern computed, and equally where nothing was computed at all. Shares add up to the bill.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final

from simulator.cost import tco
from simulator.cost.bill import backend_bills
from simulator.cost.prices import PriceBook
from simulator.cost.usage import Usage
from simulator.scenario.patterns import HostingPattern
from simulator.workload.work import Work

_KINDS: Final[dict[str, Callable[[Work], int]]] = {
    "prompt": lambda work: work.prompt_tokens - work.cached_prompt_tokens,
    "cached_prompt": lambda work: work.cached_prompt_tokens,
    "cache_write": lambda work: work.prompt_tokens - work.cached_prompt_tokens,
    "output": lambda work: work.output_tokens,
}
_OWN_TOKENS: Final = {f"api_{long}{kind}": tokens for long in ("", "long_") for kind, tokens in _KINDS.items()}


def _computed(work: Work) -> int:
    return work.computed_tokens


def allocate(pattern: HostingPattern, usage: Usage, book: PriceBook, month_hours: Decimal) -> dict[str, Decimal]:
    """USD of the monthly bill by workload, for every workload that `usage.work` names.

    Raises:
        PriceNotFound: See `monthly_bill`.
        ValueError: The usage names no workloads.
    """
    names = list(dict.fromkeys(name for work in usage.work.values() for name in work))
    if not names:
        raise ValueError("a bill can only be shared among workloads")
    owed = dict.fromkeys(names, Decimal(0))
    everywhere = {name: sum(_of(usage.work, backend, name, _computed) for backend in usage.work) for name in names}
    for backend, bill in backend_bills(pattern, usage, book, month_hours).items():
        here = {name: _of(usage.work, backend, name, _computed) for name in names}
        for line in bill.lines:
            own = {name: _of(usage.work, backend, name, _OWN_TOKENS.get(line.key, _computed)) for name in names}
            weights = next((found for found in (own, here, everywhere) if any(found.values())), dict.fromkeys(names, 1))
            for name, usd in split(line.usd, weights).items():
                owed[name] += usd
    return owed


def split(usd: Decimal, weights: Mapping[str, int]) -> dict[str, Decimal]:
    """Shares in proportion to weights of which one is positive, to the trillionth, that add up to the amount.

    >>> split(Decimal(1), {"a": 1, "b": 2})
    {'a': Decimal('0.333333333333'), 'b': Decimal('0.666666666667')}
    """
    total, before, so_far, found = sum(weights.values()), 0, Decimal(0), {}
    for name, weight in weights.items():
        before += weight
        up_to = tco.to_decimal(tco.exact(usd) * before / total)
        found[name], so_far = up_to - so_far, up_to
    return found


def _of(work: Mapping[str, Mapping[str, Work]], backend: str, workload: str, tokens: Callable[[Work], int]) -> int:
    found = work.get(backend, {}).get(workload)
    return 0 if found is None else tokens(found)
