"""Make a folder that vLLM takes for a model: a Llama of 2 layers without weights, and a tokenizer of whole words.

    python tools/tiny_model.py FOLDER [--layers 2] [--hidden 256]

For servers with `--load-format dummy`, on which only times matter.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

VOCAB = 32_000


def make(folder: Path, layers: int, hidden: int) -> None:
    """Write `config.json`, `tokenizer.json` and `tokenizer_config.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    heads = hidden // 64
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": hidden,
        "intermediate_size": 2 * hidden, "num_hidden_layers": layers, "num_attention_heads": heads,
        "num_key_value_heads": max(1, heads // 2), "head_dim": 64, "vocab_size": VOCAB,
        "max_position_embeddings": 16_384, "rms_norm_eps": 1e-5, "rope_theta": 10_000.0, "hidden_act": "silu",
        "tie_word_embeddings": False, "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "bfloat16",
    }  # fmt: skip
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"}, "post_processor": None, "decoder": None,
        "model": {"type": "WordLevel", "vocab": {f"w{n}": n for n in range(VOCAB)}, "unk_token": "w0"},
    }  # fmt: skip
    names = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "w1", "eos_token": "w2", "unk_token": "w0"}
    for name, content in {"config": config, "tokenizer": tokenizer, "tokenizer_config": names}.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--hidden", type=int, default=256)
    given = parser.parse_args()
    make(given.folder, given.layers, given.hidden)
