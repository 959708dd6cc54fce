"""Logs whose fields the user names: on the command line, or in a small file that is shared."""

from __future__ import annotations

import json

import pytest

from simulator.trace.canonical import read_trace
from simulator.trace.header import read_header
from tests.cli.command import run
from tests.trace.importers.samples import CANARY, T0, lines

COLUMNS = ["--column", "time=t", "--column", "prompt_tokens=p", "--column", "output_tokens=o"]


def convert(folder, capsys, text, *options, name="json", file="log"):
    source, target = folder / file, folder / "t.parquet"
    source.write_text(text)
    code, out, err = run(["trace", "convert", "--format", name, str(source), str(target), "--json", *options], capsys)
    assert CANARY not in out + err
    return code, (json.loads(out)["rows"] if code == 0 else err), target


def row(**more):
    return {"t": T0, "p": 100, "o": 10} | more


@pytest.mark.parametrize(
    ("status", "good"),
    [(200, True), ("201", True), ("200 OK", True), ("success", True), ("SUCCEEDED", True), (True, True), (None, True),
     ("-", True), ("STATUS_CODE_UNSET", True), (200.0, True), ("Completed", True),
     (429, False), ("500", False), ("error", False), (False, False), ("cancelled", False), (0, False), ("2", False),
     ("timeout", False), (CANARY, False)],
)  # fmt: skip
def test_what_was_not_served_is_left_out_by_its_status(tmp_path, capsys, status, good):
    text = lines(row(), row(s=status))
    code, rows, _ = convert(tmp_path, capsys, text, *COLUMNS, "--column", "status=s")
    assert code == 0
    assert rows["imported"] == 1 + good
    assert rows["left_out"] == ({} if good else {"failed, by its status": 1})


@pytest.mark.parametrize(
    ("where", "kept"),
    [(["m=a"], 2), (["m=A"], 2), (["m=a", "m=b"], 3), (["m!=a"], 2), (["m=*"], 4), (["k.n.x=7"], 1), (["k.n.x!=7"], 3),
     (["hit=false"], 1), (["m=a", "k.n.x=7"], 1), (["m="], 1), (["m=a*", "m!=a"], 0)],
)  # fmt: skip
def test_where_keeps_what_is_wanted(tmp_path, capsys, where, kept):
    text = lines(row(m="a", k={"n.x": 7}), row(m="a"), row(m="b", hit=False), row(m=None))
    options = [part for one in where for part in ("--where", one)]
    code, rows, _ = convert(tmp_path, capsys, text, *COLUMNS, *options)
    if not kept:
        assert code == 2
        assert "not wanted (--where)" in rows
        return
    assert (code, rows["imported"]) == (0, kept)
    assert sum(rows["left_out"].values()) == 4 - kept


@pytest.mark.parametrize("name", ["litellm", "burstgpt"])
def test_where_takes_one_model_of_other_formats(tmp_path, capsys, name):
    call = {"startTime": T0, "prompt_tokens": 5, "completion_tokens": 5}
    text = (
        lines(*(call | {"model": model} for model in "aab"))
        if name == "litellm"
        else "Timestamp,Model,Request tokens,Response tokens,Log Type\n1,a,5,5,x\n2,a,5,5,x\n3,b,5,5,x\n"
    )  # fmt: skip
    code, rows, _ = convert(tmp_path, capsys, text, "--where", "model=a", name=name)
    assert (code, rows["imported"]) == (0, 2)


@pytest.mark.parametrize(
    ("field", "option", "value", "began_s"),
    [("ms", [], 2500, 2.5), ("latency_ms", [], 2500, 2.5), ("delayMs", [], 2500, 2.5), ("x_seconds", [], 2.5, 2.5),
     ("d", ["--unit", "duration=us"], 2_500_000, 2.5), ("d", ["--unit", "duration=s"], 2.5, 2.5),
     ("Duration", ["--unit", "duration=ns"], "2500000000", 2.5), ("took_ms", ["--unit", "duration=s"], 2.5, 2.5)],
)  # fmt: skip
def test_durations_have_units(tmp_path, capsys, field, option, value, began_s):
    text = lines(row(**{field: 0}), row(t=T0 + 10, **{field: value}))
    unit = option if field != "ms" else ["--unit", "duration=ms"]
    code, _, target = convert(tmp_path, capsys, text, *COLUMNS, "--column", f"duration={field}", *unit)
    assert code == 0
    assert read_trace(target).arrival_s.tolist() == [0.0, 10 - began_s]


