"""Where nothing arrived, nothing is said to be met, to cost nothing or to be cheapest: in no command."""

from __future__ import annotations

import json
import re

import pytest

from tests.experiment.small import _DATA
from tests.fuzz.command import run

GROWS = """extends: s.yaml
rollout:
  months: 2
  adoption: {kind: table, points: [{month: 1, share: 0}, {month: 2, share: 0}]}
  phases: [{pattern: api}]
"""
NEVER = re.compile(r"meets every objective|costs least|\binf\b|\bnan\b|as cheap|oversized|undercuts")


@pytest.fixture(scope="module", params=["1s", pytest.param("1ms", marks=pytest.mark.slow)])
def there(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("nothing")
    data = json.loads(json.dumps(_DATA))
    data["horizon"]["duration"], data["experiment"]["replications"] = request.param, 2
    (folder / "s.yaml").write_text(json.dumps(data))
    (folder / "grows.yaml").write_text(GROWS)
    ended = run("run", folder / "s.yaml", "--output", folder / "run", "--store", folder / "st", "--jobs", 1, "--quiet")
    assert ended.code == 0, ended.said
    assert "Verdict: cannot tell: nothing arrived" in ended.out
    assert not NEVER.search(ended.out)
    return folder


PLAN = "--pattern rented --gpu l40s --tensor-parallel 1 --quantisation bf16 --most-replicas 1 --deployment own --quiet"


@pytest.mark.parametrize(
    ("command", "code", "saying"),
    [
        (f"plan s.yaml {PLAN}", 1, "cannot tell: nothing arrived"),
        ("capacity s.yaml", 0, "rented cannot tell: nothing arrived"),
        ("break-even s.yaml --quiet", 0, "cannot tell: nothing arrived"),
        ("sweep s.yaml --over experiment.seed=1,2 --pattern api --output sweep --quiet", 0, "nothing arrived"),
    ],
)
def test_a_study_says_so(there, monkeypatch, command, code, saying):
    monkeypatch.chdir(there)
    ended = run(*command.split(), "--store", "st", "--jobs", 1)
    assert ended.code == code, ended.said
    assert saying in " ".join((ended.out + ended.said).split())
    assert not NEVER.search(ended.out)


def test_a_rollout_of_nothing_meets_nothing(there):
    ended = run("rollout", there / "grows.yaml", "--store", there / "st", "--jobs", 1, "--quiet")
    assert ended.code == 0, ended.said
    assert len(re.findall("nothing arrived *$", ended.out, re.MULTILINE)) == 2
    assert not re.search(r"\bmet *$", ended.out, re.MULTILINE)


def test_a_gate_that_has_seen_nothing_does_not_pass(there):
    ended = run("check", there / "run", "--baseline", there / "run")
    assert ended.code == 3
    assert "nothing arrived in" in ended.out


def test_a_report_of_nothing_can_be_made(there, tmp_path):
    ended = run("report", there / "run", "--output", tmp_path / "r.html")
    assert ended.code == 0, ended.said
    text = re.sub(r"<script.*?</script>|<[^>]*>", " ", (tmp_path / "r.html").read_text(), flags=re.DOTALL)
    assert "nothing arrived" in text
    assert not NEVER.search(text)
