"""Files as nobody meant them: structure-aware for what has structure, cuts and bits for the rest."""

from __future__ import annotations

import copy
import gzip
import io
import json
import re
from functools import cache

import pyarrow as pa
import pyarrow.parquet as pq
from ruamel.yaml import YAML

ODD = [
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, 10**400, 0.0, -0.0, 1e-300, 1e308, float("inf"), float("-inf"),
    float("nan"), "", " ", "0", "x" * 5000, "\u0000", "\u202e", "é" * 40, "\ud800", "1 USD/h", "1d", "-1d", "1e999 h",
    "0001-01-01", "9999-12-31T23:59:59.999999+14:00", "../../etc/passwd", "=1+1", "<script>", "{{ 7 * 7 }}", "%s%n",
    [], {}, [[]], {"": {}}, [None] * 300,
]  # fmt: skip
BYTES = [
    b"", b"\0", b"\xff", b"\n", b"[" * 3000, b"{" * 300, b'"', b"PAR1", b"\x1f\x8b", b"NaN", b"1e400", b"\xed\xa0\x80",
    b",", b"- ", b": ",
]  # fmt: skip
WORDS = [
    "", "0", "-1", "1e999", "NaN", "null", "true", "[]", "{}", '"', "9" * 400, "0.1", "1,5", "+Inf", "0x10", "é", "\t",
    "1970-01-01T00:00:00Z", "9999-12-31T23:59:60.999999999+14:00", "0001-01-01", "1700000000000000000", "=1+1",
    "\\u0000",
]  # fmt: skip
COLUMNS = [
    pa.nulls(1), pa.array(["x"]), pa.array([-1]), pa.array([2**62]), pa.array([float("nan")]), pa.array([float("inf")]),
    pa.array([1e300]), pa.array([[1]]), pa.array([True]), pa.array([{"a": 1}]), pa.array([b"\xff"]),
]  # fmt: skip
LINES = ["", " {}", "{}: x", "<<: *a", "&a {}", "!!python/x {}", "{}\n{}", "\t{}"]


def _places(value, path=()):
    """The path of every value of a document, its own first."""
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _places(inner, (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _places(inner, (*path, number))


def _change(document, draw):
    """One change of one place: another value, none at all, twice, deeper, under another name, or another's."""
    path = draw.choice([place for place in _places(document) if place] or [()])
    if not path:
        return draw.choice(ODD)
    holder = document
    for step in path[:-1]:
        holder = holder[step]
    last = path[-1]
    kind = draw.choice(["odd", "odd", "odd", "near", "near", "near", "gone", "again", "deep", "renamed", "swap"])
    if kind == "gone":
        del holder[last]
    elif kind == "near" and isinstance(holder[last], (int, float, str)):
        holder[last] = _near(holder[last], draw)
    elif kind == "again" and isinstance(holder, list):
        holder.extend([holder[last]] * draw.randint(1, 50))
    elif kind == "deep":
        for _ in range(draw.choice([1, 5, 60])):
            holder[last] = draw.choice([[holder[last]], {"a": holder[last]}])
    elif kind == "renamed" and isinstance(holder, dict):
        holder[f"{last}{draw.choice(['', ' ', 'x', '.y', chr(0)])}"] = holder.pop(last)
    elif kind == "swap":
        other = document
        for step in draw.choice(list(_places(document))):
            other = other[step]
        holder[last] = copy.deepcopy(other)
    else:
        holder[last] = copy.deepcopy(draw.choice(ODD))
    return document


def _near(value, draw):
    """A value that somebody could have meant: numbers a little or much off, in a text too."""
    if isinstance(value, str):
        return re.sub(r"\d+", lambda number: str(draw.choice([0, 1, 7, 30, int(number[0]) + 1])), value)
    if abs(value) > 1e300:  # an odd one of before
        return 10**300
    return type(value)(value * draw.choice([0, 0.5, 0.9, 1.1, 2, 1000, -1]) + draw.choice([0, 0, 1]))


def of_bytes(content, draw):
    """Cut, flip, insert, repeat or remove some bytes."""
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(content) + 1)
        kind = draw.choice(["cut", "flip", "flip", "insert", "repeat", "remove"])
        if kind == "cut":
            content = content[:at]
        elif kind == "flip" and at < len(content):
            content = content[:at] + bytes([content[at] ^ 1 << draw.randrange(8)]) + content[at + 1 :]
        elif kind == "insert":
            content = content[:at] + draw.choice(BYTES) + content[at:]
        elif kind == "repeat":
            content = content[:at] + content[at : at + draw.randint(1, 200)] * 3 + content[at:]
        else:
            content = content[:at] + content[at + draw.randint(1, 40) :]
    return content


def of_json(content, draw):
    """Change some values of a document, or its bytes."""
    if draw.random() < 0.2:
        return of_bytes(content, draw)
    document = json.loads(content)
    for _ in range(draw.randint(1, 3)):
        document = _change(document, draw)
    return json.dumps(document).encode("utf-8", "surrogatepass")


def of_yaml(content, draw):
    """Likewise, or its lines: JSON is YAML, so half of them are written as that."""
    kind = draw.choice(["lines", "bytes", "json", "json", "json"])
    if kind == "bytes":
        return of_bytes(content, draw)
    if kind == "json":
        return of_json(_as_json(content), draw)
    lines = content.decode().split("\n")
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(lines))
        lines[at] = draw.choice(LINES).replace("{}", lines[at])
    return "\n".join(lines).encode()


