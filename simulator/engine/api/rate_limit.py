"""Admission control of metered APIs: so much per fixed window of time, or so much at a time, refilled continuously."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, inf
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

import numpy as np
from numba import float64, int64

from simulator.engine.vllm.compiled import compiled, entry, machine_code
from simulator.engine.vllm.state import Records, record_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.scenario.apis import RateLimits

    #: So many units in a period of so many seconds, enforced in windows of so many seconds.
    Rate = tuple[int, int, int]

MINUTE_S, DAY_S = 60, 86_400
#: Tokens by which a bucket may be short of a request, so that rounding errors keep nobody out.
_TOLERANCE: Final = 1e-6


class Admission(Protocol):
    """What decides whether an API takes a request."""

    def retry_after_s(self, now_s: float, prompt_tokens: int, cached_tokens: int, max_tokens: int) -> float:
        """Seconds after which trying again makes sense; 0 when a request would be admitted now."""

    def admit(self, now_s: float, prompt_tokens: int, cached_tokens: int, max_tokens: int) -> float:
        """Admit a request; times never decrease.

        Returns:
            0 when admitted, else the seconds after which trying again makes sense (`retry-after`).
        """

    def settle(self, end_s: float, prompt_tokens: int, cached_tokens: int, max_tokens: int, output_tokens: int) -> None:
        """Correct at `end_s` what the request just admitted has taken, now that its output is known."""


#: One limit, of tokens or of requests. Continuous: `left` of `size` at `at_s`, and `per_s` flow in. A window: `used` of
#: `limit` since `begin_s`; one lasts `seconds / windows` and admits `units / per`, or all last `alike_s` and admit the
#: same; those of `by_day` begin and end with the days.
METER = record_of(
    i8="seconds windows units per",
    f8="size left per_s at_s used limit begin_s end_s alike_s",
    b1="continuous of_tokens by_day",
)
#: How many limits; how many requests are not settled, of how many that can be noted; how many days begin after the
#: first; when the last request was admitted.
LIMITER = record_of(i8="meters open room days", f8="admitted_s")
#: When an unsettled request ends, when it was admitted, and the tokens by which it is then corrected.
OPEN = record_of(f8="end_s admitted_s units")

_FEW: Final = 64


class Limits(Records):
    """Limits that must all admit a request.

    A window is a counter that starts again at every multiple of its length. Azure OpenAI counts tokens per minute this
    way and requests per one or ten seconds (MicrosoftDocs azure-ai-docs, how-to/quota, 2026-05-04). It admits whole
    units; the fraction that is left is admitted by a later one, so that many windows together admit their rate. A
    window too short for one unit is as long as one takes (assumed: no provider says). A day begins at a midnight, so
    that one of 23 or 25 hours is a window too: Google counts its requests of a day from midnight Pacific time on
    ("Rate limits", ai.google.dev, 2026).

    A continuous limit admits as much as the limit at a time, and is refilled all the time at its rate. So OpenAI's
    answers say: of 500 requests a minute one is used, and 120 ms later the limit is what it was; a refusal names the
    time in which what is missing flows in (developer forum, thread 541210; "Rate limits" guide, 24 June 2026; the
    refusals in the tests). Anthropic documents a token bucket ("Rate limits", 2026).

    Attributes:
        limiter: One `LIMITER`.
        meters: `METER`, by number.
        open: `OPEN`, a heap.
        days_s: When a day begins; none where every day has 24 hours since the start.
    """

    arrays: ClassVar[dict[str, tuple[Any, int]]] = {
        "limiter": (LIMITER, 1),
        "meters": (METER, 1),
        "open": (OPEN, 1),
        "days_s": (np.dtype(np.float64), 1),
    }

    def __init__(self, **arrays: Any) -> None:  # noqa: ANN401 - see `Records`
        super().__init__(**arrays)
        self._wait_s = machine_code(wait_s, Limits, float64, int64)
        self._take = machine_code(take, Limits, float64, int64)
        self._settle = machine_code(settle, Limits, float64, float64)

    @classmethod
    def of(
        cls,
        tokens: Sequence[Rate],
        requests: Sequence[Rate] = (),
        *,
        continuous: bool = False,
        days_s: Sequence[float] = (),
    ) -> Limits:
        """Limits of tokens and of requests; continuous ones, or windows, of which days may begin whenever they do."""
        begins_s = np.array([] if _alike(days_s) else days_s, np.float64)
        meters = np.zeros(len(tokens) + len(requests), METER)
        for meter, (rate, period_s, window_s) in zip(meters, (*tokens, *requests), strict=True):
            if continuous:
                meter.size = meter.left = rate
                meter.per_s = rate / period_s
            else:
                length_s = max(Fraction(window_s), Fraction(period_s, rate))
                meter.seconds, meter.windows = length_s.as_integer_ratio()
                meter.units, meter.per = (rate * length_s / period_s).as_integer_ratio()
                meter.limit = meter.units
                meter.alike_s = float(length_s) if meter.windows == meter.per == 1 else 0.0
                meter.by_day = window_s == DAY_S and len(begins_s) > 0
        meters["continuous"] = continuous
        meters["of_tokens"][: len(tokens)] = True
        limiter = np.zeros(1, LIMITER)
        limiter["meters"], limiter["room"], limiter["days"] = len(meters), _FEW, len(begins_s)
        return cls(limiter=limiter, meters=meters, open=np.zeros(_FEW, OPEN), days_s=begins_s)

    def wait_s(self, now_s: float, tokens: int) -> float:
        """Seconds after which asking again makes sense; 0 where there is room for so much now. Times never decrease."""
        return float(self._wait_s(self, now_s, tokens))

    def take(self, now_s: float, tokens: int) -> None:
        """Use them, at the moment last asked about."""
        self._take(self, now_s, tokens)

    def settle(self, end_s: float, units: float) -> None:
        """Take more tokens at `end_s`, or give back, for the request just admitted."""
        if self.limiter["open"][0] == len(self.open):
            self.replace("open", np.concatenate([self.open, np.zeros(len(self.open), OPEN)]))
            self.limiter["room"] = len(self.open)
        self._settle(self, end_s, units)


def _alike(days_s: Sequence[float]) -> bool:
    """Whether days begin every 24 hours from the start on, or nobody says when."""
    return all(begin_s % DAY_S == 0.0 for begin_s in days_s)


@entry
def wait_s(s: Limits, now_s: float, tokens: int) -> float:
    """See `Limits`."""
    limiter = s.limiter[0]
    while limiter.open and s.open[0].end_s <= now_s:
        _correct(s)
        pop(s)
    longest_s = 0.0
    for number in range(limiter.meters):
        meter = s.meters[number]
        units = tokens if meter.of_tokens else 1
        if meter.continuous:
            longest_s = max(longest_s, _bucket_wait_s(s, number, now_s, units))
        else:
            longest_s = max(longest_s, _window_wait_s(s, number, now_s, units))
    return longest_s


@entry
def take(s: Limits, now_s: float, tokens: int) -> None:
    """See `Limits`."""
    s.limiter[0].admitted_s = now_s
    for number in range(s.limiter[0].meters):
        meter = s.meters[number]
        units = tokens if meter.of_tokens else 1
        meter.used += units
        meter.left -= units


@entry
def settle(s: Records, end_s: float, units: float) -> None:
    """See `Limits`; there is room to note it."""
    limiter = s.limiter[0]
    place = limiter.open
    limiter.open += 1
    _put(s, place, end_s, limiter.admitted_s, units)
    while place and _before(s, place, (place - 1) >> 1):
        _swap(s, place, (place - 1) >> 1)
        place = (place - 1) >> 1


@compiled
def _window_wait_s(s: Limits, number: int, now_s: float, units: int) -> float:
    """The time until the counter starts again."""
    meter = s.meters[number]
    if now_s >= meter.end_s:
        _start(s, number, now_s)
    if meter.used + units <= meter.limit:
        return 0.0
    wait_s = meter.end_s - now_s
    return float(wait_s if now_s + wait_s >= meter.end_s else np.nextafter(wait_s, inf))


@compiled
def _start(s: Limits, number: int, now_s: float) -> None:
    """Begin the window of a moment."""
    meter = s.meters[number]
    meter.used = 0.0
    if meter.by_day:
        _start_day(s, number, now_s)
        return
    if meter.alike_s:
        meter.begin_s = now_s - now_s % meter.alike_s
        meter.end_s = meter.begin_s + meter.alike_s
        return
    seconds, windows = meter.seconds, meter.windows
    nth = int(now_s * windows / seconds)
    # A quotient is rounded: the edges decide, which are the same for everybody who asks.
    while nth * seconds / windows > now_s:
        nth -= 1
    while (nth + 1) * seconds / windows <= now_s:
        nth += 1
    meter.begin_s, meter.end_s = nth * seconds / windows, (nth + 1) * seconds / windows
    meter.limit = nth * -meter.units // meter.per - (nth + 1) * -meter.units // meter.per


@compiled
def _start_day(s: Limits, number: int, now_s: float) -> None:
    """Begin the day of a moment; after the last one that is known they have 24 hours."""
    low, high = 0, s.limiter[0].days
    while low < high:
        middle = (low + high) >> 1
        if s.days_s[middle] <= now_s:
            low = middle + 1
        else:
            high = middle
    meter, last_s = s.meters[number], s.days_s[s.limiter[0].days - 1]
    meter.begin_s, meter.end_s = 0.0, s.days_s[0]
    if low:
        meter.begin_s = s.days_s[low - 1]
        meter.end_s = s.days_s[low] if low < s.limiter[0].days else meter.begin_s + DAY_S
    if now_s >= last_s + DAY_S:
        meter.begin_s = now_s - (now_s - last_s) % DAY_S
        meter.end_s = meter.begin_s + DAY_S


@compiled
def _bucket_wait_s(s: Limits, number: int, now_s: float, units: int) -> float:
    """The time until as much is there, in whole milliseconds; of more than fits, until it is full."""
    meter = s.meters[number]
    _refill(s, number, now_s)
    if units - meter.left <= _TOLERANCE:
        return 0.0
    return float(max(1, ceil((min(units, meter.size) - meter.left) / meter.per_s * 1000.0)) / 1000.0)


@compiled
def _refill(s: Limits, number: int, now_s: float) -> None:
    meter = s.meters[number]
    meter.left = min(meter.size, meter.left + meter.per_s * (now_s - meter.at_s))
    meter.at_s = now_s


@compiled
def _correct(s: Limits) -> None:
    """Settle the first that is open: what is given back to a window that has passed is lost, what is overdrawn counts.

    Of a continuous limit nothing is lost but what does not fit.
    """
    one = s.open[0]
    for number in range(s.limiter[0].meters):
        meter = s.meters[number]
        if not meter.of_tokens:
            continue
        if meter.continuous:
            _refill(s, number, one.end_s)
            meter.left = min(meter.size, meter.left - one.units)
            continue
        if one.end_s >= meter.end_s:
            _start(s, number, one.end_s)
        if one.units > 0.0 or meter.begin_s <= one.admitted_s < meter.end_s:
            meter.used += one.units


@compiled
def pop(s: Records) -> None:
    """Take out the first that is open."""
    s.limiter[0].open -= 1
    size, place = s.limiter[0].open, 0
    _swap(s, 0, size)
    while 2 * place + 1 < size:
        child = 2 * place + 1
        if child + 1 < size and _before(s, child + 1, child):
            child += 1
        if not _before(s, child, place):
            break
        _swap(s, place, child)
        place = child


@compiled
def _before(s: Records, one: int, other: int) -> bool:
    a, b = s.open[one], s.open[other]
    if a.end_s != b.end_s:
        return bool(a.end_s < b.end_s)
    return bool(a.admitted_s < b.admitted_s or (a.admitted_s == b.admitted_s and a.units < b.units))


@compiled
def _swap(s: Records, one: int, other: int) -> None:
    end_s, admitted_s, units = s.open[one].end_s, s.open[one].admitted_s, s.open[one].units
    _put(s, one, s.open[other].end_s, s.open[other].admitted_s, s.open[other].units)
    _put(s, other, end_s, admitted_s, units)


@compiled
def _put(s: Records, place: int, end_s: float, admitted_s: float, units: float) -> None:
    one = s.open[place]
    one.end_s, one.admitted_s, one.units = end_s, admitted_s, units


class RateLimiter:
    """Several limits that must all admit a request.

    A request reserves its prompt and `max_tokens`. Azure OpenAI leaves it at that; Amazon Bedrock settles when the
    answer ends: the prompt without what its cache held, and each output token times the model's burn-down rate
    (Amazon Bedrock user guide, "How tokens are counted"; community.aws on burn-down rates, 2025-05-27).

    Args:
        config: The limits.
        days_s: When a day begins, in seconds; every 24 hours when absent.

    Attributes:
        limits: What is used of each.
    """

    __slots__ = ("_config", "limits")

    def __init__(self, config: RateLimits, days_s: Sequence[float] = ()) -> None:
        self._config = config
        window_s = config.request_window_s
        tokens = (config.tokens_per_minute, MINUTE_S, MINUTE_S), (config.tokens_per_day, DAY_S, DAY_S)
        requests = (config.requests_per_minute, MINUTE_S, window_s), (config.requests_per_day, DAY_S, DAY_S)
        given = [[(rate, period_s, each_s) for rate, period_s, each_s in some if rate] for some in (tokens, requests)]
        self.limits = Limits.of(*given, continuous=config.kind == "continuous", days_s=days_s)

    @property
    def burndown(self) -> float:
        """Quota tokens of an output token that is settled; 0 where nothing is."""
        counts_tokens = self.limits.meters["of_tokens"].any()
        return self._config.output_burndown if self._config.settles and counts_tokens else 0.0

    def retry_after_s(self, now_s: float, prompt_tokens: int, cached_tokens: int, max_tokens: int) -> float:  # noqa: ARG002
        """See `Admission`; nothing of the prompt counts as cached before it is read."""
        return self.limits.wait_s(now_s, prompt_tokens + max_tokens)

    def admit(self, now_s: float, prompt_tokens: int, cached_tokens: int, max_tokens: int) -> float:
        """See `Admission`."""
        retry_after_s = self.retry_after_s(now_s, prompt_tokens, cached_tokens, max_tokens)
        if retry_after_s == 0.0 or self._config.refusals_count:
            self.limits.take(now_s, prompt_tokens + max_tokens)
        return retry_after_s

    def settle(self, end_s: float, prompt_tokens: int, cached_tokens: int, max_tokens: int, output_tokens: int) -> None:
        """See `Admission`."""
        if burndown := self.burndown:
            used = prompt_tokens - cached_tokens + burndown * output_tokens
            self.limits.settle(end_s, used - prompt_tokens - max_tokens)


def prepare() -> None:
    """Compile what Python calls, or load it."""
    Limits.of([])


#: What Python calls.
ENTRIES: Final = wait_s, take, settle
