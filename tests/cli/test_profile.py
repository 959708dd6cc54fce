from __future__ import annotations

import json

import pytest

from simulator.performance.profile import available_profiles, read_profile
from tests.cli.command import run

CLINICAL = "llama-3.3-70b-w4a16-a100-80gb-x2"


def test_list_names_every_profile(capsys):
    code, out, _ = run(["profile", "list", "--json"], capsys)
    assert code == 0
    assert [row["id"] for row in json.loads(out)["profiles"]] == list(available_profiles())
    code, out, _ = run(["profile", "list", "--gpu", "l40s", "--model", "70b"], capsys)
    assert "llama-3.3-70b-fp8-l40s-x4" in out
    assert "a100" not in out


def test_show_tells_decode_only_from_what_lasts(capsys):
    """The claim of 1,500 tokens/s holds for decoding 64 sequences; with prompts of 600 to compute it is a third."""
    code, out, _ = run(["profile", "show", CLINICAL, "--json"], capsys)
    assert code == 0
    at_64 = next(step for step in json.loads(out)["facts"]["steps"] if step["sequences"] == 64)
    assert 1200 <= at_64["decode_tokens_per_s"] <= 1450
    rates = at_64["sustained_output_tokens_per_s"]
    assert 460 <= rates["0%"] <= 700
    assert rates["0%"] < rates["50%"] < rates["90%"] < at_64["decode_tokens_per_s"]
    code, out, _ = run(["profile", "show", CLINICAL], capsys)
    for part in ("estimated", "every answer costs a prompt", "0.85 to 1.17", "Marlin", "GiB for KV"):
        assert part in out


def test_show_knows_profiles_of_boards_it_has_no_memory_of(tmp_path, capsys):
    path = tmp_path / "own.json"
    path.write_text(read_profile(CLINICAL).model_copy(update={"gpu": "gb300"}).model_dump_json())
    code, out, _ = run(["profile", "show", str(path)], capsys)
    assert code == 0
    assert "num_gpu_blocks" in out


def test_plot_writes_one_page_that_needs_no_network(tmp_path, capsys):
    page = tmp_path / "p.html"
    code, _, err = run(["profile", "plot", CLINICAL, f"{CLINICAL}-trt-llm", "-o", str(page)], capsys)
    assert (code, err.strip()) == (0, f"wrote {page}")
    text = page.read_text()
    assert CLINICAL in text
    assert 'src="http' not in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "nothing-x1"], "no performance profile 'nothing-x1'"),
        (["show", "missing.json"], "cannot be read"),
        (["build", "--model", "qwen9", "--gpu", "l40s"], "neither a config.json nor a known name"),
        (["build", "--model", "qwen3-14b", "--gpu", "l40s", "--quant", "int8"], "choose fp8"),
        (["plot", *[CLINICAL] * 7], "at most 6"),
    ],
)
def test_bad_wishes_are_refused(arguments, message, capsys):
    code, out, err = run(["profile", *arguments], capsys)
    assert (code, out) == (2, "")
    assert message in err
