"""`python -m tests.fuzz --cases 10000`: the table of readers, cases and outcomes; for a night."""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.fuzz.harness import fuzz
from tests.fuzz.readers import READERS, prepare


def main():
    """Print the table; exit 1 where the law was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--reader", action="append", choices=[reader.name for reader in READERS])
    given = parser.parse_args()
    failed = False
    print("| reader | cases | exit 0 | 1 | 2 | 3 | broken | peak MB | CPU s |\n|---|---|---|---|---|---|---|---|---|")
    with TemporaryDirectory() as sound:
        prepare(Path(sound))
        for reader in READERS:
            if given.reader and reader.name not in given.reader:
                continue
            began = time.process_time()
            outcomes, broken = fuzz(reader, Path(sound), given.cases, given.seed)
            peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            row = [reader.name, given.cases, *(outcomes[code] for code in (0, 1, 2, 3)), len(broken)]
            print(f"| {' | '.join(map(str, row))} | {peak_mb:.0f} | {time.process_time() - began:.0f} |", flush=True)
            for case, code, said in broken[:5]:
                print(f"  case {case}: exit {code}: {said}", file=sys.stderr, flush=True)
            failed |= bool(broken) or peak_mb > 1000
    sys.exit(failed)


if __name__ == "__main__":
    main()
