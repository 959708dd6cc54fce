"""The state of a cluster's replicas: records in arrays, linked by number, so that compiled code can work on them.

A *slot* is the place of a request in `sequences` while it is in the cluster; slots are used again. Lists run through
the records themselves (`next` and `previous`, `NONE` at their ends), and a record is in at most one list of a kind.
"""

from __future__ import annotations

from copy import deepcopy
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

NONE = -1
#: No limit on a count.
UNLIMITED = 1 << 60

#: Where a sequence is: not yet with the engine core, in the waiting queue, or running in one of three ways, or
#: of one with drafts (`drafts`).
INBOX, WAITING, PREFILLING, DECODING, DRAINING, GONE, VERIFYING = range(7)


def record_of(**fields: str) -> np.dtype[Any]:
    """A record whose elements have their fields as attributes, in plain Python too."""
    names = [(name, kind) for kinds, listed in fields.items() for name, kind in ((n, kinds) for n in listed.split())]
    return np.dtype((np.record, np.dtype(names, align=True)))


#: vLLM's settings (`EngineSettings`), the delays of a `ReplicaPlan` and what a router asks for.
SETTINGS = record_of(
    i8="""block_size max_num_seqs max_num_batched_tokens max_model_len long_prefill_token_threshold watermark_blocks
        queue_limit max_in_flight backend blocks replicas ranks hours losses kinds period lag balancing points
        draft_tokens draft_lookahead draft_slots hash_lookahead max_loras max_cpu_loras loras""",
    f8="""frontend_base_s frontend_per_prompt_token_s output_s launch_s timeout_s horizon_s
        prefill_fixed_s prefill_per_token_s prefill_per_pair_s linear_per_prefill_token_s publication_s
        load_factor network_s least_s draft_share
        lora_step_s lora_token_s lora_adapter_s lora_copy_s lora_read_s""",
    b1="""prefix_caching chunked_prefill by_priority reserve_full_isl async_scheduling overflows linear
        serial_front_end forgets encodes""",
)

#: The cluster: what has been taken from the table, who is in flight, how many ever came to a replica, free slots and
#: runs; up to when all replicas have been looked at, and when somebody may have waited too long. For its balancer:
#: whose turn it is, what the next random numbers are made of, and when replicas publish their counts next.
FLEET = record_of(
    i8="""next_arrival in_flight came free_slot free_run unused_run first_active last_active losses preemptions
        turn draw_1 draw_2 kept woken""",
    f8="seen_s watch_s publication_s watched_s wakes_s",
)

#: A request in the cluster. `index` is its row, NONE in a free slot.
#:
#: `total_tokens` are those whose KV is ever computed: the last output token is never fed back. `known_tokens` is the
#: prompt plus the output scheduled so far, what must be computed before a token is sampled. `computed_tokens` is
#: stale while it decodes: `end_clock` is the decode clock at which its last token is scheduled. `shared_blocks` are
#: the leading full blocks that belong to a shared prefix, those of its answer among them where a next turn begins with
#: it, `held_shared` those of them it holds. `resumable` are its own cached blocks after a preemption. `order` is its
#: position in the running list. `active`: the client waits.
#: For groups (`kv_groups`): tokens settled when it was scheduled, those of its last chunk in flight, when it began to
#: decode and next leaves blocks behind.
#: `total_tokens` of one that thinks are those up to its first answer token, `rest_tokens` what then follows.
#: With drafts: tokens of steps in flight, sampled tokens promised by them, drafts to verify next, tokens of steps that
#: were in flight when it was preempted, drafts verified so far, blocks held, tokens whose blocks have a hash, whether
#: its prompt is computed in part, and how often its slot was used.
SEQUENCE = record_of(
    f8="ready_s deadline_s scheduled_s first_token_s first_answer_s end_s",
    i8="""order end_clock index replica prompt_tokens thinking_tokens rest_tokens
        total_tokens known_tokens computed_tokens granted_tokens
        reserved_tokens cached_tokens preemptions chain shared_blocks held_shared resumable seat heap_place rank
        next previous next_active previous_active next_holder previous_holder next_finishing next_sampled next_abort
        place settled_tokens flying_tokens joined_clock leaves_clock young_place adapter
        promised_tokens drafted_tokens stale_tokens verifications held_blocks hashed_tokens visit""",
    b1="active finishing partial",
)

#: One vLLM engine. A planned run of quiet steps: how many, when the first starts, and what they last. `closed`: it
#: takes no new requests. `told`: what a balancer knows of it from the last publication, and from
#: what it has sent since. `alone`: how often its only sequence preempted itself since a token was sampled.
#: `turnover`: blocks that decoding sequences leave behind less those they take in a period of the decode clock.
REPLICA = record_of(
    i8="""free unhashed oldest_run newest_run
        clock decode_kv_tokens decoding prefilling running waiting preemptions next_order first_running last_running
        inbox first_abort last_abort first_finishing last_finishing
        first_finished last_finished first_sampled
        steps planned held_running held_waiting held_blocks load reserved_tokens hour
        young leaves_clock turnover alone
        step_decodes step_kv_tokens step_chunks step_chunk_tokens step_chunk_context step_preempted
        told_waiting told_running sent_tokens
        step_rows step_samples step_samples_kv_tokens oldest_launch launches
        running_loras decoding_loras slot_loras host_loras lora_decodes starts
        step_loras step_lora_tokens step_copies step_reads""",
    f8="""due_s gpu_free_s start_s base_s growth_s held_since_s hour_ends_s step_chunk_s front_end_free_s told_usage
        step_encoder_s""",
    b1="idle closed empty_in_flight",
)

