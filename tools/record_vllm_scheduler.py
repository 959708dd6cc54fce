"""Record schedules of the real vLLM scheduler on a virtual clock, without a GPU or a model.

    python tools/record_vllm_scheduler.py TARGET_FOLDER [--cases N] [--seed S] [--aborts | --levels | --turns] [--nasty] [--lora]

Needs vLLM's Python files (0.33.0) and a CPU build of PyTorch; none of its compiled code. Each case is a random or a
nasty hand-made workload, written in the recorded-run format that `simulator bench conform` reads. The loop around the
scheduler is that of vLLM's engine core (`v1/engine/core.py`, `step` and `step_with_batch_queue`), with a step time
that is linear in its tokens and context.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import tempfile
from collections import deque
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")

import numpy as np
import torch
import vllm
from vllm.config import (
    CacheConfig,
    LoRAConfig,
    ModelConfig,
    ParallelConfig,
    SchedulerConfig,
    SpeculativeConfig,
    VllmConfig,
)
from vllm.lora.request import LoRARequest
from vllm.sampling_params import SamplingParams
from vllm.utils.hashing import get_hash_fn_by_name
from vllm.v1.core.kv_cache_utils import get_request_block_hasher, init_none_hash, resolve_kv_cache_block_sizes
from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.kv_cache_interface import (
    ChunkedLocalAttentionSpec,
    FullAttentionSpec,
    KVCacheConfig,
    KVCacheGroupSpec,
    KVCacheSpec,
    MambaSpec,
    SlidingWindowSpec,
)
from vllm.v1.outputs import DraftTokenIds, ModelRunnerOutput
from vllm.v1.request import Request, RequestStatus
from vllm.v1.structured_output import StructuredOutputManager

from simulator.engine.vllm.acceptance import accepted, streams

MODEL = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 256, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64, "intermediate_size": 512, "vocab_size": 32000,
    "max_position_embeddings": 131072, "torch_dtype": "bfloat16", "rms_norm_eps": 1e-5,
}  # fmt: skip


def scheduler_for(config: dict[str, Any], model: str) -> Scheduler:
    """The real scheduler, for these settings."""
    model_config = ModelConfig(model=model, skip_tokenizer_init=True, max_model_len=config["max_model_len"])
    scheduler_config = SchedulerConfig(
        max_num_seqs=config["max_num_seqs"],
        max_num_batched_tokens=config["max_num_batched_tokens"],
        max_model_len=config["max_model_len"],
        is_encoder_decoder=False,
        enable_chunked_prefill=config["chunked_prefill"],
        policy=config["policy"],
        long_prefill_token_threshold=config["long_prefill_token_threshold"],
        scheduler_reserve_full_isl=config["reserve_full_isl"],
        watermark=config["watermark"],
    )
    cache_config = CacheConfig(block_size=config["block_size"], enable_prefix_caching=config["prefix_caching"])
    cache_config.num_gpu_blocks = config["num_gpu_blocks"]
    drafts = config.get("speculative")
    whole = VllmConfig(
        model_config=model_config,
        scheduler_config=scheduler_config,
        cache_config=cache_config,
        speculative_config=None if drafts is None else drafting(drafts, model_config),
        lora_config=None if config.get("max_loras") is None else LoRAConfig(max_loras=config["max_loras"]),
    )
    if drafts is not None:
        # A drafter of its own would have to be loaded; the scheduler asks for nothing of it but its kind.
        whole.speculative_config.method = drafts["method"]
    whole.scheduler_config.async_scheduling = config["async_scheduling"]
    groups = config.get("groups") or [{"kind": "full", "block_size": config["block_size"]}]
    kv = KVCacheConfig(
        num_blocks=config["num_gpu_blocks"],
        kv_cache_tensors=[],
        kv_cache_groups=[
            KVCacheGroupSpec([f"layer.{number}"], spec_of(group, config["max_model_len"]))
            for number, group in enumerate(groups)
        ],
    )
    block_size, hash_block_size = resolve_kv_cache_block_sizes(kv, whole)
    kind = AsyncScheduler if config["async_scheduling"] else Scheduler
    return kind(
        vllm_config=whole,
        kv_cache_config=kv,
        structured_output_manager=StructuredOutputManager(whole),
        block_size=block_size,
        hash_block_size=hash_block_size,
        log_stats=True,
    )


def drafting(drafts: dict[str, Any], model_config: ModelConfig) -> SpeculativeConfig:
    """Speculative decoding without a drafter to load."""
    return SpeculativeConfig(
        method="ngram",
        num_speculative_tokens=drafts["num_speculative_tokens"],
        prompt_lookup_max=2,
        target_model_config=model_config,
        target_parallel_config=ParallelConfig(),
    )


def spec_of(group: dict[str, Any], max_model_len: int) -> KVCacheSpec:
    """What the layers of a group keep."""
    common = {
        "block_size": group["block_size"], "num_kv_heads": 2, "head_size": 64, "dtype": torch.bfloat16
    }  # fmt: skip
    if group["kind"] == "window":
        return SlidingWindowSpec(**common, sliding_window=group["span"])
    if group["kind"] == "chunk":
        return ChunkedLocalAttentionSpec(**common, attention_chunk_size=group["span"])
    if group["kind"] == "state":
        # Without prefix caching a state is kept once, for requests of any length.
        return MambaSpec(block_size=max_model_len, shapes=((64,),), dtypes=(torch.bfloat16,))
    return FullAttentionSpec(**common)


def adapter_of(entry: dict[str, Any]) -> LoRARequest | None:
    """The LoRA adapter of a request; vLLM numbers them from 1."""
    if entry.get("adapter") is None:
        return None
    name = f"adapter-{entry['adapter']}"
    return LoRARequest(lora_name=name, lora_int_id=1 + entry["adapter"], lora_path=f"/adapters/{name}")


def prompt_ids(index: int, entry: dict[str, Any]) -> list[int]:
    """Token ids: those of the prefixes that its prefix begins with, then of that one, then of its own."""
    prefix = prefix_ids(entry)[: entry["prompt_len"]]
    own = random.Random(index)
    return prefix + [own.randrange(5000, 31000) for _ in range(entry["prompt_len"] - len(prefix))]


def prefix_ids(entry: dict[str, Any]) -> list[int]:
    """Token ids of a request's prefix, which may go on in its answer."""
    shared = entry.get("prefix_len", 0)
    prefix: list[int] = []
    for identity, tokens in (*entry.get("outer", ()), (entry.get("prefix_id", 0), shared)):
        prefix += [1000 + identity] * (min(tokens, shared) - len(prefix))
    return prefix


