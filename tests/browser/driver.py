"""What a browser test drives: a JupyterLab, a page that shows a notebook, pictures of it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
import urllib.request
from dataclasses import dataclass, field
from http.client import HTTPResponse
from pathlib import Path
from urllib.error import HTTPError

import nbformat
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page

ROOT = Path(__file__).resolve().parents[2]
ARTEFACTS = ROOT / "runs" / "browser"
TOKEN = "browser-tests"
MODEL = os.environ.get("CRYSTAL_LDM_TEST_MODEL", "")
"""The model that the notebooks use; empty: the shipped one."""
FLAGS = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

SCRUB = """async ([scope, count]) => {
  const stage = document.querySelector(`${scope} .cl-ngl`);
  const handle = document.querySelector(`${scope} .cl-scrub .noUi-handle`);
  handle.focus(); // scrolls there and paints the page anew, which is no part of a frame
  await new Promise((resolve) => setTimeout(resolve, 300));
  const times = [];
  for (let i = 0; i < count; i += 1) {
    const [ticket, start] = [stage.dataset.ticket, performance.now()];
    handle.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft", bubbles: true }));
    while (stage.dataset.ticket === ticket && performance.now() - start < 8000) {
      await new Promise((resolve) => setTimeout(resolve, 4));
    }
    times.push(performance.now() - start);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  return times;
}"""
"""Presses an arrow key on a trajectory's slider; returns the ms until each frame is drawn."""


def find_chromium() -> str:
    """Return the system's Chromium; without one the tests fail in CI and are skipped elsewhere."""
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        found = shutil.which(name)
        if found:
            return found
    reason = "No Chromium on the path: install the system package 'chromium'."
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@dataclass
class Lab:
    """A running JupyterLab.

    Attributes:
        url: its address.
        settings: folder of its user settings.
    """

    url: str
    settings: Path

    def theme(self, name: str) -> None:
        """Choose the theme that the next page opens with."""
        folder = self.settings / "@jupyterlab" / "apputils-extension"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "themes.jupyterlab-settings").write_text(json.dumps({"theme": name}))
        quiet = {"fetchNews": "false"}
        (folder / "notification.jupyterlab-settings").write_text(json.dumps(quiet))
        # Cells outside the window would otherwise not be part of the page.
        notebooks = self.settings / "@jupyterlab" / "notebook-extension"
        notebooks.mkdir(parents=True, exist_ok=True)
        whole = {"windowingMode": "none"}
        (notebooks / "tracker.jupyterlab-settings").write_text(json.dumps(whole))

    def stop_kernels(self) -> None:
        """Stop the kernels of pages that were closed, each of which holds a few hundred MB."""
        for kernel in json.load(self._ask("GET", "api/kernels")):
            with contextlib.suppress(HTTPError):  # one that has just gone by itself
                self._ask("DELETE", f"api/kernels/{kernel['id']}")

    def has_kernel(self, notebook: str) -> bool:
        """Return whether a page is connected to a notebook's kernel, which has nothing to do."""
        for session in json.load(self._ask("GET", "api/sessions")):
            if session["path"] == notebook:
                kernel = session["kernel"]
                return kernel["connections"] > 0 and kernel["execution_state"] == "idle"
        return False

    def _ask(self, method: str, path: str) -> HTTPResponse:
        return urllib.request.urlopen(
            urllib.request.Request(f"{self.url}/{path}?token={TOKEN}", method=method), timeout=30
        )


@dataclass(frozen=True)
class Traffic:
    """What came from the server over websockets: messages, and their bytes."""

    messages: int = 0
    bytes: int = 0

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(self.messages + other.messages, self.bytes + other.bytes)

    def __sub__(self, other: Traffic) -> Traffic:
        return Traffic(self.messages - other.messages, self.bytes - other.bytes)


def keep(name: str, figure: object) -> None:
    """Print a measured figure, and keep it among the artefacts in timings.json."""
    print(f"\n{name}: {figure}")
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    path = ARTEFACTS / "timings.json"
    known = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps({**known, name: figure}, indent=1, sort_keys=True, default=float))


