"""Send a trace to a live OpenAI-compatible server at its recorded times, and write down what its clients see.

The load is open: a request is sent when the trace says so, however slow the answers are, unless `max_concurrency` are
under way. Prompts are token numbers drawn at random; a trace holds none. Whatever the server answers is counted and
timed, never kept: an answer or an error message may hold what nobody should store.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import re
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import numpy as np

from simulator.bench.replay_record import ReplayedRequests, ServerFacts, gaps_ms
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
_LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a server may be asked.

    Attributes:
        requests: Of the trace, from its start; all when absent.
        duration_s: No request is sent later, and nothing is waited for longer than this and `SILENCE_S`.
        max_concurrency: Requests under way at once; more wait for one to end.
    """

    requests: int | None = None
    duration_s: float = 600.0
    max_concurrency: int = 256


@dataclass(slots=True)
class _Sent:
    """One request, while its answer comes in."""

    prompt_tokens: int
    sent_s: float | None = None
    token_s: list[float] = field(default_factory=list)
    cached_tokens: int | None = None
    output_tokens: int | None = None
    outcome: Outcome = "unsent"
    status: int | None = None


def check_address(url: str, *, allow_remote: bool) -> None:
    """Refuse an address that is not this machine's, unless that is wished for.

    Raises:
        SimulatorError: Not an HTTP address, or of another machine.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise SimulatorError(f"--url {url}: expected an address such as http://127.0.0.1:8000")
    try:
        here = ipaddress.ip_address(parts.hostname).is_loopback
    except ValueError:
        here = parts.hostname == "localhost"
    if not here and not allow_remote:
        raise SimulatorError(
            f"--url {parts.hostname} is another machine: a replay is a load test, and metered servers bill it; "
            "give --allow-remote if that is meant"
        )


def chosen(table: RequestTable, limits: Limits) -> int:
    """How many requests of a trace the limits let through.

    Raises:
        SimulatorError: It lets none through.
    """
    count = int(np.searchsorted(table.arrival_s, table.arrival_s[:1].sum() + limits.duration_s, side="right"))
    count = min(count, count if limits.requests is None else limits.requests)
    if not count:
        raise SimulatorError("no request of the trace lies within the limits")
    return count


def replay(
    table: RequestTable,
    url: str,
    model: str,
    limits: Limits,
    *,
    seed: int,
    on_done: Callable[[], None] = lambda: None,
) -> tuple[ServerFacts, ReplayedRequests]:
    """Send the first requests of a table and wait for all answers; Ctrl-C ends it with what has come by then.

    Raises:
        SimulatorError: The server cannot be reached, or the extra `bench` is missing.
    """
    try:
        import aiohttp  # noqa: F401
    except ImportError:
        raise SimulatorError("a replay needs aiohttp: pip install 'llm-hosting-simulator[bench]'") from None
    return asyncio.run(_replay(table, url.rstrip("/"), model, limits, seed, on_done))


async def _replay(
    table: RequestTable, url: str, model: str, limits: Limits, seed: int, on_done: Callable[[], None]
) -> tuple[ServerFacts, ReplayedRequests]:
    import aiohttp

    count = chosen(table, limits)
    prompts = _prompts(table, count, seed)
    planned_s = [float(at_s - table.arrival_s[0]) for at_s in table.arrival_s[:count]]
    found = [_Sent(len(prompt)) for prompt in prompts]
    free = asyncio.Semaphore(limits.max_concurrency)
    patience = aiohttp.ClientTimeout(total=None, sock_read=SILENCE_S, sock_connect=10.0)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=patience, connector=connector, read_bufsize=1 << 20) as session:
        facts = await _facts(session, url)
        start_s = perf_counter()

        async def one(row: int) -> None:
            body = _body(model, prompts[row], int(table.output_tokens[row]))
            await asyncio.sleep(max(0.0, start_s + planned_s[row] - perf_counter()))
            async with free:
                if perf_counter() - start_s <= limits.duration_s:
                    await _send(session, url, body, found[row], start_s)
            on_done()

        try:
            async with asyncio.timeout(limits.duration_s + SILENCE_S):
                await asyncio.gather(*(one(row) for row in range(count)))
        except TimeoutError:
            for sent in found:
                if sent.sent_s is not None and sent.outcome == "unsent":
                    sent.outcome = "timed_out"
        except asyncio.CancelledError:
            # What a server has answered is not asked for again: it may have cost an hour, or money.
            for sent in found:
                if sent.outcome == "unsent":
                    sent.outcome = "interrupted"
    return facts, _columns(table, planned_s, found)


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
                _take(line.strip(), sent, perf_counter() - start_s)
            whole = bool(sent.token_s) and sent.output_tokens in {None, len(sent.token_s)}
            sent.outcome = "completed" if whole else "broken"
    except TimeoutError:
        sent.outcome = "timed_out"
    except (aiohttp.ClientError, ValueError, TypeError, AttributeError):
        # The last three: an answer of another shape than OpenAI's.
        sent.outcome = "broken"


def _take(line: bytes, sent: _Sent, now_s: float) -> None:
    """One line of the stream: which tokens it brings, counted by the server where it counts them."""
    if not line.startswith(b"data:") or line.endswith(b"[DONE]"):
        return
    chunk = json.loads(line[5:])
    usage = chunk.get("usage") or {}
    known = usage.get("completion_tokens")
    if chunk.get("choices"):
        fresh = 1 if known is None else known - len(sent.token_s)
        sent.token_s += [now_s] * fresh
    if usage:
        sent.output_tokens = known
        sent.prompt_tokens = usage.get("prompt_tokens", sent.prompt_tokens)
        details = usage.get("prompt_tokens_details") or {}
        sent.cached_tokens = details.get("cached_tokens", sent.cached_tokens)


def _prompts(table: RequestTable, count: int, seed: int) -> list[list[int]]:
    """Random token numbers; equal prefixes are equal."""
    prompts = []
    for row in range(count):
        prefix, shared, total = (int(getattr(table, n)[row]) for n in ("prefix_id", "prefix_tokens", "prompt_tokens"))
        own = np.random.default_rng([seed, 0, row]).integers(*VOCABULARY, total - shared)
        common = np.random.default_rng([seed, 1, max(prefix, 0)]).integers(*VOCABULARY, shared)
        prompts.append([*common.tolist(), *own.tolist()])
    return prompts


async def _facts(session: aiohttp.ClientSession, url: str) -> ServerFacts:
    """What vLLM tells about itself; other servers tell nothing.

    Raises:
        SimulatorError: Nobody answers.
    """
    import aiohttp

    try:
        version = await _get(session, f"{url}/version")
        metrics = await _get(session, f"{url}/metrics")
    except (aiohttp.ClientError, TimeoutError):
        raise SimulatorError(f"--url {url}: no server answers there") from None
    line = next((line for line in metrics.splitlines() if line.startswith("vllm:cache_config_info{")), "")
    labels = dict(_LABEL.findall(line))
    try:
        stated = json.loads(version)
    except ValueError:
        stated = {}
    caching = labels.get("enable_prefix_caching")
    return ServerFacts(
        version=_text(stated.get("version")) if isinstance(stated, dict) else None,
        block_size=_whole(labels.get("block_size")),
        num_gpu_blocks=_whole(labels.get("num_gpu_blocks")),
        prefix_caching=None if caching is None else caching == "True",
    )


async def _get(session: aiohttp.ClientSession, address: str) -> str:
    async with session.get(address, allow_redirects=False) as response:
        return await response.text() if response.status == 200 else ""


def _text(value: Any) -> str | None:  # noqa: ANN401 - whatever a server sends
    return value[:100] if isinstance(value, str) else None


def _whole(value: str | None) -> int | None:
    return int(value) if value is not None and value.isdecimal() else None


def _columns(table: RequestTable, planned_s: list[float], found: list[_Sent]) -> ReplayedRequests:
    rows = slice(len(found))
    return ReplayedRequests(
        planned_s=[round(at_s, 6) for at_s in planned_s],
        sent_s=[None if one.sent_s is None else round(one.sent_s, 6) for one in found],
        prompt_tokens=[one.prompt_tokens for one in found],
        output_tokens=[len(one.token_s) for one in found],
        cached_tokens=[one.cached_tokens for one in found],
        prefix_id=table.prefix_id[rows].tolist(),
        prefix_tokens=table.prefix_tokens[rows].tolist(),
        ttft_s=[
            round(one.token_s[0] - one.sent_s, 6) if one.token_s and one.sent_s is not None else None for one in found
        ],
        gap_ms=[gaps_ms(one.token_s) if one.token_s else [] for one in found],
        outcome=[one.outcome for one in found],
        status=[one.status for one in found],
    )