def test_a_duration_without_a_unit_is_asked_for(tmp_path, capsys):
    code, err, _ = convert(tmp_path, capsys, lines(row(latency=2310)), *COLUMNS, "--column", "duration=latency")
    assert code == 2
    assert "--unit duration=s, ms, us or ns" in err


@pytest.mark.parametrize(
    ("values", "options", "apart_s"),
    [(("45000.25", "45000.5"), ["--unit", "time=excel"], 21_600), ((1_000_000_000, 1_000_000_009), [], 9),
     ((1_700_000_000_000, 1_700_000_001_500), ["--unit", "time=ms"], 1.5),
     (("20241116081546", "20241116081556"), ["--time-format", "%Y%m%d%H%M%S"], 10),
     (("20241116", "20241117"), ["--time-format", "%Y%m%d"], 86_400),
     (("Mon, 16 Nov 2026 08:15:46 GMT", "Mon, 16 Nov 2026 08:16:46 GMT"), ["--time-format", "%a, %d %b %Y %H:%M:%S %Z"],
      60),
     (("20261116T081546Z", "2026-11-16t08:15:47z"), [], 1),
     (("2026-11-16 08:15:46.5 +0000 UTC", "2026-11-16 09:15:47.5 +0100 CET m=+0.01"), [], 1),
     (("1.795417425e18", "2026-11-23T07:03:47Z[UTC]"), [], 2),
     (("2026-11-16T08:15:46,123+01:00", "2026-11-16 08:15:47,123 +0100"), [], 1)],
)  # fmt: skip
def test_moments_as_they_are_written(tmp_path, capsys, values, options, apart_s):
    code, rows, target = convert(tmp_path, capsys, lines(*(row(t=one) for one in values)), *COLUMNS, *options)
    assert code == 0, rows
    assert read_trace(target).arrival_s[1] == pytest.approx(apart_s, abs=1e-3)


def test_a_unit_of_ones_own_zero(tmp_path, capsys):
    options = ["--column", "arrival_s=t", *COLUMNS[2:], "--unit", "arrival_s=ms"]
    code, _, target = convert(tmp_path, capsys, lines(row(t=500), row(t=2250)), *options)
    assert code == 0
    assert read_trace(target).arrival_s.tolist() == [0.5, 2.25]


@pytest.mark.parametrize(
    ("path", "document"),
    [("a.b", {"a": {"b": [row(), row()]}}), ("a.b[]", {"a": {"b": [row(), row()]}}),
     ("a[].b[]", {"a": [{"b": [row()]}, {"b": []}, {"b": [row()]}]}), ("[].b", [{"b": row()}, {"b": row()}]),
     ("b", [{"b": row()}, {"b": row()}])],
)  # fmt: skip
@pytest.mark.parametrize("indent", [None, 1])
def test_records_lie_at_a_path(tmp_path, capsys, path, document, indent):
    code, rows, _ = convert(tmp_path, capsys, json.dumps(document, indent=indent), *COLUMNS, "--records", path)
    assert (code, rows["imported"]) == (0, 2)


@pytest.mark.parametrize("path", ["p", "u.p", "u.a.p", "c.gen_ai.usage.p", "c.gen_ai.usage.p.q", "j.x.y.z"])
@pytest.mark.parametrize("table", [False, True])
def test_a_path_finds_names_with_dots_at_any_depth(tmp_path, capsys, path, table):
    nested = {
        "p": 7,
        "u": {"p": 7, "a": {"p": 7}},
        "c": {"gen_ai.usage.p": {"q": 7}},
        "j": json.dumps({"x.y": {"z": 7}}),
    }
    if path == "c.gen_ai.usage.p":
        nested["c"] = {"gen_ai.usage": {"p": 7}}
    options = ["--column", "time=t", "--column", f"prompt_tokens={path}", "--column", "output_tokens=o"]
    if table:
        cells = ['"{}"'.format((one if isinstance(one, str) else json.dumps(one)).replace('"', '""'))
                 for one in nested.values()]  # fmt: skip
        text = f"t,o,{','.join(nested)}\n{T0},10,{','.join(cells)}\n"
    else:
        text = lines(row() | nested)
    code, rows, target = convert(tmp_path, capsys, text, *options, name="csv")
    assert (code, rows if code else 0) == (0, 0)
    assert read_trace(target).prompt_tokens.tolist() == [7]


