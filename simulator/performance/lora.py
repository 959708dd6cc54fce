"""What LoRA adapters take of a replica's memory and of its steps; derived from the model's shape and vLLM's source.

vLLM keeps for each slot the two matrices of every linear layer, padded to `max_lora_rank` (`lora/layers`:
`lora_a_stacked` of rank x in, one for each part of a packed layer; `lora_b_stacked` of out x rank). Of several GPUs
each has its part of the outputs of `qkv` and `gate_up` and of the inputs of `o` and `down`; the other matrix is whole
on all. A step with a token of an adapter runs two more kernels in every linear layer (shrink and expand), which read
the weights of its adapters, and for each such token its inputs, and its outputs, to which they add; other tokens are
skipped. Kernels reach what `roofline` assumes. `tests/performance/test_lora.py` holds the result beside public
measurements.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from simulator.performance.boards import SHEETS
from simulator.performance.links import LINKS
from simulator.performance.roofline import ARITHMETIC, KERNELS, LAUNCH_S, READS

if TYPE_CHECKING:
    from simulator.performance.architecture import ModelShape
    from simulator.scenario.lora import LoraSettings

#: Bytes a second from pinned host memory to a GPU: assumed 0.8 of 16 lanes' 32 and 64 GB/s.
COPIES_PER_S: Final = {"pcie_4": 25e9, "pcie_5": 50e9}
#: Bytes a second from a local disk to pinned host memory, reading and unpacking a file: assumed.
READS_PER_S: Final = 1e9
#: Models whose embeddings take adapters too (`embedding_modules` in vLLM 0.33, `model_executor/models`).
_EMBEDS: Final = {"LlamaForCausalLM", "MistralForCausalLM", "Qwen3ForCausalLM", "GraniteForCausalLM"}
_BYTES: Final = 2


@dataclass(frozen=True, slots=True)
class LoraCost:
    """What adapters add to steps, in seconds.

    Attributes:
        step_s: To a step that has a token with an adapter: starting their kernels.
        token_s: For each such token.
        adapter_s: For each adapter of which the step has a token: reading its weights.
        copy_s: Copying an adapter into a slot.
        read_s: Reading one from disk.
    """

    step_s: float = 0.0
    token_s: float = 0.0
    adapter_s: float = 0.0
    copy_s: float = 0.0
    read_s: float = 0.0

    def added_s(self, tokens: int, adapters: int) -> float:
        """Seconds that a step of so many tokens with adapters, of so many of them, takes longer."""
        return self.step_s + tokens * self.token_s + adapters * self.adapter_s if tokens else 0.0

    def scaled(self, factor: float) -> LoraCost:
        """The same with steps so much longer; what is moved takes as long."""
        return replace(
            self, step_s=factor * self.step_s, token_s=factor * self.token_s, adapter_s=factor * self.adapter_s
        )


#: Adapters that cost nothing.
FREE: Final = LoraCost()


class _Linear(NamedTuple):
    """A linear layer on one GPU: its inputs, and the outputs of each of its parts."""

    inputs: int
    outputs: tuple[int, ...]


def unsupported(model: ModelShape) -> str | None:
    """Why adapters of a model are not modelled; None where they are."""
    alike = model.attention_parameters is None and model.feed_forward_parameters is None and not model.kv
    if model.experts > 1 or not alike or model.encoder is not None:
        return f"adapters are modelled for dense text models whose layers are alike, which {model.name} is not"
    return None


def _linears(model: ModelShape, gpus: int) -> tuple[_Linear, ...]:
    """Those of a layer."""
    queries = model.heads * model.head_dim // gpus
    keys = max(1, model.kv_heads // gpus) * model.head_dim
    up = (model.intermediate // gpus,) * (2 if model.gated else 1)
    return (
        _Linear(model.hidden, (queries, keys, keys)),
        _Linear(queries, (model.hidden,)),
        _Linear(model.hidden, up),
        _Linear(model.intermediate // gpus, (model.hidden,)),
    )


def _layers_bytes(model: ModelShape, gpus: int, rank: int) -> int:
    """Of the matrices of an adapter in all layers on one GPU."""
    numbers = sum(rank * (len(one.outputs) * one.inputs + sum(one.outputs)) for one in _linears(model, gpus))
    return _BYTES * model.layers * numbers


def slot_bytes(model: ModelShape, gpus: int, rank: int) -> int:
    """Memory of one GPU that a slot takes: the embedding and the output head have their matrices whole on all."""
    ends = 2 * rank * (model.vocab + model.hidden) if model.architecture in _EMBEDS else 0
    return _layers_bytes(model, gpus, rank) + _BYTES * ends


def lora_cost(
    model: ModelShape, gpu: str, gpus: int, lora: LoraSettings, *, eager_per_layer_s: float = 0.0
) -> LoraCost:
    """What adapters add to the steps of a replica.

    Args:
        model: Its shape.
        gpu: GPU type; one without a data sheet or a known link counts as the slowest.
        gpus: GPUs of a replica.
        lora: Rank and slots.
        eager_per_layer_s: What the host takes to launch the kernels of a layer; 0 with CUDA graphs.
    """
    sheet = SHEETS.get(gpu, min(SHEETS.values(), key=lambda one: one.bandwidth_gb_s))
    bytes_per_s, flops = 1e9 * sheet.bandwidth_gb_s * READS, 1e12 * sheet.tflops * ARITHMETIC
    rank, linears = lora.max_lora_rank, _linears(model, gpus)
    kernels = 2 * len(linears)
    # Inputs are read once, what lies between the matrices is written and read in 32 bits, outputs are read and written.
    moved = sum(_BYTES * (one.inputs + 2 * sum(one.outputs)) + 8 * rank * len(one.outputs) for one in linears)
    operations = sum(2 * rank * (len(one.outputs) * one.inputs + sum(one.outputs)) for one in linears)
    whole_bytes = slot_bytes(model, 1, rank)
    copies = 2 * sum(len(one.outputs) for one in linears) * model.layers
    return LoraCost(
        step_s=model.layers * max(kernels * LAUNCH_S, eager_per_layer_s * kernels / KERNELS),
        token_s=model.layers * max(moved / bytes_per_s, operations / flops),
        adapter_s=_layers_bytes(model, gpus, rank) / bytes_per_s,
        copy_s=slot_bytes(model, gpus, rank) / COPIES_PER_S[LINKS[gpu][2] if gpu in LINKS else "pcie_4"]
        + copies * LAUNCH_S,
        read_s=whole_bytes / READS_PER_S,
    )
