"""What every importer is given: what the user asked for, and the secrets that are thrown away afterwards."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import numpy as np

from simulator.errors import TraceError
from simulator.trace.checks import is_workload_name
from simulator.trace.importers.prefixes import Paths
from simulator.trace.importers.records import parse_json
from simulator.trace.importers.tally import Tally
from simulator.trace.nesting import FLAT, Nesting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from simulator.trace.importers.cached import CachedDemand
    from simulator.trace.importers.rows import Rows


#: Units of each field that is a time.
UNITS: Final = {
    "time": ("s", "ms", "us", "ns", "excel"), "arrival_s": ("s", "ms", "us", "ns"), "duration": ("s", "ms", "us", "ns"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Labels:
    """Which workload a request belongs to, by a map that the user wrote and nothing else.

    Attributes:
        name: Workload of everything that is not in the map.
        by: The format's field that is looked up, such as its model; None to look nothing up.
        names: Workload of each value of that field.
    """

    name: str = "requests"
    by: str | None = None
    names: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in (self.name, *self.names.values()):
            # Five digits may be a person's number.
            if not is_workload_name(name) or sum(letter.isdigit() for letter in name) >= 5:
                raise TraceError(
                    "a workload's name has lower-case letters, underscores and fewer than five digits, 64 at most"
                )
        if bool(self.names) != (self.by is not None):
            raise TraceError("`label_by` and `labels` go together: the first names the field, the second its values")

    @property
    def workloads(self) -> tuple[str, ...]:
        """All names, the one of everything else first."""
        return tuple(dict.fromkeys((self.name, *self.names.values())))

    def indices(self, values: Sequence[object]) -> NDArray[np.int16]:
        """Index into `workloads` of each value; of several, such as tags, that of the first in the map."""
        places = {value: self.workloads.index(name) for value, name in self.names.items()}

        def place(value: object) -> int:
            if isinstance(value, str) and value not in places and value[:1] == "[":
                value = parse_json(value)  # a list in a cell of a table
            several = value if isinstance(value, list) else [value]
            return next((places[one] for one in several if isinstance(one, str) and one in places), 0)

        known = {value: place(value) for value in {value for value in values if type(value) is str}}
        return np.array([known[value] if type(value) is str else place(value) for value in values], np.int16)


@dataclass(slots=True)
class Context:
    """One import.

    Attributes:
        labels: Of workloads.
        zone: Of moments that name none.
        time_form: `strptime` format of moments that are neither ISO 8601 nor a count.
        columns: Names of the user's own, by what they hold, best first.
        units: Units of times that are numbers, by field.
        where: Values that records must have to be wanted, by field or path.
        records: Path to the records in a JSON document.
        apart: What the user says that the log counts apart: `cache`, `reasoning`.
        seed: Of what a format has to draw.
        sessions: Whether the requests of a session are taken to extend one another.
        tally: What became of every row.
        assumed: Sentences for the header.
        own_zero: Times count from a zero of the log's own: there is no date and no hour of the week.
        cached: Prefixes out of what a prompt cache gave, where the log says so and knows nothing better.
        ancestors: Digests of spans, not yet met, below which others count tokens.
        kept: What a format that needs all files before it can begin has read of them.
        metrics: What some file of such a format counts.
        late: Whether a sender was proved to count something apart after others of its records had been read otherwise.
        nesting: Which prefixes begin with others, once all is read.
    """

    labels: Labels = field(default_factory=Labels)
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    time_form: str | None = None
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    records: str | None = None
    apart: tuple[str, ...] = ()
    seed: int = 1
    sessions: bool = False
    tally: Tally = field(default_factory=Tally)
    assumed: list[str] = field(default_factory=list)
    own_zero: bool = False
    cached: CachedDemand | None = None
    ancestors: set[int] = field(default_factory=set)
    kept: dict[str, Any] = field(default_factory=dict)
    metrics: set[str] = field(default_factory=set)
    late: bool = False
    _proved: dict[str, set[str]] = field(default_factory=dict)
    nesting: Nesting = FLAT
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    _word: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    _ordinals: dict[int, int] = field(default_factory=dict)
    _paths: Paths | None = None
    _files: int = 0

    def assume(self, *sentences: str) -> None:
        """Say in the header what the log does not and was assumed; once each."""
        self.assumed += [sentence for sentence in sentences if sentence not in self.assumed]

    def proved(self, what: str) -> set[str]:
        """Senders whose own records prove that they count something apart; kept as long as the import lasts."""
        return self._proved.setdefault(what, set())

    def again(self) -> None:
        """Forget all that was read but what was proved, to read it anew."""
        self.tally.clear()
        for held in (self.assumed, self.ancestors, self.kept, self.metrics, self._ordinals):
            held.clear()
        self.late, self._paths, self._files = False, None, 0
        for name in [name for name in self._proved if name.endswith(" within")]:
            self._proved[name].clear()

    def paths(self, block_tokens: int) -> Paths:
        """Shared prefixes of this import."""
        if self._paths is None:
            self._paths = Paths(block_tokens)
        return self._paths

    def nest(self) -> None:
        """All is read: which prefixes begin with others is known."""
        self.nesting = self._paths.nesting() if self._paths else FLAT

    def said(self) -> tuple[str, ...]:
        """All that was assumed."""
        told = [one.told() for one in (self._paths, self.cached) if one]
        return (*self.assumed, *told)

    def next_file(self) -> int:
        """Number of the file that begins, so that each is drawn by a stream of its own."""
        self._files += 1
        return self._files

    def identities(self, values: Sequence[object]) -> NDArray[np.int64]:
        """A number for each value under a key that nobody keeps; 0 where there is none."""
        import pandas as pd

        # SipHash, which nobody turns round without the key.
        texts = [str(value) if isinstance(value, (str, int)) else "" for value in values]
        text = np.array(texts, object)
        try:
            found = pd.util.hash_array(text, hash_key=self._word, categorize=False)
        except UnicodeEncodeError:  # half a pair of surrogates
            text = np.array([one.encode("utf-8", "replace").decode() for one in texts], object)
            found = pd.util.hash_array(text, hash_key=self._word, categorize=False)
        return np.where(text == "", 0, np.maximum(found, 1)).astype(np.uint64).view(np.int64)

    def ordinals(self, values: Sequence[object]) -> NDArray[np.int32]:
        """Small numbers in the order in which values first appear, -1 where there is none."""
        found = [self.digest(value) for value in values]
        return np.array(
            [self._ordinals.setdefault(digest, len(self._ordinals)) if digest else -1 for digest in found], np.int32
        )

    def digest(self, value: object) -> int:
        """A number for a value under a key that nobody keeps; 0 where there is none."""
        if not isinstance(value, (str, int)) or value == "":
            return 0
        data = str(value).encode("utf-8", "replace")
        return int.from_bytes(blake2b(data, digest_size=8, key=self._key).digest(), "big", signed=True) or 1


def label_field(labels: Labels, allowed: Iterable[str]) -> str | None:
    """The field that names workloads, of those that a format has.

    Raises:
        TraceError: It has no such field.
    """
    if labels.by is not None and labels.by not in allowed:
        raise TraceError(f"`label_by`: expected one of {', '.join(allowed) or 'nothing: it has no such field'}")
    return labels.by


def check_wishes(context: Context, kind: Format) -> None:
    """Whether a format can do what the user says of its fields.

    Raises:
        TraceError: All that it cannot.
    """
    names = ", ".join(kind.columns) or "nothing: this format has its own"
    unknown = sorted(context.columns.keys() - set(kind.columns))
    faults = [f"`columns` {name}: expected one of {names}" for name in unknown]
    faults += [
        f"`units` {name}: expected one of {', '.join(UNITS)}" for name in sorted(context.units.keys() - UNITS.keys())
    ]
    faults += [
        f"{option}: only csv, json and azure-diagnostics can be told so; this format knows"
        for option, given in (("`units`", context.units), ("`records`", context.records))
        if given and not kind.free
    ]
    if faults:
        raise TraceError("\n".join(faults))


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of log and how to read it.

    Attributes:
        name: As the user writes it.
        read: Rows of one file, in the order they stand there; counts what it leaves out.
        source: What the header says of the origin.
        licence: Of public data.
        patterns: Names of its files, when a folder is imported.
        columns: Fields whose names in the log the user may give.
        own_zero: Times always count from a zero of the log's own.
        public: Published without content; nothing in it needed to be dropped.
        end: Rows that are known when the last file has been read.
        free: Whether the user says where everything stands.
    """

    name: str
    read: ReadRows
    source: str
    licence: str = "not stated; the operator's own record"
    patterns: tuple[str, ...] = ("*.csv", "*.json", "*.jsonl", "*.ndjson", "*.parquet")
    columns: tuple[str, ...] = ()
    own_zero: bool = False
    public: bool = False
    end: Callable[[Context], Iterator[Rows]] | None = None
    free: bool = False


if TYPE_CHECKING:
    from typing import Protocol

    class ReadRows(Protocol):
        """How a format reads one file."""

        def __call__(self, path: Path, context: Context) -> Iterator[Rows]:
            """Rows as they stand there."""
