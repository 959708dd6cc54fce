"""Kernel timings of one configuration, read from the tables inside the wheel `aiconfigurator-core`.

The tables hold real vLLM kernels, timed on A100 with vLLM 0.14.0 and on L40S, H100 and H200 with vLLM 0.24.0. What they
do not hold for vLLM (int4, int8 and weight-only fp8 matrix products, a sound all-reduce over four L40S) is inferred
from others, and the notes say so. The package is an optional extra, `profiles`.
"""

from __future__ import annotations

import json
import tempfile
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from simulator.errors import ProfileError
from simulator.performance.boards import BOARDS, SCALED, Board
from simulator.performance.kernel_rows import experts, gemm_rows, link_all_reduce, marlin, pcie_ratio
from simulator.performance.kernel_wishes import SYSTEMS, check_package, check_wish, chip, useful_tokens
from simulator.performance.links import messages, own_link, table_name

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from aiconfigurator_core.sdk.engine import EngineHandle
    from numpy.typing import NDArray

    from simulator.performance.architecture import ModelShape

#: Prompts computed with weights of 4 or 8 bits that are unpacked to 16, over the same in bf16: p99 of TTFT of
#: Qwen3-32B on one A100 PCIe under vLLM 0.19.0 in nine closed loops of 4 to 32 clients, 1.08 to 1.29
#: (compressed-tensors W4A16, published in 2026; median).
WEIGHT_ONLY_PREFILL: Final = 1.26
#: Tokens of a chunk that is arithmetic alone.
_LONG: Final = 4096

_OTHERS: Final = frozenset(
    ("embedding", "add_norm_1", "add_norm_2", "act_gate", "p2p", "router_gemm", "moe_pre_dispatch", "moe_post_dispatch")
)  # fmt: skip
#: Key-value heads of one GPU for which decode attention was timed.
_TIMED_KV_HEADS: Final = (8, 4, 2, 1)
_GEMMS: Final = frozenset(("qkv_gemm", "proj_gemm", "gate_ffn1_gemm", "ffn2_gemm"))
_ALL_REDUCES: Final = frozenset(("embedding_ar", "ar_1", "ar_2"))


@cache
def dense_factor(gpu: str, quantisation: str) -> tuple[float, float, float]:
    """By what the tables' dense layers are multiplied to be those of served runs, and the least and most of these.

    For formats other than bf16 it is the time of reading the weights; `tools/fit_overhead.py` says how it was fitted.
    """
    text = (resources.files("simulator.performance") / "data" / "overhead.json").read_text("utf-8")
    factor, least, most = json.loads(text)["dense_factor"].get(chip(gpu), {}).get(quantisation, (1.0, 1.0, 1.0))
    return factor, least, most


def head_parts(kv_heads: int) -> int:
    """Into how many equal parts a GPU's attention heads are cut, so that decode attention over one part was timed.

    The kernel works on one key-value head of one sequence at a time, with the query heads that share it: half the heads
    of twice the sequences are as many such pieces of the same size. Told so from halves and quarters, times that are in
    the tables (8 to 128 sequences, 256 to 4,096 tokens) come out 2.9 to 4.1 % off in the mean, by GPU; with all query
    heads over fewer key-value heads it would be 4.6 % (H100, H200), 9.2 % (L40S) and 10.3 % (A100).
    """
    return 1 if kv_heads <= _TIMED_KV_HEADS[0] else kv_heads // next(n for n in _TIMED_KV_HEADS if kv_heads % n == 0)


