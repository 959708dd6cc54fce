"""Named random streams: adding one never shifts another."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np


def stream(seed: int, replication: int, name: str) -> np.random.Generator:
    """The generator of this name in this replication; the same for every hosting pattern (common random numbers)."""
    # 128 bits: no two names are ever one stream, as `plumless` and `buckeroo` are by their CRC-32.
    words = np.frombuffer(blake2b(name.encode(), digest_size=16).digest(), "<u4").tolist()
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(replication, *words))))
