"""A circuit breaker: a backend that keeps failing is left alone for a while, then tried with one request."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from simulator.engine.record import Outcome, Reason
from simulator.engine.vllm.state import UNLIMITED

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.engine.record import Loss, RequestLog
    from simulator.scenario.routing import CircuitBreaker

#: What tells that a backend is ill; a refusal for want of capacity tells that it is busy.
_ILL = frozenset({Reason.TIMEOUT, Reason.ERROR, Reason.FAULT})


class Breaker:
    """The breaker of one backend: closed, open until it has cooled down, then half open until one request has ended.

    Args:
        config: When it opens, and for how long.
        backend: Number of the backend.
        log: Where it reads how its probe ended.
        look: Brings the log up to a moment.
    """

    def __init__(self, config: CircuitBreaker, backend: int, log: RequestLog, look: Callable[[float], object]) -> None:
        self._config = config
        self._backend = backend
        self._log = log
        self._look = look
        self._failures: deque[float] = deque()
        self._open_until_s: float | None = None
        self._probe: int | None = None

    def allows(self, now_s: float) -> bool:
        """Whether a request may be sent now."""
        if self._open_until_s is None:
            return True
        if now_s < self._open_until_s:
            return False
        if self._probe is None:
            return True
        self._look(now_s)
        if not self._log.ended_s[self._probe] <= now_s:
            return False
        if self._log.outcome[self._probe] == Outcome.COMPLETED and self._log.backend[self._probe] == self._backend:
            self._open_until_s = None
            self._failures.clear()
        # An answer from elsewhere tells nothing of this one: the next request is the probe.
        self._probe = None
        return True

    @property
    def is_closed(self) -> bool:
        """Whether requests go through as if it were not there."""
        return self._open_until_s is None

    @property
    def first_pending(self) -> int:
        """The row of its probe, whose end it will ask for; past all for none."""
        return UNLIMITED if self._probe is None else self._probe

    def sent(self, row: int) -> None:
        """A request was sent; the first after the cool-down is the probe."""
        if self._open_until_s is not None and self._probe is None:
            self._probe = row

    def lost(self, loss: Loss) -> None:
        """The backend lost a request."""
        if loss.reason not in _ILL:
            if loss.row == self._probe:
                self._probe = None
            return
        if self._open_until_s is not None:
            if loss.row == self._probe:
                self._trip(loss.at_s)
            return
        self._failures.append(loss.at_s)
        while self._failures[0] < loss.at_s - self._config.window:
            self._failures.popleft()
        if len(self._failures) >= self._config.failures:
            self._trip(loss.at_s)

    def beaten(self, row: int, now_s: float) -> None:
        """Another answered a request that this one had not begun to: as a probe it has failed."""
        if row == self._probe:
            self._trip(now_s)

    def _trip(self, now_s: float) -> None:
        self._open_until_s = now_s + self._config.cool_down
        self._probe = None
        self._failures.clear()
