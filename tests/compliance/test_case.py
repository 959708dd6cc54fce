"""One workload at one backend, check by check: each side of every line that is drawn."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.compliance.case import Case, agreement_missing, findings, geography
from simulator.compliance.registry import Region, RegisteredModel, Registry
from simulator.scenario.compliance import Compliance, DataProtection, Placement
from tests.experiment.small import small

FIRST, LAST = date(2026, 12, 1), date(2026, 12, 31)
SAID = {"asserted_by": "a page", "asserted_on": "2026-01-01", "basis": "documentation"}
API = {
    "provider": "azure", "model": "m-1", "deployment": "data_zone", "processed_in": "us", "baa_coverage": "covered",
    "modalities": ["text", "image"], "not_covered": ["realtime_audio"], "keeps_prompts_days": 30, "approved_on": FIRST,
    "retires_on": date(2027, 1, 1), **SAID,
}  # fmt: skip
OWN = {
    "provider": "self_hosted", "model": "w-1", "deployment": "self_hosted", "processed_in": "site",
    "baa_coverage": "not_needed", "modalities": ["text"], "keeps_prompts_days": 0, "approved_on": FIRST, **SAID,
}  # fmt: skip
REGIONS = {
    name: Region(geography=where, asserted_by="a page")
    for name, where in {"eastus": "us", "westus": "us", "westeurope": "eu"}.items()
}
NOTES = small().workloads["notes"].model_copy(update={"phi": True, "data_protection": DataProtection()})


def case(*, hosted=False, phi=True, placement=None, agreements=None, scope=None, leaves=True, model=None, **protection):
    """A workload at an API, or at a cluster of our own on site, where nothing is wrong but what is said here."""
    entry = (OWN if hosted else API) | (model or {})
    registry = Registry(id="site", date="2026-11-01", models={"a": RegisteredModel(**entry)}, regions=REGIONS)
    place = Placement(**({"premises": "on_site"} if hosted else {"region": "eastus"}) | (placement or {}))
    signed = {"azure": FIRST, "runpod": FIRST} if agreements is None else agreements
    load = NOTES.model_copy(update={"phi": phi, "data_protection": DataProtection(**protection)})
    return Case(load, hosted, place, "a", Compliance(agreements=signed), registry, leaves, FIRST, LAST, scope)


def texts(**given):
    return [text for _, text in findings(case(**given))]


CLOUD = {"premises": "cloud", "provider": "runpod", "region": "eastus"}
NOWHERE = {"premises": None}

ALLOWED = [
    {}, {"hosted": True}, {"hosted": True, "placement": CLOUD},
    # On the day itself: approved, signed, and the last day before it is retired; as many days as are allowed.
    {"kept_at_most_days": 30}, {"model": {"keeps_prompts_days": 0}, "kept_at_most_days": 0},
    {"hosted": True, "kept_at_most_days": 0}, {"model": {"retires_on": None}},
    # What happens on site leaves nothing, goes nowhere, and needs nobody's word.
    {"hosted": True, "air_gap": True}, {"hosted": True, "leaves": False}, {"hosted": True, "may_leave": False},
    {"hosted": True, "residency": ["eu"]},
    {"hosted": True, "model": {"keeps_prompts_days": None}, "kept_at_most_days": 0},
    {"hosted": True, "agreements": {}}, {"hosted": True, "model": {"regions": ["westus"]}},
    # Where requests are processed: as the register says, or where the backend stands.
    {"residency": ["us"]}, {"residency": ["eu", "us"]}, {"hosted": True, "placement": CLOUD, "residency": ["us"]},
    {"model": {"processed_in": "region"}, "residency": ["us"]}, {"model": {"processed_in": "anywhere"}},
    {"placement": {"region": "us"}, "model": {"processed_in": "region"}, "residency": ["us"]},
    {"placement": {"region": None}}, {"model": {"regions": ["westus", "eastus"]}}, {"placement": {"region": "us"}},
    {"modality": "image"}, {"scope": "data_zone"},
    {"model": {"api_versions": ["1", "2"]}, "placement": {"api_version": "2"}}, {"placement": {"api_version": "9"}},
    # Of what is no health information less is asked.
    {"phi": False, "agreements": {}}, {"phi": False, "leaves": False}, {"phi": False, "may_leave": False},
    {"phi": False, "model": {"approved_on": None}}, {"phi": False, "model": {"preview": True}},
    {"phi": False, "modality": "realtime_audio"}, {"phi": "de_identified", "agreements": {}, "leaves": False},
    {"phi": False, "hosted": True, "placement": NOWHERE}, {"phi": False, "scope": "global"},
    {"phi": False, "model": {"retires_on": FIRST}},
]  # fmt: skip
REFUSED = [
    ({"air_gap": True}, "nothing may leave the site (data_protection.air_gap)"),
    ({"phi": False, "air_gap": True}, "nothing may leave the site"),
    ({"hosted": True, "placement": CLOUD, "air_gap": True}, "nothing may leave the site"),
    ({"leaves": False}, "may not leave the site (constraints.phi_may_leave)"),
    ({"leaves": False, "may_leave": False}, "may not leave the site (constraints.phi_may_leave)"),
    ({"may_leave": False}, "may not leave the site (data_protection.may_leave)"),
    ({"hosted": True, "placement": CLOUD, "may_leave": False}, "may not leave the site (data_protection.may_leave)"),
    ({"hosted": True, "placement": NOWHERE}, "it is not said where it stands"),
    ({"hosted": True, "placement": NOWHERE, "phi": False, "air_gap": True}, "it is not said where it stands"),
    ({"modality": "realtime_audio"}, "the agreement does not cover realtime audio (a page, 2026-01-01)"),
    ({"hosted": True, "modality": "image"}, "it takes no images; the registry says text"),
    ({"phi": False, "hosted": True, "modality": "image"}, "it takes no images"),
    ({"residency": ["eu"]}, "its requests must stay in eu, and it processes them in us"),
    ({"phi": False, "residency": ["eu"]}, "its requests must stay in eu"),
    ({"model": {"processed_in": "anywhere"}, "residency": ["us", "eu"]}, "in us or eu, and a global deployment may"),
    ({"hosted": True, "placement": CLOUD, "residency": ["eu"]}, "its requests must stay in eu, and eastus lies in us"),
    (
        {"hosted": True, "placement": CLOUD | {"region": None}, "residency": ["us"]},
        "it is not said where it processes them (placement.region)",
    ),
    ({"hosted": True, "placement": CLOUD | {"region": "moon"}, "residency": ["us"]}, "moon is not known"),
    ({"kept_at_most_days": 29}, "it may keep prompts 30 days; at most 29 are allowed"),
    ({"phi": False, "kept_at_most_days": 29}, "it may keep prompts 30 days; at most 29 are allowed"),
    ({"model": {"keeps_prompts_days": None}, "kept_at_most_days": 9}, "it is not known how long it keeps prompts"),
    ({"model": {"deployment": "self_hosted"}}, "a self_hosted deployment of azure, here it is an API"),
    ({"hosted": True, "model": {"deployment": "global"}}, "a global deployment of self_hosted, here it is a cluster"),
    ({"scope": "global"}, "its units are global, and the registry has it as data_zone"),
    ({"model": {"approved_on": None}}, "it is not approved in the registry site"),
    ({"model": {"approved_on": date(2026, 12, 2)}}, "approved only from 2026-12-02 on, and the simulation starts"),
    ({"model": {"preview": True}}, "it is a preview model"),
    ({"placement": {"api_version": "1-preview"}}, "API version 1-preview is a preview"),
    ({"model": {"api_versions": ["1"]}, "placement": {"api_version": "2"}}, "2, which is not approved; expected"),
    ({"model": {"api_versions": ["1"]}}, "its API version is not said; expected one of: 1"),
    ({"model": {"retires_on": LAST}}, "it is retired from 2026-12-31 on, and the simulation lasts to 2026-12-31"),
    ({"model": {"retires_on": LAST, "retirement_source": "b"}}, "from 2026-12-31 on (b), and"),
    ({"model": {"baa_coverage": "not_covered"}}, "agreement of azure does not cover it (a page, 2026-01-01)"),
    ({"model": {"baa_coverage": "unconfirmed"}}, "agreement of azure is not known to cover it"),
    ({"agreements": {}}, "there is no business associate agreement with azure (compliance.agreements)"),
    ({"agreements": {"runpod": FIRST}}, "there is no business associate agreement with azure"),
    ({"agreements": {"azure": date(2026, 12, 2)}}, "with azure is signed on 2026-12-02, and the simulation starts"),
    ({"hosted": True, "placement": CLOUD, "agreements": {"azure": FIRST}}, "agreement with runpod"),
    ({"hosted": True, "placement": CLOUD | {"provider": None}}, "it is not said whose hardware it runs on"),
    ({"model": {"regions": ["westus"]}}, "eastus is not approved; expected one of: westus"),
    ({"model": {"regions": ["westus"]}, "placement": {"region": None}}, "its region is not said; expected"),
    ({"placement": {"region": "westeurope"}}, "westeurope lies in eu, and the registry has it processed in us"),
]  # fmt: skip


@pytest.mark.parametrize("given", ALLOWED, ids=str)
def test_what_is_allowed(given):
    assert texts(**given) == []


def test_who_has_no_register_yet_is_told_what_to_write():
    site = case(model={"approved_on": None})
    asked = replace(site, registry=site.registry.model_copy(update={"id": "reference"}))
    ((_, text),) = findings(asked)
    assert "models: {a: {approved_on: 2026-12-01, approved_by: …}}" in text
    assert "compliance.registry" in text
    # What it says to write is what the register of a site takes.
    approved = replace(site, registry=case(model={"approved_on": FIRST}).registry)
    assert list(findings(approved)) == []


@pytest.mark.parametrize(("given", "says"), REFUSED, ids=str)
def test_what_is_refused_is_refused_for_that_alone(given, says):
    (text,) = texts(**given)
    assert says in text


def test_a_model_that_nobody_knows_is_said_once():
    """What it takes, keeps and needs cannot be judged; that it may not leave can."""
    unknown = replace(case(), key="b")
    ((key, text),) = findings(unknown)
    assert (key, text) == (("model",), "'b' is not in the registry site; expected one of: a")
    named = replace(case(placement={"registry_model": "b"}), key="b")
    assert [key for key, _ in findings(named)] == [("placement", "registry_model")]
    assert len(findings(replace(case(kept_at_most_days=5), key="b"))) == 2
    # A cluster in somebody's cloud needs the agreement all the same.
    assert len(findings(replace(case(hosted=True, placement=CLOUD, agreements={}), key="b"))) == 2


@pytest.mark.parametrize(
    ("given", "keys"),
    [
        ({"model": {"regions": ["westus"]}}, [("placement", "region")]),
        ({"model": {"regions": ["westus"]}, "placement": {"region": None}}, [("placement",)]),
        ({"agreements": {}}, [("model",)]), ({"hosted": True, "placement": CLOUD, "agreements": {}}, [("placement",)]),
        ({"scope": "global"}, [("deployment", "scope")]),
        ({"placement": {"api_version": "1-preview"}}, [("placement", "api_version")]),
        ({"residency": ["eu"]}, [("placement",)]), ({"air_gap": True}, [()]),
    ],
)  # fmt: skip
def test_each_is_said_at_its_key(given, keys):
    assert [key for key, _ in findings(case(**given))] == keys


def test_a_geography_lies_in_itself():
    registry = case().registry
    assert [geography(registry, place) for place in ("eastus", "westeurope", "us", "eu", "moon")] == [
        "us", "eu", "us", "eu", None,
    ]  # fmt: skip


@given(st.dates(date(2026, 1, 1), date(2027, 1, 1)) | st.none(), st.dates(date(2026, 1, 1), date(2027, 1, 1)))
def test_law_an_agreement_holds_from_the_day_it_is_signed(signed, first):
    section = Compliance(agreements={} if signed is None else {"azure": signed})
    assert (agreement_missing(section, "azure", first) is None) is (signed is not None and signed <= first)