@dataclass
class Visit:
    """A page that shows one notebook, with what it asked for and what went wrong in it.

    Attributes:
        outside: addresses outside localhost that the page asked for.
        errors: uncaught errors in the page.
        asked: dialogs of JupyterLab, which no test expects.
        broken_on_purpose: errors in the page are what the test is about.
        known: parts of errors that the program itself raises whatever is shown in it.
        received: what the server has sent over websockets.
    """

    page: Page
    lab: Lab
    outside: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    broken_on_purpose: bool = False
    known: tuple[str, ...] = ()
    received: Traffic = Traffic()

    def on_frame(self, payload: str | bytes) -> None:
        """Count a message from the server."""
        self.received += Traffic(1, len(payload))

    def open(self, path: Path, program: str = "lab/tree") -> None:
        """Open a notebook and wait for its kernel; `program` is "notebooks" for Notebook 7."""
        where = path.relative_to(ROOT).as_posix()
        self.page.goto(f"{self.lab.url}/{program}/{where}?token={TOKEN}&reset")
        self.page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=60_000)
        # Run before it has one, a notebook asks which kernel to take, and loses what was to be run.
        until = time.monotonic() + 60
        while not self.lab.has_kernel(where):
            assert time.monotonic() < until, f"no kernel for {where}"
            self.page.wait_for_timeout(100)
        self.page.wait_for_selector("[data-status=idle]", state="attached", timeout=60_000)

    def prompts(self) -> list[str]:
        """Return what stands before each code cell that is not folded: a number, * or nothing."""
        cells = ".jp-Notebook .jp-CodeCell:not(:has(.jp-InputPlaceholder))"
        found = self.page.query_selector_all(f"{cells} .jp-InputPrompt")
        return [prompt.inner_text().strip("[]: \n") for prompt in found]

    def run_all(self, timeout: float = 240, pressing: str = "", showing: str = "") -> float:
        """Choose Run > Run All Cells; return the seconds until every cell has its number.

        `pressing` is a button that is pressed as soon as it is there and enabled; `showing` is
        scrolled into view until then, as JupyterLab draws nothing that is far out of sight.
        """
        started = time.monotonic()
        for _ in range(8):  # the menu does nothing until the kernel has answered
            self.page.click("#jp-MainMenu .lm-MenuBar-itemLabel:text-is('Run')")
            self.page.click(".lm-Menu-itemLabel:text-is('Run All Cells')")
            started = time.monotonic()
            self.page.wait_for_timeout(1200)
            if any(self.prompts()):
                break
        while not all(prompt.isdigit() for prompt in self.prompts()):
            hangs = f"Run All hangs: {self.prompts()}, asked: {self.asked}"
            assert time.monotonic() - started < timeout, hangs
            assert not self.cell_errors(), self.cell_errors()
            if pressing and showing and self.page.locator(showing).count():
                self.page.locator(showing).first.evaluate("part => part.scrollIntoView()")
            if pressing and self.page.locator(f"{pressing}:enabled").count():
                self.page.click(pressing)
                pressing = ""
            self.page.wait_for_timeout(100)
        assert not self.cell_errors(), self.cell_errors()
        assert not pressing, f"{pressing} was never enabled"
        return time.monotonic() - started

    def watch_dialogs(self) -> None:
        """Close any dialog of JupyterLab that is in the way of what a test does, and keep it."""

        def close(dialog: Locator) -> None:
            self.asked.append(" ".join(dialog.inner_text().split()))
            dialog.locator(".jp-Dialog-footer .jp-Dialog-button").last.click()

        self.page.add_locator_handler(self.page.locator(".jp-Dialog").first, close)

    def cell_errors(self) -> list[str]:
        """Return the tracebacks that cells have printed."""
        kinds = [f"[data-mime-type='application/vnd.jupyter.{k}']" for k in ("error", "stderr")]
        found = [p.inner_text() for p in self.page.query_selector_all(", ".join(kinds))]
        return [text for text in found if "Traceback" in text]

    def drop(self, selector: str, name: str, content: bytes) -> None:
        """Drop a file on a part of the page."""
        script = """([target, name, bytes]) => {
          const data = new DataTransfer();
          data.items.add(new File([new Uint8Array(bytes)], name));
          for (const kind of ["dragover", "drop"]) {
            const options = { dataTransfer: data, bubbles: true, cancelable: true };
            document.querySelector(target).dispatchEvent(new DragEvent(kind, options));
          }
        }"""
        self.page.evaluate(script, [selector, name, list(content)])

    def shot(self, name: str, selector: str | None = None) -> Path:
        """Keep a picture of the page, or of one part, as an artefact."""
        ARTEFACTS.mkdir(parents=True, exist_ok=True)
        path = ARTEFACTS / f"{name}.png"
        if selector is None:
            self.page.screenshot(path=path)
        else:
            self.page.locator(selector).first.screenshot(path=path)
        return path

    def colour(self, selector: str, rgb: tuple[int, int, int], within: int = 60) -> int:
        """Return how many pixels of a part of the page are near a colour."""
        pixels = np.asarray(Image.open(self.shot("colours", selector)).convert("RGB")).astype(int)
        return int((np.abs(pixels - np.array(rgb)).sum(axis=-1) < within).sum())

    def wait_atoms(self, scope: str, wanted: dict[str, int], timeout: float = 6) -> None:
        """Wait until NGL has just these atoms in its stage."""
        until = time.monotonic() + timeout
        while self.atoms(scope) != wanted:
            assert time.monotonic() < until, f"{self.atoms(scope)} instead of {wanted}"
            self.page.wait_for_timeout(50)

    def atoms(self, scope: str = "") -> dict[str, int]:
        """Return how many atoms of each element NGL has in its stage, dummy atoms left out."""
        script = """(scope) => {
          const box = document.querySelector(`${scope} .cl-ngl`);
          const found = {};
          box?.nglStage?.compList[0]?.structure.eachAtom((a) => {
            if (a.element !== "XX") found[a.element] = (found[a.element] ?? 0) + 1;
          });
          return found;
        }"""
        return self.page.evaluate(script, scope)


def copy_notebook(name: str, **parameters: object) -> Path:
    """Copy a notebook of the project to the artefacts, its parameters set as papermill does."""
    book = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    place = next(i for i, c in enumerate(book.cells) if "parameters" in c.metadata.get("tags", []))
    lines = "\n".join(f"{key} = {value!r}" for key, value in parameters.items())
    book.cells.insert(place + 1, nbformat.v4.new_code_cell(f"# Parameters\n{lines}"))
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    path = ARTEFACTS / f"{name}.ipynb"
    nbformat.write(book, path)
    return path


def write_notebook(name: str, cells: list[str]) -> Path:
    """Write a notebook of code cells among the artefacts."""
    book = nbformat.v4.new_notebook()
    book.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
    book.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    path = ARTEFACTS / f"{name}.ipynb"
    nbformat.write(book, path)
    return path
