"""Cases that must be refused, each for its reason: in validation, in the report, and when the scenario is run."""

from __future__ import annotations

import json

import pytest

from simulator.errors import ScenarioError
from simulator.experiment.checks import check_patterns, load_checked
from tests.cli.command import run

MODEL = "model: azure/gpt-4.1-data-zone"
PLACE = "placement: {region: eastus, api_version: 2024-10-21}"
PROTECTION = "data_protection: {residency: [us]}"

# (name, changes, pattern it is about, line of the fault, what it must say)
CASES = [
    (
        "unapproved model",
        [(MODEL, "model: azure/gpt-5.1-data-zone")],
        "api", 19, "notes may not use azure/gpt-5.1-data-zone: it is not approved in the registry st_elsewhere",
    ),
    (
        "model nobody has heard of",
        [(MODEL, "model: azure/gpt-4.1-data-zone\n      prices: &p {prompt: 1 USD/1M tokens, output: 1 USD/1M tokens}"),
         (PLACE, "placement: {region: eastus, registry_model: azure/gpt-9}")],
        "api", 21, "notes may not use azure/gpt-4.1-data-zone: 'azure/gpt-9' is not in the registry st_elsewhere",
    ),
    (
        "preview model",
        [(PLACE, "placement: {region: eastus, registry_model: azure/gpt-4o-realtime-preview}")],
        "api", 19, "it is a preview model",
    ),
    (
        "preview version of the API",
        [("api_version: 2024-10-21", "api_version: 2024-08-01-preview")],
        "api", 20, "API version 2024-08-01-preview is a preview",
    ),
    (
        "audio",
        [(PROTECTION, "data_protection: {residency: [us], modality: realtime_audio}")],
        "api", 19, "the agreement does not cover realtime audio (moderators of Microsoft Q&A",
    ),
    (
        "images on a text model",
        [(PROTECTION, "data_protection: {residency: [us], modality: image}")],
        "own", 26, "it takes no images; the registry says text",
    ),
    (
        "retired model",
        [(PLACE, "placement: {region: eastus, registry_model: azure/gpt-4-0613}")],
        "api", 19, "it is retired from 2025-06-06 on (Azure's list of retired models), and the simulation lasts to",
    ),
    (
        "no agreement with the provider",
        [("agreements: {azure: 2026-01-15, ", "agreements: {")],
        "api", 19, "there is no business associate agreement with azure",
    ),
    (
        "agreement signed too late",
        [("azure: 2026-01-15", "azure: 2026-12-20")],
        "api", 19, "the agreement with azure is signed on 2026-12-20, and the simulation starts on 2026-12-01",
    ),
    (
        "agreement that is not known to cover the model",
        [(PLACE, "placement: {region: us, registry_model: together/llama-3.3-70b}"),
         ("aws: 2026-01-15", "together: 2026-01-15")],
        "api", 19, "the business associate agreement of together is not known to cover it",
    ),
    (
        "approved too late",
        [(PLACE, "placement: {region: eastus, registry_model: azure/gpt-4.1-mini}"), (PROTECTION, "priority: 1")],
        "api", 19, "it is approved only from 2026-12-15 on, and the simulation starts on 2026-12-01",
    ),
    (
        "global deployment, data that must stay",
        [(MODEL, "model: azure/gpt-4.1")],
        "api", 20, "its requests must stay in us, and a global deployment may process them anywhere",
    ),
    (
        "region of another geography",
        [("region: eastus", "region: westeurope")],
        "api", 20, "westeurope lies in eu, and the registry has it processed in us",
    ),
    (
        "region that is not approved",
        [(MODEL, "model: bedrock/llama-3.3-70b"), ("region: eastus, api_version: 2024-10-21", "region: us-east-2")],
        "api", 20, "us-east-2 is not approved; expected one of: us-east-1, us-west-2",
    ),
    (
        "prompts kept too long",
        [(PROTECTION, "data_protection: {kept_at_most_days: 0}")],
        "api", 19, "it may keep prompts 30 days; at most 0 are allowed",
    ),
    (
        "information that may not leave, and an API to fail over to",
        [(PROTECTION, "data_protection: {residency: [us], may_leave: false}")],
        "hybrid", 36, "protected health information may not leave the site (data_protection.may_leave)",
    ),
    (
        "the same for the whole scenario",
        [("compliance:\n", "constraints: {phi_may_leave: false}\ncompliance:\n")],
        "hybrid", 36, "protected health information may not leave the site (constraints.phi_may_leave)",
    ),
    (
        "air gap, de-identified or not",
        [("phi: true", "phi: false"), (PROTECTION, "data_protection: {air_gap: true}")],
        "hybrid", 36, "nothing may leave the site (data_protection.air_gap)",
    ),
    (
        "cluster nobody says where it stands",
        [("      placement: {premises: on_site}\n", "")],
        "own", 25, "it is not said where it stands",
    ),
    (
        "cluster on rented hardware without an agreement",
        [("premises: on_site", "premises: cloud, provider: runpod, region: us")],
        "own", 30, "there is no business associate agreement with runpod",
    ),
    (
        "uncovered content delivery network",
        [(", cloudflare: 2025-06-01", "")],
        "api", 41, "edge (cdn): it sees protected health information of notes, and there is no business associate agr",
    ),
    (
        "logs with content at somebody without an agreement",
        [("provider: datadog, content: false", "provider: datadog, region: us")],
        "own", 44, "traces (logs): it sees protected health information of notes, and there is no business associate",
    ),
    (
        "de-identified by nobody",
        [("phi: true", "phi: de_identified")],
        "own", 8, "no hop of compliance.data_flow takes health information out of it",
    ),
]  # fmt: skip
IDS = [case[0] for case in CASES]


