"""Hold the versions this repository pins, and those installed, against a kept list of known weaknesses; no network.

Usage: python tools/check_advisories.py                     # exit 1 where one is affected
       python tools/check_advisories.py --refresh all.zip   # keep what OSV's dump says of the pinned packages

The list has a day on which it stands; what became known later is not in it. Where there is a network,
`pip-audit -r constraints.txt` asks for today's. The dump is OSV's PyPI/all.zip, which osv-scanner reads offline as well.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import zipfile
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path

from packaging.version import InvalidVersion, Version

ROOT = Path(__file__).parent.parent
KEPT = Path(__file__).parent / "advisories.json"


def plain(name: str) -> str:
    """A package's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned() -> set[tuple[str, str, str]]:
    """Where a version is asked for, package and version."""
    found = set()
    for file in ROOT.glob("constraints*.txt"):
        for line in file.read_text().splitlines():
            if known := re.match(r"([\w.-]+)==([\w.!+-]+)", line):
                found.add((file.name, plain(known[1]), known[2]))
    return found


def installed() -> set[tuple[str, str, str]]:
    """What is installed beside this program."""
    return {("installed", plain(one.name), one.version) for one in distributions() if one.name}


def affected(version: Version, ranges: list[list[str | None]]) -> bool:
    """Whether a version lies in one of the ranges: from the first on, before the second where there is one."""
    return any(Version(low or "0") <= version and (high is None or version < Version(high)) for low, high in ranges)


def check(kept: dict, versions: set[tuple[str, str, str]]) -> list[str]:
    """What is affected, in words."""
    return [
        f"{place}: {package} {text}: {one['id']}: {one['summary']}"
        for place, package, text in sorted(versions)
        for one in kept["advisories"]
        if one["package"] == package and affected(Version(text), one["ranges"])
    ]


def from_osv(dump: Path, packages: set[str]) -> list[dict]:
    """What OSV's dump says of these packages; withdrawn advisories left out."""
    found = []
    with zipfile.ZipFile(dump) as archive:
        for name in archive.namelist():
            record = json.loads(archive.read(name))
            if record.get("withdrawn"):
                continue
            for part in record.get("affected", ()):
                package = plain(part["package"]["name"])
                if package in packages and (ranges := _ranges(part)):
                    summary = record.get("summary") or record.get("details", "")[:100]
                    found.append({"id": record["id"], "package": package, "ranges": ranges, "summary": summary})
    return sorted(found, key=lambda one: (one["package"], one["id"]))


def _ranges(part: dict) -> list[list[str | None]]:
    """Pairs of OSV's events: introduced, fixed; single versions where there are no ranges."""
    found: list[list[str | None]] = []
    for one in part.get("ranges", ()):
        if one["type"] != "ECOSYSTEM":
            continue
        low: str | None = None
        for event in one["events"]:
            if "introduced" in event:
                low = event["introduced"]
            elif "fixed" in event:
                found.append([low, event["fixed"]])
                low = None
        if low is not None:
            found.append([low, None])
    return [pair for pair in found if _readable(pair)]


def _readable(pair: list[str | None]) -> bool:
    try:
        return all(text is None or Version(text) for text in pair)
    except InvalidVersion:
        return False


def main() -> int:
    """Check, or refresh."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--refresh", type=Path, metavar="ZIP")
    given = parser.parse_args()
    versions = pinned() | installed()
    if given.refresh is not None:
        packages = {package for _, package, _ in pinned()}
        kept = {
            "as_of": datetime.fromtimestamp(given.refresh.stat().st_mtime, UTC).date().isoformat(),
            "basis": "OSV's dump of PyPI, as far as it is about pinned packages",
            "advisories": from_osv(given.refresh, packages),
        }
        KEPT.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    kept = json.loads(KEPT.read_text())
    hits = check(kept, versions)
    print("\n".join(hits) if hits else "nothing known is pinned or installed")
    print(f"{len(kept['advisories'])} advisories, as of {kept['as_of']}: {kept['basis']}")
    return bool(hits)


if __name__ == "__main__":
    sys.exit(main())
