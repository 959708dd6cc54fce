"""Send a trace to a live OpenAI-compatible server at its recorded times, and write down what its clients see.

The load is open: a request is sent when the trace says so, however slow the answers are, unless `max_concurrency` are
under way. Prompts are token numbers drawn at random; a trace holds none. Whatever the server answers is counted and
timed, never kept: an answer or an error message may hold what nobody should store.
"""

from __future__ import annotations

import asyncio
import json
import signal
from contextlib import suppress
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Final

import numpy as np

from simulator.bench.answer import Answer
from simulator.bench.replay_record import ReplayedRequests, ServerFacts, gaps_ms
from simulator.bench.server import facts_of
from simulator.errors import SimulatorError

if TYPE_CHECKING:
    from collections.abc import Callable

    import aiohttp

    from simulator.bench.replay_record import Outcome
    from simulator.trace.request_table import RequestTable

#: Token numbers that every vocabulary has, past the special ones at its start.
VOCABULARY: Final = (1000, 30_000)
#: Who waits this long for a token waits for ever.
SILENCE_S: Final = 120.0
#: After so many refusals, and nothing else, the rest of a trace is not sent.
REFUSALS: Final = 10


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a server may be asked.

    Attributes:
        requests: Of the trace, from its start; all when absent.
        duration_s: No request that the trace has later is sent, nor one that has waited for others until then; and
            nothing is waited for longer than this and `SILENCE_S`.
        max_concurrency: Requests under way at once; more wait for one to end.
    """

    requests: int | None = None
    duration_s: float = 600.0
    max_concurrency: int = 256


@dataclass(frozen=True, slots=True)
class Sender:
    """Where requests go.

    Attributes:
        url: Address of the server, without `/v1`.
        model: Name under which it knows the model.
        key: Its key, if it wants one.
    """

    url: str
    model: str
    key: str | None = None


@dataclass(slots=True)
class _Sent:
    """One request, while its answer comes in."""

    prompt_tokens: int
    asked_tokens: int
    sent_s: float | None = None
    answer: Answer = field(default_factory=Answer)
    outcome: Outcome = "unsent"
    status: int | None = None


def chosen(table: RequestTable, limits: Limits) -> int:
    """How many requests of a trace the limits let through.

    Raises:
        SimulatorError: They let none through.
    """
    count = int(np.searchsorted(table.arrival_s, table.arrival_s[:1].sum() + limits.duration_s, side="right"))
    count = min(count, count if limits.requests is None else limits.requests)
    if not count:
        raise SimulatorError("no request of the trace lies within the limits")
    return count


def replay(
    table: RequestTable,
    to: Sender,
    limits: Limits,
    *,
    seed: int,
    begin: int = 0,
    on_done: Callable[[], None] = lambda: None,
) -> tuple[ServerFacts, ReplayedRequests]:
    """Send the first requests of a table and wait for all answers; Ctrl-C ends it with what has come by then.

    Args:
        table: The trace.
        to: The server.
        limits: How much it may be asked.
        seed: Of the random prompts.
        begin: Row to begin with, at once, where a replay goes on that was stopped.
        on_done: Called when a request is over.

    Raises:
        SimulatorError: The server cannot be reached, does not serve the model, or aiohttp is missing.
    """
    try:
        import aiohttp  # noqa: F401
    except ImportError:
        raise SimulatorError("a replay needs aiohttp: pip install aiohttp") from None
    return asyncio.run(_replay(table, to, limits, seed, begin, on_done))


async def _replay(
    table: RequestTable, to: Sender, limits: Limits, seed: int, begin: int, on_done: Callable[[], None]
) -> tuple[ServerFacts, ReplayedRequests]:
    import aiohttp

    count = chosen(table, limits)
    prompts = _prompts(table, count, seed, begin)
    planned_s = [float(at_s - table.arrival_s[0]) for at_s in table.arrival_s[begin:count]]
    found = [
        _Sent(len(prompt), int(asked)) for prompt, asked in zip(prompts, table.output_tokens[begin:], strict=False)
    ]
    patience = aiohttp.ClientTimeout(total=None, sock_read=SILENCE_S, sock_connect=10.0)
    connector = aiohttp.TCPConnector(limit=0)
    # No redirection is followed, so that a key goes where it is meant to.
    headers = {"Authorization": f"Bearer {to.key}"} if to.key else {}
    async with aiohttp.ClientSession(
        timeout=patience, connector=connector, headers=headers, read_bufsize=1 << 20
    ) as session:
        facts = await facts_of(session, to.url, to.model)
        start_s = perf_counter() - planned_s[0]
        free = asyncio.Semaphore(limits.max_concurrency)
        refusals = _Refusals()

        async def one(row: int) -> None:
            sent = found[row]
            body = _body(to.model, prompts[row], sent.asked_tokens)
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, start_s + planned_s[row] - perf_counter())):
                    await refusals.alone.wait()
            waited = free.locked()
            async with free:
                late = waited and perf_counter() - start_s > limits.duration_s
                if not late and not refusals.alone.is_set():
                    refusals.under_way += 1
                    await _send(session, to.url, body, sent, start_s)
                    refusals.take(sent)
            on_done()

        _cancel_when_stopped()
        try:
            async with asyncio.timeout(limits.duration_s - planned_s[0] + SILENCE_S):
                await asyncio.gather(*(one(row) for row in range(len(found))))
        except TimeoutError:
            for sent in found:
                if sent.sent_s is not None and sent.outcome == "unsent":
                    sent.outcome = "timed_out"
        except asyncio.CancelledError:
            # What a server has answered is not asked for again: it may have cost an hour, or money.
            for sent in found:
                if sent.outcome == "unsent":
                    sent.outcome = "interrupted"
    return facts, _columns(table, planned_s, found, begin)


def _cancel_when_stopped() -> None:
    """Have whoever asks the process to stop cancel this task, which then writes down what has come."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if task is None or number is None or signal.getsignal(number) == signal.SIG_IGN:
            continue
        # Windows and threads have no such thing: there an interruption is what Python makes of it.
        with suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(number, task.cancel)