class Run:
    """One recorded run."""

    def __init__(self, case: dict[str, Any], model: str) -> None:
        self.case = case
        self.config = case["config"]
        self.time = case["step_time"]
        self.scheduler = scheduler_for(self.config, model)
        self.steps: list[dict[str, Any]] = []
        self.now = 0.0
        self.gpu_free = 0.0
        inputs = case["inputs"]
        # A turn of a conversation comes when the one before it is over: then its moments are filled in.
        self.next_turn = {entry["after"]: i for i, entry in enumerate(inputs) if "after" in entry}
        begun = [i for i in range(len(inputs)) if "after" not in inputs[i]]
        self.pending = deque(sorted(begun, key=lambda i: inputs[i]["arrival"]))
        self.aborts = deque(sorted((i for i in begun if "abort" in inputs[i]), key=lambda i: inputs[i]["abort"]))
        self.rows = [
            {"idx": i, "arrival": entry["arrival"], "queue": None, "ttft": None, "finish": None, "cached_tokens": 0,
             "preemptions": 0, "token_times": []}
            for i, entry in enumerate(case["inputs"])
        ]  # fmt: skip
        self.hasher = None
        if self.config["prefix_caching"]:
            self.hasher = get_request_block_hasher(
                self.config["block_size"],
                get_hash_fn_by_name("sha256"),
                num_hash_lookahead_tokens=self.scheduler.num_hash_lookahead_tokens,
            )
        self.drafts = self.config.get("speculative") or {"num_speculative_tokens": 0, "acceptance_rates": []}
        self.streams = self.draws()
        self.verified = [0] * len(inputs)

    def draws(self) -> list[int]:
        """What the accepted drafts of each request are drawn from."""
        columns = (
            np.array([one[name] for one in self.case["inputs"]]) for name in ("arrival", "prompt_len", "output_len")
        )
        found: list[int] = streams(*columns).tolist()
        return found

    def answer(self, index: int, known: int, tokens: int) -> list[int]:
        """Sampled tokens: as far as its prefix goes, those that the next prompt has there."""
        said = prefix_ids(self.case["inputs"][index])[known : known + tokens]
        return said + [100 + index] * (tokens - len(said))

    def goes_on(self, index: int) -> None:
        """A request is over: the next turn of its conversation comes."""
        following = self.next_turn.pop(index, None)
        if following is None:
            return
        entry = self.case["inputs"][following]
        del entry["after"]
        waits_s, entry["arrival"] = entry["arrival"], round(self.now + entry["arrival"], 6)
        self.rows[following]["arrival"] = entry["arrival"]
        if "abort" in entry:
            entry["abort"] = round(entry["abort"] - waits_s + entry["arrival"], 6)
            self.aborts = deque(sorted([*self.aborts, following], key=lambda i: self.case["inputs"][i]["abort"]))
        self.pending = deque(sorted([*self.pending, following], key=lambda i: self.case["inputs"][i]["arrival"]))
        self.streams = self.draws()

    def take_in(self) -> None:
        """Hand over what has arrived."""
        while self.pending and self.case["inputs"][self.pending[0]]["arrival"] <= self.now:
            index = self.pending.popleft()
            entry = self.case["inputs"][index]
            request = Request(
                request_id=f"{index:06d}",
                prompt_token_ids=prompt_ids(index, entry),
                sampling_params=SamplingParams(max_tokens=entry["output_len"], ignore_eos=True, temperature=0.0),
                pooling_params=None,
                arrival_time=entry["arrival"],
                priority=entry.get("priority", 0),
                block_hasher=self.hasher,
                lora_request=adapter_of(entry),
            )
            self.scheduler.add_request(request)
        while self.aborts and self.case["inputs"][self.aborts[0]]["abort"] <= self.now:
            key = f"{self.aborts.popleft():06d}"
            if key in self.scheduler.requests:
                self.scheduler.finish_requests(key, RequestStatus.FINISHED_ABORTED)
                self.goes_on(int(key))

    def schedule(self) -> tuple[Any, dict[str, Any] | None]:
        """One scheduling pass and the step it makes."""
        output = self.scheduler.schedule()
        for new in output.scheduled_new_reqs:
            row = self.rows[int(new.req_id)]
            row["queue"] = self.now - row["arrival"]
            row["cached_tokens"] = new.num_computed_tokens
        for key in output.preempted_req_ids or ():
            self.rows[int(key)]["preemptions"] += 1
        if not output.total_num_scheduled_tokens:
            return output, None
        items, prefill, decodes, context = [], 0, 0, 0
        for key, tokens in output.num_scheduled_tokens.items():
            request = self.scheduler.requests[key]
            start = request.num_computed_tokens - tokens
            items.append([int(key), tokens, start])
            context += start + tokens
            if start >= request.num_prompt_tokens and tokens <= 1 + self.drafts["num_speculative_tokens"]:
                decodes += 1
                prefill += tokens - 1
            else:
                prefill += tokens
        time = self.time
        duration = (
            time["base_s"] + time["per_prefill_token_s"] * prefill + time["per_decode_request_s"] * decodes
            + time["per_kv_token_s"] * context
        )  # fmt: skip
        start_s = max(self.now + self.config["overhead"], self.gpu_free)
        self.gpu_free = start_s + duration
        pool = self.scheduler.kv_cache_manager.block_pool
        step = {
            "step": len(self.steps), "t_sched": self.now, "start": start_s, "end": self.gpu_free, "items": items,
            "preempted": sorted(int(key) for key in output.preempted_req_ids or ()),
            "running": len(self.scheduler.running), "waiting": len(self.scheduler.waiting),
            "used_blocks": self.config["num_gpu_blocks"] - 1 - pool.get_num_free_blocks(),
        }  # fmt: skip
        self.steps.append(step)
        return output, step

    def take_out(self, output: Any, step: dict[str, Any] | None) -> None:
        """Give the sampled tokens back to the scheduler."""
        if step is None:
            keys: list[str] = []
        else:
            keys = [f"{index:06d}" for index, _, _ in step["items"]]
        sampled = []
        for key in keys:
            request = self.scheduler.requests.get(key)
            if request is None:
                sampled.append([100 + int(key)])
                continue
            done = self.samples[id(step)][key]
            new = 1 + self.kept(output, key) if done else 0
            sampled.append(self.answer(int(key), request.num_tokens, new))
            if done:
                row = self.rows[int(key)]
                row["token_times"] += [self.now] * min(new, request.max_tokens - len(row["token_times"]))
                if row["ttft"] is None:
                    row["ttft"] = self.now - row["arrival"]
                if len(row["token_times"]) == request.max_tokens:
                    row["finish"] = self.now
                    self.goes_on(int(key))
        result = ModelRunnerOutput(
            req_ids=keys, req_id_to_index={key: n for n, key in enumerate(keys)}, sampled_token_ids=sampled
        )
        self.scheduler.update_from_output(output, result)
        if step is not None and self.drafts["num_speculative_tokens"] and not self.config["async_scheduling"]:
            drafted = [[7] * self.drafts["num_speculative_tokens"] for _ in keys]
            self.scheduler.update_draft_token_ids(DraftTokenIds(keys, drafted))

    def kept(self, output: Any, key: str) -> int:
        """Drafts of a request that are accepted; those of one that has just been admitted are empty."""
        tokens = output.scheduled_spec_decode_tokens.get(key, ())
        admitted = {new.req_id for new in output.scheduled_new_reqs} | output.scheduled_cached_reqs.resumed_req_ids
        if not tokens or key in admitted:
            return 0
        index = int(key)
        self.verified[index] += 1
        rates = self.drafts["acceptance_rates"]
        return min(len(tokens), accepted(rates, self.streams[index], self.verified[index] - 1))

    def play(self) -> dict[str, Any]:
        """Run to the end."""
        self.samples: dict[int, dict[str, bool]] = {}
        depth = 2 if self.config["async_scheduling"] else 1
        queue: deque[tuple[Any, dict[str, Any] | None]] = deque()
        while True:
            if not queue and not self.scheduler.has_requests():
                if not self.pending:
                    break
                self.now = max(self.now, self.case["inputs"][self.pending[0]]["arrival"])
            self.take_in()
            if self.scheduler.has_requests():
                output, step = self.schedule()
                if step is not None:
                    keys = [f"{index:06d}" for index, _, _ in step["items"]]
                    self.samples[id(step)] = {key: not self.scheduler.requests[key].is_prefill_chunk for key in keys}
                queue.append((output, step))
                first = queue[0][1]
                if step is not None and len(queue) < depth and first is not None and first["end"] > self.now:
                    self.now += self.config["overhead"]
                    continue
            output, step = queue.popleft()
            if step is not None:
                self.now = max(self.now, step["end"])
            self.take_out(output, step)
        return {
            "vllm_version": vllm.__version__, "config": self.config, "step_time": self.time,
            "inputs": self.case["inputs"], "steps": self.steps, "requests": self.rows,
        }  # fmt: skip


