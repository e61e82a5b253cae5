from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import plotly.graph_objects as go
import pytest
from playwright.sync_api import Browser, Playwright

from crystal_ldm.errors import RunError
from crystal_ldm.workflow.report import clean_html, export_html

PLOTLY = "application/vnd.plotly.v1+json"
WIDGET = "application/vnd.jupyter.widget-view+json"


def output(**data: Any) -> Any:
    kinds = {kind.replace("__", "/"): value for kind, value in data.items()}
    return nbformat.v4.new_output("display_data", kinds)


def figure() -> dict[str, Any]:
    frames = [go.Frame(data=[go.Scatter(x=[0, 1], y=[n, 1])], name=str(n)) for n in range(3)]
    made = go.Figure(go.Scatter(x=[0, 1], y=[1, 2], name="</script><b>gap</b>"), frames=frames)
    made.add_trace(go.Scatter3d(x=[0, 1], y=[0, 1], z=[0, 1], scene="scene"))
    made.update_layout(title="<a href='https://example.org/x'>gap</a>")
    made.update_layout(scene={"domain": {"x": [0.6, 1]}})
    return dict(json.loads(made.to_json()))


def notebook(path: Path) -> Path:
    code = nbformat.v4.new_code_cell("print('https://example.org/code')", execution_count=1)
    code.outputs = [
        nbformat.v4.new_output("stream", text="\x1b[31mred\x1b[0m see http://example.org/log\n"),
        output(**{PLOTLY: figure(), "text__html": "<script>5 MB</script>"}),
        output(**{WIDGET: {"model_id": "x"}, "text__plain": "HBox()"}),
        output(text__html="<table onclick='x()'><tr><td>SrTiO3 &lt;b&gt;</td></tr></table>"
               "<style>@import url(https://example.org/a.css); td {color: red}</style>"
               "<script src='https://example.org/x.js'></script><img src='https://example.org/x.png'>"),
        output(**{"application/javascript": "fetch('https://example.org')"}),
        output(image__png="iVBORw0KGgo="),
        nbformat.v4.new_output("error", ename="E", evalue="no", traceback=["RequestError: no"]),
    ]  # fmt: skip
    text = "# Crystals of *SrTiO3*\nsee [the paper](https://example.org/paper), ![](//a.org/y.png)"
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text), code])
    made.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {}}}
    nbformat.write(made, path)
    return path


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    assert found, "Chromium is needed for this test: apt-get install chromium"
    flags = ["--no-sandbox", "--disable-background-networking", "--enable-unsafe-swiftshader"]
    started = playwright.chromium.launch(executable_path=found, args=flags)
    yield started
    started.close()


def test_report_names_no_outside_address_and_keeps_what_it_can_show(tmp_path: Path) -> None:
    page = export_html(notebook(tmp_path / "a.ipynb")).read_text()
    assert not re.search(r"(?:https?|wss?)://", page)
    body = page[page.index("<body>") :]
    assert not re.search(r"""(?:src|href)=["']//""", body)
    for kept in ("example.org/paper", "example.org/log", "SrTiO3 &lt;b&gt;", "td {color: red}",
                 "iVBORw0KGgo=", "RequestError: no", "interactive control"):  # fmt: skip
        assert kept in body
    for gone in ("onclick", "5 MB", "fetch(", "x.js", "HBox()", "widget-state"):
        assert gone not in body
    assert "<title>Crystals of *SrTiO3*</title>" in page


def test_figures_are_drawn_offline_in_a_browser(browser: Browser, tmp_path: Path) -> None:
    path = export_html(notebook(tmp_path / "a.ipynb"))
    tab = browser.new_page()
    asked, errors = [], []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.goto(path.as_uri())
    tab.wait_for_selector(".scatterlayer .trace path.js-line")
    tab.wait_for_selector(".gl-container canvas")
    plot = "document.querySelector('.js-plotly-plot')"
    assert tab.evaluate(f"{plot}._transitionData._frames.length") == 3
    tab.evaluate(f"Plotly.animate({plot}, ['2'], {{frame: {{duration: 0}}}})")
    tab.wait_for_function(f"{plot}.data[0].y[0] === 2")
    assert errors == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    tab.close()


def test_a_report_without_figures_is_small(tmp_path: Path) -> None:
    cells = [nbformat.v4.new_markdown_cell("# <x>"), nbformat.v4.new_code_cell("1")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "a.ipynb")
    page = export_html(tmp_path / "a.ipynb")
    assert page.stat().st_size < 20_000 and "<title>&lt;x&gt;</title>" in page.read_text()


def test_what_is_no_notebook_is_named(tmp_path: Path) -> None:
    wrong = {"cut.ipynb": '{"cells": [', "list.ipynb": "[]", "odd.ipynb": '{"cells": [{}]}'}
    for name, content in wrong.items():
        (tmp_path / name).write_text(content)
        with pytest.raises(RunError, match=name):
            export_html(tmp_path / name)
    assert not list(tmp_path.glob("*.html"))


@pytest.mark.parametrize(
    "text",
    [
        "<img src=x onerror=alert(1)>",
        "<svg><script>alert(1)</script></svg>",
        "<a href='javascript:alert(1)'>x</a>",
        "<a href=' JaVaScRiPt:alert(1)'>x</a>",
        "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
        "<math href='https://x.org'></math><form action='https://x.org'></form>",
        "<div style='background:url(https://x.org/a.png)'>x</div>",
        "<!--[if IE]><script>alert(1)</script><![endif]-->",
        "<a href='data:text/html,<script>alert(1)</script>'>x</a>",
    ],
)
def test_nothing_in_an_output_runs_or_calls_home(text: str) -> None:
    cleaned = clean_html(text)
    assert not re.search(r"alert|https?:|url\(|javascript|onerror", cleaned, re.IGNORECASE)


def test_harmless_html_stays() -> None:
    text = '<p id="a" style="color:red">x &amp; <a href="cif/1.cif">cif</a> <a href="#a">up</a></p>'
    assert clean_html(text) == text
