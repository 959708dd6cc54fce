"""Routers, arrivals, lengths and log formats of one's own, held against what is known of them by itself."""

from __future__ import annotations

import sys
import textwrap

import numpy as np
import pytest

import simulator
from simulator.errors import ScenarioError, SimulatorError, TraceError, UnknownName
from simulator.extensions import find
from simulator.trace.importers.context import Format
from simulator.trace.importers.csv_columns import FORMATS
from tests.parts import ROOT

FILE = ROOT / "scenarios" / "ci_small.yaml"
DAY = {"horizon.duration": "1d", "experiment.replications": 2}
ROUTING = "hosting_patterns.hybrid.routing"
LOAD = "workloads.clinical_documentation"
QUICK = {"replications": 1, "band": False, "outlook": False}


class Alternate:
    """A request to each backend in turn."""

    def __init__(self, backends, *, first=0):
        self.backends, self.turn = backends, first

    def choose(self, request, allowed):
        self.turn += 1
        return allowed[self.turn % len(allowed)]


class First:
    """What `overflow` does with one cluster and one API, written again."""

    def __init__(self, backends):
        self.backends = backends

    def choose(self, request, allowed):
        return next((number for number in allowed if self.backends.room(number, request)), allowed[-1])


class Outside(First):
    def choose(self, request, allowed):
        return 7


class Never(First):
    def choose(self, request, allowed):
        return None


def on_the_minute(expected, start_s, length_s, rng):
    begins = np.repeat(start_s, rng.poisson(expected))
    return begins + 60.0 * rng.integers(0, 60, len(begins))


def exponential(share, *, mean):
    return -mean * np.log1p(-share)


def scenario(settings):
    return simulator.load_scenario(FILE, settings=DAY | settings)


def routed(name, **options):
    return scenario({ROUTING: {"kind": "custom", "name": name, "options": options}})


def test_a_router_of_ones_own_decides_each_request():
    given = routed("alternate", first=3)
    with simulator.using(routers={"alternate": Alternate}):
        rows = simulator.assert_laws(given, patterns="hybrid", replications=1).requests
    assert set(rows["decision"].astype(str)) == {"alternate"}
    counts = rows["target"].value_counts()
    assert len(counts) == 2
    assert abs(counts.iloc[0] - counts.iloc[1]) <= 1


def test_the_requests_of_a_cluster_that_is_also_simulated_at_both_ends_of_its_band_are_there():
    extensions = {"routers": {"alternate": Alternate}}
    asked = simulator.load_scenario(FILE, settings=DAY | {ROUTING: {"kind": "custom", "name": "alternate"}})
    found = simulator.run(asked, patterns="hybrid", replications=1, outlook=False, extensions=extensions)
    assert len(found.requests) == found.pattern("hybrid").requests.arrived > 100


def test_overflow_written_again_gives_the_same_requests():
    """The stepwise engine, asked for each request, and the compiled one: the same times to the last bit."""
    busy = {f"{LOAD}.volume.clinicians": 1500}
    shipped = simulator.run(scenario(busy), patterns="hybrid", **QUICK).requests
    routing = {
        ROUTING: scenario({}).resolved["hosting_patterns"]["hybrid"].get("routing", {})
        | {"kind": "custom", "name": "first"}
    }
    own = simulator.run(
        scenario(busy | routing), patterns="hybrid", **QUICK, extensions={"routers": {"first": First}}
    ).requests
    assert shipped["backend"].nunique() == 2
    for name in ("arrival_s", "first_token_s", "last_token_s"):
        np.testing.assert_array_equal(own[name], shipped[name])
    for name in ("outcome", "backend", "failed_over"):
        assert own[name].astype(str).tolist() == shipped[name].astype(str).tolist()


def test_arrivals_of_ones_own_keep_the_volume_and_fall_where_they_say():
    given = scenario({f"{LOAD}.arrivals": {"kind": "custom", "name": "minutes"}})
    found = simulator.assert_laws(given, patterns="api", extensions={"arrivals": {"minutes": on_the_minute}})
    rows = found.requests[found.requests["workload"] == "clinical_documentation"]
    assert len(rows) > 100
    assert (rows["arrival_s"] % 60.0 == 0.0).all()


def test_lengths_of_ones_own_have_the_mean_and_the_tail_they_are_given():
    lengths = {"kind": "custom", "name": "exp", "options": {"mean": 800.0}}
    given = scenario({f"{LOAD}.prompt_tokens": lengths, "horizon.duration": "7d"})
    with simulator.using(lengths={"exp": exponential}):
        drawn = simulator.synthesise(given, workloads="clinical_documentation").table.prompt_tokens
    assert drawn.mean() == pytest.approx(800.0, rel=6.0 / len(drawn) ** 0.5)
    # P(X > 4 means) = e^-4.
    assert (drawn > 3200).mean() == pytest.approx(np.exp(-4.0), abs=5.0 * (np.exp(-4.0) / len(drawn)) ** 0.5)


def test_a_volume_in_tokens_is_divided_by_the_mean_of_ones_own_lengths():
    """60,000,000 tokens a month in requests of 500 + 100 are 100,000 requests."""
    changes = {
        f"{LOAD}.prompt_tokens": {"kind": "custom", "name": "same"},
        f"{LOAD}.output_tokens": {"kind": "constant", "tokens": 100},
        f"{LOAD}.volume": {"tokens_per_month": 60_000_000},
    }
    with simulator.using(lengths={"same": lambda share: np.full(share.shape, 500.0)}):
        found = simulator.run(scenario(changes), patterns="api", **QUICK)
    assert found.demand["clinical_documentation"].asked_requests_per_month == pytest.approx(100_000)


