"""How far something is: a bar where somebody watches, a line a minute where a log does."""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LINE_S: Final = 60.0
_FIRST_S: Final = 20.0
#: What is left is judged by the pace of so long.
_PACE_S: Final = 600.0


class Log:
    """Lines about how many of many are done, at most one a minute.

    Attributes:
        what: What is counted.
        total: How many there are.
        done: How many are done, those of an earlier run included.
    """

    def __init__(self, what: str, total: int, done: int, say: Callable[[str], None]) -> None:
        self.what, self.total, self.done, self._say = what, total, done, say
        self._seen = deque([(time.monotonic(), done)])
        self._said_s = time.monotonic()

    def advance(self) -> None:
        """One more is done."""
        self.done += 1
        now_s = time.monotonic()
        if now_s - self._said_s < _LINE_S:
            return
        while len(self._seen) > 1 and now_s - self._seen[1][0] > _PACE_S:
            self._seen.popleft()
        since_s, before = self._seen[0]
        self._seen.append((now_s, self.done))
        self._said_s = now_s
        yet = left(self.done - before, now_s - since_s, self.total - self.done)
        self._say(f"{self.done:,} of {self.total:,} {self.what}, {yet}")


@contextmanager
def speaking(say: Callable[[float], None], wait: Callable[[float], bool] | None = None) -> Iterator[None]:
    """Say something now and then while a block runs, for a log in which nobody sees a bar.

    Args:
        say: Gets how long it has lasted, in seconds: after twenty of them, then every minute.
        wait: Waits so many seconds, and says whether the block has ended meanwhile.
    """
    over = threading.Event()
    pause = wait or over.wait

    def talk() -> None:
        lasted_s, pause_s = 0.0, _FIRST_S
        while not pause(pause_s):
            lasted_s, pause_s = lasted_s + pause_s, _LINE_S
            say(lasted_s)

    talker = threading.Thread(target=talk, daemon=True)
    talker.start()
    try:
        yield
    finally:
        over.set()
        talker.join()


def left(done: int, took_s: float, more: int) -> str:
    """How long it takes yet at this pace, in words.

    >>> left(30, 60.0, 300), left(1, 600.0, 100), left(5, 60.0, 2)
    ('30.0 a minute: some 10 min left', '0.1 a minute: some 16.7 h left', '5.0 a minute: some 0 min left')
    """
    pace = done / took_s if took_s else 0.0
    if not pace:
        return "none of late"
    rest_s = more / pace
    rest = f"{rest_s / 3600:.1f} h" if rest_s >= 7200 else f"{rest_s / 60:.0f} min"
    return f"{60 * pace:.1f} a minute: some {rest} left"


@contextmanager
def counting(what: str, total: int, *, done: int = 0, quiet: bool = False) -> Iterator[Callable[[], None]]:
    """What to call when one more of them is done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if quiet:
        yield lambda: None
    elif not console.is_terminal:
        yield Log(what, total, done, lambda line: typer.echo(line, err=True)).advance
    else:
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(what, total=total, completed=done)
            yield lambda: bar.advance(task)
