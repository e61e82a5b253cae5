"""What the site has beside the pages in this folder: notebooks, executed, and other pages.

MkDocs calls `on_files` and `on_page_markdown` (mkdocs.yml, `hooks`).
"""

from __future__ import annotations

import html
import json
import os
import posixpath
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
from nbclient import NotebookClient
from nbconvert import MarkdownExporter

from crystal_ldm.files.paths import ROOT_VARIABLE

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

REPOSITORY = Path(__file__).resolve().parents[1]
PLACES = {
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "benchmarks/README.md": "project/benchmarks.md",
    "crystal_ldm/pretrained/mp_20.md": "models/mp_20.md",
    "crystal_ldm/pretrained/oqmd_icsd.md": "models/oqmd_icsd.md",
    "crystal_ldm/pretrained/perov_5.md": "models/perov_5.md",
}
"""Where pages that lie elsewhere in the repository stand in the site."""
ORIGINS = {place: origin for origin, place in PLACES.items()}
PLOTLY = "application/vnd.plotly.v1+json"
MINUTES = 5
"""After which a cell of a notebook fails; on an idle core none takes one."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the repository, the notebooks as pages, and plotly.js for their figures."""
    from mkdocs.structure.files import File
    from plotly.offline import get_plotlyjs

    for origin, place in PLACES.items():
        text = (REPOSITORY / origin).read_text(encoding="utf-8")
        text = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)  # a model card's metadata
        files.append(File.generated(config, place, content=text))
    for notebook in [file for file in files if file.src_uri.endswith(".ipynb")]:
        path = Path(str(notebook.abs_src_path))
        run = os.environ.get("DOCS_EXECUTE", "1") == "1"
        text = as_markdown(executed(path) if run else nbformat.read(path, as_version=4))
        text += f"\n\n[This notebook]({posixpath.basename(notebook.src_uri)}) as a file.\n"
        place = notebook.src_uri.removesuffix(".ipynb") + ".md"
        files.append(File.generated(config, place, content=text))
    files.append(File.generated(config, "assets/plotly.min.js", content=get_plotlyjs()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links between the repository's files lead to where these stand in the site.

    A link to a notebook leads to its page, and on that page to the file, for download.
    """
    here = page.file.src_uri
    home = posixpath.dirname(ORIGINS.get(here, f"docs/{here}"))

    def moved(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(home, link[2]))
        place = PLACES.get(path, path.removeprefix("docs/"))
        if place.endswith(".ipynb") and place[:-5] + "md" != here:
            place = place[:-5] + "md"
        return f"{link[1]}{posixpath.relpath(place, posixpath.dirname(here) or '.')}{link[3]}"

    return re.sub(r"(\]\()(?!\w+:)([^)#\s]+)([^)\s]*\))", moved, markdown)


def executed(file: Path) -> nbformat.NotebookNode:
    """Return a notebook as it is after running in an empty folder.

    Raises:
        CellExecutionError: a cell fails.
    """
    notebook = nbformat.read(file, as_version=4)
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    os.environ["PLOTLY_RENDERER"] = "plotly_mimetype"
    with tempfile.TemporaryDirectory() as folder:
        os.environ[ROOT_VARIABLE] = str(Path(folder).resolve())  # runs/ is there, not in the clone
        resources = {"metadata": {"path": folder}}
        NotebookClient(notebook, timeout=60 * MINUTES, resources=resources).execute()
    return notebook


def as_markdown(notebook: nbformat.NotebookNode) -> str:
    """Return an executed notebook as a page; `assets/figures.js` draws its figures."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if PLOTLY in data:
                data["text/html"] = _figure(data.pop(PLOTLY))
    body, resources = MarkdownExporter().from_notebook_node(notebook)
    if resources.get("outputs"):
        raise ValueError("Pictures of a notebook are figures of plotly here, not images.")
    return str(body)


def _figure(figure: dict[str, Any]) -> str:
    """Return the place of a figure; a blank line would end the HTML in Markdown."""
    height = figure.get("layout", {}).get("height", 400)
    text = html.escape(json.dumps(figure))
    return f'<div class="figure" style="height:{height}px" data-figure="{text}"></div>'