@dataclass(slots=True)
class _Refusals:
    """Tells when enough was refused, for one reason, and nothing else has come or is to come."""

    alone: asyncio.Event = field(default_factory=asyncio.Event)
    under_way: int = 0
    _status: int | None = None
    _count: int = 0
    _others: bool = False

    def take(self, sent: _Sent) -> None:
        """One that is over."""
        self._status = self._status or sent.status
        self._others |= sent.outcome != "refused" or sent.status != self._status
        self._count += 1
        self.under_way -= 1
        if self._count >= REFUSALS and not self._others and not self.under_way:
            self.alone.set()


def _body(model: str, prompt: list[int], output_tokens: int) -> bytes:
    """A streamed completion of exactly so many tokens; vLLM's own parameters are ignored elsewhere."""
    return json.dumps(
        {
            "model": model, "prompt": prompt, "max_tokens": output_tokens, "temperature": 0, "ignore_eos": True,
            "stream": True, "stream_options": {"include_usage": True, "continuous_usage_stats": True},
        }
    ).encode()  # fmt: skip


async def _send(session: aiohttp.ClientSession, url: str, body: bytes, sent: _Sent, start_s: float) -> None:
    import aiohttp

    sent.sent_s = perf_counter() - start_s
    try:
        address, headers = f"{url}/v1/completions", {"Content-Type": "application/json"}
        # Whoever redirects could send the load to another machine.
        async with session.post(address, data=body, headers=headers, allow_redirects=False) as response:
            sent.status = response.status
            if response.status != 200:
                sent.outcome = "refused"
                return
            async for line in response.content:
                sent.answer.take(line.strip(), perf_counter() - start_s)
            sent.outcome = "completed" if sent.answer.is_whole(sent.asked_tokens) else "broken"
    except TimeoutError:
        sent.outcome = "timed_out"
    except (aiohttp.ClientError, ValueError, TypeError, AttributeError):
        # The last three: an answer of another shape than OpenAI's.
        sent.outcome = "broken"


def _prompts(table: RequestTable, count: int, seed: int, begin: int = 0) -> list[list[int]]:
    """Random token numbers; equal prefixes are equal, and what goes on after a stop was never seen before."""
    prompts = []
    for row in range(begin, count):
        prefix, shared, total = (int(getattr(table, n)[row]) for n in ("prefix_id", "prefix_tokens", "prompt_tokens"))
        key = [seed, 0, row, begin] if begin else [seed, 0, row]
        shared = min(shared, total)
        own = np.random.default_rng(key).integers(*VOCABULARY, total - shared)
        common = np.random.default_rng([seed, 1, max(prefix, 0)]).integers(*VOCABULARY, shared)
        prompts.append([*common.tolist(), *own.tolist()])
    return prompts


def _columns(table: RequestTable, planned_s: list[float], found: list[_Sent], begin: int) -> ReplayedRequests:
    rows = slice(begin, begin + len(found))
    came = [_token_s(one) for one in found]
    prompts = [one.answer.prompt_tokens for one in found]
    return ReplayedRequests(
        planned_s=[round(at_s, 6) for at_s in planned_s],
        sent_s=[None if one.sent_s is None else round(one.sent_s, 6) for one in found],
        prompt_tokens=[one.prompt_tokens if said is None else said for one, said in zip(found, prompts, strict=True)],
        output_tokens=[len(token_s) for token_s in came],
        cached_tokens=[one.answer.cached_tokens for one in found],
        prefix_id=table.prefix_id[rows].tolist(),
        prefix_tokens=table.prefix_tokens[rows].tolist(),
        ttft_s=[
            round(token_s[0] - one.sent_s, 6) if token_s and one.sent_s is not None else None
            for one, token_s in zip(found, came, strict=True)
        ],
        gap_ms=[gaps_ms(token_s) if token_s else [] for token_s in came],
        outcome=[one.outcome for one in found],
        status=[one.status for one in found],
        asked_tokens=[one.asked_tokens for one in found],
    )


def _token_s(sent: _Sent) -> list[float]:
    """When its tokens came; none of an answer that cannot be read."""
    try:
        return sent.answer.token_s(sent.asked_tokens)
    except (ValueError, TypeError):
        return []