MAPPING = """\
# How our gateway writes.
records: runs[].calls[]
columns:
  time: at.ms
  prompt_tokens: [usage.gen.in, usage.in]
  output_tokens: usage.out
  cache_read: usage.cached
  duration: took
  status: code
  label: dept
units: {time: ms, duration: ms}
apart: [cache]
where: {kind: [chat, "!audio*"], stream: true}
labels: {icu: icu_notes, ward 7: ward}
zone: Europe/Berlin
source: our gateway
"""


def test_a_mapping_file_says_it_all(tmp_path, capsys):
    (tmp_path / "gateway.yaml").write_text(MAPPING)
    calls = [
        {"at": {"ms": (T0 + 10 * n) * 1000}, "usage": {"gen.in": 90, "out": 5, "cached": 10}, "took": 2000,
         "code": 200, "dept": dept, "kind": "chat", "stream": True, "user": CANARY}
        for n, dept in enumerate(["icu"] * 5 + ["ward 7"] * 6 + [CANARY] * 5)
    ]  # fmt: skip
    calls += [calls[0] | {"code": 500}, calls[0] | {"kind": "audio"}, calls[0] | {"stream": False}]
    del calls[1]["usage"]["gen.in"]
    calls[1]["usage"]["in"] = 50
    text = json.dumps({"runs": [{"calls": calls[:4]}, {"calls": calls[4:]}]})
    code, rows, target = convert(tmp_path, capsys, text, "--mapping", str(tmp_path / "gateway.yaml"))
    assert code == 0, rows
    assert rows["imported"] == 16
    assert sum(rows["left_out"].values()) == 3
    table = read_trace(target)
    assert table.prompt_tokens.sum() == 16 * 100 - 40
    names = [table.workloads[index] for index in table.workload]
    assert {name: names.count(name) for name in names} == {"icu_notes": 5, "ward": 6, "requests": 5}
    header = read_header(target)
    assert (header.source, header.time_zone) == ("our gateway", "Europe/Berlin")
    # What is asked for on the command line wins.
    code, rows, _ = convert(
        tmp_path, capsys, text, "--mapping", str(tmp_path / "gateway.yaml"), "--where", "kind=audio"
    )
    assert (code, rows["imported"]) == (0, 1)


def test_faults_of_a_mapping_are_told_together(tmp_path, capsys):
    path = tmp_path / "m.yaml"
    path.write_text("columns: {tme: t, prompt_tokens: 5}\nunits: {time: min}\napart: [ache]\nextra: 1\n")
    code, err, _ = convert(tmp_path, capsys, lines(row()), "--mapping", str(path))
    assert code == 2
    for line, key in [(1, "columns.tme"), (1, "columns.prompt_tokens"), (2, "units.time"), (3, "apart"), (4, "extra")]:
        assert f"{path}:{line}: {key}" in err, err
    code, err, _ = convert(tmp_path, capsys, lines(row()), "--mapping", str(tmp_path / "none.yaml"))
    assert code == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [(["--unit", "time=min"], "expected one of s, ms, us, ns"), (["--unit", "output=s"], "--unit output: expected one"),
     (["--where", "x"], "COLUMN=VALUE"), (["--time-format", "%Q"], "directives of strptime"),
     (["--time-format", "yesterday"], "directives of strptime"), (["--column", "user=x"], "--column user: expected"),
     (["--records", "a[].b"], "not laid out as this format is")],
)  # fmt: skip
def test_what_cannot_be_asked_for_is_refused(tmp_path, capsys, options, said):
    code, err, target = convert(tmp_path, capsys, lines(row()), *COLUMNS, *options)
    assert code == 2
    assert said in " ".join(err.replace("│", " ").split())
    assert not target.exists()


def test_fields_of_other_formats_are_theirs(tmp_path, capsys):
    for options in (["--unit", "time=s"], ["--records", "a"], ["--where", "user=x"]):
        name = "vllm-otel" if "--where" in options else "bedrock"
        code, err, _ = convert(tmp_path, capsys, lines(row()), *options, name=name)
        assert code == 2
        assert options[0] in err
