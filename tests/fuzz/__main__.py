"""`python -m tests.fuzz --cases 10000`: the table of readers, cases and outcomes; for a night."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.fuzz.harness import PLACE, piece
from tests.fuzz.readers import READERS
from tests.fuzz.sound import prepare, prepare_rest

#: Cases that a process takes at once.
PIECE = 250
MOST_MB = 1000


def main():
    """Print the table; exit 1 where the law was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--reader", action="append", choices=[reader.name for reader in READERS])
    given = parser.parse_args()
    failed = False
    print("| reader | cases | exit 0 | 1 | 2 | 3 | broken | peak MB | CPU s |\n|---|---|---|---|---|---|---|---|---|")
    with (
        TemporaryDirectory(dir=PLACE) as place,
        # Not forked: threads of Arrow would be missing.
        ProcessPoolExecutor(given.jobs, multiprocessing.get_context("spawn")) as pool,
    ):
        sound = Path(place)
        prepare(sound)
        prepare_rest(sound)
        for number, reader in enumerate(READERS):
            if given.reader and reader.name not in given.reader:
                continue
            cases = range(given.first, given.first + given.cases)
            pieces = [cases[at : at + PIECE] for at in range(0, len(cases), PIECE)]
            outcomes, broken, peak_mb, cpu_s = Counter(), [], 0.0, 0.0
            for of, against, mb, s in pool.map(partial(piece, number, sound, given.seed), pieces):
                outcomes, peak_mb, cpu_s = outcomes + of, max(peak_mb, mb), cpu_s + s
                broken += against
            row = [reader.name, outcomes.total(), *(outcomes[code] for code in (0, 1, 2, 3)), len(broken)]
            print(f"| {' | '.join(map(str, row))} | {peak_mb:.0f} | {cpu_s:.0f} |", flush=True)
            for case, code, said in broken[:9]:
                print(f"  case {case}: exit {code}: {said}", file=sys.stderr, flush=True)
            failed |= bool(broken) or peak_mb > MOST_MB
    sys.exit(failed)


if __name__ == "__main__":
    main()