def random_case(rng: random.Random) -> dict[str, Any]:
    """A random workload under random settings."""
    size = rng.choice([8, 16])
    longest = rng.choice([96, 256, 1024])
    seqs = rng.choice([1, 2, 4, 8, 16, 32])
    caching = rng.random() < 0.6
    blocks = max(-(-longest // size) + 2, rng.randint(8, 60) * max(1, longest // 128))
    config = {
        "max_model_len": longest, "max_num_seqs": seqs, "max_num_batched_tokens": max(rng.choice([16, 64, 200, 512]), seqs),
        "num_gpu_blocks": blocks, "block_size": size, "prefix_caching": caching, "chunked_prefill": True,
        "policy": rng.choice(["fcfs", "fcfs", "priority"]),
        "long_prefill_token_threshold": rng.choice([0, 0, 0, 24]), "reserve_full_isl": rng.random() < 0.8,
        "watermark": rng.choice([0.0, 0.0, 0.0, 0.05]),
        "async_scheduling": rng.random() < 0.5, "overhead": 0.0,
    }  # fmt: skip
    inputs, at = [], 0.0
    pace = rng.choice([0.002, 0.02, 0.1])
    for _ in range(rng.randint(5, 60)):
        at += rng.expovariate(1 / pace) if rng.random() < 0.9 else 0.0
        prompt = rng.randint(1, longest // 2)
        entry = {"arrival": round(at, 6), "prompt_len": prompt, "output_len": rng.randint(1, longest // 3)}
        if config["policy"] == "priority":
            entry["priority"] = rng.randint(1, 3)
        if caching and rng.random() < 0.7:
            entry["prefix_id"] = rng.randint(0, 3)
            entry["prefix_len"] = rng.randint(1, prompt)
            if rng.random() < 0.3:
                entry["prefix_len"] = entry["prompt_len"] = max(size, prompt // size * size)
        inputs.append(entry)
    step_time = {
        "base_s": 0.007, "per_prefill_token_s": 1.1e-5, "per_decode_request_s": 1.3e-4, "per_kv_token_s": 1.7e-8
    }  # fmt: skip
    return {"config": config, "step_time": step_time, "inputs": inputs}


def with_groups(case: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """The same workload for a model whose layers keep different things."""
    config = dict(case["config"])
    size, longest = config["block_size"], config["max_model_len"]

    def group(kind: str) -> dict[str, Any]:
        made: dict[str, Any] = {"kind": kind, "block_size": size}
        if kind == "window":
            made["span"] = rng.choice([2, size, size + 1, 2 * size, 3 * size - 5, 128, longest // 3])
        if kind == "chunk":
            made["span"] = size * rng.randint(1, 6)
        if kind != "state" and not config["prefix_caching"]:
            made["block_size"] *= rng.choice([1, 1, 2])
        return made

    kinds = ["window", "chunk"] if config["prefix_caching"] else ["window", "window", "chunk", "state"]
    groups = [group("full")] * rng.choice([0, 1, 1, 1, 2])
    for _ in range(1 if groups else 2):
        groups += [group(rng.choice(kinds))] * rng.choice([1, 1, 2, 5])
        if rng.random() < 0.7:
            break
    if all(one["kind"] == "state" for one in groups):
        groups.append(group("full"))
    if len(groups) == 1:
        config["block_size"] = groups[0]["block_size"]
    config["groups"] = groups
    # One request of the greatest length must fit, as vLLM asks at its start.
    batches = 2 if config["async_scheduling"] else 1
    in_flight = batches * config["max_num_batched_tokens"]
    least = sum(
        spec_of(one, longest).max_admission_blocks_per_request(in_flight, longest)
        if one["kind"] in ("window", "chunk")
        else (1 if one["kind"] == "state" else -(-longest // one["block_size"]))
        for one in groups
    )
    config["num_gpu_blocks"] = least + 1 + rng.choice([0, 1, 5, least // 2, 2 * least, 6 * least])
    return case | {"config": config}


def with_drafts(case: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """The same workload with speculative decoding."""
    tokens = rng.randint(1, 6)
    rates = sorted((rng.choice([0.0, 1.0, rng.random(), rng.random()]) for _ in range(tokens)), reverse=True)
    method = rng.choice(["ngram", "eagle3", "mtp", "draft_model"])
    config = dict(case["config"])
    config["speculative"] = {"method": method, "num_speculative_tokens": tokens, "acceptance_rates": rates}
    config["max_num_batched_tokens"] = max(config["max_num_batched_tokens"], tokens + 2)
    return case | {"config": config}


def with_levels(case: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """The same workload with prefixes that begin with others: a tree, of which requests share any beginning."""
    tree: dict[int, list[tuple[int, int]]] = {}
    longest = case["config"]["max_model_len"]
    for identity in range(rng.randint(2, 10)):
        outer: list[tuple[int, int]] = []
        if identity and rng.random() < 0.8:
            parent = rng.randrange(identity)
            above = tree[parent][-1][1] if tree[parent] else 0
            outer = [*tree[parent], (parent, above + rng.randint(1, max(1, longest // 6)))]
        tree[identity] = outer
    inputs = []
    for entry in case["inputs"]:
        identity = rng.choice(list(tree))
        above = tree[identity][-1][1] if tree[identity] else 0
        shared = min(above + rng.randint(1, max(1, longest // 6)), entry["prompt_len"])
        plain = {key: value for key, value in entry.items() if not key.startswith("prefix")}
        nested = {"prefix_id": identity, "prefix_len": shared, "outer": tree[identity]}
        inputs.append(plain | nested if rng.random() < 0.9 else plain)
    return case | {"inputs": inputs, "config": case["config"] | {"prefix_caching": True}}


def with_turns(case: dict[str, Any], rng: random.Random, *, nested: bool = False) -> dict[str, Any]:
    """Conversations: each prompt has all that was said before it in it, thoughts excepted.

    Args:
        case: Whose settings and arrivals are used.
        rng: Random numbers.
        nested: Whether conversations begin with a prompt that others have too.
    """
    longest = case["config"]["max_model_len"]
    inputs: list[dict[str, Any]] = []
    for number, first in enumerate(case["inputs"][: rng.randint(2, 25)]):
        outer = [[number % 3, rng.choice([8, 16, 40])]] if nested else []
        prompt, after = first["prompt_len"] // rng.choice([1, 3, 8]) + 1, None
        # What it shares with other conversations is said before the first answer.
        prompt += sum(tokens for _, tokens in outer)
        pace_s = rng.choice([0.0013, 0.02, 0.3])
        for _ in range(rng.randint(1, 8)):
            output = rng.randint(1, max(1, longest // rng.choice([4, 8, 24])))
            if prompt + output > longest:
                break
            thinks = rng.random() < 0.15
            entry = first | {
                "prompt_len": prompt, "output_len": output, "prefix_id": 10 + number, "outer": outer,
                "prefix_len": prompt + (0 if thinks else output),
            }  # fmt: skip
            if after is not None:
                entry |= {"after": after, "arrival": pace_s * (1 + rng.random())}
            after = len(inputs)
            inputs.append(entry)
            prompt += rng.randint(0, output) if thinks else output
            prompt += rng.randint(1, 40)
    return case | {"inputs": inputs, "config": case["config"] | {"prefix_caching": True}}


def with_adapters(case: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """The same workload with LoRA adapters, for too many of which there is a slot, or just enough."""
    many = rng.choice([1, 2, 3, 6, 20])
    own = rng.choice([0.5, 0.9, 1.0])
    config = case["config"] | {"max_loras": rng.choice([1, 1, 2, 3, many])}
    inputs = [entry | ({"adapter": rng.randrange(many)} if rng.random() < own else {}) for entry in case["inputs"]]
    return case | {"config": config, "inputs": inputs}


def with_aborts(case: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """The same workload with clients that give up: some while they wait, some while they read."""
    inputs = []
    for entry in case["inputs"]:
        patience_s = rng.choice([0.0, 0.004, 0.03, 0.2, 1.0]) * rng.random()
        inputs.append(entry | {"abort": round(entry["arrival"] + patience_s, 6)} if rng.random() < 0.4 else entry)
    return case | {"inputs": inputs}


def plain(count: int, gap_s: float, prompt_len: int, output_len: int, **more: int) -> list[dict[str, Any]]:
    """Equal requests at equal gaps."""
    return [
        {"arrival": round(n * gap_s, 6), "prompt_len": prompt_len, "output_len": output_len, **more}
        for n in range(count)
    ]


def nasty_cases() -> dict[str, dict[str, Any]]:
    """Workloads made to hurt, each synchronous and asynchronous."""
    base = {
        "max_model_len": 512, "max_num_seqs": 16, "max_num_batched_tokens": 64, "num_gpu_blocks": 40, "block_size": 16,
        "prefix_caching": True, "chunked_prefill": True, "policy": "fcfs", "long_prefill_token_threshold": 0,
        "reserve_full_isl": True, "watermark": 0.0, "overhead": 0.0,
    }  # fmt: skip
    whole = {"chunked_prefill": False, "max_num_batched_tokens": 512, "num_gpu_blocks": 90}
    shared = {"prefix_id": 0, "prefix_len": 64}
    ranks = [entry | {"priority": 3 - n % 3} for n, entry in enumerate(plain(12, 0.03, 70, 60))]
    evicted = [
        {"arrival": round(n * 0.05, 6), "prompt_len": 200, "output_len": 8, "prefix_id": n % 4, "prefix_len": 180}
        for n in range(16)
    ]
    gone = [
        entry | ({"abort": round(entry["arrival"] + 0.02 * n, 6)} if n % 2 else {})
        for n, entry in enumerate(plain(24, 0.011, 90, 40, **shared))
    ]
    # A client gives up in its second step with the third in flight; one comes during that, and one just after.
    after = [
        entry
        for n in range(20)
        for entry in (
            {"arrival": round(0.1 * n, 6), "prompt_len": 10, "output_len": 6, "abort": round(0.1 * n + 0.012, 6)},
            {"arrival": round(0.1 * n + 0.02, 6), "prompt_len": 10, "output_len": 1},
            {"arrival": round(0.1 * n + 0.0225 + 0.0001 * n, 6), "prompt_len": 10, "output_len": 1},
        )
    ]
    behind = {"overhead": 0.0013, "prefix_caching": False, "max_num_seqs": 2}
    no_luck = {"speculative": {"method": "ngram", "num_speculative_tokens": 1, "acceptance_rates": [0.0]}}
    cases: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
        "tiny_cache": ({"num_gpu_blocks": 33, "prefix_caching": False}, plain(10, 0.01, 40, 90)),
        "one_giant_prompt": ({}, [*plain(1, 0.0, 480, 20), *plain(8, 0.013, 20, 30)]),
        "giant_prompt_threshold": (
            {"long_prefill_token_threshold": 24, "prefix_caching": False},
            [*plain(1, 0.0, 400, 20), *plain(8, 0.013, 20, 30)],
        ),
        "prefix_at_once": ({"max_num_batched_tokens": 512}, plain(6, 0.0, 100, 20, **shared)),
        "prompt_is_the_prefix": ({"num_gpu_blocks": 90}, plain(8, 0.02, 64, 20, **shared)),
        "prefixes_evicted": ({"num_gpu_blocks": 36}, evicted),
        "priorities": ({"policy": "priority", "prefix_caching": False, "num_gpu_blocks": 34}, ranks),
        "priorities_unheeded": (
            {"max_num_seqs": 4},
            [entry | {"priority": 3 - n % 3} for n, entry in enumerate(plain(12, 0.0, 70, 20))],
        ),
        "burst": ({"max_num_seqs": 8, "num_gpu_blocks": 60}, plain(30, 0.0, 33, 17)),
        "watermark": ({"watermark": 0.1, "num_gpu_blocks": 36}, plain(10, 0.01, 40, 70)),
        "first_chunk_only": ({"reserve_full_isl": False, "num_gpu_blocks": 36}, plain(8, 0.01, 200, 20)),
        "whole_prompts": (whole, plain(14, 0.004, 230, 25)),
        "whole_prompts_prefix": (whole, plain(14, 0.004, 230, 25, prefix_id=0, prefix_len=120)),
        "host_overhead": ({"overhead": 0.0013, "num_gpu_blocks": 60}, plain(16, 0.011, 60, 25)),
        "clients_give_up": ({"num_gpu_blocks": 34, "max_num_seqs": 6}, gone),
        "behind_an_abort": (behind, after),
        "behind_an_abort_drafts": (behind | no_luck, after),
        "single_tokens": ({"max_num_seqs": 3}, plain(20, 0.004, 1, 1)),
    }
    step_time = {
        "base_s": 0.007, "per_prefill_token_s": 1.1e-5, "per_decode_request_s": 1.3e-4, "per_kv_token_s": 1.7e-8
    }  # fmt: skip
    return {
        f"{name}_{'async' if asynchronous else 'sync'}": {
            "config": base | change | {"async_scheduling": asynchronous}, "step_time": step_time, "inputs": inputs
        }
        for name, (change, inputs) in cases.items()
        for asynchronous in (False, True)
    }  # fmt: skip


def main() -> None:
    """Record cases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path)
    parser.add_argument("--cases", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--aborts", action="store_true", help="let clients give up")
    parser.add_argument("--levels", action="store_true", help="let prefixes begin with one another")
    parser.add_argument("--turns", action="store_true", help="let requests be turns of conversations")
    parser.add_argument("--groups", action="store_true", help="let layers keep different things")
    parser.add_argument("--drafts", action="store_true", help="decode speculatively")
    parser.add_argument("--lora", action="store_true", help="give requests LoRA adapters")
    parser.add_argument("--nasty", action="store_true", help="record the hand-made cases too")
    arguments = parser.parse_args()
    arguments.target.mkdir(parents=True, exist_ok=True)
    init_none_hash(get_hash_fn_by_name("sha256"))
    with tempfile.TemporaryDirectory() as model:
        (Path(model) / "config.json").write_text(json.dumps(MODEL), encoding="utf-8")
        seeds = range(arguments.seed, arguments.seed + arguments.cases)
        cases = {f"random_{seed:04d}": random_case(random.Random(seed)) for seed in seeds}
        if arguments.aborts:
            cases = {
                f"aborts_{seed:04d}": with_aborts(random_case(random.Random(seed)), random.Random(seed))
                for seed in seeds
            }
        if arguments.levels:
            cases = {
                f"levels_{seed:04d}": with_levels(random_case(random.Random(seed)), random.Random(seed))
                for seed in seeds
            }
        if arguments.turns:
            cases = {
                f"turns_{seed:04d}": with_turns(case, random.Random(seed), nested=seed % 2 == 1)
                for case, seed in zip(cases.values(), seeds, strict=True)
            }
        if arguments.groups:
            cases = {
                name.replace("random", "groups"): with_groups(case, random.Random(seed))
                for (name, case), seed in zip(cases.items(), seeds, strict=True)
            }
        if arguments.drafts:
            cases = {
                name.replace("random", "drafts").replace("turns", "drafts_turns"): with_drafts(
                    case, random.Random(seed)
                )
                for (name, case), seed in zip(cases.items(), seeds, strict=True)
            }
        if arguments.nasty:
            cases |= nasty_cases()
        if arguments.lora:
            cases = {f"lora_{name}": with_adapters(case, random.Random(name)) for name, case in cases.items()}
        for name, case in cases.items():
            recorded = Run(case, model).play()
            path = arguments.target / f"{name}.json.gz"
            with gzip.GzipFile(path, "wb", mtime=0) as file:
                file.write(json.dumps(recorded, separators=(",", ":")).encode())
            preempted = sum(row["preemptions"] for row in recorded["requests"])
            print(
                f"{path.name}: {len(recorded['steps'])} steps, {preempted} preemptions, {len(recorded['inputs'])} requests"
            )


if __name__ == "__main__":
    main()
