"""Reports: an executed notebook as one HTML file that needs no kernel and no network."""

from __future__ import annotations

import html
import json
import re
import shutil
import uuid
from pathlib import Path
from typing import Any

from crystal_ldm.errors import RunError
from crystal_ldm.files.writing import atomic_path, atomic_write, make_folder
from crystal_ldm.workflow.html.clean import clean_html, without_addresses
from crystal_ldm.workflow.kernel import executed_notebook
from crystal_ldm.workflow.notebooks import read_notebook

_PLOTLY = "application/vnd.plotly.v1+json"
_WIDGET = "application/vnd.jupyter.widget-view+json"
_DROPPED = ("application/javascript", "application/vnd.plotly.v1+html")

_TEMPLATE = """
{%- extends 'basic/index.html.j2' -%}
{%- block input_group -%}
<details class="code"><summary>code</summary>{{ super() }}</details>
{%- endblock -%}
"""
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline' \
'unsafe-eval' blob:; worker-src blob:; style-src 'unsafe-inline'; img-src data: blob: 'self' file:">
<title>{title}</title>
<style>{style}</style>
{plotly}
</head>
<body>
{body}
</body>
</html>
"""
_DRAW = """<div class="figure" id="{name}"></div>
<script>Plotly.newPlot({name!r}, {figure}).then(function (plot) {{
  new ResizeObserver(function () {{ Plotly.Plots.resize(plot); }}).observe(plot);
}});</script>"""


def export_html(executed_notebook: Path | str, path: Path | str, title: str = "") -> Path:
    """Write an executed notebook as one HTML file that names no outside address.

    plotly figures stay interactive (plotly's own code, freed of addresses, is part of the file);
    pictures, tables and text are kept; code is folded away. What needs a kernel (widgets) is named
    as such. Scripts in outputs are left out, addresses in prose stay as text without `https://`.

    Args:
        executed_notebook: a notebook with its outputs.
        path: the HTML file to write.
        title: of the page; empty: the notebook's first heading, or its name.

    Raises:
        RunError: the notebook cannot be read, or `path` cannot be written.
    """
    import nbformat
    from nbconvert import HTMLExporter

    source = Path(executed_notebook)
    content = read_notebook(source)
    figures: dict[str, dict[str, Any]] = {}
    for cell in content["cells"]:
        if cell.get("cell_type") == "code":
            prepared = [_prepared(output, figures) for output in cell.get("outputs", [])]
            cell["outputs"] = [output for output in prepared if output.get("data") != {}]
    content.get("metadata", {}).pop("widgets", None)
    try:
        exporter = HTMLExporter(template_name="basic", raw_template=_TEMPLATE)
        notebook = nbformat.reads(json.dumps(content), as_version=4)
        body, _ = exporter.from_notebook_node(notebook)
    except Exception as error:
        raise RunError(f"'{source}' cannot be made into a report ({error}).") from error
    body = clean_html(body)
    for name, figure in figures.items():
        body = body.replace(name, _drawn(name, figure))
    page = _PAGE.format(
        title=html.escape(title or _heading(content) or source.stem),
        style=(Path(__file__).parent / "report.css").read_text(encoding="utf-8"),
        plotly=f"<script>{_plotly_code()}</script>" if figures else "",
        body=body,
    )
    target = Path(path)
    atomic_write(target, page)
    return target


def save_report(run_dir: Path | str, name: str) -> list[Path]:
    """Put the notebook that is being executed, and its HTML, into `run_dir`.

    For a notebook's last cell: the outputs of all cells before it are there by then. By hand in
    JupyterLab the notebook itself is the report, and nothing is written; `crystal-ldm run` and
    sweeps write both themselves, when the notebook has ended.

    Args:
        run_dir: the run's directory.
        name: of the notebook, without suffix.

    Returns:
        the files written.

    Raises:
        RunError: they cannot be written.
    """
    executed = executed_notebook(name)
    if executed is None:
        return []
    copy = Path(run_dir) / f"{name}.ipynb"
    atomic_write(copy, json.dumps(executed, indent=1, ensure_ascii=False) + "\n")
    return [copy, export_html(copy, copy.with_suffix(".html"))]


def put_report(executed_notebook: Path | str, copy: Path | str) -> Path:
    """Copy an executed notebook to `copy` and write its HTML beside it; returns the HTML.

    Raises:
        RunError: the notebook cannot be read, or one of the files cannot be written.
    """
    target = Path(copy)
    make_folder(target.parent)
    with atomic_path(target) as part:
        shutil.copyfile(executed_notebook, part)
    return export_html(target, target.with_suffix(".html"))


def _prepared(output: dict[str, Any], figures: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return an output of which nbconvert keeps what a report can show."""
    data = output.get("data")
    if not isinstance(data, dict):
        return output
    data = {kind: value for kind, value in data.items() if kind not in _DROPPED}
    if isinstance(data.get(_PLOTLY), dict):
        name = f"figure-{uuid.uuid4().hex}"
        figures[name] = data[_PLOTLY]
        data = {"text/html": f"<div>{name}</div>"}
    elif _WIDGET in data and not {"text/html", "image/png", "image/svg+xml"} & set(data):
        note = "An interactive control stands here: open the notebook in JupyterLab to use it."
        data = {"text/html": f'<p class="needs-kernel">{note}</p>'}
    data.pop(_WIDGET, None)
    return {**output, "data": data, "metadata": {}}


def _drawn(name: str, figure: dict[str, Any]) -> str:
    wanted = {key: figure[key] for key in ("data", "layout", "frames") if key in figure}
    config = {**figure.get("config", {}), "responsive": True, "displaylogo": False}
    config.pop("plotlyServerURL", None)
    text = json.dumps(without_addresses({**wanted, "config": config}))
    # Neither the end of the script nor a comment may stand in a text of the figure.
    return _DRAW.format(name=name, figure=text.replace("<", "\\u003c"))


def _plotly_code() -> str:
    """Return plotly's own code without the addresses of map tiles, fonts and its makers."""
    from plotly.offline import get_plotlyjs

    code = get_plotlyjs()
    code = re.sub(r"https?://(?!www\.w3\.org/)[\w.@-]*", "about:blank#", code)
    # What is left are names of XML namespaces; `\/` is `/` in a JavaScript text.
    return re.sub(r"(https?):?//(?=www\.w3\.org/)", r"\1:\\/\\/", code).replace(
        "</script", "<\\/script"
    )


def _heading(content: dict[str, Any]) -> str:
    for cell in content["cells"]:
        found = re.search(r"^# (.+)$", "".join(cell.get("source", "")), re.MULTILINE)
        if cell.get("cell_type") == "markdown" and found:
            return found[1].strip()
    return ""
