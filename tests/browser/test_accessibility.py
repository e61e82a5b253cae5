"""The workbench without a mouse and without eyes: keyboard alone, names, contrast (axe-core)."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.driver import MODEL, Visit, copy_notebook, keep

BENCH = ".cl-workbench"
SIDE = f"{BENCH} .cl-side"
ROWS = f"{BENCH} .cl-gallery .cl-table tbody tr[data-index]"
TABS = ("Crystals", "Trajectory", "Compare", "Vary", "Host", "Grid", "Export", "Find")
FILLED = """(tabs) => [...document.querySelector(tabs).querySelectorAll(".cl-column")]
  .some((part) => part.offsetParent && part.offsetHeight > 60)"""
"""Whether the part of the chosen tab is there, which is made when it is first seen."""
WORST = ("serious", "critical")


@pytest.fixture(scope="module")
def seen(
    browser: Browser, visit: Callable[..., Visit], tmp_path_factory: pytest.TempPathFactory
) -> Visit:
    """Return the notebook, run."""
    shown = visit(browser, width=1440, height=1500)
    run_dir = tmp_path_factory.mktemp("runs") / "run"
    shown.open(copy_notebook("04_sample", num_samples=3, run_dir=str(run_dir), ldm_ckpt=MODEL))
    shown.run_all()
    shown.page.wait_for_selector(f"{BENCH} .cl-gallery .cl-ngl[data-ticket]", timeout=120_000)
    expect(shown.page.locator(f"{SIDE} .cl-generate")).to_be_enabled(timeout=60_000)
    return shown


def tab_to(page: Page, selector: str, most: int = 80) -> None:
    """Press Tab until the focus is on, or in, what `selector` names."""
    where = "(s) => Boolean(document.activeElement.closest(s))"
    passed = []
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate(where, selector):
            return
        passed.append(page.evaluate("() => document.activeElement.outerHTML.slice(0, 80)"))
    pytest.fail(f"Tab does not come to {selector}: {passed}")


def choose_tab(page: Page, name: str) -> None:
    """Choose a tab of the workbench with the arrow keys, from the tab that has the focus."""
    for _ in range(len(TABS)):
        if page.evaluate("() => document.activeElement.innerText.trim()") == name:
            page.keyboard.press("Enter")
            break
        page.keyboard.press("ArrowRight")
    chosen = page.locator(f"{BENCH} .cl-tab-bar .lm-TabBar-tab.lm-mod-current")
    expect(chosen).to_have_text(name)


def test_from_the_preset_to_a_download_with_the_keyboard_alone(seen: Visit) -> None:
    page = seen.page
    page.locator(BENCH).scroll_into_view_if_needed()
    page.focus(f"{SIDE} .cl-presets button:has-text('Discover')")
    page.keyboard.press("Enter")
    expect(page.locator(f"{SIDE} .cl-presets .mod-active")).to_have_text("Discover")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator(f"{SIDE} .cl-presets .mod-active")).to_have_text("Explore")
    tab_to(page, f"{SIDE} .cl-formula")
    page.keyboard.press("Control+a")
    page.keyboard.type("NaCl")
    expect(page.locator(f"{SIDE} .cl-formula-box .cl-good")).to_contain_text("Na 1, Cl 1")
    tab_to(page, f"{SIDE} .cl-samples")
    page.keyboard.press("Control+a")
    page.keyboard.type("2")
    tab_to(page, f"{SIDE} .cl-generate")
    page.keyboard.press("Enter")
    expect(page.locator(ROWS)).to_have_count(5, timeout=120_000)

    tab_to(page, f"{BENCH} .cl-gallery .cl-table")
    page.keyboard.press("End")
    expect(page.locator(ROWS).last).to_have_attribute("aria-selected", "true")
    expect(page.locator(f"{BENCH} .cl-gallery .cl-bar").first).to_contain_text("NaCl")
    page.keyboard.press("ArrowUp")
    expect(page.locator(ROWS).nth(3)).to_have_attribute("aria-selected", "true")

    while not page.evaluate("() => Boolean(document.activeElement.closest('.lm-TabBar-tab'))"):
        page.keyboard.press("Shift+Tab")
        assert page.evaluate(f"() => Boolean(document.activeElement.closest('{BENCH}'))")
    choose_tab(page, "Export")
    tab_to(page, f"{BENCH} .cl-files .cl-save button")
    with page.expect_download(timeout=90_000) as waiting:
        page.keyboard.press("Enter")
    names = zipfile.ZipFile(Path(waiting.value.path())).namelist()
    assert sum(name.endswith(".cif") for name in names) == 5


def violations(page: Page) -> list[str]:
    """Return what axe-core finds serious or critical in the workbench, one line for each."""
    found: dict[str, Any] = Axe().run(page, context=BENCH).response
    lines = []
    for rule in found["violations"]:
        if rule["impact"] in WORST:
            for node in rule["nodes"]:
                why = " ".join(node.get("failureSummary", "").split())[:200]
                lines.append(f"{rule['id']}: {node['html'][:160]} | {why}")
    return lines


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_no_serious_violation_in_any_tab(seen: Visit, theme: str) -> None:
    page = seen.page
    if theme.endswith("Dark"):
        page.click("#jp-MainMenu .lm-MenuBar-itemLabel:text-is('Settings')")
        page.hover(".lm-Menu-itemLabel:text-is('Theme')")
        page.click(".lm-Menu-itemLabel:text-is('JupyterLab Dark')")
        page.wait_for_function("document.body.dataset.jpThemeLight === 'false'", timeout=20_000)
    for fold in ("Guidance", "Advanced", "History"):
        switch = page.locator(f"{SIDE} .cl-fold:has-text('{fold}')")
        if not page.locator(f"{SIDE} .cl-fold.mod-active:has-text('{fold}')").count():
            switch.click()
    page.click(f"{BENCH} .cl-tab-bar .lm-TabBar-tab:has-text('{TABS[0]}')")
    gallery = f"{BENCH} .cl-gallery"
    for switch in (f"{gallery} .cl-more-switch", f"{gallery} .cl-fold:has-text('Symmetry')"):
        if "mod-active" not in (page.get_attribute(f"{switch} >> nth=0", "class") or ""):
            page.click(f"{switch} >> nth=0")
    wrong: dict[str, list[str]] = {}
    for name in TABS:
        page.click(f"{BENCH} .cl-tab-bar .lm-TabBar-tab:has-text('{name}')")
        page.wait_for_function(FILLED, arg=f"{BENCH} .cl-tab-bar", timeout=60_000)
        page.wait_for_timeout(1500)
        seen.shot(f"accessible_{theme.split()[-1].lower()}_{name.lower()}", BENCH)
        if lines := violations(page):
            wrong[name] = lines
    keep(f"axe_violations_{theme.split()[-1].lower()}", sum(map(len, wrong.values())))
    text = "\n".join(f"{name}: {line}" for name, lines in wrong.items() for line in lines)
    assert not wrong, text
