from __future__ import annotations

import json
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.errors import ProfileError
from simulator.performance.architecture import ModelShape, known_model, known_models, stem
from simulator.performance.config_json import read_model

QWEN = {
    "architectures": ["Qwen3ForCausalLM"], "num_hidden_layers": 40, "hidden_size": 5120, "num_attention_heads": 40,
    "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 17408, "vocab_size": 151936,
    "tie_word_embeddings": False,
}  # fmt: skip


def config(tmp_path, content, folder="Qwen3-14B"):
    path = tmp_path / folder
    path.mkdir()
    (path / "config.json").write_text(json.dumps(content))
    return path


def test_a_configuration_and_a_known_name_give_the_same_shape(tmp_path):
    folder = config(tmp_path, QWEN)
    for source in (folder, folder / "config.json"):
        shape = read_model(str(source))
        assert shape.name == "qwen3-14b"
        assert shape.same_shape(read_model("Qwen/Qwen3-14B"))


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("meta-llama/Llama-3.3-70B-Instruct", 70.6), ("llama-3.1-8b", 8.03), ("Qwen/Qwen3-32B", 32.8),
        ("qwen3-14b", 14.8),
        ("codellama/CodeLlama-34b-Instruct-hf", 33.7), ("Yi-34B", 34.4), ("mistral-7b", 7.24), ("mixtral-8x7b", 46.7),
        ("llama-2-7b", 6.74), ("llama-2-70b", 69.0), ("mistral-nemo-12b", 12.2), ("mixtral-8x22b", 140.6),
    ],
)  # fmt: skip
def test_known_models_have_the_parameters_their_cards_state(name, billions):
    assert read_model(name).parameters / 1e9 == pytest.approx(billions, rel=0.006)


def test_what_a_configuration_leaves_out_follows_from_the_rest(tmp_path):
    lean = {key: value for key, value in QWEN.items() if key not in {"num_key_value_heads", "head_dim"}}
    shape = read_model(str(config(tmp_path, lean | {"architectures": ["LlamaForCausalLM"]})), name="org/Mine")
    assert (shape.kv_heads, shape.head_dim, shape.experts, shape.name) == (40, 128, 1, "mine")


def test_all_faults_of_a_configuration_come_at_once(tmp_path):
    broken = QWEN | {"architectures": ["RwkvForCausalLM"], "vocab_size": 0, "hidden_size": "5120"}
    del broken["intermediate_size"]
    with pytest.raises(ProfileError) as caught:
        read_model(str(config(tmp_path, broken)))
    message = str(caught.value)
    for part in (
        "RwkvForCausalLM",
        "LlamaForCausalLM",
        "vocab_size: 0",
        "hidden_size: '5120'",
        "intermediate_size: is missing",
    ):
        assert part in message
    assert len(message.splitlines()) == 4


@pytest.mark.parametrize("content", ["", "[]", "{", '"x"'])
def test_what_is_no_configuration_is_refused(content, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(ProfileError, match=r"config\.json"):
        read_model(str(path))


def test_an_unknown_name_names_the_nearest():
    with pytest.raises(ProfileError, match="yi-34b"):
        read_model("yi-35b")


def test_names_of_one_shape_share_a_stem():
    for name in ("meta-llama/Llama-3.1-8B-Instruct", "Meta-Llama-3.1-8B", "llama-3.1-8b"):
        assert stem(name) == "llama-3.1-8b"
        assert known_model(name).name == "llama-3.1-8b"
    assert stem("mistralai/Mistral-7B-Instruct-v0.2") == "mistral-7b"
    assert known_model("unheard/of") is None


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("deepseek-ai/DeepSeek-V2", "deepseek-v2"), ("DeepSeek-V2.5", "deepseek-v2"),
        ("DeepSeek-V3-0324", "deepseek-v3"),
        ("DeepSeek-V3.2-Exp", "deepseek-v3.2"), ("DeepSeek-V4", None), ("DeepSeek-R1-0528", "deepseek-v3"),
        ("mistralai/Mistral-7B-Instruct-v0.3", "mistral-7b"), ("Qwen3-VL-8B-Instruct-FP8", "qwen3-vl-8b"),
    ],
)  # fmt: skip
def test_a_version_that_is_the_model_is_no_tail(name, model):
    """DeepSeek's V2, V3 and V4 are models, Mistral 7B's v0.2 and v0.3 printings of one."""
    found = known_model(name)
    assert (found.name if found else None) == model


def test_no_two_known_models_answer_to_one_name():
    names = Counter(name for shape in known_models() for name in {shape.name, *map(stem, shape.hf_names)})
    assert [name for name, times in names.items() if times > 1] == []


def test_known_models_weigh_what_their_names_say():
    """Names round, and leave encoders and embeddings out; of a mixture they give the experts' count or the whole."""
    said = {
        shape: float(number[1])
        for shape in known_models()
        if "x" not in shape.name and (number := re.search(r"-(\d+(?:\.\d+)?)b(?:-|$)", shape.name))
    }
    assert len(said) >= 50
    for shape, billions in said.items():
        assert shape.parameters / 1e9 == pytest.approx(billions, rel=0.06, abs=1.3), shape.name


def test_known_models_are_found_by_each_of_their_names():
    for shape in known_models():
        for name in (shape.name, *shape.hf_names):
            assert known_model(name) == shape


@given(st.integers(1, 128), st.sampled_from([1, 2, 4, 8]), st.sampled_from([1, 2, 4, 8, 32]))
def test_gpus_share_the_keys_and_values(layers, gpus, kv_heads):
    """Each GPU holds its heads; with fewer heads than GPUs they are copied (vLLM, `attention` layers)."""
    shape = ModelShape(
        name="m",
        hf_names=(),
        layers=layers,
        hidden=4096,
        heads=32,
        kv_heads=kv_heads,
        head_dim=128,
        intermediate=1,
        vocab=1,
    )
    whole = 2 * 2 * layers * 128 * kv_heads
    assert shape.kv_bytes_per_token(gpus) == max(whole // gpus, 2 * 2 * layers * 128)
