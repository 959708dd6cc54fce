"""The replicas of a cluster as the rest of the program sees them: numbers in, losses and levels out."""

from __future__ import annotations

from functools import partial
from math import ceil, inf
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.engine.record import Loss, Reason, ReplicaLevels
from simulator.engine.vllm import dispatch, hash_ring, state
from simulator.engine.vllm.acceptance import streams
from simulator.engine.vllm.adapters import set_adapters
from simulator.engine.vllm.balancing import PREFIX_HASH, follows_prefixes, set_balancing
from simulator.engine.vllm.images import set_images
from simulator.engine.vllm.monitor import INTERVAL_S
from simulator.engine.vllm.plan import copy_settings, count_kinds, drafted, step_times
from simulator.engine.vllm.prefix_numbers import PrefixNumbers, expected_prefixes, kept_prefixes, nest_prefixes
from simulator.engine.vllm.state import NONE, UNLIMITED, State, blank_replicas, grown
from simulator.scenario.balancing import Balancing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from simulator.engine.ledger import Ledger
    from simulator.engine.vllm.plan import ReplicaPlan
    from simulator.performance.image_table import ImageLoads
    from simulator.scenario.patterns import EngineSettings

_SLOTS = 1024
_LOSSES = 1024
#: By number; an enumeration takes its time to find its member.
_REASONS = tuple(Reason)
_DEMAND = "arrival_s", "workload", "prompt_tokens", "output_tokens", "max_tokens", "prefix_tokens", "thinking_tokens"
_STAMPS = (
    "enqueued_s", "scheduled_s", "first_token_s", "first_answer_s", "last_token_s", "ended_s", "outcome", "backend",
    "cached_tokens", "preemptions", "wasted_tokens",
)  # fmt: skip


