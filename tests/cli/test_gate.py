"""`simulator compare` and `simulator check`, as a shell sees them."""

from __future__ import annotations

import json

import pytest

from tests.cli.command import run
from tests.gate.kept import VARIANTS, kept


def test_check_passes_fails_and_writes_everything(tmp_path, capsys):
    base = str(kept())
    assert run(["check", base, "--baseline", base], capsys)[0] == 0
    files = ["--markdown", str(tmp_path / "c.md"), "--junit", str(tmp_path / "c.xml")]
    code, out, err = run(["check", str(kept(VARIANTS["price"])), "--baseline", base, *files], capsys)
    assert (code, err) == (1, "")
    assert "cause: price +73.00 USD" in out
    assert (tmp_path / "c.md").is_file()
    assert (tmp_path / "c.xml").is_file()


def test_one_json_document_and_nothing_else(capfd):
    code, out, _ = run(["check", str(kept(None, 1)), "--baseline", str(kept()), "--json"], capfd)
    assert code == json.loads(out)["check"]["exit_code"] == 3
    code, out, _ = run(["compare", str(kept()), str(kept(VARIANTS["price"])), "--json"], capfd)
    assert code == 0
    assert json.loads(out)["check"] is None
    assert json.loads(out)["costs"][0]["by_usd"]["price"] == 73.0


def test_compare_judges_nothing(capsys):
    assert run(["compare", str(kept()), str(kept(VARIANTS["replica"]))], capsys)[0] == 0


@pytest.mark.parametrize("broken", ["result", "baseline", "policy", "place"])
def test_broken_input_is_2_and_nothing_is_written(tmp_path, capsys, broken):
    bad = tmp_path / "bad"
    bad.write_text("{")
    files = {"result": str(kept()), "baseline": str(kept()), "policy": None} | {broken: str(bad)}
    out = tmp_path / ("none/c.md" if broken == "place" else "c.md")
    arguments = ["check", files["result"], "--baseline", files["baseline"], "--markdown", str(out)]
    code, printed, err = run(arguments + (["--policy", files["policy"]] if files["policy"] else []), capsys)
    assert (code, printed) == (2, "")
    assert err
    assert not out.exists()


def test_a_run_directory_is_a_result_too(tmp_path, capsys):
    (tmp_path / "summary.json").write_bytes(kept().read_bytes())
    assert run(["compare", str(tmp_path), str(kept())], capsys)[0] == 0
