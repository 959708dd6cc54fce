"""A stand-in for vLLM's engine whose steps take a known time, on a clock of its own."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

from simulator.bench.measure import Started
from simulator.bench.step_log import LOG, LoggedStep
from simulator.bench.step_record import Machine

HOST_S = 2e-4
MACHINE = Machine(device="a fake", driver=None, vllm="0", torch="0", async_scheduling=False)


@dataclass
class Request:
    prompt: int
    computed: int
    left: int


class FakeEngine:
    """Every step computes all there is, and is logged as the real scheduler would be.

    Args:
        step_time: A step-time model.
        fails_after: Steps after which it dies.
    """

    def __init__(self, step_time, fails_after=10**9):
        self.step_time, self.fails_after = step_time, fails_after
        self.requests, self.now_s, self.steps = {}, 1.0, 0

    def add_request(self, key, prompt, parameters):
        context, outputs = parameters
        self.requests[key] = Request(len(prompt["prompt_token_ids"]), context, outputs)

    def has_unfinished_requests(self):
        return bool(self.requests)

    def abort_request(self, keys):
        for key in keys:
            self.requests.pop(key, None)

    def step(self):
        self.steps += 1
        if self.steps > self.fails_after:
            raise KeyboardInterrupt
        decodes = kv_tokens = 0
        chunks, ended = [], []
        for key, request in self.requests.items():
            new = max(1, request.prompt - request.computed)
            if new == 1:
                decodes, kv_tokens = decodes + 1, kv_tokens + request.computed + 1
            else:
                chunks.append((new, request.computed))
            request.computed += new
            request.left -= 1
            if not request.left:
                ended.append(SimpleNamespace(request_id=key, finished=True))
        began_s = self.now_s
        scheduled_s = began_s + HOST_S / 2
        done_s = scheduled_s + self.step_time.step_s(decodes, kv_tokens, chunks)
        self.now_s = done_s + HOST_S / 2
        LOG.append(LoggedStep(decodes, kv_tokens, tuple(sorted(chunks)), began_s, scheduled_s, done_s, self.now_s))
        self.abort_request([one.request_id for one in ended])
        return ended


def started(step_time, num_gpu_blocks=40_000, fails_after=10**9):
    engine = FakeEngine(step_time, fails_after)
    return Started(engine, lambda context, outputs: (context, outputs), num_gpu_blocks, MACHINE, 32_000)
