"""Which requests begin when another one is answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Links:
    """By request of a table, the one whose answer it waits for.

    Attributes:
        after: int64, its row, which comes before its own; -1 for none.
        delay_s: float64, from the end of that answer to the request.
    """

    after: NDArray[np.int64]
    delay_s: NDArray[np.float64]

    def sorted(self, order: NDArray[np.intp]) -> Links:
        """The same for a table of the same requests in another order."""
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        after = self.after[order]
        return Links(np.where(after >= 0, place[after], -1), self.delay_s[order])

    def by_answer(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Requests that wait, those of the same answer side by side; and by row, where those of its answer begin.

        The second has one entry more than there are rows.
        """
        waiting = np.flatnonzero(self.after >= 0)
        waiting = waiting[np.argsort(self.after[waiting], kind="stable")]
        return waiting, np.searchsorted(self.after[waiting], np.arange(len(self.after) + 1))
