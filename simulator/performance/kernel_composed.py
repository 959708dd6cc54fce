"""Kernel times of models that the tables do not hold as they are, put together from parts that they hold.

A dense stand-in of the same width gives matrix products outside the experts, norms, output head and all-reduce; rows of
mixtures of experts in their format the experts; and attention is timed with the model's heads, over its window where it
has one. Each part is a kernel that was timed on this GPU; that they add up to a step is what dense models show.
"""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from simulator.errors import ProfileError
from simulator.performance.boards import BOARDS, SHEETS, Board
from simulator.performance.kernel_rows import experts
from simulator.performance.kernel_tables import KernelTimes, head_parts
from simulator.performance.kernel_wishes import SYSTEMS, check_package
from simulator.performance.weight_formats import weight_bytes
from simulator.wording import article

if TYPE_CHECKING:
    import numpy as np
    from aiconfigurator_core.sdk.engine import EngineHandle
    from numpy.typing import NDArray

    from simulator.performance.architecture import KvLayers, ModelShape

#: Formats of experts by the names in the tables, the first of which there are rows.
_EXPERTS: Final[dict[str, tuple[str, ...]]] = {
    "bf16": ("bfloat16",), "fp8": ("fp8_block", "fp8"), "w4a16": ("int4_wo",), "mxfp4": ("w4a16_mxfp4",),
    "nvfp4": ("nvfp4",),
}  # fmt: skip
#: In the dense parts: what a checkpoint leaves in 16 bits, and what has no dense kernels in the tables.
_DENSE: Final = {"mxfp4": "bf16"}
_FEED_FORWARD: Final = frozenset(("gate_ffn1_gemm", "ffn2_gemm", "act_gate"))
#: Where a window and everything differ beyond doubt.
_FAR: Final = 65_536
#: The window that was timed, with heads of 64 to 192.
_WINDOW: Final = 128


