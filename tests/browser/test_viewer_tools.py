"""The viewer's cells, polyhedra, styles and picked atoms, in a real browser."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.driver import Visit, write_notebook

CELLS = [
    "from pymatgen.core import Lattice, Structure\n\n"
    "salt = Structure.from_spacegroup(\n"
    "    'Fm-3m', Lattice.cubic(5.64), ['Na', 'Cl'], [[0] * 3, [0.5] * 3]\n"
    ").get_primitive_structure()",
    "from crystal_ldm.widgets import CrystalViewer\n\nviewer = CrystalViewer(salt)\nviewer",
    "from threading import Timer\n\n"
    "from crystal_ldm.widgets.browser.buttons import CopyButton\n\n\n"
    "class Late(CopyButton):\n"
    "    _esm = 'await new Promise((then) => setTimeout(then, 3000));' + CopyButton._esm\n\n\n"
    "late = Late(text='before')\nTimer(8, setattr, [late, 'text', 'after']).start()\nlate",
]
SHOWN = ".jp-CodeCell:nth-child(2)"
CENTRE = """([scope, wanted]) => {
  const box = document.querySelector(`${scope} .cl-ngl`);
  const stage = box.nglStage;
  const canvas = box.querySelector("canvas").getBoundingClientRect();
  const places = [];
  stage.compList[0].structure.eachAtom((atom) => {
    if (atom.element !== wanted) return;
    const place = stage.viewerControls.getPositionOnCanvas(atom.positionToVector3());
    places.push([place.x, place.y, atom.index]);
  });
  return places
    .filter(([x, y, index]) => stage.pickingControls.pick(x, y)?.atom?.index === index)
    .map(([x, y]) => [canvas.left + x, canvas.bottom - y]);
}"""
"""Where the atoms of an element are on the page, of those that no other atom hides."""


@pytest.fixture(scope="module")
def seen(browser: Browser, visit: Callable[..., Visit]) -> Visit:
    """Return the notebook, run."""
    shown = visit(browser, height=1100)
    shown.open(write_notebook("viewer_tools", CELLS))
    shown.run_all()
    shown.wait_atoms(SHOWN, {"NA": 8, "CL": 1}, 30)
    press(shown, "More")
    shown.page.wait_for_timeout(500)
    return shown


def press(seen: Visit, name: str) -> None:
    seen.page.click(f"{SHOWN} .cl-toolbar button:text-is('{name}')")


def choose(seen: Visit, label: str, option: str) -> None:
    seen.page.select_option(f"{SHOWN} .cl-more .cl-field:has-text('{label}') select", option)


def test_a_widget_whose_code_came_late_hears_the_kernel(seen: Visit) -> None:
    """anywidget hands no message to a model whose code took more than two seconds to load."""
    expect(seen.page.locator(".cl-copy button:text-is('after')")).to_be_visible(timeout=30_000)


def test_conventional_cell_any_supercell_and_polyhedra(seen: Visit) -> None:
    choose(seen, "Cell", "conventional")
    seen.wait_atoms(SHOWN, {"NA": 14, "CL": 13})
    press(seen, "Polyhedra")
    seen.wait_atoms(SHOWN, {"NA": 14, "CL": 43})  # octahedra at corners and faces reach outside
    shapes = "(s) => document.querySelector(`${s} .cl-ngl`).nglStage.compList.map((c) => c.name)"
    assert "polyhedra" in seen.page.evaluate(shapes, SHOWN)
    seen.page.wait_for_timeout(500)
    seen.shot("viewer_polyhedra", SHOWN)
    press(seen, "Polyhedra")
    repeat = seen.page.locator(f"{SHOWN} .cl-repeat input").nth(2)
    repeat.fill("2")
    repeat.press("Tab")
    seen.wait_atoms(SHOWN, {"NA": 23, "CL": 22})
    repeat.fill("60")
    repeat.press("Tab")
    expect(seen.page.locator(f"{SHOWN} .cl-notice .cl-error")).to_contain_text("smaller supercell")
    repeat.fill("1")
    repeat.press("Tab")
    seen.wait_atoms(SHOWN, {"NA": 14, "CL": 13})


def test_atoms_under_the_mouse_are_named_and_picked(seen: Visit) -> None:
    page = seen.page
    tip = page.locator(f"{SHOWN} .cl-tip")
    page.wait_for_function(f"({CENTRE})(['{SHOWN}', 'NA']).length > 0", timeout=10_000)
    x, y = page.evaluate(CENTRE, [SHOWN, "NA"])[0]
    page.mouse.move(x, y)
    expect(tip).to_contain_text("Na, atom", timeout=5000)
    where = tip.bounding_box()
    assert where is not None
    assert abs(where["x"] + where["width"] / 2 - x) < 90 and abs(where["y"] - y) < 60
    seen.shot("viewer_tip", SHOWN)
    page.mouse.click(x, y)
    said = page.locator(f"{SHOWN} .cl-picks")
    expect(said).to_contain_text("Wyckoff position 4a", timeout=5000)
    expect(said).to_contain_text("coordination 6")
    page.fill(f"{SHOWN} .cl-atom-numbers input", "0, 1")
    page.keyboard.press("Tab")
    expect(said).to_contain_text("distance 4.884 Å")  # half the diagonal of the cell
    seen.shot("viewer_picked", SHOWN)
    page.click(f"{SHOWN} .cl-picks button")
    expect(said).to_be_hidden()


def wait_for_colour(seen: Visit, rgb: tuple[int, int, int], more_than: float) -> int:
    """Wait until more than so many pixels of the stage have a colour; return how many."""
    until = time.monotonic() + 20
    while (count := seen.colour(f"{SHOWN} .cl-ngl canvas", rgb, 120)) <= more_than:
        assert time.monotonic() < until, f"{count} pixels of {rgb}, and not more than {more_than}"
        seen.page.wait_for_timeout(300)
    return count


def test_styles_and_colours(seen: Visit) -> None:
    violet = (171, 92, 242)  # sodium in Jmol's scheme
    assert seen.colour(f"{SHOWN} .cl-ngl canvas", violet, 120) < 100
    choose(seen, "Colours", "Jmol")
    before = wait_for_colour(seen, violet, 300)
    choose(seen, "Style", "Space filling")
    wait_for_colour(seen, violet, 1.3 * before)  # larger, though all of it is in the picture
    press(seen, "Labels")
    seen.page.wait_for_timeout(800)
    seen.shot("viewer_space_filling", SHOWN)