def test_what_a_package_offers_is_found(tmp_path, monkeypatch):
    """By entry point, as an installed package has them, here as a folder on the path."""
    (tmp_path / "ward.py").write_text(
        textwrap.dedent("""
            class Last:
                def __init__(self, backends):
                    pass

                def choose(self, request, allowed):
                    return allowed[-1]
        """)
    )
    meta = tmp_path / "ward-1.0.dist-info"
    meta.mkdir()
    (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: ward\nVersion: 1.0\n")
    (meta / "entry_points.txt").write_text("[simulator.routers]\nlast = ward:Last\nbroken = ward:Nothing\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = simulator.run(routed("last"), patterns="hybrid", **QUICK)
    assert (found.requests["decision"].astype(str) == "last").all()
    with pytest.raises(ScenarioError, match=r"routing\.name: the router 'broken' \(ward:Nothing\) cannot be loaded"):
        simulator.run(routed("broken"), patterns="hybrid")
    with pytest.raises(ScenarioError, match=r"no router 'lasst'; did you mean 'last'\?"):
        simulator.run(routed("lasst"), patterns="hybrid")
    sys.modules.pop("ward", None)


def test_another_of_the_same_name_is_not_answered_from_what_was_kept(tmp_path):
    ask = {"patterns": "hybrid", "folder": tmp_path, **QUICK}
    first, again, other = (
        simulator.run(routed("mine"), **ask, extensions={"routers": {"mine": one}})
        for one in (Never, Never, type("Mine", (First,), {"__module__": "elsewhere"}))
    )
    assert first.to_json() == again.to_json()
    assert first.pattern("hybrid").requests.completed == 0
    assert other.pattern("hybrid").requests.completed > 0


def test_what_a_router_refuses_is_counted():
    with simulator.using(routers={"never": Never}):
        counts = simulator.assert_laws(routed("never"), patterns="hybrid", replications=1).pattern("hybrid").requests
    assert counts.rejected == counts.arrived > 0


@pytest.mark.parametrize(
    ("settings", "extensions", "said"),
    [
        ({ROUTING: {"kind": "custom", "name": "x"}}, {}, "no router 'x'; expected one of: none"),
        (
            {ROUTING: {"kind": "custom", "name": "x"}},
            {"routers": {"x": Outside}},
            "the router 'x' chose 7 for a request",
        ),
        (
            {ROUTING: {"kind": "custom", "name": "x", "options": {"frist": 1}}},
            {"routers": {"x": Alternate}},
            "does not take these options: got an unexpected keyword argument 'frist'",
        ),
        (
            {f"{LOAD}.arrivals": {"kind": "custom", "name": "x"}},
            {"arrivals": {"x": lambda expected, start_s, length_s, rng: [-1.0]}},
            "must give moments, in seconds, from 0 on",
        ),
        (
            {f"{LOAD}.prompt_tokens": {"kind": "custom", "name": "x"}},
            {"lengths": {"x": lambda share: float("nan") * share}},
            "must give a number of tokens for each share",
        ),
    ],
)
def test_what_is_wrong_with_one_is_said(settings, extensions, said):
    with pytest.raises(SimulatorError) as fault:
        simulator.run(scenario(settings), **QUICK, extensions=extensions)
    assert said in str(fault.value)


def test_the_laws_find_what_breaks_them():
    def forgets(expected, start_s, length_s, rng):
        return on_the_minute(0.3 * expected, start_s, length_s, rng)

    def careless(expected, start_s, length_s, rng):
        return on_the_minute(expected, start_s, length_s, np.random.default_rng())

    given = scenario({f"{LOAD}.arrivals": {"kind": "custom", "name": "x"}})
    for process, broken in ((forgets, "were asked for"), (careless, "the same seed gives other bytes")):
        with pytest.raises(AssertionError, match=broken):
            simulator.assert_laws(given, patterns="api", extensions={"arrivals": {"x": process}})


def test_what_was_passed_stays_in_its_process_and_its_block():
    with pytest.raises(SimulatorError, match="alternate: known to this process alone; simulate with jobs=1"):
        simulator.run(routed("alternate"), jobs=2, extensions={"routers": {"alternate": Alternate}})
    with simulator.using(routers={"alternate": Alternate}):
        assert find("routers", "alternate") is Alternate
    with pytest.raises(UnknownName):
        find("routers", "alternate")
    with pytest.raises(UnknownName, match="no kind of extension 'router'; did you mean 'routers'"):
        simulator.run(scenario({}), extensions={"router": {}})


def test_a_log_format_of_ones_own(tmp_path):
    shipped = next(one for one in FORMATS if one.name == "csv")
    own = Format("ward", shipped.read, "our ward's log", columns=shipped.columns, free=True)
    log = tmp_path / "log.csv"
    log.write_text("time,prompt_tokens,output_tokens\n" + "2026-11-30T08:00:00Z,10,20\n" * 3)
    with pytest.raises(TraceError, match="`kind`: expected one of"):
        simulator.convert_trace("ward", log, tmp_path / "t.csv")
    with simulator.using(log_formats={"ward": own}):
        found = simulator.convert_trace("ward", log, tmp_path / "t.csv")
    assert found.header.source == "our ward's log"
    assert found.rows["imported"] == 3
