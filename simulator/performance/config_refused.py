"""Architectures that are refused, and why: what stands in the way is said, where a list of others would not help.

Which ones vLLM gave up, and when, is what `_PREVIOUSLY_SUPPORTED_MODELS` of its registry says (0.33,
`model_executor/models/registry.py`).
"""

from __future__ import annotations

from typing import Final

_SOUND: Final = "an encoder for sound is not modelled"
_BY_REASON: Final[dict[str, tuple[str, ...]]] = {
    "vLLM served it until 0.9.2": ("Phi3SmallForCausalLM",),
    "vLLM served it until 0.10.2": ("MllamaForConditionalGeneration", "MotifForCausalLM", "Phi4FlashForCausalLM"),
    "vLLM served it until 0.22": ("JAISLMHeadModel",),
    "vLLM served it until 0.23": (
        "BaichuanForCausalLM", "BaiChuanForCausalLM", "BambaForCausalLM", "InternLMForCausalLM", "MiniMaxForCausalLM",
        "MiniMaxM1ForCausalLM", "MiniMaxText01ForCausalLM", "MiniMaxVL01ForConditionalGeneration", "QWenLMHeadModel",
        "QwenVLForConditionalGeneration", "XverseForCausalLM",
    ),
    "vLLM served it until 0.24": ("AquilaForCausalLM", "AquilaModel", "Grok1ForCausalLM", "Grok1ModelForCausalLM"),
    "vLLM does not serve weights of three values": ("BitNetForCausalLM", "BitnetForCausalLM"),
    "keys that layers share, and tables for each layer beside an encoder for sound, are not modelled": (
        "Gemma3nForCausalLM", "Gemma3nForConditionalGeneration",
    ),
    "caches of compressed keys, with the states of what compresses them, are not modelled": (
        "DeepseekV4ForCausalLM", "DeepseekV4ForConditionalGeneration", "DeepseekV41ForCausalLM",
    ),
    "attention to blocks of keys that it chooses is not modelled": (
        "MiniMaxM3SparseForCausalLM", "MiniMaxM3SparseForConditionalGeneration",
    ),
    "keys longer than values, and other heads in layers with a window, are not modelled": (
        "MiMoV2FlashForCausalLM", "MiMoV2ForCausalLM", "MiMoV2OmniForCausalLM",
    ),
    "queries that go through a narrower projection, with a single head of keys, are not modelled": (
        "Step3TextForCausalLM", "Step3VLForConditionalGeneration",
    ),
    "other heads in layers with a window, and gates for each head, are not modelled": (
        "Step3p5ForCausalLM", "Step3p7ForConditionalGeneration", "Step5ForCausalLM", "Step5ForConditionalGeneration",
    ),
    "experts that compute nothing, and two attentions a layer, are not modelled": (
        "LongcatFlashForCausalLM", "LongcatFlashNgramForCausalLM",
    ),
    "delta nets or lightning attention beside latent attention are modelled of Kimi Linear alone": (
        "BailingMoeV2_5ForCausalLM", "BailingMoeV3ForCausalLM",
    ),
    "a model without attention is not modelled": ("FalconMambaForCausalLM", "Mamba2ForCausalLM", "MambaForCausalLM"),
    "attention whose weights several layers share is not modelled": ("Zamba2ForCausalLM",),
    "an encoder that a decoder attends to is not modelled": (
        "BartForConditionalGeneration", "T5ForConditionalGeneration", "WhisperForConditionalGeneration",
    ),
    _SOUND: (
        "AudioFlamingo3ForConditionalGeneration", "GraniteSpeechForConditionalGeneration", "MiniCPMO",
        "Phi4MMForCausalLM", "Qwen2AudioForConditionalGeneration", "Qwen2_5OmniForConditionalGeneration",
        "Qwen2_5OmniModel", "Qwen3ASRForConditionalGeneration", "Qwen3OmniMoeForConditionalGeneration",
        "UltravoxModel", "VoxtralForConditionalGeneration",
    ),
}  # fmt: skip
#: Why each of them is refused.
REASONS: Final[dict[str, str]] = {name: reason for reason, names in _BY_REASON.items() for name in names}
