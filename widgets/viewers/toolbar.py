"""What stands above a crystal: how it is drawn, from where it is seen, which cell is shown."""

from __future__ import annotations

from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import ipywidgets as ipw
import traitlets as tl
from crystal_ldm.widgets.base import NumberBox
from crystal_ldm.widgets.layout import labelled, row, show_if, toggle
from crystal_ldm.widgets.viewers.elements import COLOURS, STYLES
from crystal_ldm.widgets.viewers.shown import MOST_CELLS

from crystal_ldm.crystals.symmetry.analysis import CELLS, SYMPREC

if TYPE_CHECKING:
    from crystal_ldm.widgets.viewers.viewer import CrystalViewer

SUPERCELLS = {
    "1 × 1 × 1": (1, 1, 1),
    "2 × 2 × 1": (2, 2, 1),
    "2 × 2 × 2": (2, 2, 2),
    "3 × 3 × 1": (3, 3, 1),
    "3 × 3 × 3": (3, 3, 3),
}
TOGGLES = (
    ("bonds", "Bonds", "Draw bonds"),
    ("images", "Images", "Repeat atoms that lie on a face of the cell"),
    ("labels", "Labels", "Write element symbols onto the atoms"),
    ("polyhedra", "Polyhedra", "Draw the polyhedra of anions around cations"),
)


def make_toolbar(viewer: CrystalViewer) -> ipw.Box:
    """Return the row of buttons; the less usual controls come with the first press of More."""
    cells = ipw.Dropdown(options=SUPERCELLS, value=(1, 1, 1), tooltip="Repeat the cell")
    cells.add_class("cl-small").add_class("cl-cells")
    offered = SUPERCELLS.values()  # the menu is blank where it does not offer the supercell
    blank = (
        (lambda cell: cell if cell in offered else None),
        (lambda cell: cell or viewer.supercell),
    )
    tl.link((viewer, "supercell"), (cells, "value"), transform=blank)
    toggles = [viewer.linked(trait, toggle(text, tip)) for trait, text, tip in TOGGLES]
    guard = viewer.notice.guard
    look = [
        viewer.button(axis, partial(viewer.look_along, axis), tip=f"Look along {axis}",
               css="cl-small cl-square")
        for axis in "abc"
    ]  # fmt: skip
    reset = viewer.button("Reset", viewer.reset_camera, css="cl-small", tip="Reset the camera")
    png = viewer.button("PNG", viewer.download_png, css="cl-small", tip="Download a picture (PNG)")
    more = toggle("More", "Cell, supercell, style, colours, atoms", "cl-more-switch")

    def turn(change: Any) -> None:
        if change.new and not viewer.more.children:
            viewer.more.children = more_controls(viewer)
        show_if(change.new, viewer.more)

    more.observe(guard(turn), "value")
    return row(cells, *toggles, *look, reset, png, more, css="cl-toolbar")


def more_controls(viewer: CrystalViewer) -> tuple[ipw.DOMWidget, ...]:
    """Return the controls of the cell, the supercell, the style, the colours and the atoms."""

    def menu(trait: str, options: tuple[str, ...]) -> ipw.Dropdown:
        return viewer.linked(trait, ipw.Dropdown(options=options), "cl-small")

    repeats = []
    for axis, name in enumerate("abc"):
        count = NumberBox(f"Repeat {name}", viewer.notice, whole=True, low=1, high=MOST_CELLS)
        count.description = name
        parts = itemgetter(axis), partial(_repeat, viewer, axis)
        tl.link((viewer, "supercell"), (count, "number"), transform=parts)
        repeats.append(count.add_class("cl-repeat"))
    atoms = ipw.Text(placeholder="click atoms, or 0, 3", continuous_update=False)
    atoms.add_class("cl-atom-numbers")
    atoms.observe(viewer.notice.guard(lambda change: viewer.pick_text(change.new)), "value")
    viewer.observe(
        lambda change: setattr(atoms, "value", ", ".join(map(str, change.new))), "picked"
    )
    atoms.value = ", ".join(map(str, viewer.picked))
    tips = {
        "Cell": "As made; primitive or conventional, atoms where they are; or symmetrised, moved "
        f"onto the symmetry that is there within {SYMPREC:g} Å",
        "Style": "Space filling: whole covalent radii, so that bonded atoms touch",
        "Atoms": "Numbers of one to four atoms, from 0: facts, distance, angle or torsion",
    }
    return (
        row(
            labelled("Cell", menu("cell", CELLS), tip=tips["Cell"]),
            labelled("Repeat", *repeats, tip="Cells along a, b and c"),
        ),
        row(
            labelled("Style", menu("style", STYLES), tip=tips["Style"]),
            labelled("Colours", menu("colours", COLOURS)),
            labelled("Atoms", atoms, tip=tips["Atoms"]),
        ),
    )


def _repeat(viewer: CrystalViewer, axis: int, count: int) -> tuple[int, ...]:
    return (*viewer.supercell[:axis], count, *viewer.supercell[axis + 1 :])
