"""Viewer, plot, periodic table and trajectory in Notebook 7, beside JupyterLab on one server."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Browser, expect

from tests.browser.driver import Visit, write_notebook
from tests.browser.test_viewers import CELLS, FIRST, MOVIE, PEROVSKITE, TABLE


def test_panels_work_in_notebook_7(browser: Browser, visit: Callable[..., Visit]) -> None:
    shown = visit(browser, height=2100)
    # Notebook 7's own, at its start and with any notebook.
    shown.known = ("reading 'schema'", "Command 'filebrowser:open-path' not registered")
    shown.open(write_notebook("notebook7", CELLS), "notebooks")
    expect(shown.page).to_have_url(re.compile("/notebooks/"))
    shown.run_all()
    page = shown.page
    shown.wait_atoms(FIRST, PEROVSKITE, 60)
    page.wait_for_selector(f"{MOVIE} .cl-ngl[data-ticket]", timeout=60_000)
    page.wait_for_selector(f"{MOVIE} .cl-plot .main-svg", timeout=60_000)
    page.focus(f"{MOVIE} .cl-scrub .noUi-handle")
    page.keyboard.press("Home")
    expect(page.locator(f"{MOVIE} .cl-bar .cl-caption")).to_contain_text("step 1 of 12")
    assert set(shown.atoms(MOVIE)) == {"BA", "FE", "O", "F"}
    page.click(f"{TABLE} button[data-symbol=Sr]")
    expect(page.locator(f"{TABLE} .cl-caption")).to_have_text("Required: Sr.")
    shown.shot("notebook7")
