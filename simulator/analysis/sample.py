"""A sample of any size in flat memory, and its exact quantiles."""

from __future__ import annotations

import math
import weakref
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

#: Values that are held in memory; more of them are in a temporary file.
_HELD: Final = 2**20
#: Bits that one pass over the values settles, and values that are read at once.
_DIGIT: Final = 16
_AT_ONCE: Final = 2**17


class Sample:
    """Values of at least 0 that are added a part at a time, none of them NaN.

    Attributes:
        count: How many there are.
    """

    def __init__(self, held: int = _HELD) -> None:
        self.count = 0
        self._sums: list[float] = []
        self._held = held
        self._parts: list[NDArray[np.float64]] = []
        self._file: IO[bytes] | None = None

    def add(self, values: NDArray[np.float64]) -> None:
        """Take the next values, a contiguous array of any length, which is not written to any more."""
        self.count += len(values)
        self._sums.append(float(values.sum()))
        self._parts.append(values)
        if self.count > self._held:
            self._write()

    @property
    def mean(self) -> float:
        """Mean of at least one value."""
        return math.fsum(self._sums) / self.count

    def quantiles(self, shares: Sequence[float]) -> list[float]:
        """For each share, the least value that so great a share of the values, of which there is one, does not exceed.

        That is the value that `numpy.quantile` finds by `inverted_cdf`.
        """
        if self._file is None:
            # Twice as quick as finding some of them, where all is in memory.
            return [float(value) for value in np.sort(np.concatenate(self._parts))[ranks(self.count, shares)]]
        # The bits of numbers that are not negative have the order of the numbers.
        bits = _select(lambda: (values.view(np.uint64) for values in self._read(_AT_ONCE)), ranks(self.count, shares))
        return [float(value) for value in bits.view(np.float64)]

    def _write(self) -> None:
        """Move to the file what is in memory."""
        if self._file is None:
            self._file = TemporaryFile()  # noqa: SIM115 - closed below
            weakref.finalize(self, self._file.close)
        for values in self._parts:
            self._file.write(values.data)
        self._parts.clear()

    def _read(self, at_once: int) -> Iterator[NDArray[np.float64]]:
        assert self._file is not None
        self._file.seek(0)
        while content := self._file.read(at_once * np.dtype(np.float64).itemsize):
            yield np.frombuffer(content)


def ranks(count: int | NDArray[np.int64], shares: float | Sequence[float]) -> NDArray[np.int64]:
    """Rank, from 0 for the least, of the value that is the quantile by `inverted_cdf`, by share or by count."""
    found: NDArray[np.float64] = np.maximum(np.ceil(np.multiply(count, shares) - 1), 0)
    return found.astype(np.int64)


def _select(read: Callable[[], Iterable[NDArray[np.uint64]]], wanted: NDArray[np.int64]) -> NDArray[np.uint64]:
    """The numbers of some ranks, found digit by digit from the top: a radix select that holds counts alone."""
    found, left = np.zeros(len(wanted), np.uint64), wanted.copy()
    for shift in range(64 - _DIGIT, -1, -_DIGIT):
        counts = {known: np.zeros(2**_DIGIT, np.int64) for known in found.tolist()}
        for numbers in read():
            top = numbers >> np.uint64(shift)
            digits = (top & np.uint64(2**_DIGIT - 1)).astype(np.int64)
            top >>= np.uint64(_DIGIT)
            for known in counts:
                counts[known] += np.bincount(digits[top == known], minlength=2**_DIGIT)
        for number, known in enumerate(found.tolist()):
            digit = int(np.searchsorted(counts[known].cumsum(), left[number], side="right"))
            # What is left is the rank among the numbers that begin alike.
            left[number] -= counts[known][:digit].sum()
            found[number] = known << _DIGIT | digit
    return found
