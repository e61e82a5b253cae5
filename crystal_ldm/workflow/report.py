"""Reports: an executed notebook as one HTML file that needs no kernel and no network."""

from __future__ import annotations

import html
import json
import os
import re
import signal
import threading
import uuid
from pathlib import Path
from typing import Any

from crystal_ldm.errors import RunError
from crystal_ldm.files.writing import atomic_write
from crystal_ldm.workflow.kernel import WRITTEN_OUTSIDE, executed_notebook
from crystal_ldm.workflow.notebooks import read_notebook

_SCHEME = re.compile(r"\b(?:https?|wss?|ftp):/{2}", re.IGNORECASE)
_OUTSIDE = re.compile(r"^\s*(?:[a-z][a-z0-9+.-]*:|//)", re.IGNORECASE)
_INSIDE = re.compile(r"^\s*data:image/", re.IGNORECASE)
_CSS_ADDRESS = re.compile(r"@import[^;]*;?|url\(\s*['\"]?(?!data:image/|#)[^)]*\)", re.IGNORECASE)
_STYLE = re.compile(r"(?is)<style.*?</style>")
_LINK = re.compile(r"(?is)<a\b[^>]*?href=[\"'](https?:[^\"']*)[^>]*>(.*?)</a>")
_ADDRESSES = {"src", "href", "xlink:href"}
# What reports have beside nh3's own list: tables' styles, folded code, matplotlib's drawings.
_TAGS = {"style", "section", "main", "details", "summary", "svg", "g", "defs", "symbol", "use"}
_TAGS |= {"path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "text", "tspan"}
_TAGS |= {"clipPath", "linearGradient", "radialGradient", "stop"}
_ATTRIBUTES = {"class", "id", "style", "title", "role", "tabindex", "open", "colspan", "rowspan"}
_ATTRIBUTES |= {"align", "valign", "border", "scope", "headers", "alt", "width", "height", "src"}
_ATTRIBUTES |= {"href", "xlink:href", "d", "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "rx"}
_ATTRIBUTES |= {"ry", "dx", "dy", "points", "transform", "viewBox", "version", "fill", "offset"}
_ATTRIBUTES |= {"preserveAspectRatio", "clip-path", "clip-rule", "fill-rule", "fill-opacity"}
_ATTRIBUTES |= {"opacity", "stroke", "stroke-width", "stroke-opacity", "stroke-dasharray"}
_ATTRIBUTES |= {"stroke-linecap", "stroke-linejoin", "font-family", "font-size", "font-style"}
_ATTRIBUTES |= {"font-weight", "text-anchor", "stop-color", "stop-opacity", "gradientUnits"}


def clean_html(text: str) -> str:
    """Return HTML without scripts, event handlers, embedded pages and outside addresses.

    An outside link becomes its text with the address behind it, without `https://`; an outside
    picture becomes its description. Relative addresses stay. What is not known to be harmless
    goes (nh3's list of tags, and those of tables, folded code and drawings).
    """
    import nh3

    text = _STYLE.sub(lambda style: _CSS_ADDRESS.sub("none", style[0]), text)
    text = _LINK.sub(lambda a: a[2] if a[1] in a[2] else f"{a[2]} ({a[1]})", text)
    cleaned = nh3.clean(
        text,
        tags=nh3.ALLOWED_TAGS | _TAGS,
        clean_content_tags={"script", "noscript", "iframe", "object", "embed"},
        attributes={"*": _ATTRIBUTES},
        attribute_filter=_kept,
        generic_attribute_prefixes={"data-", "aria-"},
        url_schemes={"data"},
        link_rel=None,
    )
    return _SCHEME.sub("", cleaned)


def _kept(tag: str, name: str, value: str) -> str | None:
    """Return what stays of an attribute; None: nothing."""
    if name in _ADDRESSES:
        return None if _OUTSIDE.match(value) and not _INSIDE.match(value) else value
    return _CSS_ADDRESS.sub("none", value) if name == "style" else value


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


def export_html(executed_notebook: Path | str) -> Path:
    """Write an executed notebook as one HTML file, beside it, that names no outside address.

    plotly figures stay interactive (plotly's own code, freed of addresses, is part of the file);
    pictures, tables and text are kept; code is folded away. What needs a kernel (widgets) is named
    as such. Scripts in outputs are left out, addresses in prose stay as text without `https://`.

    Raises:
        RunError: the notebook cannot be read, or the file cannot be written.
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
        title=html.escape(heading(content) or source.stem),
        style=(Path(__file__).parent / "report.css").read_text(encoding="utf-8"),
        plotly=f"<script>{_plotly_code()}</script>" if figures else "",
        body=body,
    )
    target = source.with_suffix(".html")
    atomic_write(target, page)
    return target


def save_report(run_dir: Path | str, name: str) -> list[Path]:
    """Put the notebook that is being executed, and its HTML, into `run_dir`.

    For a notebook's last cell: the outputs of all cells before it are there by then. By hand in
    JupyterLab the notebook itself is the report, and nothing is written; `crystal-ldm run` and
    sweeps write both themselves, when the notebook has ended.

    Returns:
        the files written.

    Raises:
        RunError: they cannot be written.
    """
    executed = executed_notebook(name)
    ends = executed is not None or os.environ.get(WRITTEN_OUTSIDE)
    if ends and threading.current_thread() is threading.main_thread():
        # Jupyter interrupts a kernel that it is about to end: nothing is left to be interrupted.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    if executed is None:
        return []
    copy = Path(run_dir) / f"{name}.ipynb"
    atomic_write(copy, json.dumps(executed, indent=1, ensure_ascii=False) + "\n")
    return [copy, export_html(copy)]


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
    text = _SCHEME.sub("", json.dumps({**wanted, "config": config}))
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


def heading(content: dict[str, Any]) -> str:
    """Return the first heading of a notebook; empty: it has none."""
    for cell in content["cells"]:
        match = re.search(r"^# (.+)$", "".join(cell.get("source", "")), re.MULTILINE)
        if cell.get("cell_type") == "markdown" and match:
            return match[1].strip()
    return ""
