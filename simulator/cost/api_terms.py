"""What a contract adds to a month's tokens or takes off them: free tokens, a discount, a minimum, a fee."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from simulator.cost import tco
from simulator.cost.lines import SIMULATED, BillLine, Factor, share_of, total
from simulator.scenario.api_terms import Terms

#: By key of `Terms`, what the keys of the lines end with whose tokens are free, and such tokens in words.
_FREE: Final = {
    "free_tokens": (("prompt", "cache_write", "output"), "tokens"),
    "free_prompt_tokens": (("prompt", "cache_write"), "prompt tokens"),
    "free_output_tokens": (("output",), "output tokens"),
}
MINIMUM: Final = "api_minimum"


def terms_lines(terms: Terms, tokens: Sequence[BillLine], times: float) -> Iterator[BillLine]:
    """The lines of a contract, those that change nothing left out but for a minimum, which shows that it is reached.

    Free tokens are so many of a month whose kinds and lengths are as in the whole of it. What is left has its discount,
    and what falls short of the minimum then is charged. A fee is none of the tokens, and counts towards no minimum.

    Args:
        terms: The contract.
        tokens: Lines of the tokens of all kinds, each with its tokens a month as its first factor, and that of work on
            prompts if there is one.
        times: Tokens charged for each of those, see `prompt_iteration`.
    """
    counted = [line for line in tokens if line.key != "api_prompt_iteration"]
    lines = list(tokens)
    for key, (kinds, words) in _FREE.items():
        if free := getattr(terms, key):
            lines.append(_free_line(key, words, free, [one for one in counted if one.key.endswith(kinds)], times))
    if terms.discount:
        usd = total(lines)
        off = tco.to_decimal(-tco.exact(usd) * tco.exact(terms.discount))
        basis = f"-{terms.discount:g} × {usd:,.2f} USD of tokens; scenario"
        lines.append(
            BillLine("api_discount", "API, discount", off, basis, "-{0} * {1}", share_of(lines, terms.discount, "off"))
        )
    if terms.minimum:
        minimum = Factor("least price of a month", terms.minimum, "USD/month")
        of = replace(share_of(lines, 1.0, "")[1], label="what tokens come to")
        lines.append(short_of(BillLine(MINIMUM, "API, up to the minimum", terms.minimum, "", "", (minimum, of)), lines))
    yield from lines[len(tokens) :]
    if terms.fee:
        fee = Factor("fee of a month", terms.fee, "USD/month")
        usd = tco.to_decimal(tco.exact(terms.fee))
        yield BillLine("api_fee", "API, fee", usd, f"{terms.fee:,.2f} USD/month; scenario", "{0}", (fee,))


def short_of(line: BillLine, lines: Sequence[BillLine]) -> BillLine:
    """The line of a minimum, where the lines it is a minimum of come to other amounts."""
    minimum, of = line.factors
    usd = total([one for one in lines if one.key.rpartition(".")[2] in {key.rpartition(".")[2] for key in of.lines}])
    short = max(tco.exact(minimum.value) - tco.exact(usd), tco.exact(0))
    basis = f"at least {minimum.value:,.2f} USD/month, tokens come to {usd:,.2f} USD; scenario"
    factors = (minimum, replace(of, value=usd))
    return replace(line, usd=tco.to_decimal(short), basis=basis, formula="MAX(0, {0} - {1})", factors=factors)


def used_up(line: BillLine) -> bool | None:
    """Whether more tokens than are free are charged, or as much as the minimum; None for a line of neither."""
    key = line.key.rpartition(".")[2]
    if key == MINIMUM:
        return not line.usd
    if key.removeprefix("api_") in _FREE:
        free, count = (tco.exact(factor.value) for factor in line.factors[:2])
        return count >= free
    return None


def _free_line(key: str, words: str, free: int, lines: Sequence[BillLine], times: float) -> BillLine:
    count = sum((tco.exact(line.factors[0].value) for line in lines), tco.exact(0)) * tco.exact(times)
    usd = tco.exact(total(lines)) * tco.exact(times)
    share = min(tco.exact(1), tco.exact(free) / max(tco.exact(1), count))
    basis = f"-{float(usd):,.2f} USD × {free:,} of {float(count):,.0f} {words} a month; scenario"
    if share == 1:
        basis = f"-{float(usd):,.2f} USD: {float(count):,.0f} of {free:,} free {words} a month; scenario"
    _, of = share_of(lines, 1.0, "")
    factors = (
        Factor(f"free {words} a month", free, "tokens"),
        Factor(f"{words} charged a month", count, "tokens", SIMULATED),
        replace(of, label=f"what {words} come to"),
        Factor("tokens charged for each", times),
    )
    formula = "-MIN(1, {0} / MAX(1, {1})) * {2} * {3}"
    return BillLine(f"api_{key}", f"API, free {words}", tco.to_decimal(-share * usd), basis, formula, factors)
