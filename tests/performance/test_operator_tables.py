"""Profiles of operator tables: tables made from a known law give it back, and what is no such table is refused."""

from __future__ import annotations

import csv
import gzip
import math
from itertools import product

import numpy as np
import pytest

from simulator.cli.main import main
from simulator.engine.vllm.plan import plan_of
from simulator.errors import ProfileError
from simulator.performance.architecture import ModelShape
from simulator.performance.operator_tables import CONTEXT_TOKENS, SIGMA, _longest, import_profile
from simulator.performance.profile import read_profile_file
from simulator.performance.step_time import ProfiledStepTime
from simulator.scenario.patterns import EngineSettings

LAYERS = 4
MODEL = ModelShape(
    name="small", hf_names=("a/small",), layers=LAYERS, hidden=256, heads=4, kv_heads=2, head_dim=64, intermediate=512,
    vocab=1000,
)  # fmt: skip
#: Microseconds of one layer: a decode and a token of its context, alone and beside a prompt; a prompt, tokens, pairs.
ALONE, BESIDE, PROMPT = (3.0, 2e-3), (5.0, 4e-3), (2.0, 0.05, 1e-4)
BATCHES = (1, 2, 4, 8, 16, 32)
#: Microseconds of a token in each layer.
DENSE = {"qkv_proj": 0.5, "down_proj": 1.0, "layernorm": 0.1, "embedding": 0.2, "final_layernorm": 0.3}


def attention_us(chunk, past, decodes, context):
    base, slope = BESIDE if chunk else ALONE
    prompt = PROMPT[0] + chunk * (PROMPT[1] + PROMPT[2] * (past + 0.5 * chunk)) if chunk else 0.0
    return prompt + decodes * (base + slope * context)


def write(path, columns, rows):
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(columns)
        table.writerows(rows)


def operator_tables(at):
    """A folder of tables that follow a known law."""
    inside = at / "bf16" / "tp1"
    inside.mkdir(parents=True)
    (inside.parent / "meta.yaml").write_text(
        "profiler_version: 1.0.0\nvllm_version: 0.19.0\ngpu: A card\nmodel: a/small\nprofiled_at: '2026-04-24T12:00'\n"
    )
    tokens = (1, 2, 4, 8, 16, 32, 64, 128, 512, 2048)
    rows = [(name, count, 10 + us * count) for name, us in DENSE.items() for count in tokens]
    write(inside / "dense.csv", ("layer", "tokens", "time_us"), rows)
    write(
        inside / "per_sequence.csv", ("layer", "sequences", "time_us"),
        [(name, n, 20 + us * n) for name, us in (("lm_head", 1.0), ("sampler", 2.0)) for n in BATCHES],
    )  # fmt: skip
    shapes = [
        *product([0], [0], BATCHES, (16, 128, 1024, 2048, 8192)),
        *product((16, 256, 2048), (0, 1024, 4096), (0, *BATCHES), (0, 512, 2048)),
    ]
    write(
        inside / "attention.csv", ("prefill_chunk", "kv_prefill", "n_decode", "kv_decode", "time_us"),
        [(*shape, attention_us(*shape)) for shape in shapes],
    )  # fmt: skip
    return inside.parent


@pytest.fixture
def folder(tmp_path):
    return operator_tables(tmp_path)


def seconds(of_layers_us, once_us=0.0):
    return 1e-6 * (LAYERS * of_layers_us + once_us)


def step_s(decodes, context, chunks):
    """By hand: dense layers, those passed twice and once, head and sampler, attention."""
    tokens, rows = decodes + sum(q for q, _ in chunks), decodes + len(chunks)
    dense = seconds(30 + (0.5 + 1.0 + 0.1) * tokens + 10 + 0.1 * tokens, 20 + 0.5 * tokens)
    head = 1e-6 * (40 + 3.0 * rows)
    base, slope = BESIDE if chunks else ALONE
    attention = decodes * (base + slope * context)
    attention += sum(PROMPT[0] + q * (PROMPT[1] + PROMPT[2] * (p + 0.5 * q)) for q, p in chunks)
    return dense + head + seconds(attention)