class ComposedTimes:
    """Times of one configuration in seconds, as `KernelTimes` gives them.

    Args:
        model: Its shape.
        gpu: GPU type.
        tensor_parallel: GPUs among which it is split.
        quantisation: Weight format.
        fitted: Whether what was fitted on served runs corrects the tables.

    Raises:
        ProfileError: The tables lack a part.
    """

    def __init__(
        self, model: ModelShape, gpu: str, tensor_parallel: int, quantisation: str, *, fitted: bool = True
    ) -> None:
        if strange := sorted({one.kind for one in model.kv_layers} & {"state", "latent"}):
            raise ProfileError(f"{model.name}: the kernel tables are not read for layers with {article(strange[0])}")
        if gpu not in SYSTEMS:
            raise ProfileError(f"gpu: no kernel timings for '{gpu}'")
        check_package()
        # Without a gate there are two matrices in place of three: a gated network as large stands for it.
        width = model.dense_feed_forward_parameters / (model.layers * model.hidden * 3)
        self._has_dense = width > 0
        dense_format = "bf16" if "attention" in model.kept else _DENSE.get(quantisation, quantisation)
        # The same matrices, with heads as long as most: attention itself is timed apart.
        longer = model.head_dim / 128 if model.head_dim % 128 == 0 else 1
        stand_in = model.model_copy(
            update={
                "architecture": "LlamaForCausalLM", "experts": 1, "experts_per_token": 1, "kv": (), "encoder": None,
                "intermediate": max(128 * tensor_parallel, round(width / 64) * 64), "shared_intermediate": 0,
                "dense_layers": 0, "dense_intermediate": 0, "attention_parameters": None, "gated": True,
                "feed_forward_parameters": None,
                "heads": round(model.heads * longer),
                "kv_heads": round(model.kv_heads * longer),
                "head_dim": round(model.head_dim / longer),
                "kept": (), "checkpoint_format": None,
            }
        )  # fmt: skip
        self._dense = _timed(stand_in, gpu, tensor_parallel, dense_format, fitted)
        self.system, self.version = self._dense.system, self._dense.version
        self.spread, self.label = self._dense.spread, "estimated"
        self.notes = ["put together from kernels timed one by one", *self._dense.notes]
        self._model = model
        self._expert_bytes = model.expert_parameters * weight_bytes(quantisation, model.group_size) / tensor_parallel
        self._bytes_per_s = 1e9 * SHEETS[gpu].bandwidth_gb_s
        self._board = BOARDS.get(gpu, Board(1.0, 1.0, ""))
        self._experts: NDArray[np.float64] | None = None
        if model.experts > 1:
            self._experts = self._rows(quantisation, tensor_parallel)
            self.notes.append(
                f"experts as {model.experts_per_token} of {model.experts} tokens choose at random: "
                "a step of m tokens reads E (1 - (1 - k/E)^m) of them"
            )
        self._attention = [(one, _Attention(model.heads, one, self.system, tensor_parallel)) for one in model.kv_layers]
        if len(self._attention) > 1 or model.kv_layers[0].kind != "full":
            if any(part.capped for _, part in self._attention):
                self.notes.append("a window was not timed with these heads: taken as attention over as many tokens")
            spans = ", ".join(f"{one.layers} layers over {one.span or 'all'}" for one in model.kv_layers)
            self.notes.append(f"attention of {spans} tokens, by straight lines in the context")

    def _rows(self, quantisation: str, tensor_parallel: int) -> NDArray[np.float64]:
        names = _EXPERTS.get(quantisation, ())
        for name in names:
            try:
                return experts(self.system, self.version, self._model, tensor_parallel, name)
            except ProfileError:
                if name == names[-1]:
                    raise
        raise ProfileError(f"{self._model.name}: no timings of experts in {quantisation}")

    @property
    def max_tokens(self) -> int:
        """Tokens of a step beyond which the times of matrix products are extrapolated."""
        return self._dense.max_tokens

    def knots(self) -> list[int]:
        """Token counts between which the dense layers are straight."""
        return self._dense.knots()

    def dense_s(self, tokens: int) -> float:
        """Everything that depends on the tokens of the step alone."""
        import numpy as np

        seconds = self._dense.dense_s(tokens)
        if not self._has_dense:
            seconds = max(0.0, seconds - self._dense.operations_s(_FEED_FORWARD, tokens))
        if self._experts is not None:
            layers = self._model.layers - self._model.dense_layers
            timed_s = layers * self._board.reads * float(np.interp(tokens, *self._experts))
            seconds += max(timed_s, self._reads_s(tokens))
        return seconds

    def _reads_s(self, tokens: int) -> float:
        """What reading the experts takes at the least; few of one layer stay in a large cache while they are timed."""
        reached = 1.0 - (1.0 - self._model.experts_per_token / self._model.experts) ** tokens
        return self._expert_bytes * reached / self._bytes_per_s

    def lm_head_s(self, sequences: int) -> float:
        """Output head; it stays in 16 bits."""
        return self._dense.lm_head_s(sequences)

    def decode_attention_s(self, sequences: int, context: int) -> float:
        """Attention of one decode step with equal contexts."""
        own = sum(one.layers * part.decode_s(sequences, context) for one, part in self._attention)
        return self._board.reads * own

    def prefill_attention_s(self, tokens: int, past: int) -> float:
        """Attention of one prompt chunk."""
        own = sum(one.layers * part.prefill_s(tokens, past) for one, part in self._attention)
        return self._board.arithmetic * own


def _timed(model: ModelShape, gpu: str, tensor_parallel: int, quantisation: str, fitted: bool) -> KernelTimes:
    """The stand-in's times.

    Raises:
        ProfileError: The tables lack one of its kernels.
    """
    from aiconfigurator_core.sdk.errors import PerfDataNotAvailableError

    try:
        return KernelTimes(model, gpu, tensor_parallel, quantisation, fitted=fitted)
    except PerfDataNotAvailableError as error:
        raise ProfileError(f"{model.name}: {str(error).split(':')[1].strip()}") from None


