"""The Python that the pages and the notebooks show: it runs, and a strict type checker has nothing against it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from tests.parts import ROOT

PAGES = [ROOT / "README.md", ROOT / "docs" / "python.md", ROOT / "docs" / "extending.md"]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def blocks(page):
    return "\n".join(re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE))


def code(notebook):
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


@pytest.mark.slow
def test_what_the_page_on_extending_shows_works(monkeypatch):
    monkeypatch.chdir(ROOT)
    scope = {}
    exec(compile(blocks(PAGES[-1]), PAGES[-1].name, "exec"), scope)
    # A request of 700 tokens at most to the cluster, and of more to the API.
    longest = scope["results"].requests.groupby("target", observed=True)["prompt_tokens"].max()
    assert longest["cluster"] <= 700 < longest["bedrock/llama-3.3-70b"]
    assert scope["drawn"].summary()["prompt_tokens_mean"].iloc[0] == pytest.approx(300.0, rel=0.08)  # 200 × 3 / 2
    rows = scope["on_other_gpu"].requests
    # A step reads 16 GB at 1.2 TB/s and takes 2 ms of the host, and no more than 1 ms for what little context there is.
    assert rows["itl_s"].median() == pytest.approx(16e9 / 1.2e12 + 0.002, abs=1e-3)
    bill = scope["limited"].pattern("api").cost_lines_usd
    assert bill["api_own_provider"] == pytest.approx(-0.1 * (bill["api_prompt"] + bill["api_output"]), abs=0.02)
    rows = scope["limited"].requests.dropna(subset="last_token_s").sort_values("scheduled_s")
    begins_s, ends_s = rows["scheduled_s"].to_numpy(), rows["last_token_s"].to_numpy()
    assert max(int((ends_s[:row] > begin_s + 1e-6).sum()) for row, begin_s in enumerate(begins_s)) == 1  # and itself
    assert scope["billed"].cost_lines_usd["api_own_gateway"] > 0.0
    assert scope["priced"].cost_lines_usd["api_monitoring"] == 120.0
    assert scope["priced"].one_off_usd["api_interface_work"] == 40_000.0


@pytest.mark.slow
def test_a_strict_type_checker_has_nothing_against_it(tmp_path):
    for page in PAGES:
        (tmp_path / f"page_{page.stem.lower()}.py").write_text(blocks(page), encoding="utf-8")
    for notebook in NOTEBOOKS:
        (tmp_path / f"notebook_{notebook.stem}.py").write_text(code(notebook), encoding="utf-8")
    # Plotly has no types of its own: what one may do with a figure is known all the same.
    (tmp_path / "figures.py").write_text(
        "from typing import assert_type\n\nimport simulator\nfrom simulator.plots.figure import Figure\n\n"
        "results = simulator.run('clinic.yaml')\n"
        "assert_type(results.plot.latency('notes').update_layout(title='Notes'), Figure)\n"
        "assert_type(simulator.plan(results.scenario).plot(), Figure)\n"
        "results.plot.cost().upd_layout(title='')  # type: ignore[attr-defined]\n"
    )
    config = tmp_path / "mypy.ini"
    config.write_text("[mypy]\nstrict = true\nignore_missing_imports = true\nplugins = pydantic.mypy\n")
    files = sorted(str(path) for path in tmp_path.glob("*.py"))
    kept = ROOT / ".mypy_cache" / "pages"
    words = [sys.executable, "-m", "mypy", "--config-file", str(config), "--cache-dir", str(kept), *files]
    here = os.environ | {"MYPYPATH": str(ROOT)}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=here)
    assert done.returncode == 0, done.stdout
