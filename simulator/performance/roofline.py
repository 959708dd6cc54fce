"""Step times of what no kernel table holds: bytes over bandwidth, or arithmetic over its peak, where that is longer.

What a step reads and computes follows from the model's shape; how near kernels come to a data sheet was taken from
kernels that are in the tables (`tests/performance/test_roofline.py` holds it against them). It is an estimate, with a
band as wide as those showed, and never more than that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from simulator.errors import ProfileError
from simulator.performance.boards import SHEETS
from simulator.performance.links import LINKS, all_reduce_s, messages, own_link, table_name
from simulator.performance.weight_formats import parameters_by_width, weight_bytes

if TYPE_CHECKING:
    from simulator.performance.architecture import ModelShape

#: Share of a data sheet's bandwidth and 16-bit arithmetic that kernels reach, and the time to get one going: assumed,
#: within the band of the tables.
READS: Final = 0.75
ARITHMETIC: Final = 0.6
LAUNCH_S: Final = 4e-6
#: Kernels of a layer.
KERNELS: Final = 8
#: By what step times may be off: no step of a dense model or mixture that is in the tables lies further.
BAND: Final = (0.5, 1.75)
#: The same of several GPUs: public bursts of Qwen3-235B-A22B on four and eight A100 (vLLM 0.11, gpustack's performance
#: lab) took up to 2.4 times as long between tokens.
BAND_OF_SEVERAL: Final = (0.5, 2.5)
#: How much faster arithmetic in 8 bits is, norms and quantising included; a data sheet says twice.
EIGHT_BITS: Final = 1.4
#: GPUs that have none.
_NO_FP8: Final = ("a100", "a10g", "rtx-3")
#: Steps up to these tokens are told.
MAX_TOKENS: Final = 16_384
_KNOTS: Final = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048, 4096, 8192, 16_384)


class RooflineTimes:
    """Times of one configuration in seconds, as `KernelTimes` gives them.

    Args:
        model: Its shape.
        gpu: GPU type.
        tensor_parallel: GPUs among which it is split.
        quantisation: Weight format.
        why: What is not in the tables.

    Raises:
        ProfileError: No data sheet is known for the GPU.
    """

    def __init__(self, model: ModelShape, gpu: str, tensor_parallel: int, quantisation: str, why: str = "") -> None:
        if gpu not in SHEETS:
            raise ProfileError(
                f"gpu: neither kernel timings nor a data sheet for '{gpu}'; there are: {', '.join(SHEETS)}"
            )
        self.system, self.version, self.spread, self.label = "data sheet", gpu, None, "estimated"
        sheet = SHEETS[gpu]
        self._bytes_per_s = 1e9 * sheet.bandwidth_gb_s * READS
        eight_bits = quantisation in {"fp8", "int8"} and not (quantisation == "fp8" and gpu.startswith(_NO_FP8))
        self._flops = 1e12 * sheet.tflops * ARITHMETIC
        self._matrix_flops = self._flops * (EIGHT_BITS if eight_bits else 1.0)
        self._model, self._gpus, self._gpu = model, tensor_parallel, gpu
        self._width = weight_bytes(quantisation, model.group_size)
        in_format, _ = parameters_by_width(model, quantisation)
        # What of the layers stays in 16 bits is attention, or what is no expert.
        self._dense_bytes = (in_format - model.expert_parameters) * self._width
        self._dense_bytes += 2.0 * (model.matrix_parameters - in_format)
        self.notes = [
            f"a roofline: {sheet.bandwidth_gb_s:,} GB/s and {sheet.tflops:g} TFLOPS ({sheet.source}), of which kernels "
            f"reach {100 * READS:.0f} % and {100 * ARITHMETIC:.0f} %",
            *([why] if why else []),
        ]

    @property
    def max_tokens(self) -> int:
        """Tokens of a step up to which this is told."""
        return MAX_TOKENS

    def knots(self) -> list[int]:
        """Token counts between which the dense layers are taken as straight."""
        return list(_KNOTS)

    def dense_s(self, tokens: int) -> float:
        """Everything that depends on the tokens of the step alone."""
        model = self._model
        dense = model.matrix_parameters - model.expert_parameters
        seconds = self._longer(self._dense_bytes, 2.0 * dense * tokens)
        if model.experts > 1:
            share = model.experts_per_token / model.experts
            reached = 1.0 - (1.0 - share) ** tokens
            read = model.expert_parameters * self._width * reached
            seconds += self._longer(read, 2.0 * model.expert_parameters * share * tokens)
        return seconds + model.layers * KERNELS * LAUNCH_S + self._talk_s(tokens)

    def _talk_s(self, tokens: int) -> float:
        """All-reduces, over the board's own link or one like it."""
        if self._gpus == 1:
            return 0.0
        table = table_name(self._gpu, own_link(self._gpu)) if self._gpu in LINKS else None
        size = tokens * self._model.hidden
        return messages(self._model.layers) * all_reduce_s(table or "h200_sxm", self._gpus, size)

    def _longer(self, read: float, operations: float) -> float:
        """Of one GPU, which has its share of both."""
        return max(read / self._bytes_per_s, operations / self._matrix_flops) / self._gpus

    def lm_head_s(self, sequences: int) -> float:
        """Output head; it stays in 16 bits."""
        size = self._model.vocab * self._model.hidden
        return self._longer(2.0 * size, 2.0 * size * sequences) + LAUNCH_S

    def decode_attention_s(self, sequences: int, context: int) -> float:
        """Attention of one decode step with equal contexts; a state is read and written."""
        seconds = 0.0
        for one in self._model.kv_layers:
            kept = min(context, one.span) if one.span else context
            size = one.token_bytes(self._gpus, 2) * kept + 2 * one.state_bytes(self._gpus)
            seconds += one.layers * (sequences * size / self._bytes_per_s + 2 * LAUNCH_S)
        return seconds

    def prefill_attention_s(self, tokens: int, past: int) -> float:
        """Attention of one prompt chunk; a state costs what its numbers take for each token."""
        model, operations = self._model, 0.0
        for one in model.kv_layers:
            kept = past + tokens / 2
            kept = min(kept, one.span) if one.span else kept
            each = 4.0 * model.heads * (one.head_dim or 0) * kept
            operations += one.layers * tokens * (each or 4.0 * (one.state_16_bits + one.state_32_bits))
        return operations / self._flops / self._gpus + model.layers * LAUNCH_S