class _Engine:
    """The package's engine for one model, taken apart by operation."""

    def __init__(self, model: ModelShape, system: str, tensor_parallel: int, backend: str, mode: str) -> None:
        from aiconfigurator_core.sdk.engine import EngineHandle

        parallel = {"tp_size": tensor_parallel}
        if model.experts > 1:
            parallel |= {"moe_tp_size": tensor_parallel, "moe_ep_size": 1}
        # Qwen2's biases were not timed, and a tied head is a matrix product all the same.
        timed: dict[str, Any] = {"tied_embeddings": False}
        if model.architecture == "Qwen2ForCausalLM":
            timed |= {"architecture": "LlamaForCausalLM"}
        config = model.model_copy(update=timed).hf_config()
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "config.json").write_text(json.dumps(config), encoding="utf-8")
            self._handle: EngineHandle = EngineHandle.compile(folder, system, backend, gemm_quant_mode=mode, **parallel)
        self._context = self._operations(self._handle.evaluate_context_ops)
        self._generation = self._operations(self._handle.evaluate_generation_ops)
        known = _OTHERS | _GEMMS | _ALL_REDUCES | {"attention", "timed", "logits_gemm", "moe"}
        if strange := set(self._context) - known:
            raise ProfileError(f"{model.name}: the kernel tables take it apart in an unknown way: {sorted(strange)}")

    @staticmethod
    def _operations(evaluate: Callable[..., list[Any]]) -> dict[str, int]:
        """Index of each operation by its name without the phase."""
        from aiconfigurator_core.sdk.errors import PerfDataNotAvailableError

        names: dict[str, int] = {}
        while True:
            try:
                name = evaluate([len(names)], batch_size=1, s=64)[0][0]
            except PerfDataNotAvailableError:
                # Attention with heads that were not timed: asked for, it says so again.
                name = "not_timed"
            except ValueError:
                return names
            names[name.split("_", 1)[1]] = len(names)

    @property
    def tells_attention(self) -> bool:
        """Whether attention with such heads was timed, over prompts and in decodes."""
        return "attention" in self._context and "attention" in self._generation

    def tokens_s(self, names: frozenset[str], tokens: int) -> float:
        """Operations that depend on the tokens of the step alone."""
        indices = [index for name, index in self._context.items() if name in names]
        rows = self._handle.evaluate_context_ops(indices, batch_size=1, s=tokens, prefix=0) if indices else []
        return float(sum(row[1] for row in rows)) / 1e3

    def prefill_attention_s(self, tokens: int, past: int) -> float:
        rows = self._handle.evaluate_context_ops([self._context["attention"]], batch_size=1, s=tokens, prefix=past)
        return float(rows[0][1]) / 1e3

    def generation_s(self, name: str, sequences: int, context: int) -> float:
        rows = self._handle.evaluate_generation_ops([self._generation[name]], batch_size=sequences, s=context)
        return float(rows[0][1]) / 1e3


