"""`python -m tests.fuzz --cases 10000`: the table of readers, cases and outcomes; for a night."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.fuzz.children import in_children
from tests.fuzz.harness import PLACE, Case
from tests.fuzz.readers import READERS
from tests.fuzz.sound import prepare, prepare_rest

NAMES = [reader.name for reader in READERS]


def main():
    """Print the table; exit 1 where the law was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--reader", action="append", choices=NAMES)
    parser.add_argument("--sound", type=Path, help="folder of sound files; made where there is none")
    given = parser.parse_args()
    failed = False
    print("| reader | cases | exit 0 | 1 | 2 | 3 | broken | peak MB | CPU s |\n|---|---|---|---|---|---|---|---|---|")
    with TemporaryDirectory(dir=PLACE) as place:
        sound = given.sound or Path(place)
        if not given.sound or not sound.exists():
            sound.mkdir(exist_ok=True)
            prepare(sound)
            prepare_rest(sound)
        for name in given.reader or NAMES:
            reader = READERS[NAMES.index(name)]
            cases = range(given.first, given.first + given.cases)
            outcomes, broken, peak_mb, cpu_s = Counter(), [], 0.0, 0.0
            for heard in in_children(reader, sound, given.seed, cases, given.jobs):
                if not isinstance(heard, Case):
                    cpu_s += heard
                    continue
                outcomes[heard.code] += heard.number >= 0
                peak_mb = max(peak_mb, heard.peak_mb)
                if heard.against:
                    broken.append(heard)
            row = [name, outcomes.total(), *(outcomes[code] for code in (0, 1, 2, 3)), len(broken)]
            print(f"| {' | '.join(map(str, row))} | {peak_mb:.0f} | {cpu_s:.0f} |", flush=True)
            for case in broken[:9]:
                print(f"  case {case.number}: {case.code}: {' '.join(case.against)}", file=sys.stderr, flush=True)
            failed |= bool(broken)
    sys.exit(failed)


if __name__ == "__main__":
    main()
