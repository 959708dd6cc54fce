"""What a client does about a call that failed: the retries of the `openai` package."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from simulator.engine.record import Reason

if TYPE_CHECKING:
    from numpy.random import Generator

    from simulator.scenario.apis import Retries


class Failure(NamedTuple):
    """What a client hears of a call that was not answered.

    Attributes:
        reason: CAPACITY for a refusal (429), ERROR for a server error (5xx), FAULT for one in an outage or a connection
            lost to it, TIMEOUT where the client waited no longer.
        retry_after_s: When to come back, as the provider says; 0 where it does not.
        after_s: Seconds from the call until the client knows.
    """

    reason: Reason
    retry_after_s: float = 0.0
    after_s: float = 0.0


def retry_delay_s(retries: Retries, taken: int, failure: Failure, rng: Generator) -> float | None:
    """Seconds a client waits before it calls again.

    As `openai` 2.54.0 does it (`_base_client.py`): refusals, server errors, lost connections and timeouts are all
    retried; the provider's word is followed up to a limit beyond which the client gives up; without one the delay
    doubles with each retry up to a limit, less a random share.

    Args:
        retries: The client's settings.
        taken: Retries made so far.
        failure: What it heard.
        rng: Source of the random share; used only where the delay is the client's own.

    Returns:
        None when it gives up.
    """
    if taken >= retries.at_most:
        return None
    if retries.honour_retry_after and failure.retry_after_s > 0.0:
        return failure.retry_after_s if failure.retry_after_s <= retries.longest_retry_after else None
    delay_s = min(retries.first_delay * 2.0**taken, retries.longest_delay)
    return delay_s * (1.0 - retries.jitter * float(rng.random()))