def test_what_is_done_right_is_allowed(site, capsys):
    path = site()
    assert load_checked(path).name == "hospital"
    code, out, _ = run(["compliance", str(path), "--json"], capsys)
    assert code == 0
    found = json.loads(out)
    assert found["assessed"]
    assert [pattern["allowed"] for pattern in found["patterns"]] == [True, True, True]


@pytest.mark.parametrize(("name", "changes", "pattern", "line", "says"), CASES, ids=IDS)
def test_validation_refuses(site, name, changes, pattern, line, says, capsys):
    path = site(*changes)
    code, _, err = run(["validate", str(path)], capsys)
    assert code == 2
    assert any(row.startswith(f"{path}:{line}: ") and says in row for row in err.splitlines()), err


@pytest.mark.parametrize(("name", "changes", "pattern", "line", "says"), CASES, ids=IDS)
def test_the_run_refuses(site, name, changes, pattern, line, says):
    scenario = load_checked(site(*changes), must_fit=False)
    try:
        reasons = check_patterns(scenario, [*scenario.hosting_patterns])[pattern].reasons
    except ScenarioError as error:
        reasons = str(error).splitlines()
    assert any(says in reason for reason in reasons), reasons
    with pytest.raises(ScenarioError, match="compliance|hosting_patterns|workloads"):
        check_patterns(scenario, [pattern])


@pytest.mark.parametrize(("name", "changes", "pattern", "line", "says"), CASES, ids=IDS)
def test_the_report_refuses(site, name, changes, pattern, line, says, capsys):
    code, out, _ = run(["compliance", str(site(*changes)), "--json"], capsys)
    assert code == 1
    found = {row["name"]: row for row in json.loads(out)["patterns"]}[pattern]
    assert not found["allowed"]
    assert any(says in reason for reason in found["reasons"]), found["reasons"]


def test_the_checklist_says_what_is_in_place_and_what_nobody_has_said(site, capsys):
    controls = "\n  audit_retention_years: 7\n  controls: {private_link: true, managed_identity: false}\n"
    path = site(("  data_flow:", f"{controls.strip(chr(10))}\n  data_flow:"))
    found = json.loads(run(["compliance", str(path), "--json"], capsys)[1])
    assert found["controls"]["private_link"] == "in place"
    assert found["controls"]["managed_identity"] == "missing"
    assert found["controls"]["virtual_network"] == "not stated"
    assert found["controls"]["hipaa_eligible_region"] == "in place"
    assert "control: virtual_network" in found["not_assessed"]
    assert "control: private_link" not in found["not_assessed"]
    assert "retention of audit records" not in found["not_assessed"]
    elsewhere = json.loads(run(["compliance", str(site(("region: eastus", "region: eastus2"))), "--json"], capsys)[1])
    assert elsewhere["controls"]["hipaa_eligible_region"] == "not stated"
    assert "retention of audit records" in elsewhere["not_assessed"]


@pytest.mark.parametrize(("given", "said"), [("true", "in place"), ("false", "missing"), (None, "not stated")])
def test_a_version_that_is_not_pinned_is_said(given, said, site, capsys):
    controls = "" if given is None else f"  controls: {{version_pinned: {given}}}\n"
    found = json.loads(run(["compliance", str(site(("  data_flow:", f"{controls}  data_flow:"))), "--json"], capsys)[1])
    assert found["controls"]["version_pinned"] == said
    assert ("control: version_pinned" in found["not_assessed"]) is (given is None)


@pytest.mark.parametrize(
    ("changes", "line", "says"),
    [
        ([("compliance:\n", "complience:\n")], 37, "did you mean 'compliance'?"),
        ([("kind: cdn", "kind: cnd")], 41, "did you mean 'cdn'?"),
        ([("provider: cloudflare, ", "")], 41, "give either the provider that runs it, or on_site: true"),
        ([("region: us, keeps_days", "region: atlantis, keeps_days")], 41, "'atlantis' is not in the registry"),
        ([("keeps_days: 0}", "keeps_days: 0, workloads: [note]}")], 41, "did you mean 'notes'?"),
        ([("keeps_days: 0}", "keeps_days: 0, patterns: [apy]}")], 41, "did you mean 'api'?"),
        ([("azure: 2026-01-15", "azure: soon")], 39, "valid date"),
        ([("phi: true", "phi: deidentified")], 8, "expected true, false or 'de_identified'"),
    ],
)
def test_what_is_wrong_with_the_section_is_said_with_its_line(site, changes, line, says, capsys):
    path = site(*changes)
    code, _, err = run(["validate", str(path)], capsys)
    assert code == 2
    assert any(f"{path}:" in row and says in row for row in err.splitlines()), err
    assert any(row.startswith(f"{path}:{line}: ") and says in row for row in err.splitlines()), err


def test_keys_without_the_section_are_no_silent_promises(site, capsys):
    text = site().read_text(encoding="utf-8")
    path = site()
    path.write_text(text[: text.index("compliance:")], encoding="utf-8")
    code, _, err = run(["validate", str(path)], capsys)
    assert code == 2
    assert "workloads.notes.data_protection: is not assessed without a section 'compliance'" in err
    assert "hosting_patterns.own.cluster.placement: is not assessed" in err
