"""Configurations of models as their makers publish them, one line each in `published_configs.json`.

`billions` and `active_billions` are the maker's own counts, `built` the parameters of the model that `transformers`
5.19 builds of the same values. `kv_bytes` is a token of full context in all layers, worked out by hand: 2 x 2 bytes x
layers with attention x key-value heads x head size; of latent attention 2 bytes x layers x (latent + rotary part).
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from simulator.performance.config_families import FAMILIES
from simulator.performance.config_json import WRAPPERS, from_config
from simulator.performance.config_refused import REASONS


def unpacked(value):
    """A list that repeats is written once, with how often."""
    if isinstance(value, dict):
        if set(value) == {"repeat", "times"}:
            return value["repeat"] * value["times"]
        return {key: unpacked(one) for key, one in value.items()}
    return value


ROWS = unpacked(json.loads(Path(__file__).with_name("published_configs.json").read_text()))
READ = [name for name, row in ROWS.items() if "refused" not in row]


def shape_of(name):
    shape, faults = from_config(ROWS[name]["config"], name)
    assert faults == []
    return shape


@pytest.mark.parametrize("name", READ)
def test_parameters_are_those_the_maker_counts(name):
    shape, row = shape_of(name), ROWS[name]
    assert shape.parameters / 1e9 == pytest.approx(row["billions"], rel=0.01)
    if "built" in row:
        assert shape.parameters == pytest.approx(row["built"], rel=0.003)


@pytest.mark.parametrize("name", [name for name in READ if "active_billions" in ROWS[name]])
def test_active_parameters_lie_where_makers_put_them(name):
    """With the embedding and the head, or without them: makers differ, and round."""
    shape = shape_of(name)
    idle = shape.expert_parameters * (1 - shape.experts_per_token / shape.experts)
    most = shape.parameters - idle
    assert (most - 2 * shape.vocab * shape.hidden) * 0.97 <= ROWS[name]["active_billions"] * 1e9 <= most * 1.03


@pytest.mark.parametrize("name", READ)
def test_layers_keep_what_vllm_has_them_keep(name):
    shape, row = shape_of(name), ROWS[name]
    assert shape.kv_bytes_per_token(1) == row["kv_bytes"]
    assert {one.kind: one.layers for one in shape.kv_layers} == row["kinds"]


@pytest.mark.parametrize("name", [name for name in ROWS if name not in READ])
def test_what_is_not_modelled_says_why(name):
    shape, faults = from_config(ROWS[name]["config"], name)
    assert shape is None
    assert ROWS[name]["refused"] in faults[0]


def test_nothing_is_both_read_and_refused():
    assert set(REASONS).isdisjoint({*FAMILIES, *WRAPPERS})


def test_states_as_vllm_shapes_them():
    """By hand, after `mamba2_state_shape` and `short_conv_state_shape`: inputs of the convolution, and the state."""
    falcon, lfm = (next(one for one in shape_of(name).kv_layers if one.kind == "state") for name in
                   ("Falcon-H1-34B", "LFM2-8B-A1B"))  # fmt: skip
    assert falcon.state_bytes(1) == 2 * ((4096 + 2 * 2 * 256) * 3 + 4096 * 256)
    assert lfm.state_bytes(1) == 2 * 2048 * 2


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("Hunyuan-A13B", {"moe_topk": [8] * 31 + [4]}, "moe_topk: layers that differ"),
        ("Falcon-H1-7B", {"mamba_d_ssm": 3000}, "mamba_d_ssm: is not"),
        ("dbrx", {"ffn_config": None}, "ffn_config: expected a mapping"),
        ("deepseek-moe-16b", {"moe_layer_freq": 2}, "moe_layer_freq"),
        ("MiniCPM-2B", {"num_experts": 8}, "num_experts: experts of a MiniCPM"),
        ("LFM2-8B-A1B", {"layer_types": ["mamba"] * 24}, "layer_types: expected conv"),
        ("LFM2-1.2B", {"full_attn_idxs": None}, "full_attn_idxs: expected which"),
        ("LFM2-1.2B", {"full_attn_idxs": [2, 99]}, "full_attn_idxs: expected which"),
        ("EXAONE-3.5-7.8B", {"num_layers": None}, "num_layers: is missing"),
        ("glm-4-9b-chat", {"padded_vocab_size": "many"}, "padded_vocab_size: 'many'"),
    ],
)
def test_a_fault_names_the_key_as_the_file_has_it(name, change, reason):
    shape, faults = from_config({**ROWS[name]["config"], **change}, name)
    assert shape is None
    assert any(reason in fault for fault in faults), faults