@cache
def _as_json(content):
    return json.dumps(YAML(typ="safe", pure=True).load(content), default=str).encode()


def of_packed_json(content, draw):
    """Likewise of a gzipped document, or of its packed bytes."""
    if draw.random() < 0.4:
        return of_bytes(content, draw)
    return gzip.compress(of_json(gzip.decompress(content), draw), mtime=0)


def of_lines(content, draw):
    """Change one of the JSON documents that stand one a line, or the text."""
    if draw.random() < 0.4:
        return of_text(content, draw)
    lines = content.split(b"\n")
    at = draw.randrange(len(lines) - 1)
    lines[at] = of_json(lines[at], draw)
    return b"\n".join(lines)


def of_text(content, draw):
    """Change some numbers or words, move lines about, or spoil its bytes."""
    kind = draw.choice(["bytes", "words", "words", "lines"])
    if kind == "bytes":
        return of_bytes(content, draw)
    if kind == "lines":
        lines = content.split(b"\n")
        for _ in range(draw.randint(1, 3)):
            at, to = draw.randrange(len(lines)), draw.randrange(len(lines))
            lines[at], lines[to] = draw.choice([(lines[to], lines[at]), (lines[at], lines[at]), (b"", lines[at])])
        return b"\n".join(lines)
    for _ in range(draw.randint(1, 4)):
        found = draw.choice(list(re.finditer(rb"[\w.:+-]+", content)))
        content = content[: found.start()] + draw.choice(WORDS).encode() + content[found.end() :]
    return content


def of_parquet(content, draw):
    """Change some columns of a table, or its bytes."""
    if draw.random() < 0.4:
        return of_bytes(content, draw)
    table = pq.read_table(io.BytesIO(content))
    for _ in range(draw.randint(1, 2)):
        kind = draw.choice(["other", "other", "value", "gone", "renamed", "rows", "none"])
        if not table.num_columns:
            break
        at = draw.randrange(table.num_columns)
        name = table.column_names[at]
        if kind == "other":
            other = draw.choice(COLUMNS)
            table = table.set_column(
                at, name, pa.concat_arrays([other] * table.num_rows) if table.num_rows else other[:0]
            )
        elif kind == "value" and table.num_rows:
            values = table.column(at).to_pylist()
            values[draw.randrange(len(values))] = draw.choice([None, values[0], values[-1]])
            table = table.set_column(at, name, pa.array(values, table.schema.field(at).type))
        elif kind == "gone":
            table = table.remove_column(at)
        elif kind == "renamed":
            table = table.rename_columns([f"{one}{'x' if one == name else ''}" for one in table.column_names])
        else:
            table = table.slice(0, 0 if kind == "none" else draw.randrange(table.num_rows + 1))
    out = io.BytesIO()
    pq.write_table(table, out, row_group_size=draw.choice([100, 10**6]))
    return out.getvalue()
