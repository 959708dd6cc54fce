"""The page as it is served, and the command that serves it."""

from __future__ import annotations

import json

import pytest

from simulator.studio.app import Studio, build
from simulator.studio.desk import Desk
from simulator.studio.server import HOST, bound, new_token, serve
from simulator.studio.session import Session
from tests.cli.command import run
from tests.parts import SCENARIOS

TOKEN = "a-token"


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
    yield Studio(session, desk, folder / "store", lambda scenario: folder / "report.html")
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
    assert client.get(f"/{TOKEN}/", **own, headers={"Origin": "http://elsewhere.example"}).status_code == 403
    page = answered.data.decode()
    assert 'lang="en"' in page
    assert "http://" not in page
    assert "https://" not in page
    server.server_close()
    assert len({new_token() for _ in range(50)}) == 50


def test_every_field_has_a_label_and_every_name_is_there_once(studio):
    client = build(studio, TOKEN).server.test_client()
    layout = json.loads(client.get(f"/{TOKEN}/_dash-layout").data)
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
    assert set(fields) <= set(labels)
    assert set(labels) <= set(names)


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
