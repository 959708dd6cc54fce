"""Broken logs: an error message or a valid trace; never a traceback, a hang or a canary."""

from __future__ import annotations

import gzip
import io

import pyarrow.csv
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulator.trace.importers import aggregate, servegen
from simulator.trace.importers import vllm_prometheus as prom
from tests.parts import TRACES
from tests.trace.importers.samples import CANARY, SAMPLES, attempt

REAL = {
    "azure-llm-2023": "AzureLLMInferenceTrace_conv.csv",
    "mooncake": "mooncake_conversation_first800.jsonl",
    "servegen": "servegen_m-large_chunk-48-trace.csv",
}
#: What breaks parsers, and text that must not pass.
NASTY = [
    b'"', b"'", b"\n", b"\r\n", b"\0", b"{", b"}", b"[", b"]", b",", b";", b":", b"\\", b"\xff\xfe", b"\xef\xbb\xbf",
    b"\x1f\x8b", b"PAR1", b"-1", b"0", b"1e999", b"-1e-999", b"NaN", b"Infinity", b"9" * 400, b"1.5", b"true", b"null",
    b"2024-02-30", b"0000-00-00T00:00:00Z", b"9999-12-31 23:59:60", b"24/13/2024", b"\xed\xa0\x80", "٣".encode(),
    b"[" * 2000, b'{"a":' * 200, b'"' * 99, b"\\ud800", b"=cmd()", CANARY.encode(), b" " * 300,
]  # fmt: skip
EDIT = st.tuples(
    st.sampled_from(["put", "over", "cut", "twice", "end", "swap"]), st.floats(0, 1), st.integers(1, 60),
    st.one_of(st.sampled_from(NASTY), st.binary(max_size=8)),
)  # fmt: skip


def edited(data, edits):
    """The bytes after some edits, each at a place given as a share of the length."""
    for kind, where, length, piece in edits:
        at = int(where * len(data))
        head, tail = data[:at], data[at:]
        if kind == "put":
            data = head + piece + tail
        elif kind == "over":
            data = head + piece + tail[length:]
        elif kind == "cut":
            data = head + tail[length:]
        elif kind == "twice":
            data = head + tail[:length] * 2 + tail[length:]
        elif kind == "end":
            data = head
        else:
            data = tail + head
    return data


def originals(sample, real):
    """The sample, and some as Parquet; or the head of a real file."""
    if real:
        return [(TRACES / REAL[sample.name]).read_bytes()[:1500]]
    found = [sample.text.encode()]
    if sample.name in ("azure-llm-2024", "splitwise"):
        table = pyarrow.csv.read_csv(io.BytesIO(sample.text.encode()))
        sink = io.BytesIO()
        pyarrow.parquet.write_table(table, sink)
        found.append(sink.getvalue())
    return found


CASES = [
    *(pytest.param(sample, False, id=sample.name) for sample in SAMPLES),
    *(
        pytest.param(sample, True, id=f"{sample.name}-real", marks=pytest.mark.needs("public traces"))
        for sample in SAMPLES
        if sample.name in REAL
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize(("sample", "real"), CASES)
def test_broken_logs(tmp_path, monkeypatch, capsys, caplog, sample, real):
    # Few enough that an edited count does not fill memory.
    for module, name in ((aggregate, "MOST_REQUESTS"), (servegen, "_MOST_PER_WINDOW"), (prom, "_MOST_PER_SCRAPE")):
        monkeypatch.setattr(module, name, 2000)
    base = originals(sample, real)
    outcomes = {"imported": 0, "refused": 0}

    # Whatever else is raised fails the test by itself. Two thousand a format in a night.
    @settings(
        max_examples=4 * settings.default.max_examples, database=None, derandomize=True,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(
        st.integers(0, len(base) - 1), st.lists(EDIT, min_size=1, max_size=4), st.booleans(),
        st.sampled_from([0.0, 0.5, 1.0]), st.lists(EDIT, max_size=1),
    )  # fmt: skip
    def broken(which, edits, packed, tolerate, packed_edits):
        data = edited(base[which], edits)
        if packed:
            data = edited(gzip.compress(data, 1), packed_edits)
        for left in tmp_path.iterdir():
            left.unlink()
        said, table = attempt(sample, data, tmp_path, tolerate=tolerate)
        assert CANARY not in said
        outcomes["imported" if table is not None else "refused"] += 1
        assert said
        if table is not None:
            assert len(table) > 0
            assert CANARY.encode() not in (tmp_path / "t.csv").read_bytes() + (tmp_path / "t.yaml").read_bytes()
        assert {path.name for path in tmp_path.iterdir()} <= {"log", "t.csv", "t.yaml"}

    broken()
    printed = capsys.readouterr()
    assert CANARY not in printed.out + printed.err + caplog.text
    # Both ends are reached, so that neither is never tested.
    assert min(outcomes.values()) > 0, outcomes
