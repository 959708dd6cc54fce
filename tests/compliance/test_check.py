"""What an assessment says that nobody has said."""

from __future__ import annotations

import pytest

from simulator.compliance.check import assess
from simulator.experiment.checks import load_checked

PROTECTION = "data_protection: {residency: [us]}"


def unsaid(path):
    return assess(load_checked(path)).not_assessed


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        ([], False),
        # Where it must stay is not said, whatever else is.
        ([(PROTECTION, "data_protection: {may_leave: true}")], True),
        ([(PROTECTION, "priority: 1")], True),
        # Only of health information.
        ([(PROTECTION, "priority: 1"), ("phi: true", "phi: false")], False),
    ],
)
def test_where_health_information_must_stay_is_asked_for(site, changes, asked):
    assert [line for line in unsaid(site(*changes)) if line.startswith("residency")] == ["residency of notes"] * asked


def test_what_is_stated_is_not_asked_for(site):
    """Each line that is missing goes when its statement comes, and no other does."""
    before = unsaid(site())
    assert "retention of audit records" in before
    kept = unsaid(site(("compliance:\n", "compliance:\n  audit_retention_years: 6\n")))
    assert set(before) - set(kept) == {"retention of audit records"}
    gone = unsaid(site(("    gateway: {kind: gateway, on_site: true}\n", "")))
    assert set(gone) - set(before) == {"data flow: nothing is said about gateway"}
    control = next(line.removeprefix("control: ") for line in before if line.startswith("control: "))
    for answer, state in (("true", "in place"), ("false", "missing")):
        said = assess(load_checked(site(("compliance:\n", f"compliance:\n  controls: {{{control}: {answer}}}\n"))))
        assert set(before) - set(said.not_assessed) == {f"control: {control}"}
        assert said.controls[control] == state


def test_in_one_line_it_says_by_which_register_and_how_much_is_unsaid(site):
    found = assess(load_checked(site()))
    assert found.words() == (
        f"registry st_elsewhere of 2026-11-01; {len(found.not_assessed)} points are not stated; "
        "engineering, not legal advice"
    )
    assert (found.assessed, found.allowed) == (True, True)
