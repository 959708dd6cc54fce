"""What the prompts of a workload have in common: prefixes, each of which may begin with another one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.scenario.workloads import RecordedWorkload, SharedPrefix
from simulator.trace.nesting import FLAT, Nesting
from simulator.trace.request_table import COLUMNS
from simulator.workload.recording import recording

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.scenario.workloads import AnyWorkload, SyntheticWorkload
    from simulator.trace.request_table import RequestTable

    Columns = tuple[NDArray[Any], ...]
    #: Identity, -1 for none, and length.
    Shared = tuple[NDArray[np.int32], NDArray[np.int32]]

#: Prefix ids of one workload start here times its position in the sorted names, so that they never collide.
PREFIXES_PER_WORKLOAD = 1 << 16


def is_nested(workload: AnyWorkload) -> bool:
    """Whether some of its prefixes may begin with others."""
    if isinstance(workload, RecordedWorkload):
        return len(recording(workload.trace.file).nesting) > 0
    shared = workload.shared_prefix
    return isinstance(shared, list) or (shared is not None and workload.turns is not None)


class Identities:
    """Identities beyond those of single shared prefixes, and which of them begin with another one.

    Workloads that replay the same file share theirs.
    """

    def __init__(self, first: int) -> None:
        self._next = first
        self._start: dict[str, int] = {}
        self._recorded, self._drawn = FLAT, FLAT

    def take(self, count: int) -> int:
        """The first of so many that nobody else has."""
        self._next += count
        return self._next - count

    def of(self, file: str) -> int:
        """How far a trace's identities are moved to a place of their own."""
        if file not in self._start:
            known = recording(file)
            nesting, start = known.nesting, self.take(known.identities)
            self._start[file] = start
            moved = Nesting.of(nesting.prefix_id + start, nesting.outer_id + start, nesting.outer_tokens)
            self._recorded = self._recorded.with_(moved)
        return self._start[file]

    def nest(
        self, prefix_id: NDArray[np.integer], outer_id: NDArray[np.integer], outer_tokens: NDArray[np.integer]
    ) -> None:
        """Some begin with so many tokens of others."""
        self._drawn = self._drawn.with_(Nesting.of(prefix_id, outer_id, outer_tokens))

    def nested(self, table: RequestTable, late: Columns) -> RequestTable:
        """These requests with what their prefixes begin with; only those that come late are then met again."""
        nesting = self._recorded.with_(self._drawn)
        self._drawn = self._drawn.needed_by(late[COLUMNS.index("prefix_id")])
        return table.nested(nesting)


class Levels:
    """The prefixes of one workload, level below level; each follows one of the level above it."""

    def __init__(self, workload: SyntheticWorkload, identities: Identities) -> None:
        shared = workload.shared_prefix
        self._levels = [shared] if isinstance(shared, SharedPrefix) else shared or []
        self._by_department = workload.departments is not None
        self._identities = identities
        self._ends = np.cumsum([0, *(level.tokens for level in self._levels)])
        several = np.cumprod([1, *(level.variants for level in self._levels)])[1:]
        self._first = [identities.take(int(count)) for count in several]

    def draw(self, prompt: NDArray[np.int32], department: NDArray[np.int64], rng: np.random.Generator) -> Shared:
        """What each of these prompts begins with; a prompt is at least one token longer."""
        size = len(prompt)
        node, has = np.zeros(size, np.int64), np.ones(size, np.bool_)
        prefix_id, tokens = np.full(size, -1, np.int32), np.zeros(size, np.int32)
        above = prefix_id
        for level, first, begin, end in zip(self._levels, self._first, self._ends, self._ends[1:], strict=False):
            node = node * level.variants + self._variant(level, department, rng)
            if level.share < 1.0:
                has = has & (rng.random(size) < level.share)
            # What is cut off before this level begins has none of it.
            has = has & ((prompt - 1 > begin) | (begin == 0))
            own = (first + node).astype(np.int32)
            if begin:
                self._identities.nest(own[has], above[has], np.full(int(has.sum()), begin))
            above = own
            prefix_id = np.where(has, own, prefix_id)
            tokens = np.where(has, np.minimum(prompt - 1, end), tokens).astype(np.int32)
        return prefix_id, tokens

    def _variant(
        self, level: SharedPrefix, department: NDArray[np.int64], rng: np.random.Generator
    ) -> NDArray[np.int64]:
        if level.per == "department" or (level.per is None and self._by_department):
            return department % level.variants
        return rng.integers(0, level.variants, len(department))

    def continued(self, conversation: NDArray[np.int64], shared: Shared) -> NDArray[np.int32]:
        """Identities of conversations, by request, that begin with what their first prompts share.

        Args:
            conversation: By request, the number of its conversation.
            shared: By conversation, what its first prompt shares.
        """
        outer_id, tokens = shared
        first = self._identities.take(len(outer_id))
        begins = tokens > 0
        self._identities.nest(first + np.flatnonzero(begins), outer_id[begins], tokens[begins])
        return (first + conversation).astype(np.int32)


def single_prefix(
    workload: SyntheticWorkload,
    number: int,
    prompt: NDArray[np.int32],
    department: NDArray[np.int64],
    rng: np.random.Generator,
) -> Shared:
    """Identity and length of each request's only shared prefix; a prompt is at least one token longer."""
    shared = workload.shared_prefix
    if not isinstance(shared, SharedPrefix):
        return np.full(len(prompt), -1, np.int32), np.zeros(len(prompt), np.int32)
    if workload.departments is None or shared.per == "patient":
        variant = rng.integers(0, shared.variants, len(prompt), dtype=np.int32)
    else:
        variant = (department % shared.variants).astype(np.int32)
    prefix_id = variant + np.int32(number * PREFIXES_PER_WORKLOAD)
    prefix_tokens = np.minimum(prompt - 1, shared.tokens).astype(np.int32)
    if shared.share < 1.0:
        without = rng.random(len(prompt)) >= shared.share
        prefix_id[without], prefix_tokens[without] = -1, 0
    return prefix_id, prefix_tokens
