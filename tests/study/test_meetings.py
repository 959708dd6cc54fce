"""Where bills meet, looked for with simulations that are straight lines here."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from simulator.study import meetings

DERIVED = 1_000_000


def simulated(line, api):
    """What simulating a volume answers, by USD for each token above a fixed cost."""
    asked = []

    def at(factor, *names, larger=1.0):
        asked.append(factor * DERIVED)
        usd = {"own": line[0] + line[1] * asked[-1], "api": api * asked[-1]}
        return {name: SimpleNamespace(name=name, usd=usd[name]) for name in names}

    return at, asked


@pytest.fixture
def meet(monkeypatch):
    monkeypatch.setattr(meetings, "cost_of", lambda one: one.usd)
    monkeypatch.setattr(meetings, "missed", lambda one: None)
    row = SimpleNamespace(
        cluster="own",
        api="api",
        tokens_per_month=DERIVED,
        replicas=1,
        usd_per_million_tokens=1.0,
        ranges=[SimpleNamespace(to_tokens=None)],
    )
    costing = SimpleNamespace(replicas_at=lambda tokens: 1, replicas=1, tokens_per_month=DERIVED)

    def search(line, api):
        at, asked = simulated(line, api)
        return meetings.meeting(row, costing, at), asked

    return search


# Bills that meet at 0.6, 1, and 2.5 times the derived volume.
@pytest.mark.parametrize("times", [0.6, 1.0, 2.5])
def test_straight_bills_are_found_where_they_meet(meet, times):
    found, _ = meet((times * 1.0, 0.0), 1e-6)
    assert found.tokens_per_month == pytest.approx(times * DERIVED, rel=2 * meetings.CLOSE)
    assert found.cluster_usd <= found.api_usd
    assert found.text.startswith("own undercuts api")


# The cluster's bill rises nearly as the API's does: they meet at 20 and 2,000 times the volume, or never.
@pytest.mark.parametrize("slope", [0.95e-6, 0.9995e-6, 1e-6, 1.1e-6])
def test_bills_that_are_nearly_parallel_are_not_followed_without_end(meet, slope):
    found, asked = meet((1.0, slope), 1e-6)
    assert max(asked) <= meetings.REACH * DERIVED
    assert found.cluster_usd > found.api_usd
    assert "own costs" in found.text
    assert "undercuts" not in found.text
