"""Named random streams: adding one never shifts another."""

from __future__ import annotations

from zlib import crc32

import numpy as np


def stream(seed: int, replication: int, name: str) -> np.random.Generator:
    """The generator of this name in this replication; the same for every hosting pattern (common random numbers)."""
    return np.random.Generator(
        np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(replication, crc32(name.encode()))))
    )
