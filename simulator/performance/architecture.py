"""The numbers of a model that time and memory depend on, from its Hugging Face `config.json` or a known name."""

from __future__ import annotations

import json
import re
from functools import cache
from importlib import resources
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from simulator.scenario.patterns import Quantisation

#: More than any model has of anything, its weights and all.
MOST_PARAMETERS = 10**15
Count = Annotated[int, Field(gt=0, le=MOST_PARAMETERS)]

#: Words at the end of a model's name that do not change its shape.
_TAILS = re.compile(
    r"[-_](instruct|chat|hf|base|it|v\d+(\.\d+)?|\d{4}|awq|gptq|fp8|nvfp4|mxfp4|bf16|dynamic|w\da\d+|int\d|\dbit)$"
)


class KvLayers(BaseModel):
    """Layers whose KV cache is of one kind.

    Attributes:
        kind: `full` attention; attention over a `window` of the last tokens, or within a `chunk` of them; `latent`
            attention (MLA), one vector a token that every GPU holds; or a recurrent `state` (Mamba, gated delta nets).
        layers: How many there are.
        heads: Key-value heads; 1 of a latent, 0 of a state.
        head_dim: Numbers of one key, which is as long as a value; of a latent its own and its rotary part.
        span: Tokens of the window or chunk.
        extra_bytes: A token's bytes beside keys and values, such as the index of sparse attention.
        state_16_bits: Numbers of 16 bits of a state, all heads together.
        state_32_bits: Numbers of 32 bits of a state, all heads together.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    kind: Literal["full", "window", "chunk", "latent", "state"]
    layers: Count
    heads: Annotated[int, Field(ge=0)] = 0
    head_dim: Annotated[int, Field(ge=0)] = 0
    span: Count | None = None
    extra_bytes: Annotated[int, Field(ge=0)] = 0
    state_16_bits: Annotated[int, Field(ge=0)] = 0
    state_32_bits: Annotated[int, Field(ge=0)] = 0

    @property
    def grows(self) -> bool:
        """Whether each further token needs room, however many there were."""
        return self.kind in {"full", "latent"}

    def token_bytes(self, tensor_parallel: int, number_bytes: int) -> int:
        """Bytes of a token in one layer on each GPU; 0 for a state."""
        if self.kind == "latent":
            return self.head_dim * number_bytes + self.extra_bytes
        heads = max(1, self.heads // tensor_parallel) if self.heads else 0
        return 2 * self.head_dim * heads * number_bytes

    def state_bytes(self, tensor_parallel: int) -> int:
        """Bytes of one sequence's state in one layer on each GPU; 0 but for a state."""
        return (2 * self.state_16_bits + 4 * self.state_32_bits) // tensor_parallel


#: How a model counts an image, see `image_tokens`.
ImageRule = Literal["qwen_vl", "gemma3", "gemma4", "pixtral", "llama4", "llava", "llava_next", "internvl"]


