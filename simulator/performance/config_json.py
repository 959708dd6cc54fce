"""A model's shape from its Hugging Face `config.json`.

Which layers there are, and what they keep, is what vLLM 0.33 makes of the file (`model_executor/models`); what a file
leaves out is what `transformers` 5 fills in. An architecture that is not here is refused: a guess would be silently
something else.
"""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from simulator.errors import ProfileError
from simulator.performance.architecture import ModelShape, known_model, known_models, stem
from simulator.performance.config_families import FAMILIES, text_family
from simulator.performance.config_refused import REASONS
from simulator.performance.config_text import TextConfig
from simulator.performance.config_vision import read_encoder
from simulator.performance.weight_formats import read_checkpoint
from simulator.reading import read_json

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Keys under which a wrapper keeps its text model.
_TEXT_PARTS: Final = ("text_config", "language_config", "llm_config", "thinker_config")
#: Wrappers around a text model: what they are for, beside text.
WRAPPERS: Final = (
    "Gemma3ForConditionalGeneration", "Gemma4ForConditionalGeneration", "Mistral3ForConditionalGeneration",
    "Llama4ForConditionalGeneration", "Qwen2_5_VLForConditionalGeneration", "Qwen2VLForConditionalGeneration",
    "Qwen3VLForConditionalGeneration", "Qwen3VLMoeForConditionalGeneration", "Qwen3_5ForConditionalGeneration",
    "Qwen3_5MoeForConditionalGeneration", "LlavaForConditionalGeneration", "LlavaNextForConditionalGeneration",
    "Glm4vMoeForConditionalGeneration", "KimiK25ForConditionalGeneration", "InternVLChatModel",
)  # fmt: skip


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
        return _from_file(path, name)
    shape = known_model(source)
    if shape is None:
        names = [model.name for model in known_models()]
        near = ", ".join(get_close_matches(stem(source), names, n=4, cutoff=0.3) or names)
        raise ProfileError(f"no model '{source}': neither a config.json nor a known name, such as {near}")
    return shape.model_copy(update={"name": name}) if name else shape


def _from_file(path: Path, name: str | None) -> ModelShape:
    config = _json(path)
    if not isinstance(config, dict):
        raise ProfileError(f"{path}: is not a model's configuration")
    beside = path.with_name("hf_quant_config.json")
    if "quantization_config" not in config and beside.is_file():
        # As ModelOpt used to write it.
        said = _json(beside)
        if not isinstance(said, dict):
            raise ProfileError(f"{beside}: is not what a checkpoint says of its weights")
        config = {**config, "quantization_config": {"quant_method": "modelopt", **said}}
    shape, faults = from_config(config, name or str(config.get("_name_or_path") or "") or path.resolve().parent.name)
    if faults or shape is None:
        raise ProfileError("\n".join(f"{path}: {fault}" for fault in faults))
    return shape.model_copy(update={"name": name.rsplit("/", 1)[-1].lower()}) if name else shape


def _json(path: Path) -> Any:  # noqa: ANN401 - whatever the file has
    try:
        return read_json(path)
    except OSError as error:
        raise ProfileError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ProfileError(f"{path}: is not JSON: {error}") from None


def from_config(config: Mapping[str, Any], name: str) -> tuple[ModelShape | None, list[str]]:
    """The shape that a configuration describes, or what is wrong with it.

    Args:
        config: The content of a `config.json`.
        name: What to call the model.
    """
    faults: list[str] = []
    named = config.get("architectures")
    architecture = named[0] if isinstance(named, list) and named else None
    part = next((config[key] for key in _TEXT_PARTS if isinstance(config.get(key), dict)), None)
    wrapped = architecture in WRAPPERS
    family = text_family(part or config, architecture) if wrapped else FAMILIES.get(str(architecture))
    if family is None and (reason := REASONS.get(str(architecture))):
        return None, [f"architectures: {named!r} is not supported: {reason}"]
    if family is None:
        kind = f" around {(part or {}).get('model_type')!r}" if wrapped else ""
        known = ", ".join([*FAMILIES, *WRAPPERS])
        faults.append(f"architectures: {named!r}{kind} is not supported; supported are {known}")
        family = FAMILIES["LlamaForCausalLM"]
    text = TextConfig(part if wrapped and part else config, config, family.defaults, faults)
    try:
        found = family.read(text)
    except ValidationError as error:
        return None, faults or [_first(error)]
    checkpoint = read_checkpoint(config, int(found.get("layers") or 1))
    faults += checkpoint.faults
    if found.get("experts", 1) == 1 and _experts_alone(config):
        faults.append("quantization_config: mxfp4 is for experts, and this model has none")
    heads, kv_heads = found.get("heads", 1), found.get("kv_heads", 1)
    if isinstance(heads, int) and isinstance(kv_heads, int) and kv_heads and heads % kv_heads:
        faults.append(f"num_key_value_heads: {kv_heads} do not divide {heads} heads")
    each, experts = found.get("experts_per_token", 1), found.get("experts", 1)
    if isinstance(each, int) and isinstance(experts, int) and each > experts:
        faults.append(f"num_experts_per_tok: {each} are more than its {experts} experts")
    encoder = read_encoder(config, found, faults) if wrapped else None
    if faults:
        return None, faults
    found |= {
        "name": stem(name), "hf_names": (name,), "architecture": family.name, "encoder": encoder,
        "checkpoint_format": checkpoint.quantisation, "kept": checkpoint.kept, "group_size": checkpoint.group_size,
        "kv_cache_bits": checkpoint.kv_cache_bits,
    }  # fmt: skip
    try:
        return ModelShape(**found), []
    except ValidationError as error:
        return None, [_first(error)]


def _experts_alone(config: Mapping[str, Any]) -> bool:
    """Whether its format leaves all but experts as they are (`Mxfp4Config`)."""
    said = config.get("quantization_config")
    return isinstance(said, dict) and str(said.get("quant_method", "")).lower() == "mxfp4"


def _first(error: ValidationError) -> str:
    """What numbers that are fine one by one do not make together."""
    fault = error.errors()[0]
    return f"{'.'.join(map(str, fault['loc']))}: {fault['input']!r} makes no model"