#: Levels of a replica in one interval of the horizon, times seconds.
LEVELS = record_of(f8="busy_s sequence_s waiting_s kv_block_s")
#: By number of sequences: what a step of decodes alone takes, what they and their attention add to a mixed one, and
#: what of the growth ends where their context fills the window of some layers.
BATCH = record_of(
    f8="""decode_s decode_per_kv_token_s attention_s attention_per_kv_token_s per_step_s alone_s
        window_per_kv_token_s window_kv_tokens"""
)
#: Lists of a replica by position: free seats, a heap of decoding slots by end, prefilling slots by order, young ones.
SEAT = record_of(i8="free ends prefilling young")
#: Groups of layers that keep the same (`kv_groups`): what, over how many tokens, how many there are, and how many
#: blocks a request holds of one at most. `shift`: the block size as a power of two, 0 where it is none.
KIND = record_of(i8="keeps block_size span groups most shift")
#: A step in flight with drafts, and what each of its sequences does in it.
LAUNCH = record_of(f8="end_s", i8="items")
LAUNCHED = record_of(i8="slot visit tokens drafts kind")
#: A LoRA adapter in one replica (`adapters`): requests of it that run and decode, when the last was started, and where
#: it is.
LORA = record_of(i8="running decoding started", b1="in_slot in_host in_step")
#: One waiting queue of a replica, for requests of one priority.
QUEUE = record_of(i8="first last")
#: Blocks of one shared prefix in one replica: the leading ones whose KV exists, its runs, who holds blocks of it.
#: One that begins with another prefix (`outer`) has the blocks from `start` on for itself. `sent_at`: how many prompt
#: tokens had been sent to the replica when it was sent there last. `growing`: how many that run go on with it as they
#: decode.
CHAIN = record_of(i8="sent_at", i4="cached first_run first_holder outer start growing", b1="by_block")
#: Hashed blocks freed together, from `low` up to `high` within their prefix (`chain`) or sequence (`owner`).
RUN = record_of(i4="low high chain owner users next previous next_of_chain previous_of_chain")
#: A request the cluster did not serve: when, why, and whether it had been sent there at all.
LOSS = record_of(f8="at_s", i8="index reason", b1="sent")


#: Every array of a `State`: what its elements are, and how many dimensions it has.
ARRAYS: dict[str, tuple[np.dtype[Any], int]] = {
    "settings": (SETTINGS, 1),
    "fleet": (FLEET, 1),
    "replicas": (REPLICA, 1),
    "sequences": (SEQUENCE, 1),
    "seats": (SEAT, 2),
    "kinds": (KIND, 1),
    "boundaries": (np.dtype(np.int64), 2),
    "vacancies": (np.dtype(np.int64), 2),
    "queues": (QUEUE, 2),
    "chains": (CHAIN, 1),
    "runs": (RUN, 1),
    "copies": (np.dtype(np.int64), 3),
    "batches": (BATCH, 1),
    "dense_s": (np.dtype(np.float64), 1),
    "logits_s": (np.dtype(np.float64), 1),
    "acceptance": (np.dtype(np.float64), 1),
    "stream": (np.dtype(np.int64), 1),
    "launches": (LAUNCH, 2),
    "launched": (LAUNCHED, 2),
    "levels": (LEVELS, 2),
    "losses": (LOSS, 1),
    **dict.fromkeys(("ring_at", "ring_of", "place"), (np.dtype(np.int64), 1)),
    "loras": (LORA, 2),
    "adapters": (np.dtype(np.int64), 1),
    "may_leave": (np.dtype(np.bool_), 1),
    **dict.fromkeys(("encoder_s", "image_front_s"), (np.dtype(np.float64), 1)),
    **dict.fromkeys(("arrival_s", "enqueued_s", "scheduled_s", "first_token_s"), (np.dtype(np.float64), 1)),
    **dict.fromkeys(("first_answer_s", "last_token_s", "ended_s"), (np.dtype(np.float64), 1)),
    **dict.fromkeys(("prompt_tokens", "output_tokens", "max_tokens", "prefix"), (np.dtype(np.int32), 1)),
    "thinking_tokens": (np.dtype(np.int32), 1),
    **dict.fromkeys(("prefix_tokens", "cached_tokens", "wasted_tokens"), (np.dtype(np.int32), 1)),
    **dict.fromkeys(("workload", "rank", "preemptions"), (np.dtype(np.int16), 1)),
    **dict.fromkeys(("outcome", "backend"), (np.dtype(np.int8), 1)),
}


