"""The numbers of a model that time and memory depend on, from its Hugging Face `config.json` or a known name."""

from __future__ import annotations

import json
import re
from difflib import get_close_matches
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from simulator.errors import ProfileError
from simulator.files import read_json

if TYPE_CHECKING:
    from collections.abc import Iterator

Count = Annotated[int, Field(gt=0)]

#: Architectures whose layers are attention with a gated feed-forward network, dense or a mixture of experts.
ARCHITECTURES: Final = (
    "LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM", "MixtralForCausalLM",
    "Qwen3MoeForCausalLM",
)  # fmt: skip
#: Words at the end of a model's name that do not change its shape.
_TAILS = re.compile(r"[-_](instruct|chat|hf|base|it|v\d+(\.\d+)?|\d{4}|awq|gptq|fp8|dynamic|w\da\d+|int\d)$")


class ModelShape(BaseModel):
    """The numbers of a model that time and memory depend on.

    Attributes:
        name: As scenarios name it.
        hf_names: Models of exactly this shape, as Hugging Face names them.
        architecture: Its class in Hugging Face's `config.json`.
        experts: Feed-forward networks of a layer; 1 for a dense model.
        experts_per_token: Those a token passes through.
        tied_embeddings: Whether the output head is the embedding.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str
    hf_names: tuple[str, ...]
    architecture: str = "LlamaForCausalLM"
    layers: Count
    hidden: Count
    heads: Count
    kv_heads: Count
    head_dim: Count
    intermediate: Count
    vocab: Count
    experts: Count = 1
    experts_per_token: Count = 1
    tied_embeddings: bool = False

    @property
    def matrix_parameters(self) -> int:
        """Parameters of the matrices of all layers: those that quantisation replaces."""
        attention = self.hidden * self.head_dim * (2 * self.heads + 2 * self.kv_heads)
        return self.layers * (attention + 3 * self.hidden * self.intermediate * self.experts)

    @property
    def embedding_parameters(self) -> int:
        """Parameters of the embedding and the output head."""
        return (1 if self.tied_embeddings else 2) * self.vocab * self.hidden

    @property
    def parameters(self) -> int:
        """All parameters, but for norms, biases and routers."""
        return self.matrix_parameters + self.embedding_parameters

    def kv_bytes_per_token(self, tensor_parallel: int) -> int:
        """Bytes of one token's keys and values on each GPU, at 16 bits."""
        return 2 * 2 * self.layers * self.head_dim * max(1, self.kv_heads // tensor_parallel)

    def hf_config(self) -> dict[str, Any]:
        """A `config.json` of this shape; Mistral's has the same operations as Llama's and is written as one."""
        named = "num_experts" if self.architecture == "Qwen3MoeForCausalLM" else "num_local_experts"
        mixture = {named: self.experts, "num_experts_per_tok": self.experts_per_token}
        if named == "num_experts":
            mixture["moe_intermediate_size"] = self.intermediate
        kinds = {
            "Qwen2ForCausalLM": "qwen2", "Qwen3ForCausalLM": "qwen3", "MixtralForCausalLM": "mixtral",
            "Qwen3MoeForCausalLM": "qwen3_moe",
        }  # fmt: skip
        kind = kinds.get(self.architecture, "llama")
        return {
            "architectures": ["LlamaForCausalLM" if kind == "llama" else self.architecture],
            "model_type": kind,
            "num_hidden_layers": self.layers,
            "hidden_size": self.hidden,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "intermediate_size": self.intermediate,
            "vocab_size": self.vocab,
            "max_position_embeddings": 131072,
            "hidden_act": "silu",
            "rms_norm_eps": 1e-5,
            "tie_word_embeddings": self.tied_embeddings,
            "torch_dtype": "bfloat16",
        } | (mixture if self.experts > 1 else {})

    def same_shape(self, other: ModelShape) -> bool:
        """Whether time and memory are the same."""
        ignored = {"name", "hf_names", "architecture"}
        return self.model_dump(exclude=ignored) == other.model_dump(exclude=ignored)


def stem(name: str) -> str:
    """A model's name without publisher and words such as -Instruct: what configurations of one shape share."""
    short = name.rstrip("/").rsplit("/", 1)[-1].lower().removeprefix("meta-")
    while (shorter := _TAILS.sub("", short)) != short:
        short = shorter
    return short


@cache
def known_models() -> tuple[ModelShape, ...]:
    """Shapes that ship with the package, with the figures of their public `config.json`."""
    text = (resources.files("simulator.performance") / "data" / "models.json").read_text("utf-8")
    return tuple(ModelShape.model_validate_json(json.dumps(entry)) for entry in json.loads(text)["models"])


def known_model(name: str) -> ModelShape | None:
    """The known shape of a model by any of its names, or None."""
    wanted = stem(name)
    for shape in known_models():
        if wanted in {shape.name, *map(stem, shape.hf_names)}:
            return shape
    return None


def read_model(source: str, name: str | None = None) -> ModelShape:
    """The shape of a model.

    Args:
        source: Path of a `config.json` or of the folder it lies in, or a known name.
        name: What to call it; the folder's name, or the one in the file, when absent.

    Raises:
        ProfileError: There is no such file or name, or the file lacks what a shape needs; all faults at once.
    """
    path = Path(source)
    if path.is_dir():
        path /= "config.json"
    if path.suffix == ".json" or path.is_file():
        return _from_config(path, name)
    shape = known_model(source)
    if shape is None:
        names = [model.name for model in known_models()]
        near = ", ".join(get_close_matches(stem(source), names, n=4, cutoff=0.3) or names)
        raise ProfileError(f"no model '{source}': neither a config.json nor a known name, such as {near}")
    return shape.model_copy(update={"name": name}) if name else shape


def _from_config(path: Path, name: str | None) -> ModelShape:
    try:
        config = read_json(path)
    except OSError as error:
        raise ProfileError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ProfileError(f"{path}: is not JSON: {error}") from None
    faults = list(_faults(config))
    if faults:
        raise ProfileError("\n".join(f"{path}: {fault}" for fault in faults))
    given = str(config.get("_name_or_path") or "")
    full = name or given or path.resolve().parent.name
    heads = config["num_attention_heads"]
    return ModelShape(
        name=stem(full) if name is None else name.rsplit("/", 1)[-1].lower(),
        hf_names=(full,),
        architecture=config["architectures"][0],
        layers=config["num_hidden_layers"],
        hidden=config["hidden_size"],
        heads=heads,
        kv_heads=config.get("num_key_value_heads") or heads,
        head_dim=config.get("head_dim") or config["hidden_size"] // heads,
        intermediate=config[_width(config)],
        vocab=config["vocab_size"],
        experts=config.get("num_local_experts") or config.get("num_experts") or 1,
        experts_per_token=config.get("num_experts_per_tok", 1),
        tied_embeddings=bool(config.get("tie_word_embeddings", False)),
    )


def _width(config: dict[str, Any]) -> str:
    """Where the width of a feed-forward network stands; Qwen's mixtures have that of an expert beside another."""
    return "moe_intermediate_size" if "moe_intermediate_size" in config else "intermediate_size"


def _faults(config: object) -> Iterator[str]:
    if not isinstance(config, dict):
        yield "is not a model's configuration"
        return
    found = config.get("architectures")
    if not isinstance(found, list) or not found or found[0] not in ARCHITECTURES:
        yield f"architectures: {found!r} is not supported; supported are {', '.join(ARCHITECTURES)}"
    needed = ("num_hidden_layers", "hidden_size", "num_attention_heads", _width(config), "vocab_size")
    optional = ("num_key_value_heads", "head_dim", "num_local_experts", "num_experts", "num_experts_per_tok")
    if config.get("mlp_only_layers") or config.get("decoder_sparse_step", 1) != 1:
        yield "mlp_only_layers, decoder_sparse_step: layers of both kinds, dense and of experts, are not supported"
    for key in (*needed, *optional):
        value = config.get(key)
        if value is None and key in optional:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            yield f"{key}: {'is missing' if value is None else f'{value!r} is not a whole number above 0'}"
