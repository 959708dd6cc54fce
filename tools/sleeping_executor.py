r"""An executor for vLLM that sleeps for a known time instead of computing: everything else of the server is real.

    PYTHONPATH=tools SLEEPING_STEP='{"base_s": 0.02, …}' vllm serve FOLDER \
        --distributed-executor-backend sleeping_executor.SleepingExecutor --num-gpu-blocks-override 2000

A step lasts `base_s + per_prefill_token_s x prompt tokens + per_decode_request_s x decodes + per_kv_token_s x context
after the step`. It runs on a thread of its own, as a GPU would, one step after another. Asynchronous scheduling, which
vLLM switches off without a GPU, is switched on again unless SLEEPING_SYNC is set.
"""

from __future__ import annotations

import json
import os
import queue
import threading
import time
from concurrent.futures import Future
from typing import Any

import torch
from vllm.v1.core.sched.output import SchedulerOutput
from vllm.v1.executor.abstract import Executor
from vllm.v1.kv_cache_interface import FullAttentionSpec
from vllm.v1.outputs import ModelRunnerOutput

#: A token id that the tokenizer of the server's model knows.
TOKEN = 7


class SleepingExecutor(Executor):
    """Keeps count of what each request has computed, and sleeps."""

    def _init_executor(self) -> None:
        self.scheduler_config.async_scheduling = not os.environ.get("SLEEPING_SYNC")
        self._step = json.loads(os.environ["SLEEPING_STEP"])
        self._prompt: dict[str, int] = {}
        self._sampled: dict[str, int] = {}
        self._computed: dict[str, int] = {}
        self._output: Future[Any] = Future()
        self._work: queue.SimpleQueue[tuple[float, Any, Future[Any]]] = queue.SimpleQueue()
        threading.Thread(target=self._device, daemon=True).start()

    def _device(self) -> None:
        """The GPU: one step after another, each for its time; a step that is there early starts at once."""
        free_s = 0.0
        while True:
            duration_s, output, future = self._work.get()
            free_s = max(free_s, time.perf_counter()) + duration_s
            while (left_s := free_s - time.perf_counter()) > 0:
                time.sleep(left_s)
            future.set_result(output)

    def execute_model(self, scheduler_output: SchedulerOutput, non_block: bool = False) -> Any:
        """Start a step; its tokens come from `sample_tokens`."""
        duration_s, output = self._compute(scheduler_output)
        self._output = Future()
        self._work.put((duration_s, output, self._output))
        if scheduler_output.total_num_scheduled_tokens == 0:
            return self._output if non_block else self._output.result()
        started: Future[None] = Future()
        started.set_result(None)
        return started if non_block else None

    def sample_tokens(self, grammar_output: Any, non_block: bool = False) -> Any:
        """The tokens of the step that was started last."""
        return self._output if non_block else self._output.result()

    def _compute(self, step: SchedulerOutput) -> tuple[float, ModelRunnerOutput]:
        for key in step.finished_req_ids:
            for known in (self._prompt, self._sampled, self._computed):
                known.pop(key, None)
        for new in step.scheduled_new_reqs:
            self._prompt[new.req_id] = len(new.prompt_token_ids or ())
            self._sampled[new.req_id] = 0
            self._computed[new.req_id] = new.num_computed_tokens
        cached = step.scheduled_cached_reqs
        for key, computed in zip(cached.req_ids, cached.num_computed_tokens, strict=True):
            self._computed[key] = computed
        keys = list(step.num_scheduled_tokens)
        prefill = decodes = context = 0
        tokens: list[list[int]] = []
        for key in keys:
            count, before = step.num_scheduled_tokens[key], self._computed[key]
            if count == 1 and before >= self._prompt[key]:
                decodes += 1
            else:
                prefill += count
            context += before + count
            done = before + count >= self._prompt[key] + self._sampled[key]
            self._sampled[key] += done
            tokens.append([TOKEN] if done else [])
        known = self._step
        duration_s = (
            known["base_s"] + known["per_prefill_token_s"] * prefill + known["per_decode_request_s"] * decodes
            + known["per_kv_token_s"] * context
        )  # fmt: skip
        index = {key: number for number, key in enumerate(keys)}
        output = ModelRunnerOutput(req_ids=keys, req_id_to_index=index, sampled_token_ids=tokens)
        return duration_s if keys else 0.0, output

    def collective_rpc(
        self, method: Any, timeout: Any = None, args: Any = (), kwargs: Any = None, non_block: bool = False
    ) -> Any:
        """What the engine asks of its workers, answered without any."""
        answer: dict[str, Any] = {
            "get_kv_cache_spec": {
                "layer.0": FullAttentionSpec(
                    block_size=self.cache_config.block_size or 16, num_kv_heads=2, head_size=64, dtype=torch.bfloat16
                )
            },
            "determine_available_memory": 8 << 30,
            "get_supported_kv_cache_layouts": ["NHD"],
            "get_supported_tasks": ("generate",),
        }
        if method == "compile_or_warm_up_model":
            return []
        result = [answer.get(method)]
        if non_block:
            future: Future[Any] = Future()
            future.set_result(result)
            return future
        return result

    def check_health(self) -> None:
        """Nothing can fail."""

    @classmethod
    def supports_async_scheduling(cls) -> bool:
        """Its steps are futures."""
        return True