@pytest.mark.parametrize("chunks", [[], [(256, 0)], [(16, 1024)]])
@pytest.mark.parametrize(("decodes", "context"), [(1, 100), (4, 1000), (20, 2000)])
def test_the_law_of_the_tables_is_found_again(folder, decodes, context, chunks):
    profile = import_profile(folder, MODEL, "a-card")
    bare = profile.model_copy(
        update={"overhead": profile.overhead.model_copy(update={"eager_per_layer_s": 0.0, "per_step_s": 0.0})}
    )
    model = ProfiledStepTime(bare, 32, 2048, enforce_eager=True)
    assert model.step_s(decodes, decodes * context, chunks) == pytest.approx(step_s(decodes, context, chunks), rel=0.01)
    assert profile.fit_error.max_percent < 0.5


def test_decodes_beside_a_prompt_take_longer_in_both_engines_tables(folder):
    table = ProfiledStepTime(import_profile(folder, MODEL, "a-card"), 32, 2048).table(32, 2048)
    beside = table.attention[16]
    assert beside[0] == pytest.approx(seconds(16 * BESIDE[0]), rel=0.01)
    assert beside[1] == pytest.approx(seconds(BESIDE[1]), rel=0.01)
    assert table.decode[16][1] == pytest.approx(seconds(ALONE[1]), rel=0.01)


def skewed(share):
    """Batches of unequal contexts that lie so far between those of the mean and of the longest."""
    rows = []
    for count, chunk in product(BATCHES[1:], (0, 256)):
        mean, most = 1000.0, 3000.0
        rows.append((count, chunk, 0, 2048, mean, most, mean + share * (most - mean)))
    return rows


