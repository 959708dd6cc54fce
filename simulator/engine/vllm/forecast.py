"""What a router expects of a cluster, from the queue it sees, the profile, and the answers it has had."""

from __future__ import annotations

from math import inf, isnan, nan
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from numba import float64, int64

from simulator.engine.vllm.compiled import compiled, entry, machine_code
from simulator.engine.vllm.dispatch import has_room, pick_now
from simulator.engine.vllm.state import NONE, UNLIMITED, Records, State, record_of
from simulator.engine.vllm.step import beyond_s

if TYPE_CHECKING:
    from simulator.engine.arrival import Arrival
    from simulator.engine.vllm.fleet import Fleet
    from simulator.engine.vllm.plan import ReplicaPlan

#: Weight of the newest answer in the running mean of how long requests stay.
_NEWEST: Final = 0.05
_FEW: Final = 256

#: Requests of which it has not learned yet: how many, from which place on, of how many places; up to how many tokens it
#: can tell the time of a step; the mean stay, NaN before any answer.
FORECAST = record_of(i8="sent first room tokens", f8="stay_s")


class ForecastState(Records):
    """A forecast as compiled code sees it.

    Attributes:
        forecast: One `FORECAST`.
        rows: Requests that were sent, in a ring.
        dense_s: By tokens, seconds of the dense layers in a step; a step of a whole prompt may be longer than any.
        cluster: One `State`.
    """

    arrays: ClassVar[dict[str, tuple[Any, int]]] = {
        "forecast": (FORECAST, 1),
        "rows": (np.dtype("i8"), 1),
        "dense_s": (np.dtype("f8"), 1),
        "cluster": (State, 1),
    }


class Forecast:
    """Time to first token of a request that is sent to a cluster now.

    A request waits for the step under way, for the prompts before it, and for a seat and KV blocks where the cluster
    has no room: then one request after another must end, of those that run, each after the mean stay of the last
    answers. It knows no output length before an answer has ended.

    Args:
        fleet: The replicas.
        plan: What they are made of.

    Attributes:
        state: What compiled code works on.
    """

    def __init__(self, fleet: Fleet, plan: ReplicaPlan) -> None:
        self._fleet = fleet
        self._plan = plan
        about = np.zeros(1, FORECAST)
        about["room"], about["stay_s"] = _FEW, nan
        about["tokens"] = fleet.state.settings["max_num_batched_tokens"]
        self.state = ForecastState(
            forecast=about, rows=np.zeros(_FEW, np.int64), dense_s=fleet.state.dense_s, cluster=[fleet.state]
        )
        self._ttft_s, self._learn, self._note = codes()

    def sent(self, arrival: Arrival) -> None:
        """A request was sent there; its answer will tell something."""
        about = self.state.forecast[0]
        if about.sent == about.room:
            self.state.replace("rows", np.concatenate([self._rows, np.zeros(about.room, np.int64)]))
            about.first, about.room = 0, 2 * about.room
        self._note(self.state, arrival.index)

    @property
    def _rows(self) -> np.ndarray[Any, Any]:
        """What it has not learned of yet, in the order in which it was sent."""
        about = self.state.forecast[0]
        return np.roll(self.state.rows, -int(about.first))[: int(about.sent)]

    def first_pending(self, now_s: float) -> int:
        """The first row of which it has not learned yet, past all for none."""
        self._fleet.look(now_s)
        self._learn(self.state, now_s)
        return int(self._rows.min(initial=UNLIMITED))

    def ttft_s(self, arrival: Arrival, now_s: float) -> float:
        """Seconds from now; infinite while no replica is open."""
        replica = self._fleet.pick(arrival.index, now_s)
        while isnan(found_s := self._ttft_s(self.state, arrival.index, replica, now_s)):
            about, seqs = self.state.forecast[0], int(self._fleet.state.settings[0].max_num_seqs)
            about.tokens = 2 * about.tokens
            self.state.replace("dense_s", self._plan.step_time.table(seqs, int(about.tokens)).dense_s)
        return float(found_s)


