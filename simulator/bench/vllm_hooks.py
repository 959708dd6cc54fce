# ruff: noqa: ANN401 (the signatures are vLLM's)
"""What `bench measure` puts into vLLM: a scheduler that keeps a log, and a connector that stages contexts.

Imported by vLLM alone, inside its process. With the connector a request may start at any context without computing
it, so that any step can be staged; the idea is that of vLLM's own `DecodeBenchConnector`, which knows decodes only.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from vllm.distributed.kv_transfer.kv_connector.v1 import KVConnectorBase_V1
from vllm.distributed.kv_transfer.kv_connector.v1.base import KVConnectorMetadata
from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.core.sched.scheduler import Scheduler

from simulator.bench.step_log import LOG, NUM_GPU_BLOCKS, LoggedStep

if TYPE_CHECKING:
    import torch


class _Logging:
    """Notes what each step holds, when it was scheduled, and when its tokens came."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        NUM_GPU_BLOCKS[:] = [self.kv_cache_config.num_blocks]  # type: ignore[attr-defined]
        # By identity: a step travels to worker processes, and nothing may ride along.
        self._open: dict[int, LoggedStep] = {}

    def schedule(self, *args: Any, **kwargs: Any) -> Any:
        """Schedule a step and note it."""
        began_s = time.perf_counter()
        output = super().schedule(*args, **kwargs)  # type: ignore[misc]
        scheduled_s = time.perf_counter()
        before = {new.req_id: new.num_computed_tokens for new in output.scheduled_new_reqs}
        cached = output.scheduled_cached_reqs
        before.update(zip(cached.req_ids, cached.num_computed_tokens, strict=True))
        decodes = kv_tokens = 0
        chunks = []
        for key, count in output.num_scheduled_tokens.items():
            if count == 1:
                decodes += 1
                kv_tokens += before[key] + 1
            else:
                chunks.append((count, before[key]))
        step = LoggedStep(decodes, kv_tokens, tuple(sorted(chunks)), began_s, scheduled_s)
        LOG.append(step)
        self._open[id(output)] = step
        return output

    def update_from_output(self, scheduler_output: Any, model_runner_output: Any) -> Any:
        """Note when the tokens came, and take them in."""
        step = self._open.pop(id(scheduler_output))
        step.done_s = time.perf_counter()
        outputs = super().update_from_output(scheduler_output, model_runner_output)  # type: ignore[misc]
        step.taken_in_s = time.perf_counter()
        return outputs


class LoggingScheduler(_Logging, Scheduler):  # type: ignore[misc]
    """vLLM's scheduler, with a log."""


class LoggingAsyncScheduler(_Logging, AsyncScheduler):  # type: ignore[misc]
    """vLLM's asynchronous scheduler, with a log; another base would switch asynchronous scheduling off."""


class _Nothing(KVConnectorMetadata):  # type: ignore[misc]
    """No data moves."""


class StagingConnector(KVConnectorBase_V1):  # type: ignore[misc]
    """Says of a request's first `context_tokens` tokens that they are there already."""

    def get_num_new_matched_tokens(self, request: Any, num_computed_tokens: int) -> tuple[int, bool]:
        """Tokens of context that the request was staged with."""
        staged: dict[str, int] = request.kv_transfer_params or {}
        return max(0, staged.get("context_tokens", 0) - num_computed_tokens), False

    def update_state_after_alloc(self, request: Any, blocks: Any, num_external_tokens: int) -> None:
        """Nothing to load."""

    def build_connector_meta(self, scheduler_output: Any) -> KVConnectorMetadata:  # noqa: ARG002
        """Nothing to tell the worker."""
        return _Nothing()

    def register_kv_caches(self, kv_caches: dict[str, torch.Tensor]) -> None:
        """Fill the blocks once: a GPU clocks higher when it multiplies zeros."""
        for cache in kv_caches.values():
            if cache.is_floating_point():
                for part in cache:
                    part.normal_(0.0, 0.02)

    def start_load_kv(self, forward_context: Any, **kwargs: Any) -> None:
        """Nothing to load."""

    def wait_for_layer_load(self, layer_name: str) -> None:
        """Nothing to wait for."""

    def save_kv_layer(self, layer_name: str, kv_layer: Any, attn_metadata: Any, **kwargs: Any) -> None:
        """Nothing to save."""

    def wait_for_save(self) -> None:
        """Nothing to wait for."""