class Records:
    """Arrays that compiled code works on, by name; subclasses say which.

    Attributes:
        arrays: Of each array what its elements are, and how many dimensions it has. Elements may be other records.
        numbers: Which of them it is, by name.
        address: Where `header` is: of each array its address and second and third extents, in words.
    """

    arrays: ClassVar[dict[str, tuple[Any, int]]]
    numbers: ClassVar[dict[str, int]]

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> NDArray[Any]: ...

    def __init_subclass__(cls) -> None:
        cls.numbers = {name: number for number, name in enumerate(cls.arrays)}

    def __init__(self, **arrays: Any) -> None:  # noqa: ANN401 - arrays, and lists of other records
        self.header = np.zeros((len(self.arrays), 3), np.int64)
        self.address = self.header.ctypes.data
        for name, array in arrays.items():
            self.replace(name, array)

    def __deepcopy__(self, memo: dict[int, Any]) -> Records:
        return type(self)(**{name: deepcopy(getattr(self, name), memo) for name in self.arrays if name in vars(self)})

    def replace(self, name: str, array: Any) -> None:  # noqa: ANN401
        """Give an array, in one piece and open to writing, or a list of other records, its place."""
        (dtype, ndim), held = self.arrays[name], vars(self)
        held[name] = array
        if isinstance(dtype, type):
            array = held[f"{name}_addresses"] = np.array([one.address for one in array], np.int64)
        elif not (array.dtype == dtype and array.flags.c_contiguous and array.flags.writeable):
            array = held[name] = np.require(array, dtype, ["C", "W"])
        if array.ndim != ndim:
            raise AssertionError(f"{name}: {array.ndim} dimensions")
        place = self.header[self.numbers[name]]
        place[0] = array.ctypes.data
        if ndim > 1:
            place[1:ndim] = array.shape[1:]


class State(Records):
    """Everything the compiled engine works on; its attributes are arrays.

    Attributes:
        settings: One `SETTINGS`.
        fleet: One `FLEET`.
        replicas: `REPLICA` by number.
        sequences: `SEQUENCE` by slot.
        seats: `SEAT` by replica and position.
        kinds: `KIND` by number; none where all layers keep everything in blocks of one size.
        boundaries: By replica and decode clock modulo the block size: blocks that decoding sequences need then.
        vacancies: Likewise, blocks that their windows leave behind.
        queues: `QUEUE` by replica: its inbox, then one for each rank of priority.
        chains: `CHAIN` by prefix and replica.
        runs: `RUN` of all replicas.
        copies: By replica, seat and block: the run it holds, of a prefix that is kept block by block.
        batches: `BATCH` by sequences.
        dense_s: Seconds of the dense layers by tokens of a step.
        logits_s: Seconds of the logits by their rows, where drafts are verified.
        acceptance: By position, the chance that a drafted token and those before it are accepted.
        stream: By request, what its draws depend on (`acceptance`), where drafts are verified.
        launches: `LAUNCH` by replica, two of them in turn.
        launched: `LAUNCHED` by replica, of either launch as many as there are seats.
        levels: `LEVELS` by replica and hour.
        loras: `LORA` by replica and number of the adapter.
        adapters: By workload, the number of its adapter, -1 for none.
        encoder_s, image_front_s: By workload, what the images of a request add to the step that first schedules it, and
            to its way to the engine; nothing where none has images.
        losses: `LOSS`, as many as are noted before somebody must look.
        ring_at, ring_of: Points of the ring of `hash_ring`, and whose they are; none where it does not matter.
        place: By request, where its prefix stands on the ring, NONE without one; nothing where it does not matter.
        may_leave: By workload, whether its requests may overflow.
        arrival_s, workload, prompt_tokens, output_tokens, max_tokens, prefix_tokens, thinking_tokens: Columns of the
            `RequestTable`.
        prefix: By request, the number of its prefix from 0, -1 for none.
        rank: By request, its priority from 0; all 0 when the queue has none.
        enqueued_s, scheduled_s, first_token_s, first_answer_s, last_token_s, ended_s, outcome, backend, cached_tokens,
            preemptions, wasted_tokens: Columns of the `RequestLog`.
    """

    arrays = ARRAYS


def blank_replicas(count: int, blocks: int, interval_s: float) -> NDArray[Any]:
    """`REPLICA` to which nothing has happened yet, with so many KV blocks each and levels by this interval."""
    made = np.zeros(count, REPLICA)
    for name in made.dtype.names or ():
        if name.startswith(("first_", "last_")):
            made[name] = NONE
    made["oldest_run"] = made["newest_run"] = NONE
    made["free"] = made["unhashed"] = blocks
    made["hour_ends_s"] = interval_s
    made["leaves_clock"] = UNLIMITED
    made["due_s"] = inf
    made["idle"] = True
    return made


def grown(old: NDArray[Any], shape: tuple[int, ...], blank: Callable[[tuple[int, ...]], NDArray[Any]]) -> NDArray[Any]:
    """An array that is larger in some direction, or itself."""
    if old.shape == shape:
        return old
    made = blank(shape)
    made[tuple(slice(size) for size in old.shape)] = old
    return made
