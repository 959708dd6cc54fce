"""Being asked to stop, by a user or by a signal, until it is heard.

Python raises KeyboardInterrupt wherever the process happens to be, and a library that takes any exception for its own
loses it: pydantic does while it looks for what tells the members of a union apart. So it is raised again until somebody
handles it.
"""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Between two times.
_AGAIN_S: Final = 0.05
_heard: Final = threading.Event()
_ASKED: Final = ("SIGINT", "SIGTERM", "SIGHUP")


@contextmanager
def listening() -> Iterator[None]:
    """Raise KeyboardInterrupt in the block where the process is asked to stop; signals that it ignores stay ignored."""
    _heard.clear()
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in _ASKED if hasattr(signal, name)]
    mine = [one for one in numbers if signal.getsignal(one) in (signal.SIG_DFL, signal.default_int_handler)]
    before = {number: signal.signal(number, _stop) for number in mine}
    repeats = signal.getsignal(signal.SIGALRM) if hasattr(signal, "setitimer") else None
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGALRM) is _again:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            signal.signal(signal.SIGALRM, repeats)
        for number, handler in before.items():
            signal.signal(number, handler)


def was_asked() -> bool:
    """Whether the last block was asked to stop: a library may have made an error of its own of it."""
    return _heard.is_set()


def _stop(*_: object) -> None:
    _heard.set()
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, _again)
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_S, _AGAIN_S)
    raise KeyboardInterrupt


def _again(*_: object) -> None:
    """Once more, unless somebody is at it: cleaning up is not to be disturbed."""
    error = sys.exc_info()[1]
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return
        error = error.__context__
    raise KeyboardInterrupt
