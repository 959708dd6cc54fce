"""`tools/check_advisories.py`, on ranges, on a dump of OSV's form, and on what is pinned here."""

from __future__ import annotations

import importlib.util
import json
import zipfile

import pytest
from packaging.version import Version

from tests.parts import ROOT

_spec = importlib.util.spec_from_file_location("check_advisories", ROOT / "tools" / "check_advisories.py")
advisories = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(advisories)


@pytest.mark.parametrize(
    ("version", "ranges", "is_affected"),
    [
        ("3.1.5", [[None, "3.1.6"]], True),
        ("3.1.6", [[None, "3.1.6"]], False),
        ("3.1.6rc1", [[None, "3.1.6"]], True),
        ("0.13", [["0.14.0", "14.0.1"]], False),
        ("14.0.0.post1", [["0.14.0", "14.0.1"]], True),
        ("99", [["1.0", None]], True),
        ("2.5", [["1.0", "2.0"], ["2.4", "3.0"]], True),
        ("2.2", [["1.0", "2.0"], ["2.4", "3.0"]], False),
    ],
)
def test_a_range_goes_up_to_the_repair(version, ranges, is_affected):
    assert advisories.affected(Version(version), ranges) is is_affected


def test_what_is_pinned_is_not_affected_and_an_older_version_is():
    kept = json.loads(advisories.KEPT.read_text())
    assert advisories.check(kept, advisories.pinned()) == []
    assert {"jinja2", "pyarrow", "h11"} <= {package for _, package, _ in advisories.pinned()}
    (hit,) = advisories.check(kept, {("constraints.txt", "jinja2", "3.1.5")})
    assert hit.startswith("constraints.txt: jinja2 3.1.5: GHSA-cpwx-vrp4-4pq7")
    assert "not a complete list" in kept["basis"] or kept["basis"].startswith("OSV")


def test_a_dump_of_osv_is_read(tmp_path):
    def record(name, **more):
        events = [{"introduced": "0"}, {"fixed": "1.2"}, {"introduced": "2.0"}]
        part = {"package": {"ecosystem": "PyPI", "name": name}, "ranges": [{"type": "ECOSYSTEM", "events": events}]}
        return {"id": f"X-{name}", "summary": "s", "affected": [part], **more}

    with zipfile.ZipFile(tmp_path / "all.zip", "w") as dump:
        for number, one in enumerate((record("Some_Name"), record("other"), record("gone", withdrawn="2026-01-01"))):
            dump.writestr(f"{number}.json", json.dumps(one))
    (found,) = advisories.from_osv(tmp_path / "all.zip", {"some-name", "gone"})
    assert found == {
        "id": "X-Some_Name",
        "package": "some-name",
        "ranges": [["0", "1.2"], ["2.0", None]],
        "summary": "s",
    }