class Encoder(BaseModel):
    """What turns images into tokens, in front of a text model; it stays in 16 bits.

    Attributes:
        parameters: Its own and its projector's.
        hidden: Width of its layers.
        intermediate: Width of their feed-forward networks.
        patches_per_token: Patches it computes for one token of the text model.
        layers: How many it has; 0 where a profile does not say.
        patch_px: Side of a patch.
        image_px: Side of the square, or of a tile, that it sees; the longest side where it sees all shapes.
        window_layers: Layers in which a patch sees only those near it.
        window_patches: How many those are.
        rule: How its model counts an image (`image_tokens`); None where that is not known.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    parameters: Count
    hidden: Count
    intermediate: Count
    patches_per_token: Count
    layers: Annotated[int, Field(ge=0)] = 0
    patch_px: Count = 14
    image_px: Count = 1024
    window_layers: Annotated[int, Field(ge=0)] = 0
    window_patches: Annotated[int, Field(ge=0)] = 0
    rule: ImageRule | None = None

    @model_serializer(mode="wrap")
    def _without_defaults(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = serialise(self)
        return {key: value for key, value in content.items() if value != type(self).model_fields[key].default}


class ModelShape(BaseModel):
    """The numbers of a model that time and memory depend on.

    Attributes:
        name: As scenarios name it.
        hf_names: Models of exactly this shape, as Hugging Face names them.
        architecture: Its class in Hugging Face's `config.json`; of a text model with an encoder, the text model's.
        experts: Feed-forward networks of a layer; 1 for a dense model.
        experts_per_token: Those a token passes through.
        tied_embeddings: Whether the output head is the embedding.
        gated: Whether a feed-forward network has a gate, and so three matrices.
        dense_layers: Layers of a mixture that have one network in place of experts.
        dense_intermediate: That network's width.
        shared_intermediate: Width of what every token passes beside its experts.
        attention_parameters: Of the matrices of all layers that are not feed-forward networks, where heads do not tell.
        feed_forward_parameters: Of all feed-forward networks, where they differ from layer to layer.
        other_parameters: In 16 bits whatever the format: positions, convolutions.
        kv: Kinds of its layers; all alike, with full attention, when empty.
        encoder: What it has in front for images.
        context_tokens: Longest request its configuration allows.
        replicated_parameters: Of the matrices of attention, those that every GPU holds.
        checkpoint_format: Weight format it is published in, where its configuration says so.
        kept: What that format leaves in 16 bits: attention, and feed-forward networks that are no experts.
        group_size: Weights that share a scale in that format, where it is not the format's own.
        kv_cache_bits: Bits of a number of the KV cache that its checkpoint asks for.
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
    gated: bool = True
    dense_layers: Annotated[int, Field(ge=0)] = 0
    dense_intermediate: Annotated[int, Field(ge=0)] = 0
    shared_intermediate: Annotated[int, Field(ge=0)] = 0
    attention_parameters: Count | None = None
    feed_forward_parameters: Count | None = None
    other_parameters: Annotated[int, Field(ge=0)] = 0
    kv: tuple[KvLayers, ...] = ()
    encoder: Encoder | None = None
    context_tokens: Count | None = None
    replicated_parameters: Annotated[int, Field(ge=0)] = 0
    checkpoint_format: Quantisation | None = None
    kept: tuple[Literal["attention", "feed_forward"], ...] = ()
    group_size: Count | None = None
    kv_cache_bits: Literal[8, 16] = 16

    @model_serializer(mode="wrap")
    def _without_defaults(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A plain model is as short as it always was."""
        content: dict[str, Any] = serialise(self)
        return {key: value for key, value in content.items() if key not in _RARE or value != _RARE[key]}

    @property
    def kv_layers(self) -> tuple[KvLayers, ...]:
        """Its layers by what they keep in the KV cache."""
        own = KvLayers(kind="full", layers=self.layers, heads=self.kv_heads, head_dim=self.head_dim)
        return self.kv or (own,)

    @property
    def attention_matrices(self) -> int:
        """Parameters of the matrices of attention, or of what stands in its place, in all layers."""
        if self.attention_parameters is not None:
            return self.attention_parameters
        return self.layers * self.hidden * self.head_dim * (2 * self.heads + 2 * self.kv_heads)

    @property
    def expert_parameters(self) -> int:
        """Parameters of the experts of all layers; 0 for a dense model."""
        if self.experts == 1:
            return 0
        return (self.layers - self.dense_layers) * self._matrices * self.hidden * self.intermediate * self.experts

    @property
    def dense_feed_forward_parameters(self) -> int:
        """Parameters of the feed-forward networks that every token passes, in all layers."""
        if self.experts == 1:
            own = self.feed_forward_parameters
            return own if own is not None else self.layers * self._matrices * self.hidden * self.intermediate
        shared = (self.layers - self.dense_layers) * self.shared_intermediate
        return self._matrices * self.hidden * (shared + self.dense_layers * self.dense_intermediate)

    @property
    def _matrices(self) -> int:
        return 3 if self.gated else 2

    @property
    def matrix_parameters(self) -> int:
        """Parameters of the matrices of all layers: those that quantisation replaces."""
        return self.attention_matrices + self.expert_parameters + self.dense_feed_forward_parameters

    @property
    def embedding_parameters(self) -> int:
        """Parameters of the embedding and the output head."""
        return (1 if self.tied_embeddings else 2) * self.vocab * self.hidden

    @property
    def parameters(self) -> int:
        """All parameters, but for norms, biases and routers."""
        encoder = self.encoder.parameters if self.encoder else 0
        return self.matrix_parameters + self.embedding_parameters + self.other_parameters + encoder

    def kv_bytes_per_token(self, tensor_parallel: int, number_bytes: int = 2) -> int:
        """Bytes of one token's keys and values on each GPU while no window has closed behind it."""
        return sum(one.layers * one.token_bytes(tensor_parallel, number_bytes) for one in self.kv_layers)

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
        words = "name", "hf_names", "architecture", "context_tokens", "checkpoint_format", "kept", "kv_cache_bits"
        ignored: dict[str, Any] = dict.fromkeys(words, True)
        # How it counts an image is no part of a step of text.
        ignored["encoder"] = {"layers", "patch_px", "image_px", "window_layers", "window_patches", "rule"}
        return self.model_dump(exclude=ignored) == other.model_dump(exclude=ignored)


#: What most models have not, and which is then left out of files.
_RARE = {
    name: field.default
    for name, field in ModelShape.model_fields.items()
    if name in {
        "gated", "dense_layers", "dense_intermediate", "shared_intermediate", "attention_parameters",
        "feed_forward_parameters", "other_parameters", "kv", "encoder", "context_tokens", "replicated_parameters",
        "checkpoint_format", "kept", "group_size", "kv_cache_bits",
    }
}  # fmt: skip


def stem(name: str) -> str:
    """A model's name without publisher and words such as -Instruct: what configurations of one shape share."""
    short = name.rstrip("/").rsplit("/", 1)[-1].lower().removeprefix("meta-")
    while (shorter := _TAILS.sub("", short)) != short:
        if not any(map(str.isdigit, shorter)):
            # DeepSeek-V3 is no later printing of a DeepSeek: nothing else tells its size.
            break
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


def context_tokens(model: ModelShape) -> int | None:
    """Longest request a model takes, of one whose profile does not say that of the known model of its name."""
    known = None if model.context_tokens else known_model(model.name)
    return known.context_tokens if known else model.context_tokens