class KernelTimes:
    """Times of one configuration in seconds, as the tables (and the stated inferences) give them.

    Args:
        model: Its shape.
        gpu: GPU type.
        tensor_parallel: GPUs among which it is split.
        quantisation: Weight format.
        variant: Another inference where some kernels were not timed.
        fitted: Whether what was fitted on served runs corrects the tables.

    Attributes:
        label: `derived` from kernels timed on this GPU, or `estimated` where some had to be inferred.
        notes: What was inferred, and how.
        spread: Least and most of the runs on which the format's factor was fitted, over it; None without any.

    Raises:
        ProfileError: See `check_wish` and `check_package`.
    """

    def __init__(
        self,
        model: ModelShape,
        gpu: str,
        tensor_parallel: int,
        quantisation: str,
        variant: str | None = None,
        *,
        fitted: bool = True,
    ) -> None:
        check_wish(gpu, quantisation, variant, tensor_parallel, model)
        check_package()
        self.system, self.version = SYSTEMS[gpu]
        self.notes: list[str] = []
        self.label = "derived"
        self._gpu = gpu
        self._model = model
        self._tensor_parallel = tensor_parallel
        # An A100 has no FP8 arithmetic: vLLM unpacks such weights to 16 bits.
        self._quantisation = quantisation
        self._weight_only = quantisation == "w4a16" or (self.system == "a100_sxm" and quantisation == "fp8")
        self._board = BOARDS.get(gpu, Board(1.0, 1.0, ""))
        if gpu in BOARDS:
            self._estimated(
                f"from the tables of {'another' if gpu in SCALED else 'the SXM'} board: {self._board.source}"
            )
        has_factor = fitted and variant != "trt-llm"
        self._factor, least, most = dense_factor(gpu, quantisation) if has_factor else (1.0, 1.0, 1.0)
        self.spread = (least / self._factor, most / self._factor) if least < most else None
        mode = "fp8" if quantisation == "fp8" and not self._weight_only else "bfloat16"
        self._engine = _Engine(model, self.system, tensor_parallel, "vllm", mode)
        self._gemms: _Engine | None = self._engine
        self._linked: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
        if tensor_parallel > 1:
            self._choose_all_reduce(variant)
        if self._weight_only or quantisation == "int8":
            self._choose_gemms(quantisation, variant)
        if self._factor != 1.0:
            what = "matrix products" if quantisation == "bf16" else "reading the weights"
            self.notes.append(f"{what}: {self._factor:g} times the tables' time, fitted on served runs (overhead.json)")
        self._mixture = experts(self.system, self.version, model, tensor_parallel) if model.experts > 1 else None
        if model.experts > 1:
            self._estimated("mixture of experts with an even load; the times of dense layers are made monotone")
        self._attention, self._parts = self._engine, head_parts(model.kv_heads // tensor_parallel)
        if self._parts > 1:
            part = {"heads": model.heads // self._parts, "kv_heads": model.kv_heads // self._parts}
            self._attention = _Engine(model.model_copy(update=part), self.system, tensor_parallel, "vllm", mode)
            self.notes.append(
                f"decode attention over {model.kv_heads // tensor_parallel} key-value heads was not timed: taken at "
                f"{self._parts} times the sequences with one in {self._parts} of the heads, which is the same work"
            )
        if not self._attention.tells_attention:
            raise ProfileError(f"{model.name}: no timings of attention with heads of {model.head_dim} on {self.system}")

    def _estimated(self, note: str) -> None:
        self.label = "estimated"
        self.notes.append(note)

    def _choose_all_reduce(self, variant: str | None) -> None:
        """Over the link of the board: as the tables have it, or from those of another."""
        gpus, link = self._tensor_parallel, own_link(self._gpu, variant)
        if link == "no_p2p" and self._gpu in BOARDS:
            self._linked = link_all_reduce("no_p2p", gpus)
            self._estimated(f"all-reduce among {gpus} through host memory, as GPUs for players have no other way")
        elif link == "no_p2p":
            self.notes.append("all-reduce as collected on a cross-socket host without peer-to-peer access")
        elif link == "pcie" and (gpus > 2 or self._gpu in BOARDS):
            table = table_name(self._gpu, link)
            assert table is not None
            self._linked = link_all_reduce(table, gpus)
            if table == "pcie_5":
                self._estimated(f"all-reduce among {gpus} as on RTX PRO 6000 (PCIe 5)")
            elif gpus == 2:
                self._estimated("all-reduce between two as on L40S (PCIe 4)")
            else:
                ratios = pcie_ratio(gpus)[1]
                self._estimated(
                    f"all-reduce between two L40S, times what {gpus} take over two on RTX PRO 6000 (PCIe), "
                    f"size by size ({ratios.min():.1f} to {ratios.max():.1f}): L40S rows for more than two come from a "
                    "cross-socket host (3.8 GB/s against 18.8 GB/s) and a path vLLM does not take"
                )

    def _choose_gemms(self, quantisation: str, variant: str | None) -> None:
        if quantisation == "int8":
            self._gemms = _Engine(self._model, self.system, self._tensor_parallel, "trtllm", "sq")
            self._estimated("int8 matrix products (W8A8) as timed under TensorRT-LLM 1.0.0: no table holds vLLM's")
        elif variant == "trt-llm":
            self._gemms = _Engine(self._model, self.system, self._tensor_parallel, "trtllm", "int4_wo")
            self._estimated("int4 matrix products as timed under TensorRT-LLM 1.0.0: no table holds vLLM's")
        elif quantisation == "fp8":
            self._estimated(
                "fp8 weights, unpacked to 16 bits (Marlin), were not timed: half the reads of bf16, or "
                f"{WEIGHT_ONLY_PREFILL:g} times its arithmetic where that is longer"
            )
        else:
            self._gemms = None
            self._estimated(
                "int4 matrix products from the Marlin mixture-of-experts tables, which include routing; no longer than "
                f"{WEIGHT_ONLY_PREFILL:g} times bf16"
            )

    @property
    def max_tokens(self) -> int:
        """Tokens of a step beyond which the times of matrix products are extrapolated."""
        return gemm_rows(self.system, self.version)[-1] if self._gemms else int(marlin(self.system)[0][-1])

    def operations_s(self, names: frozenset[str], tokens: int) -> float:
        """Some operations of the layers, by their names in the tables, as they are in 16 bits or as timed."""
        return (self._gemms or self._engine).tokens_s(names, tokens)

    def knots(self) -> list[int]:
        """Token counts between which the dense layers are straight: those of the tables, thinned below 16."""
        rows = set(gemm_rows(self.system, self.version))
        if self._gemms is None:
            rows |= {int(m) for m in marlin(self.system)[0]}
        few = {1, 2, 4, 8, 12}
        most = useful_tokens(self.system)
        return sorted(m for m in rows if m in few or 16 <= m <= most)

    def dense_s(self, tokens: int) -> float:
        """Everything that depends on the tokens of the step alone."""
        import numpy as np

        seconds = self._engine.tokens_s(_OTHERS, tokens)
        if self._mixture is not None:
            seconds += self._model.layers * float(np.interp(tokens, *self._mixture))
        seconds += self._gemms_s(tokens)
        if self._linked is not None:
            return seconds + messages(self._model.layers) * float(np.interp(tokens * self._model.hidden, *self._linked))
        return seconds + self._engine.tokens_s(_ALL_REDUCES, tokens)

    def _gemms_s(self, tokens: int) -> float:
        """Matrix products of the layers: what reading the weights takes, or the arithmetic where that is longer."""
        reads_s = self._on_one_board_s(1)
        beyond_s = max(0.0, self._on_one_board_s(tokens) - reads_s)
        return self._board.reads * reads_s + self._board.arithmetic * beyond_s

    def _on_one_board_s(self, tokens: int) -> float:
        """The same on the board that was timed."""
        if self._quantisation == "bf16":
            return self._factor * self._timed_s(tokens)
        seconds = max(self._factor * self._timed_s(1), self._timed_s(tokens))
        if not self._weight_only:
            return seconds
        in_bf16 = dense_factor(self._gpu, "bf16")[0] * self._engine.tokens_s(_GEMMS, tokens)
        return min(seconds, WEIGHT_ONLY_PREFILL * in_bf16)

    def _timed_s(self, tokens: int) -> float:
        """The same as the tables, or the stand-in for what they lack, have it."""
        import numpy as np

        if self._gemms is None:
            rows, ps = marlin(self.system)
            at = np.interp(tokens, rows, ps) if tokens <= rows[-1] else ps[-1] * tokens / rows[-1]
            return float(at) * 1e-12 * self._model.matrix_parameters / self._tensor_parallel
        if self._weight_only and self._gemms is self._engine:
            arithmetic_s = self._engine.tokens_s(_GEMMS, _LONG) * tokens / _LONG
            return max(0.5 * self._engine.tokens_s(_GEMMS, 1), arithmetic_s)
        return self._gemms.tokens_s(_GEMMS, tokens)

    def lm_head_s(self, sequences: int) -> float:
        """Output head; it stays in 16 bits."""
        return self._board.reads * self._engine.generation_s("logits_gemm", sequences, 512)

    def decode_attention_s(self, sequences: int, context: int) -> float:
        """Attention of one decode step with equal contexts."""
        return self._board.reads * self._attention.generation_s("attention", sequences * self._parts, context)

    def prefill_attention_s(self, tokens: int, past: int) -> float:
        """Attention of one prompt chunk."""
        return self._board.arithmetic * self._engine.prefill_attention_s(tokens, past)
