"""The page as it is served and the command that serves it; then in headless Chromium without a network."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest
from flask import Flask
from plotly.utils import PlotlyJSONEncoder

from simulator.scenario.loading import load_scenario
from simulator.studio import view
from simulator.studio.answer import answer
from simulator.studio.app import build
from simulator.studio.desk import Desk
from simulator.studio.question import Fineness, Question
from simulator.studio.server import HOST, bound, names_at, new_token, serve
from simulator.studio.session import Session
from simulator.studio.state import Studio
from tests.cli.command import run
from tests.parts import CHROMIUM, SCENARIOS
from tests.report.test_browser import FLAGS
from tests.waiting import PATIENCE_S

TOKEN = "a-token"
EXPORTED = "<!doctype html><title>What a report would be</title>"


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    """A day of the smallest scenario; two replications."""
    folder = tmp_path_factory.mktemp("studio")
    source = folder / "small.yaml"
    base = (SCENARIOS / "ci_small.yaml").resolve()
    source.write_text(
        f"extends: {base}\nhorizon: {{duration: 1d}}\nexperiment: {{replications: 2}}\n", encoding="utf-8"
    )
    session = Session.opened(source)
    (folder / "store").mkdir()
    desk = Desk(folder / "store")
    report = folder / "report.html"
    report.write_text(EXPORTED, encoding="utf-8")
    yield Studio(session, desk, folder / "store", lambda scenario: report)
    desk.close()


def test_only_who_knows_the_path_and_asks_this_machine_is_answered(studio):
    held = bound(0)
    port = held.getsockname()[1]
    app = build(studio, TOKEN)
    server = serve(app, held)
    assert server.port == port
    client = app.server.test_client()
    own = {"base_url": f"http://{HOST}:{port}"}
    answered = client.get(f"/{TOKEN}/", **own)
    assert answered.status_code == 200
    assert "default-src 'self'" in answered.headers["Content-Security-Policy"]
    assert client.get("/", **own).status_code == 404
    assert client.get("/_dash-layout", **own).status_code == 404
    assert client.get(f"/{TOKEN}/_dash-layout", **own).status_code == 200
    assert client.get(f"/{TOKEN}/", base_url="http://elsewhere.example").status_code == 403
    assert client.get(f"/{TOKEN}/", base_url=f"http://{HOST}").status_code == 403
    for host in (
        f"{HOST}:{port}.elsewhere.example",
        f"{HOST}.elsewhere.example:{port}",
        f"[::1]:{port}",
        f"0.0.0.0:{port}",
        "",
    ):
        found = client.get(f"/{TOKEN}/", **own, environ_overrides={"HTTP_HOST": host}).status_code
        assert found in (400, 403), host
    for origin in ("null", f"https://{HOST}:{port}", f"http://{HOST}:{port}.elsewhere.example", f"http://{HOST}"):
        assert client.get(f"/{TOKEN}/", **own, headers={"Origin": origin}).status_code == 403
    assert client.get(f"/{TOKEN[:-1]}/_dash-layout", **own).status_code == 404
    assert client.get(f"/{TOKEN}/", **own, headers={"Origin": "http://elsewhere.example"}).status_code == 403
    page = answered.data.decode()
    assert 'lang="en"' in page
    assert "http://" not in page
    assert "https://" not in page
    server.server_close()
    assert len({new_token() for _ in range(50)}) == 50


@pytest.mark.parametrize("port", [80, 8050])
def test_the_name_of_this_machine_is_what_browsers_ask_for(port):
    asked = Flask("a").test_request_context(base_url=f"http://{HOST}:{port}").request.host
    assert asked in names_at(port)
    assert len(names_at(port)) == 2


def test_every_field_has_a_label_and_every_name_is_there_once(studio):
    client = build(studio, TOKEN).server.test_client()
    answered = client.get(f"/{TOKEN}/_dash-layout").data
    layout = json.loads(answered)
    names, labels, fields = [], [], []

    def walk(part):
        if isinstance(part, list):
            for one in part:
                walk(one)
        elif isinstance(part, dict) and "props" in part:
            props = part["props"]
            name = props.get("id")
            if name is not None:
                names.append(name if isinstance(name, str) else json.dumps(name, sort_keys=True, separators=(",", ":")))
            labels.extend([props["htmlFor"]] if part["type"] == "Label" else [])
            fields.extend([names[-1]] if part["type"] == "Input" else [])
            walk(props.get("children"))

    walk(layout)
    assert len(names) == len(set(names)) > 60
    # At each step of a change the browser asks every part of the page whether it has changed: four for a control.
    controls = [one for one in names if '"control"' in one]
    sliders = [one for one in names if '"slider"' in one]
    assert answered.count(b'"namespace"') <= 4 * len(controls) + 3 * len(sliders) + 150
    assert set(fields) <= set(labels)
    assert set(labels) <= set(names)


def test_a_verdict_comes_with_the_answer_to_a_change_and_all_else_once_it_is_painted(studio, monkeypatch):
    """One short request from a price to its verdict; tables are asked for when that is painted, figures after those."""
    # Nothing that is worked on behind it is part of the answer.
    monkeypatch.setattr(studio.desk, "_refine", lambda *_: None)
    studio.become(studio.session.reset())
    answer(Question(studio.session.scenario), Fineness(2), studio.desk.memory, outlook=False)
    client = build(studio, TOKEN).server.test_client()
    callbacks = json.loads(client.get(f"/{TOKEN}/_dash-dependencies").data)
    own_choices = {"wait-workload", "busy-pattern"}

    def asked_by(part):
        (one,) = [one for one in callbacks if part in one["output"]]
        return {one["id"] for one in one["inputs"]} - own_choices, bool(one["clientside_function"])

    assert asked_by("comparison.children") == ({"painted"}, False)
    assert asked_by("painted.data") == ({"shown"}, True)
    for part in ("figure-cost.figure", "figure-wait.figure"):
        assert asked_by(part) == ({"seen"}, False)
    assert asked_by("seen.data") == ({"told"}, True)
    # The server is asked nothing by the verdict itself.
    assert {one["output"] for one in callbacks if {"verdict", "shown"} & {part["id"] for part in one["inputs"]}} == {
        "painted.data"
    }

    (change,) = [one for one in callbacks if any('"slider"' in part["id"] for part in one["inputs"])]
    key = ("hosting_patterns", "self_hosted", "costs", "storage")
    name = json.dumps({"type": "control", "key": json.dumps(key)}, sort_keys=True, separators=(",", ":"))
    parts = [part.rpartition(".") for part in change["output"].strip(".").split("...")]
    assert [part[0] for part in parts] == ["verdict", "shown"]
    asked = {
        "output": change["output"],
        "outputs": [{"id": part, "property": prop} for part, _, prop in parts],
        "inputs": [[{"id": json.loads(name), "property": "value", "value": "4321 USD/month"}], []],
        "changedPropIds": [f"{name}.value"],
        "parsedChangedPropsIds": [f"{name}.value"],
    }
    answered = client.post(f"/{TOKEN}/_dash-update-component", json=asked)
    assert answered.status_code == 200
    assert len(answered.data) < 4_096
    told = json.loads(answered.data)
    assert not told.get("sideUpdate")
    assert set(told["response"]) == {"verdict", "shown"}
    # Every part that is shown anew costs the browser a look at all parts of the page.
    assert answered.data.count(b'"namespace"') < 40
    _, found, _, _ = studio.desk.state
    assert found.scenario is studio.session.scenario
    cost = found.results.pattern("self_hosted").monthly_cost_usd.mean
    assert cost > 4321
    assert f"{cost:,.0f}" in json.dumps(view.comparison(found, found.document), cls=PlotlyJSONEncoder)
    said = found.results.decision
    assert json.dumps(said.recommended or said.undecided.candidates[0])[1:-1] in json.dumps(told["response"]["verdict"])
    studio.become(studio.session.reset())
    assert studio.desk.wait()


def test_a_look_waits_for_news_and_no_longer(studio, monkeypatch):
    """Whoever looks is told at once what is new, and not before; where nothing is worked on nobody waits."""
    monkeypatch.setattr(studio.desk, "_refine", lambda *_: None)
    assert studio.desk.wait()
    number, found, _, _ = studio.desk.state
    studio.desk.wait_for_news(number, 1000 * PATIENCE_S)
    monkeypatch.setattr(studio.desk, "_working", True)
    studio.desk.wait_for_news(number - 1, 1000 * PATIENCE_S)
    looked = Thread(target=studio.desk.wait_for_news, args=(number, 1000 * PATIENCE_S))
    looked.start()
    looked.join(0.05)
    assert looked.is_alive()
    with studio.desk._changed:
        studio.desk._say(found)
        studio.desk._changed.notify_all()
    looked.join(PATIENCE_S)
    assert not looked.is_alive()
    monkeypatch.undo()
    studio.desk._working = False


def test_what_figures_need_is_loaded_whole_before_anybody_asks():
    """Plotly takes a pandas that another thread still loads, and finds half of it."""
    code = "import sys, simulator.studio.app; sys.exit(not hasattr(sys.modules.get('pandas'), 'Series'))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_port_that_is_taken_and_a_broken_file_are_said(tmp_path, capsys):
    held = bound(0)
    port = held.getsockname()[1]
    code, out, err = run(["studio", "scenarios/ci_small.yaml", "--port", str(port), "--store", str(tmp_path)], capsys)
    held.close()
    assert code == 2
    assert not out
    assert f"--port {port}" in err
    broken = tmp_path / "broken.yaml"
    broken.write_text("name: x\n", encoding="utf-8")
    assert run(["studio", str(broken)], capsys)[0] == 2
    assert run(["studio", str(tmp_path / "nothing.yaml")], capsys)[0] == 2
    assert run(["studio", str(tmp_path)], capsys)[0] == 2


def test_without_the_library_it_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "dash", None)
    code, _, err = run(["studio", "scenarios/ci_small.yaml"], capsys)
    assert code == 2
    assert "pip install 'llm-hosting-simulator[studio]'" in err


@pytest.fixture(scope="module")
def address(studio):
    server = serve(build(studio, TOKEN), bound(0))
    studio.desk.ask(studio.session.scenario)
    assert studio.desk.wait()
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://{HOST}:{server.port}/{TOKEN}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        started = play.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, "--proxy-server=http://127.0.0.1:1"])
        yield started
        started.close()


@pytest.mark.slow
@pytest.mark.needs("Chromium")
def test_a_slider_moves_the_verdict_and_what_is_saved_is_what_is_shown(browser, address, studio, tmp_path, monkeypatch):
    from axe_playwright_python.sync_playwright import Axe

    studio.become(studio.session.reset())
    assert studio.desk.wait()
    context = browser.new_context(viewport={"width": 390, "height": 900}, color_scheme="dark")
    page = context.new_page()
    page.set_default_timeout(1000 * PATIENCE_S)
    said, asked = [], []
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    whole = '.behind:not(:has-text("refining"))'
    page.wait_for_selector(whole)
    before = page.inner_text("#verdict")

    slider = page.get_by_role("slider", name="radiology_anomaly scans per month")
    slider.focus()
    page.keyboard.press("PageUp")
    page.locator("#variants tbody tr", has_text="now").wait_for()
    assert studio.desk.wait()
    page.wait_for_selector(whole)
    assert page.inner_text("#verdict") != before
    (text,) = studio.session.changes.values()
    field = page.get_by_role("textbox", name="scans per month")
    assert field.input_value() == text
    assert float(text) > 3000

    good = page.inner_text("#verdict")
    field.fill("many")
    field.press("Enter")
    fault = page.locator(".control", has=field).get_by_role("alert")
    fault.get_by_text("'many': expected a valid number").wait_for()
    assert page.inner_text("#verdict") == good
    field.fill(text)
    field.press("Enter")
    fault.get_by_text("many").wait_for(state="hidden")

    monkeypatch.chdir(tmp_path)
    page.fill("#save-as", "changed.yaml")
    page.keyboard.press("Enter")
    page.click("#save")
    page.get_by_text("Wrote changed.yaml").wait_for()
    assert load_scenario(Path("changed.yaml")).sha256 == studio.session.scenario.sha256

    with page.expect_download() as file:
        page.click("#export")
    assert Path(file.value.path()).read_text("utf-8") == EXPORTED
    page.get_by_text("Wrote ").filter(has_text="report.html").wait_for()

    page.reload()
    page.wait_for_selector("#verdict-title")
    assert field.input_value() == text

    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    found = Axe().run(page).response["violations"]
    assert [(one["id"], one["impact"]) for one in found if one["impact"] in ("serious", "critical")] == []
    assert said == []
    assert [url for url in asked if not url.startswith((address.rsplit(TOKEN, 1)[0], "data:", "blob:"))] == []
    context.close()