@compiled
def ttft_s(f: ForecastState, row: int, now_s: float) -> float:
    """See `Forecast`; NaN for a prompt of which the time of a step is not known."""
    return ttft_on_s(f, row, pick_now(f.cluster[0], row, now_s), now_s)


@entry
def ttft_on_s(f: ForecastState, row: int, r: int, now_s: float) -> float:
    """Likewise, on a replica that is up to now."""
    s = f.cluster[0]
    if r == NONE:
        return inf
    learn(f, now_s)
    settings, rep = s.settings[0], s.replicas[r]
    prompt, most = int(s.prompt_tokens[row]), int(s.max_tokens[row])
    running, waiting = int(rep.running), int(rep.waiting + rep.inbox)
    kv_tokens = int(rep.decode_kv_tokens if settings.kinds else (settings.blocks - rep.free) * settings.block_size)
    decode_s = 0.0
    if running:
        batch = s.batches[running]
        decode_s = batch.decode_s + batch.decode_per_kv_token_s * kv_tokens - beyond_s(batch, kv_tokens)
    prompt_s = _mixed_s(f, max(0, running - 1), kv_tokens, prompt)
    if settings.encodes:
        prompt_s += s.encoder_s[s.workload[row]]
    queue_s = waiting * prompt_s
    if not has_room(s, r, prompt, most, 1.0):
        stay_s = f.forecast[0].stay_s
        # Before any answer the longest one that the client allows.
        mean_stay_s = most * decode_s if isnan(stay_s) else stay_s
        queue_s = max(queue_s, (waiting + 1) * mean_stay_s / max(1, running))
    there_s = settings.network_s + settings.frontend_base_s
    if settings.encodes:
        there_s += s.image_front_s[s.workload[row]]
    hosted_s = there_s + settings.frontend_per_prompt_token_s * prompt + settings.output_s
    return float(hosted_s + decode_s + queue_s + prompt_s)


@entry
def learn(f: ForecastState, now_s: float) -> None:
    """Take in the answers that have come, in the order in which the requests were sent."""
    about, s = f.forecast[0], f.cluster[0]
    while about.sent and s.ended_s[f.rows[about.first]] <= now_s:
        row = f.rows[about.first]
        about.first = (about.first + 1) % about.room
        about.sent -= 1
        stay_s = s.last_token_s[row] - s.scheduled_s[row]
        if not isnan(stay_s):
            before_s = stay_s if isnan(about.stay_s) else about.stay_s
            about.stay_s = before_s + _NEWEST * (stay_s - before_s)


@entry
def note(f: ForecastState, row: int) -> None:
    """A request is sent, and there is room to note it."""
    about = f.forecast[0]
    f.rows[(about.first + about.sent) % about.room] = row
    about.sent += 1


@compiled
def _mixed_s(f: ForecastState, decodes: int, kv_tokens: int, prompt: int) -> float:
    """Seconds of a step with so many decodes and a whole prompt; see `simulator.performance.step_time`."""
    s = f.cluster[0]
    settings, batch = s.settings[0], s.batches[decodes]
    if settings.linear:
        prompt_s = settings.linear_per_prefill_token_s * prompt
        return float(batch.decode_s + prompt_s + batch.decode_per_kv_token_s * (kv_tokens + prompt))
    if decodes + prompt > f.forecast[0].tokens:
        return nan
    pairs_s = settings.prefill_per_pair_s * (0.5 * prompt)
    seconds = settings.prefill_fixed_s + prompt * (settings.prefill_per_token_s + pairs_s)
    if decodes:
        seconds += batch.attention_s + batch.attention_per_kv_token_s * kv_tokens - beyond_s(batch, kv_tokens)
    return float(f.dense_s[decodes + prompt] + s.batches[decodes + 1].per_step_s + seconds)


def codes() -> tuple[Any, ...]:
    """The machine code of `ENTRIES`, compiled if need be."""
    arguments = {ttft_on_s: (int64, int64, float64), learn: (float64,), note: (int64,)}
    return tuple(machine_code(one, ForecastState, *given) for one, given in arguments.items())


#: What Python calls.
ENTRIES: Final = ttft_on_s, learn, note