class Fleet:
    """Identical replicas that serve the requests of a ledger.

    Args:
        engine: vLLM's settings.
        plan: What a replica is made of.
        ledger: The requests, and where their stamps are written.
        replicas: How many there are.
        horizon_s: End of the simulation.
        timeout_s: A request not finished after this long is given up; never when absent.
        overflows: Whether requests are turned away when there is no room for them.
        max_in_flight: What room means; derived from the KV blocks when absent.
        may_leave: By workload, whether its requests may be turned away; all may when absent.
        adapters: By workload, the LoRA adapter of its requests; none has one when absent.
        backend: Index of the cluster in the log.
        name: Of the cluster.
        network_delay_s: From users to the engine and back.
        balancing: Which replica gets a request; as a scenario has it that does not say, when absent.
        rng: For what is balanced at random.
        images: What the images of workloads are to clusters, if any has some.
    """

    def __init__(
        self,
        engine: EngineSettings,
        plan: ReplicaPlan,
        ledger: Ledger,
        *,
        replicas: int,
        horizon_s: float,
        timeout_s: float | None = None,
        overflows: bool = False,
        max_in_flight: int | None = None,
        may_leave: Sequence[bool] | None = None,
        adapters: Sequence[str | None] | None = None,
        backend: int = 0,
        name: str = "cluster",
        network_delay_s: float = 0.0,
        balancing: Balancing | None = None,
        rng: np.random.Generator | None = None,
        images: ImageLoads | None = None,
    ) -> None:
        self._name = name
        settings = np.zeros(1, state.SETTINGS)
        copy_settings(settings[0], engine, plan)
        settings[0].horizon_s = horizon_s
        settings[0].timeout_s = inf if timeout_s is None else timeout_s
        settings[0].overflows = overflows
        settings[0].network_s = 0.5 * network_delay_s
        settings[0].output_s += 0.5 * network_delay_s
        settings[0].backend = backend
        settings[0].max_in_flight = NONE if max_in_flight is None else max_in_flight
        leave = [True] * len(ledger.table.workloads) if may_leave is None else may_leave
        self._table, self._nests = ledger.table, ledger.prefixes
        self._prefixes = PrefixNumbers()
        #: What compiled code works on.
        self.state = _empty(settings, engine, plan, ledger, leave, replicas)
        self._work = partial(dispatch.working(), self.state)
        set_balancing(
            self.state.settings[0], self.state.fleet[0], balancing or Balancing(), rng or np.random.default_rng(0)
        )
        set_images(self.state, ledger, images)
        self._ring(ledger)
        set_adapters(self.state, adapters or [None] * len(leave))
        self._add_slots(_SLOTS)
        ledger.follow(self._expect)
        # Asked for at every arrival; a field of a record takes ten times as long to read.
        self._watch_s, self._lost = self.state.fleet["watch_s"], self.state.fleet["losses"]
        self._closed, self._in_flight = self.state.replicas["closed"], self.state.fleet["in_flight"]
        #: One number: how many requests wait outside for a replica to be there.
        self.kept = self.state.fleet["kept"]
        #: Requests that a replica can run at once.
        self.seats = engine.max_num_seqs

    def run(self, end: int, until_s: float) -> Iterator[Loss]:
        """Serve the arrivals before row `end` and before `until_s`; yields what is lost, in order of time.

        The caller may look at the losses later than they happened: nothing of what becomes of them changes the
        cluster.
        """
        while (why := self._work(dispatch.SERVE, end, until_s, 0.0)) == dispatch.FULL:
            self._add_slots(len(self.state.sequences))
        yield from self.losses()
        if why == dispatch.LOST:
            yield from self.run(end, until_s)

    def first_pending(self, now_s: float) -> int:
        """The first row for which a replica has something left to do, its client gone or not; past all for none."""
        self.look(now_s)
        rows = self.state.sequences["index"]
        return int(rows.min(where=rows != NONE, initial=UNLIMITED))

    def offer(self, row: int, now_s: float, since_s: float) -> Iterator[Loss]:
        """Take one request now, whether there is room for it or not, that has waited for a while; yields losses."""
        while (why := self._work(dispatch.OFFER, row, now_s, since_s)) == dispatch.FULL:
            self._add_slots(len(self.state.sequences))
        yield from self.losses()
        if why == dispatch.LOST:
            yield from self.offer(row, now_s, since_s)

    def pick(self, row: int, now_s: float) -> int:
        """The replica that a request would go to now, or NONE."""
        return self._work(dispatch.PICK, row, now_s, 0.0)

    def room(self, row: int, now_s: float, share: float = 1.0) -> bool:
        """Whether a request could start now if only this share of the cluster were to be used."""
        return bool(self._work(dispatch.ROOM, row, now_s, share))

    @property
    def watch_s(self) -> float:
        """When a request may have waited too long; infinity for never."""
        return float(self._watch_s.item(0))

    def expire(self, now_s: float) -> Iterator[Loss]:
        """Give up on what has waited too long by now; yields what is lost."""
        while self.watch_s <= now_s:
            self._work(dispatch.EXPIRE, 0, now_s, 0.0)
            yield from self.losses()

    def fail(self, replica: int, now_s: float) -> Iterator[Loss]:
        """Lose everything a replica has, and close it; yields what is lost."""
        while self._work(dispatch.FAIL, replica, now_s, 0.0) == dispatch.LOST:
            yield from self.losses()
        yield from self.losses()

    def drain(self, replica: int) -> None:
        """Send nothing more to a replica; what it has it finishes."""
        self.state.replicas[replica].closed = True

    def restart(self, replica: int) -> None:
        """Open a drained or failed replica again, empty and with nothing cached."""
        self._work(dispatch.RESTART, replica, 0.0, 0.0)

    def keep(self, row: int, now_s: float) -> None:
        """Write down that a request waits for a replica to be there."""
        self.state.backend[row] = self.state.settings[0].backend
        self.state.enqueued_s[row] = now_s

    def load(self, replica: int, now_s: float) -> int:
        """Requests that a replica has."""
        self.look(now_s)
        return int(self.state.replicas[replica].load)

    def queue(self, now_s: float) -> tuple[int, int]:
        """Requests that wait, for a replica or in one, and all that replicas have."""
        return self._work(dispatch.LOOK, 0, now_s, 0.0) + self.kept.item(0), self._in_flight.item(0)

    @property
    def due_s(self) -> float:
        """When the next thing happens in a replica, unless something arrives before; infinity for never."""
        replicas, sequences = self.state.replicas, self.state.sequences
        finishing = replicas["first_finishing"]
        ends_s = sequences["end_s"][finishing[finishing != NONE]].min(initial=inf)
        return float(min(replicas["due_s"].min(), ends_s))

    @property
    def timeout_s(self) -> float:
        """How long a request may take; infinite without a limit."""
        return float(self.state.settings[0].timeout_s)

    @property
    def size(self) -> int:
        """Number of replicas, open or not."""
        return len(self.state.replicas)

    @property
    def serves(self) -> bool:
        """Whether any replica is open."""
        return not all(self._closed.tolist())

    @property
    def fullness(self) -> float:
        """Requests in flight, relative to what the open replicas can run at once; infinite when none is open."""
        replicas = self.state.replicas
        seats = int(self.state.settings[0].max_num_seqs) * int((~replicas["closed"]).sum())
        return float(self.state.fleet[0].in_flight) / seats if seats else inf

    def look(self, now_s: float) -> None:
        """Bring all replicas up to now; infinity works everything off."""
        self._work(dispatch.LOOK, 0, now_s, 0.0)

    def silent(self, row: int, now_s: float) -> bool:
        """Whether a request is here and its client has had no token yet."""
        return bool(self._work(dispatch.SILENT, row, now_s, 0.0))

    def cancel(self, index: int, now_s: float) -> bool:
        """Give up on a request; whether it was still under way."""
        return bool(self._work(dispatch.CANCEL, index, now_s, 0.0))

    def close(self, horizon_s: float) -> tuple[ReplicaLevels, ...]:
        """Stamp what is still under way and return the levels of every replica."""
        self._work(dispatch.CLOSE, 0, horizon_s, 0.0)
        return self.levels()

    def levels(self) -> tuple[ReplicaLevels, ...]:
        """The levels of every replica so far."""
        return tuple(self._levels(number) for number in range(len(self.state.replicas)))

    @property
    def free_blocks(self) -> list[int]:
        """By replica, the KV blocks that can be taken."""
        return [int(blocks) for blocks in self.state.replicas["free"]]

    def losses(self) -> Iterator[Loss]:
        """What was lost since the last look, in order of time."""
        if not self._lost.item(0):
            return
        losses = self.state.losses[: self._lost[0]].tolist()
        self._lost[0] = 0
        for at_s, row, reason, sent in losses:
            yield Loss(at_s, row, _REASONS[reason], sent)

    def _levels(self, number: int) -> ReplicaLevels:
        replica, levels, settings = self.state.replicas[number], self.state.levels[number], self.state.settings[0]
        return ReplicaLevels(
            interval_s=INTERVAL_S,
            busy_s=levels["busy_s"].copy(),
            sequence_s=levels["sequence_s"].copy(),
            waiting_s=levels["waiting_s"].copy(),
            kv_block_s=levels["kv_block_s"].copy(),
            steps=int(replica.steps),
            preemptions=int(replica.preemptions),
            kv_blocks=int(settings.blocks),
            max_num_seqs=int(settings.max_num_seqs),
            cluster=self._name,
        )

    def _expect(self, rows: slice) -> None:
        """Make ready for requests that may be sent here: rank their priorities, number their prefixes."""
        s, table = self.state, self._table
        settings, replicas = s.settings[0], self.size
        s.rank[rows] = table.priority[rows] - min(1, table.priority[rows].min(initial=1)) if settings.by_priority else 0
        self._place(rows)
        if settings.draft_tokens:
            s.stream[rows] = streams(table.arrival_s[rows], table.prompt_tokens[rows], table.output_tokens[rows])
        self._forget_prefixes()
        s.prefix[rows] = self._prefixes.of(table.prefix_id[rows])
        nesting = self._nests.nesting
        inner, outer = (self._prefixes.of(ids) for ids in (nesting.prefix_id, nesting.outer_id))
        settings.ranks = max(settings.ranks, int(s.rank[rows].max(initial=0)) + 1)
        s.replace("queues", grown(s.queues, (replicas, 1 + settings.ranks), _no_queues))
        s.replace("chains", grown(s.chains, (replicas * len(self._prefixes),), _no_chains))
        chains = s.chains.reshape(-1, replicas)
        outer_blocks = (nesting.outer_tokens - settings.hash_lookahead) // settings.block_size
        for number in nest_prefixes(chains, inner, outer, outer_blocks):
            self._work(dispatch.BRANCH, number, 0.0, 0.0)
        longest = (
            min(int(table.prefix_tokens[rows].max(initial=0)), settings.max_model_len) if settings.prefix_caching else 0
        )
        seats, shared = s.copies.shape[1], max(s.copies.shape[2], longest // settings.block_size)
        s.replace("copies", grown(s.copies, (replicas, seats, shared), np.zeros))

    def _ring(self, ledger: Ledger) -> None:
        """Room for where prefixes stand, if that matters."""
        settings = self.state.settings[0]
        if follows_prefixes(settings):
            at, of = hash_ring.ring(self.size)
            settings.points = len(at)
            self.state.replace("ring_at", at)
            self.state.replace("ring_of", of)
            self.state.replace("place", ledger.column(np.int64))

    def _place(self, rows: slice) -> None:
        """Where the prefixes of some requests stand, if that matters."""
        s, found = self.state, self._table.prefix_id[rows]
        if follows_prefixes(s.settings[0]):
            if s.settings[0].balancing == PREFIX_HASH:
                found = hash_ring.outermost(found, self._nests.nesting)
            s.place[rows] = hash_ring.places_of(found)

    def _forget_prefixes(self) -> None:
        """Prefixes of which no block is kept and that no request in the cluster has need no number."""
        chains = self.state.chains.reshape(-1, self.size)
        settings, sent = self.state.settings[0], self.state.replicas["sent_tokens"]
        kept = kept_prefixes(chains, self.state.sequences)
        kept |= expected_prefixes(chains, sent, settings.blocks * settings.block_size)
        chains[~kept] = _no_chains(())
        self._prefixes.forget(np.flatnonzero(~kept).tolist())

    def _add_slots(self, count: int) -> None:
        old, fleet = self.state.sequences, self.state.fleet[0]
        sequences = np.zeros(len(old) + count, state.SEQUENCE)
        # As bytes: numpy copies records field by field.
        sequences.view(np.uint8)[: old.nbytes] = old.view(np.uint8)
        added = sequences[len(old) :]
        added["next"] = np.arange(len(old) + 1, len(sequences) + 1)
        added["next"][-1] = fleet.free_slot
        added["index"] = NONE
        fleet.free_slot = len(old)
        self.state.replace("sequences", sequences)


def _empty(
    settings: NDArray[Any],
    engine: EngineSettings,
    plan: ReplicaPlan,
    ledger: Ledger,
    may_leave: Sequence[bool],
    replicas: int,
) -> State:
    """Replicas to which nothing has happened yet."""
    blocks, seqs = plan.num_gpu_blocks - 1, engine.max_num_seqs
    settings["replicas"], settings["losses"] = replicas, _LOSSES
    settings["hours"] = max(1, ceil(settings[0].horizon_s / INTERVAL_S))
    fleet = np.zeros(1, state.FLEET)
    fleet["free_slot"] = fleet["free_run"] = fleet["first_active"] = fleet["last_active"] = NONE
    fleet["seen_s"], fleet["watch_s"], fleet["watched_s"], fleet["wakes_s"] = -inf, inf, inf, inf
    seats = np.zeros((replicas, seqs), state.SEAT)
    seats["free"] = np.arange(seqs)
    batches, dense_s, logits_s = step_times(settings, engine, plan)
    return State(
        settings=settings,
        fleet=fleet,
        replicas=blank_replicas(replicas, blocks, INTERVAL_S),
        sequences=np.zeros(0, state.SEQUENCE),
        seats=seats,
        kinds=count_kinds(settings[0], engine, plan),
        **drafted(engine, ledger, replicas),
        boundaries=np.zeros((replicas, settings[0].period), np.int64),
        vacancies=np.zeros((replicas, settings[0].period), np.int64),
        queues=_no_queues((replicas, 1)),
        chains=_no_chains((0,)),
        # A prefix that starts to be kept block by block needs one more for a moment.
        runs=np.zeros(replicas * blocks + 1, state.RUN),
        copies=np.zeros((replicas, seqs, 0), np.int64),
        batches=batches,
        dense_s=dense_s,
        logits_s=logits_s,
        levels=np.zeros((replicas, settings[0].hours), state.LEVELS),
        losses=np.zeros(_LOSSES, state.LOSS),
        **{name: np.zeros(0, np.int64) for name in ("ring_at", "ring_of", "place")},
        may_leave=np.array(may_leave, np.bool_),
        rank=ledger.column(np.int16),
        prefix=ledger.column(np.int32),
        **{name: getattr(ledger.table, name) for name in _DEMAND},
        **{name: getattr(ledger.log, name) for name in _STAMPS},
    )


def _no_queues(shape: tuple[int, ...]) -> NDArray[Any]:
    made = np.zeros(shape, state.QUEUE)
    made["first"] = made["last"] = NONE
    return made


def _no_chains(shape: tuple[int, ...]) -> NDArray[Any]:
    made = np.zeros(shape, state.CHAIN)
    made["first_run"] = made["first_holder"] = made["outer"] = made["sent_at"] = NONE
    return made
