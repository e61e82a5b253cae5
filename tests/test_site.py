"""The documentation site builds without a warning and asks nobody outside; its notebooks run."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest
import yaml

TUTORIALS = ["predict", "explore", "discover", "own_condition", "sweep"]


@pytest.fixture(scope="module")
def site(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the site, built from the pages alone: `test_tutorials_run` executes the notebooks."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(
        command,
        cwd=repository,
        env={**os.environ, "DOCS_EXECUTE": "0", "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def hooks(repository: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("site_hooks", repository / "docs/site_hooks.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Addresses(HTMLParser):
    """Collects what a browser fetches by itself for a page, and the ids and links in it."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.ids: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at one tag."""
        given = dict(attrs)
        self.ids |= {value for name in ("id", "name") if (value := given.get(name))}
        if tag == "a" and given.get("href"):
            self.links.append(str(given["href"]))
        if tag == "link" and given.get("rel") in ("canonical", "prev", "next"):
            return
        for name in ("src", "data", "poster", "href" if tag == "link" else "src"):
            if value := given.get(name):
                self.fetched.append(value)


def addresses(page: Path) -> Addresses:
    parser = Addresses()
    parser.feed(page.read_text(encoding="utf-8"))
    return parser


def pages_of(site: Path) -> Iterator[Path]:
    yield from site.rglob("*.html")


def test_the_site_asks_nobody_outside(site: Path) -> None:
    outside = re.compile(r"^(https?:)?//")
    checked = 0
    for page in pages_of(site):
        for address in addresses(page).fetched:
            assert not outside.match(address), f"{page.name}: {address}"
            checked += 1
    for sheet in site.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        for address in re.findall(r"(?:url\(|@import\s+)[\"']?([^\"')]+)", text):
            assert not outside.match(address), f"{sheet.name}: {address}"
    assert checked > 100


def test_links_of_the_site_lead_to_pages_and_headings(site: Path) -> None:
    ids = {page.resolve(): addresses(page).ids for page in pages_of(site)}
    checked = 0
    for page in pages_of(site):
        if page.name == "404.html":
            continue
        for link in addresses(page).links:
            if re.match(r"^[a-z]+:", link) or link in ("", "."):
                continue
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page.resolve()
            assert target.exists(), f"{page.relative_to(site)}: {link}"
            if anchor and target in ids and not anchor.startswith("__"):
                assert anchor in ids[target], f"{page.relative_to(site)}: {link}"
            checked += 1
    assert checked > 500


def test_the_navigation_has_every_page(repository: Path, site: Path) -> None:
    text = (repository / "mkdocs.yml").read_text(encoding="utf-8")
    named = set(re.findall(r"- (\S+\.md)$", text, re.MULTILINE))
    written = {f.relative_to(repository / "docs") for f in (repository / "docs").rglob("*.md")}
    assert {path.as_posix() for path in written} <= named
    for name in named:
        assert (site / name).with_suffix(".html").exists(), name


def test_the_reference_describes_public_names(site: Path) -> None:
    text = (site / "api" / "sampling.html").read_text(encoding="utf-8")
    for name in ("Prototype", "BandGapWithin", "SampleResult"):
        assert f'id="crystal_ldm.sampling.{name}"' in text
    # The arguments are told, and not only the first line of a docstring.
    models = (site / "api" / "models.html").read_text(encoding="utf-8")
    assert "num_samples" in models and "RequestError" in models


@pytest.mark.parametrize("name", TUTORIALS)
def test_tutorials_run(repository: Path, hooks: ModuleType, name: str) -> None:
    notebook = hooks.executed(repository / "docs" / "tutorials" / f"{name}.ipynb")
    assert all(cell.get("execution_count") for cell in notebook.cells if cell.cell_type == "code")
    text = hooks.as_markdown(notebook)
    assert "Traceback" not in text and "```python" in text
    if name in ("predict", "explore"):
        assert 'data-figure="' in text


def test_every_tutorial_is_tested_and_has_no_outputs(repository: Path) -> None:
    import nbformat

    files = sorted((repository / "docs" / "tutorials").glob("*.ipynb"))
    assert sorted(file.stem for file in files) == sorted(TUTORIALS)
    for file in files:
        for cell in nbformat.read(file, as_version=4).cells:
            assert not cell.get("outputs"), file.name


def test_the_workflow_publishes_what_make_docs_builds(repository: Path) -> None:
    workflow = yaml.safe_load((repository / ".github/workflows/pages.yml").read_text())
    steps = workflow["jobs"]["site"]["steps"]
    assert any(step.get("run") == "make docs" for step in steps)
    folder = next(s["with"]["path"] for s in steps if "upload-pages" in s.get("uses", ""))
    settings = (repository / "mkdocs.yml").read_text(encoding="utf-8")
    assert f"site_dir: {folder}" in settings
