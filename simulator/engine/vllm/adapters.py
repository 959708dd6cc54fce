"""LoRA adapters of a replica: which requests may start beside those that run, and what they add to a step.

The rules are those of vLLM 0.33. Adapters of all running requests, scheduled in the step or not, have a slot on the
GPU each; a waiting request of another one is passed over while all slots are taken, keeps its place, and those behind
it may start (`v1/core/sched/scheduler.py`). An adapter that is in no slot is copied there from host memory in the step
that starts its first request, in place of the one that longest ago a request of was started and none runs of; one that
is not in host memory either is read from disk first. vLLM replaces the one that a step used longest ago.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simulator.engine.vllm.compiled import compiled
from simulator.engine.vllm.state import LORA, NONE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.engine.vllm.state import State


def set_adapters(s: State, adapters: Sequence[str | None]) -> None:
    """Number the adapters that workloads have; a prefix belongs to one workload, so that no two adapters share any."""
    names = sorted({name for name in adapters if name is not None})
    numbers = [NONE if name is None else names.index(name) for name in adapters]
    if names and not s.settings[0].max_loras:
        raise AssertionError("adapters for an engine without LoRA")
    s.settings[0].loras = len(names)
    s.replace("adapters", np.array(numbers, np.int64))
    s.replace("loras", np.zeros((len(s.replicas), len(names)), LORA))


@compiled
def may_start(s: State, r: int, slot: int) -> bool:
    """Whether the adapter of a waiting sequence, if any, has or can get a slot."""
    adapter = s.sequences[slot].adapter
    if adapter == NONE or s.loras[r, adapter].running:
        return True
    return bool(s.replicas[r].running_loras < s.settings[0].max_loras)


@compiled
def started(s: State, r: int, slot: int) -> None:
    """A sequence joins the running ones."""
    rep, adapter = s.replicas[r], s.sequences[slot].adapter
    if adapter == NONE:
        return
    lora = s.loras[r, adapter]
    if not lora.in_slot:
        if not lora.in_host:
            rep.step_reads += 1
            if rep.host_loras == s.settings[0].max_cpu_loras:
                _forget(s, r, True)
            lora.in_host = True
            rep.host_loras += 1
        rep.step_copies += 1
        if rep.slot_loras == s.settings[0].max_loras:
            _forget(s, r, False)
        lora.in_slot = True
        rep.slot_loras += 1
    rep.starts += 1
    lora.started = rep.starts
    if lora.running == 0:
        rep.running_loras += 1
    lora.running += 1


@compiled
def _forget(s: State, r: int, in_host: bool) -> None:
    """Give up the adapter that longest ago a request of was started, of those that nobody runs."""
    rep, found = s.replicas[r], NONE
    for adapter in range(s.settings[0].loras):
        lora = s.loras[r, adapter]
        here = lora.in_host if in_host else lora.in_slot
        if here and not lora.running and (found == NONE or lora.started < s.loras[r, found].started):
            found = adapter
    lora = s.loras[r, found]
    if lora.in_slot:
        lora.in_slot = False
        rep.slot_loras -= 1
    if in_host:
        lora.in_host = False
        rep.host_loras -= 1


@compiled
def stopped(s: State, r: int, slot: int) -> None:
    """A sequence leaves the running ones."""
    adapter = s.sequences[slot].adapter
    if adapter == NONE:
        return
    lora = s.loras[r, adapter]
    lora.running -= 1
    if lora.running == 0:
        s.replicas[r].running_loras -= 1


@compiled
def count_decoding(s: State, r: int, slot: int, more: int) -> None:
    """A sequence starts or stops to decode: 1 or -1."""
    rep, adapter = s.replicas[r], s.sequences[slot].adapter
    if adapter == NONE:
        return
    lora = s.loras[r, adapter]
    before = lora.decoding
    lora.decoding += more
    rep.lora_decodes += more
    if before == 0 or lora.decoding == 0:
        rep.decoding_loras += more


@compiled
def begin_step(s: State, r: int) -> None:
    """The step being made computes a token for every decoding sequence."""
    rep = s.replicas[r]
    rep.step_loras, rep.step_lora_tokens = rep.decoding_loras, rep.lora_decodes
    for adapter in range(s.settings[0].loras):
        s.loras[r, adapter].in_step = s.loras[r, adapter].decoding > 0


@compiled
def count_chunk(s: State, r: int, slot: int, tokens: int) -> None:
    """It computes so many tokens of a prompt as well."""
    rep, adapter = s.replicas[r], s.sequences[slot].adapter
    if adapter == NONE:
        return
    rep.step_lora_tokens += tokens
    if not s.loras[r, adapter].in_step:
        s.loras[r, adapter].in_step = True
        rep.step_loras += 1


@compiled
def decodes_s(s: State, r: int) -> float:
    """Seconds that adapters add to a step of the decoding sequences alone."""
    return _added_s(s, s.replicas[r].lora_decodes, s.replicas[r].decoding_loras)


@compiled
def step_added_s(s: State, r: int) -> float:
    """Seconds that they add to the step that `schedule` made, copies and reads included."""
    rep, settings = s.replicas[r], s.settings[0]
    moved_s = rep.step_copies * settings.lora_copy_s + rep.step_reads * settings.lora_read_s
    return float(_added_s(s, rep.step_lora_tokens, rep.step_loras) + moved_s)


@compiled
def _added_s(s: State, tokens: int, loras: int) -> float:
    settings = s.settings[0]
    if not tokens:
        return 0.0
    return float(settings.lora_step_s + tokens * settings.lora_token_s + loras * settings.lora_adapter_s)
