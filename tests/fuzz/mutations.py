"""Files as nobody meant them: structure-aware for what has structure, cuts and bits for the rest."""

from __future__ import annotations

import copy
import gzip
import json

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
    kind = draw.choice(["odd", "odd", "odd", "gone", "again", "deep", "renamed", "swap"])
    if kind == "gone":
        del holder[last]
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
        return of_json(json.dumps(YAML(typ="safe", pure=True).load(content), default=str).encode(), draw)
    lines = content.decode().split("\n")
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(lines))
        lines[at] = draw.choice(LINES).replace("{}", lines[at])
    return "\n".join(lines).encode()


def of_packed_json(content, draw):
    """Likewise of a gzipped document, or of its packed bytes."""
    if draw.random() < 0.4:
        return of_bytes(content, draw)
    return gzip.compress(of_json(gzip.decompress(content), draw), mtime=0)
