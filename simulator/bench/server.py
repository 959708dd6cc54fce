"""A live OpenAI-compatible server: whether it may be asked, what it serves, and what it says of itself."""

from __future__ import annotations

import ipaddress
import os
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from simulator.bench import machine
from simulator.bench.replay_record import ServerFacts
from simulator.errors import SimulatorError
from simulator.reading import parse_json

if TYPE_CHECKING:
    import aiohttp

_LABEL: Final = re.compile(r'(\w+)="([^"]*)"')
#: Models that a message names.
_NAMED: Final = 10
#: What a status usually means here.
MEANINGS: Final = {
    301: "it redirects, which is not followed",
    302: "it redirects, which is not followed",
    307: "it redirects, which is not followed",
    308: "it redirects, which is not followed",
    400: "it does not take such a request: prompts of token numbers, or so many tokens",
    401: "it wants a key (--api-key-env), or another one",
    403: "the key may not do this",
    404: "no /v1/completions there, or no such model",
    405: "no /v1/completions there",
    429: "more requests than it allows",
}


def address_of(url: str, *, allow_remote: bool) -> str:
    """The address of a server without `/v1`, refused if it is not this machine's, unless that is wished for.

    Raises:
        SimulatorError: Not an HTTP address, or of another machine.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise SimulatorError(f"--url {url}: expected an address such as http://127.0.0.1:8000")
    if not is_here(url) and not allow_remote:
        raise SimulatorError(
            f"--url {parts.hostname} is another machine: a replay is a load test, and metered servers bill it; "
            "give --allow-remote if that is meant"
        )
    return url.rstrip("/").removesuffix("/v1").rstrip("/")


def is_here(url: str) -> bool:
    """Whether an address is of this machine, by what it says alone."""
    name = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def key_of(variable: str | None) -> str | None:
    """The key that an environment variable holds; no command line and no record shows it.

    Raises:
        SimulatorError: There is no such variable, or it is empty.
    """
    if variable is None:
        return None
    if not (key := os.environ.get(variable, "").strip()):
        raise SimulatorError(f"--api-key-env {variable}: there is no such environment variable, or it is empty")
    return key


def meaning(status: int) -> str:
    """A status in words."""
    told = MEANINGS.get(status, "a fault of the server's own" if status >= 500 else "")
    return f"HTTP {status}: {told}" if told else f"HTTP {status}"


async def facts_of(session: aiohttp.ClientSession, url: str, model: str) -> ServerFacts:
    """Make sure that a server knows a model, and ask what vLLM tells about itself; other servers tell nothing.

    Raises:
        SimulatorError: Nobody answers, a key is wanted, or the model is not among those it serves.
    """
    import aiohttp

    try:
        status, models = await _get(session, f"{url}/v1/models")
        _, version = await _get(session, f"{url}/version")
        _, metrics = await _get(session, f"{url}/metrics")
    except (aiohttp.ClientError, TimeoutError):
        raise SimulatorError(f"--url {url}: no server answers there") from None
    if status in {401, 403}:
        raise SimulatorError(f"--url {url}: {meaning(status)}")
    names = _names(models)
    if names and model not in names:
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        raise SimulatorError(f"--model {model}: the server serves {', '.join(names[:_NAMED])}{more}")
    line = next((line for line in metrics.splitlines() if line.startswith("vllm:cache_config_info{")), "")
    labels = dict(_LABEL.findall(line))
    caching = labels.get("enable_prefix_caching")
    stated = _json(version)
    return ServerFacts(
        version=_text(stated.get("version")) if isinstance(stated, dict) else None,
        block_size=_whole(labels.get("block_size")),
        num_gpu_blocks=_whole(labels.get("num_gpu_blocks")),
        prefix_caching=None if caching is None else caching == "True",
        device=machine.device() if is_here(url) else None,
    )


async def _get(session: aiohttp.ClientSession, address: str) -> tuple[int, str]:
    async with session.get(address, allow_redirects=False) as response:
        return response.status, await response.text() if response.status == 200 else ""


def _names(models: str) -> list[str]:
    """Names in the answer of `/v1/models`; none where it is of another form."""
    found = _json(models)
    rows = found.get("data") if isinstance(found, dict) else None
    named = [row.get("id") for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return sorted(filter(None, map(_text, named)))


def _json(text: str) -> Any:  # noqa: ANN401 - whatever a server sends
    try:
        return parse_json(text.encode())
    except ValueError:
        return None


def _text(value: Any) -> str | None:  # noqa: ANN401 - whatever a server sends
    return value[:100] if isinstance(value, str) else None


def _whole(value: str | None) -> int | None:
    return int(value) if value is not None and value.isdecimal() else None