@pytest.mark.parametrize("packed", [False, True])
def test_unequal_contexts_make_attention_longer(folder, packed):
    plain = import_profile(folder, MODEL, "a-card")
    path = folder / "tp1" / "skew.csv"
    write(path, ("n", "pc", "kp", "kv_big", "t_mean_us", "t_max_us", "t_skew_us"), skewed(0.1))
    if packed:
        path.with_name("skew.csv.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    found = import_profile(folder, MODEL, "a-card")
    for name in ("decode_attention_per_kv_token", "mixed_decode_attention_per_kv_token"):
        extra = np.array(getattr(found, name).y) / np.array(getattr(plain, name).y) - 1.0
        # The longest of 32 lognormals of sigma 0.5 is 2.5 times the mean, that of one is the mean.
        assert extra[-1] == pytest.approx(0.1 * 1.5, abs=0.01)
        assert extra[0] == pytest.approx(0.0, abs=1e-5)
        assert (np.diff(extra) >= -1e-9).all()


def test_the_longest_of_a_batch_is_that_of_draws():
    draws = np.random.default_rng(1).lognormal(-0.5 * SIGMA**2, SIGMA, (20_000, 128))
    assert _longest(128) == pytest.approx(np.mean(draws.max(axis=1) / draws.mean(axis=1)), rel=0.06)


def test_experts_that_a_step_activates_grow_with_its_tokens(folder):
    """A step of one token activates two of eight experts; a hundred tokens all of them."""
    mixture = MODEL.model_copy(update={"experts": 8, "experts_per_token": 2, "name": "mix"})
    with pytest.raises(ProfileError, match="moe.csv: there is no such table"):
        import_profile(folder, mixture, "a-card")
    write(folder / "tp1" / "moe.csv", ("tokens", "activated_experts", "time_us"), [])
    with pytest.raises(ProfileError, match="a table has no rows"):
        import_profile(folder, mixture, "a-card")
    rows = [(t, e, 100.0 * e + 1.0 * t) for t in (1, 16, 256, 2048) for e in (2, 4, 8)]
    write(folder / "tp1" / "moe.csv", ("tokens", "activated_experts", "time_us"), rows)
    dense, found = import_profile(folder, MODEL, "a-card").dense, import_profile(folder, mixture, "a-card").dense
    extra = {tokens: 1e6 * (found.y[row] - dense.y[row]) / LAYERS for row, tokens in enumerate(dense.x)}
    assert extra[1] == pytest.approx(100.0 * 2 + 1)
    active = 8 * (1 - 0.75**16)
    assert extra[16] == pytest.approx(100.0 * active + 16, rel=0.01)
    assert extra[2048] == pytest.approx(100.0 * 8 + 2048, rel=0.01)
    assert math.isclose(extra[128], 800 + 16 + (256 - 16) * math.log(8) / math.log(16), rel_tol=0.01)


def test_the_command_writes_a_profile_that_a_server_can_run(folder, tmp_path, capsys):
    target = tmp_path / "own.json"
    words = ["profile", "import", folder, "--model", "llama-3.1-8b", "--gpu", "rtx-pro-6000", "-o", target]
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    assert ended.value.code in (0, None)
    assert "longer for it" in capsys.readouterr().err
    profile = read_profile_file(target)
    assert profile.id == "llama-3.1-8b-bf16-rtx-pro-6000-x1"
    assert profile.provenance["device"] == "A card"
    assert profile.measured.context_tokens == CONTEXT_TOKENS
    settings = EngineSettings(max_model_len=4096)
    assert plan_of(profile, settings).num_gpu_blocks > 1000
    twice = profile.scaled(2.0)
    assert twice.mixed_decode_attention.y == tuple(2.0 * value for value in profile.mixed_decode_attention.y)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("dense.csv", "layer,tokens\nqkv_proj,1\n", "has no column time_us"),
        ("dense.csv", "layer,tokens,time_us\nqkv_proj,1,fast\n", "line 2: expected numbers"),
        ("per_sequence.csv", "layer,sequences,time_us\nlm_head,1,-3\n", "line 2: expected numbers"),
        ("attention.csv", "prefill_chunk,kv_prefill,n_decode,kv_decode,time_us\n0,0,1,16,nan\n", "line 2"),
        ("attention.csv", "prefill_chunk,kv_prefill,n_decode,kv_decode,time_us\n", "a table has no rows"),
        ("../meta.yaml", "- a\n- b\n", "does not say what was timed"),
        ("../meta.yaml", "a: [\n", "it is no YAML"),
        ("attention.csv", None, "there is no such table"),
        ("../meta.yaml", 'gpu: "\\ud800"\n', "gpu: expected a line of text"),
        ("../meta.yaml", "model: [a]\n", "model: expected a line of text"),
        ("../meta.yaml", "[" * 3000, "it is no YAML"),
        ("../meta.yaml", "profiled_at: 2026-99-99\n", "it is no YAML"),
        ("dense.csv", "layer,tokens,time_us\na,1,3\nb,2,3\n", "dense.csv: there are not two counts"),
        ("dense.csv", "layer,tokens,time_us\na,1,3\n", "dense.csv: there are not two counts"),
        ("per_sequence.csv", "layer,sequences,time_us\nlm_head,0,3\n", "per_sequence.csv: there are not two counts"),
        (
            "per_sequence.csv",
            f"layer,sequences,time_us\n{'9' * 200_000},0,3\n",
            "per_sequence.csv: cannot be read as CSV",
        ),
    ],
)
def test_what_is_no_such_table_is_refused_by_its_name(folder, name, content, said):
    path = folder / "tp1" / name
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(ProfileError, match=said) as refused:
        import_profile(folder, MODEL, "a-card")
    assert path.name in str(refused.value) or "a table" in said
    assert len(str(refused.value)) < 2000
