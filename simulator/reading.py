"""Files read into memory at once: unpacked within bounds, JSON with all that Python lets through refused."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

#: What we write ourselves takes a thousandth.
_MOST_BYTES: Final = 100_000_000


def read_unpacked(path: Path, most_bytes: int = _MOST_BYTES) -> bytes:
    """A file, unpacked where it is gzip. Raises OSError, and ValueError where it is broken or longer than that."""
    # At once: what is a pipe cannot be gone back in.
    with path.open("rb") as raw:
        content = raw.read(most_bytes + 1)
    packed = content.startswith(b"\x1f\x8b") and len(content) <= most_bytes
    if packed:
        try:
            with gzip.open(io.BytesIO(content)) as file:
                content = file.read(most_bytes + 1)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"broken gzip: {error}") from None
    if len(content) > most_bytes:
        raise ValueError(f"is more than {most_bytes / 1e6:,.0f} MB{' when unpacked' if packed else ''}")
    return content


def read_json(path: Path) -> Any:  # noqa: ANN401 - whatever the file holds
    """What a JSON file holds. Raises OSError, and ValueError where it is too long, not UTF-8 or no JSON."""
    return parse_json(read_unpacked(path))


def parse_json(content: bytes) -> Any:  # noqa: ANN401 - likewise
    """What some JSON says. Raises ValueError: none, nested too deeply, or with half of a character in it."""
    try:
        found = json.loads(content.decode("utf-8"))
        if b"\\u" in content:
            json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("half of a surrogate pair is not a character") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return found
