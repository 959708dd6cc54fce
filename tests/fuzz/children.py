"""Many cases in one child, forked after everything is imported: a case costs what its reader takes, and no start.

A child that dies or goes silent costs one case: the next child goes on after it.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import resource
import signal
import time
from collections import deque
from multiprocessing.connection import wait

from tests.fuzz.harness import MOST_MB, MOST_S, Case, tried

#: Cases of a child.
PIECE = 500
#: Longest time without a word, by the clock: a starved machine gives a process a tenth of a minute.
_SILENT_S = 10 * MOST_S


def _limit_memory():
    """What it has now and the most a case may take twice over: a wild one is refused before the machine ends it."""
    with open("/proc/self/status") as file:
        has = next(int(line.split()[1]) for line in file if line.startswith("VmData:")) * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (has + 2 * MOST_MB * 2**20,) * 2)


def _try(sending, reader, sound, seed, cases):
    """In a child: say of every case what came of it, and at the end how much processor time all took."""
    _limit_memory()
    for case in tried(reader, sound, cases, seed):
        sending.send(case)
    sending.send(time.process_time())
    sending.close()


class _Child:
    """A process that tries some cases."""

    def __init__(self, reader, sound, seed, cases):
        self.cases, self._given, self._heard_s = deque(cases), (reader, sound, seed), time.monotonic()
        context = multiprocessing.get_context("fork")
        self.says, sending = context.Pipe(duplex=False)
        self._process = context.Process(target=_try, args=(sending, reader, sound, seed, cases))
        self._process.start()
        sending.close()

    def hear(self):
        """What it says next; None at its end."""
        try:
            heard = self.says.recv()
        except (EOFError, OSError):
            return None
        self._heard_s = time.monotonic()
        if isinstance(heard, Case) and self.cases and heard.number == self.cases[0]:
            self.cases.popleft()
        return heard

    def end_if_silent(self):
        if time.monotonic() - self._heard_s > _SILENT_S:
            os.kill(self._process.pid, signal.SIGKILL)

    def ended(self):
        """The case it died of, and one that goes on after it; None where it did all of them."""
        self._process.join()
        self.says.close()
        if not self.cases:
            return None, None
        code = self._process.exitcode
        died = Case(self.cases.popleft(), f"died: {code}", (f"its process ended with {code}",), 0)
        return died, _Child(*self._given, tuple(self.cases)) if self.cases else None


def in_children(reader, sound, seed, cases, jobs):
    """Each `Case` in no order, and processor times in s.

    Args:
        reader: One of `READERS`.
        sound: Folder of sound files.
        seed: Of all cases.
        cases: Their numbers.
        jobs: Children at once.
    """
    # What is there by now stays: it is neither looked through for garbage nor copied for that.
    gc.collect()
    gc.freeze()
    pieces = deque(cases[at : at + PIECE] for at in range(0, len(cases), PIECE))
    children = []
    while pieces or children:
        while pieces and len(children) < jobs:
            children.append(_Child(reader, sound, seed, pieces.popleft()))
        ready = wait([child.says for child in children], timeout=10)
        for child in list(children):
            if child.says not in ready:
                child.end_if_silent()
            elif (heard := child.hear()) is not None:
                yield heard
            else:
                children.remove(child)
                died, after = child.ended()
                children += [after] if after else []
                if died:
                    yield died