class _Attention:
    """Attention of one layer, over everything or a window.

    Attributes:
        capped: Whether the window was not timed with these heads, so that as many tokens stand for it.
    """

    def __init__(self, heads: int, kind: KvLayers, system: str, tensor_parallel: int) -> None:
        kv_heads = max(1, kind.heads // tensor_parallel)
        self._parts = head_parts(kv_heads)
        own = max(1, heads // tensor_parallel) // self._parts
        shape = (system, own, kv_heads // self._parts, kind.head_dim)
        self._span = kind.span or _FAR * 4
        # The package takes every window for the one of gpt-oss.
        window = kind.span if kind.span == _WINDOW else None
        self._handle, found = _attention_engine(*shape, window)
        if found is None:
            window = None
            self._handle, found = _attention_engine(*shape, None)
        self.capped = kind.span is not None and window is None
        if found is None:
            raise ProfileError(
                f"no timings of attention with {own} and {shape[2]} heads of {kind.head_dim} on {system}"
            )
        self._places = found

    def decode_s(self, sequences: int, context: int) -> float:
        kept = min(context, self._span) if self.capped else context
        return self._generation(sequences * self._parts, kept)

    def _generation(self, sequences: int, context: int) -> float:
        rows = self._handle.evaluate_generation_ops([self._places[1]], batch_size=sequences, s=context)
        return float(rows[0][1]) / 1e3

    def prefill_s(self, tokens: int, past: int) -> float:
        kept = min(past, self._span) if self.capped else past
        rows = self._handle.evaluate_context_ops([self._places[0]], batch_size=1, s=tokens, prefix=kept)
        # A prompt's heads are cut the same way, one part after another.
        return self._parts * float(rows[0][1]) / 1e3


@cache
def _attention_engine(
    system: str, heads: int, kv_heads: int, head_dim: int, window: int | None
) -> tuple[EngineHandle, tuple[int, int] | None]:
    """The package's engine for one layer, and where its attention stands in both phases; None where not timed."""
    from aiconfigurator_core.sdk.engine import EngineHandle

    kind: dict[str, Any] = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
    if window is not None:
        kind = {
            "architectures": ["GptOssForCausalLM"], "model_type": "gpt_oss", "num_local_experts": 32,
            "num_experts_per_tok": 4, "experts_per_token": 4, "sliding_window": window,
            "layer_types": ["sliding_attention", "full_attention"],
        }  # fmt: skip
    config: dict[str, Any] = {
        **kind, "hidden_size": 2880, "head_dim": head_dim, "intermediate_size": 2880, "vocab_size": 1024,
        "num_hidden_layers": 1 if window is None else 2, "num_attention_heads": heads, "num_key_value_heads": kv_heads,
        "max_position_embeddings": 131072, "hidden_act": "silu", "rms_norm_eps": 1e-5, "torch_dtype": "bfloat16",
    }  # fmt: skip
    more = {} if window is None else {"moe_tp_size": 1, "moe_ep_size": 1}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(config), encoding="utf-8")
        handle = EngineHandle.compile(folder, system, "vllm", tp_size=1, **more)
    # Of the two kinds, the window is the one that takes less where everything is far.
    places = [_shortest(evaluate, key) for evaluate, key in (
        (handle.evaluate_context_ops, "context"), (handle.evaluate_generation_ops, "generation")
    )]  # fmt: skip
    prompt, decode = places
    return handle, None if prompt is None or decode is None else (prompt, decode)


def _shortest(evaluate: Any, phase: str) -> int | None:  # noqa: ANN401 - a method of the package
    """Index of the attention that takes least over a long context; None unless every one was timed."""
    from aiconfigurator_core.sdk.errors import PerfDataNotAvailableError

    found: list[tuple[float, int]] = []
    index = 0
    past = {"prefix": _FAR} if phase == "context" else {}
    while True:
        try:
            name, milliseconds = evaluate([index], batch_size=1, s=64 if past else _FAR, **past)[0][:2]
        except PerfDataNotAvailableError as error:
            if "attention" in str(error):
                return None
            name, milliseconds = "", 0.0
        except ValueError:
            return min(found)[1] if found else None
        if name.endswith("_attention"):
            found.append((float(milliseconds), index))
        index += 1
