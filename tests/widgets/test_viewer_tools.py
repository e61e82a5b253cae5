"""The viewer's cells, polyhedra, looks and picked atoms."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import numpy as np
import plotly.io as pio
import pytest
from crystal_ldm.widgets import CrystalViewer
from crystal_ldm.widgets.viewers.elements import LOOK
from crystal_ldm.widgets.viewers.plotly_crystal import atom_clicked, crystal_figure

from crystal_ldm.crystals.geometry.bonds import covalent_radius
from tests.widgets.crystals import perovskite, rock_salt


def drawn(viewer: CrystalViewer) -> Counter:
    assert viewer.scene is not None
    return Counter(viewer.scene.symbols)


def atom_of(viewer: CrystalViewer, symbol: str, nth: int = 0) -> int:
    """Return the number of a drawn atom."""
    assert viewer.scene is not None
    return [i for i, s in enumerate(viewer.scene.symbols) if s == symbol][nth]


def click(viewer: CrystalViewer, atom: int) -> None:
    """Click as the browser does."""
    stage = viewer.stage
    count = stage.clicked.get("count", 0) + 1
    stage.clicked = {"atom": atom, "ticket": stage.message["ticket"], "count": count}


def test_another_cell_is_the_same_crystal() -> None:
    viewer = CrystalViewer(rock_salt().get_primitive_structure())
    assert len(viewer.shown) == 2
    viewer.cell = "conventional"
    assert len(viewer.shown) == 8 and drawn(viewer) == {"Na": 14, "Cl": 13}
    assert "5.64, 5.64, 5.64" in viewer.legend.value
    assert len(viewer.structure) == 2, "the crystal itself stays"
    viewer.show(perovskite())
    assert viewer.cell == "conventional" and len(viewer.shown) == 5
    viewer.cell = "as made"
    assert viewer.shown is viewer.structure


def test_a_crystal_without_a_symmetry_is_shown_as_made_and_that_is_said() -> None:
    heap = perovskite()
    heap.translate_sites([4], heap[3].frac_coords - heap[4].frac_coords)  # onto another oxygen
    viewer = CrystalViewer(heap)
    viewer.cell = "symmetrised"
    assert viewer.shown is heap and "finds no symmetry" in viewer.notice.text
    viewer.show(perovskite())
    assert viewer.notice.text == ""


def test_any_supercell_up_to_the_limit() -> None:
    viewer = CrystalViewer(rock_salt())
    menu, *_, more = viewer.toolbar.children
    more.value = True
    repeats = viewer.more.children[0].children[1].children[1:]
    repeats[2].value = "4"
    assert viewer.supercell == (1, 1, 4) and menu.value is None
    assert [count.number for count in repeats] == [1, 1, 4]
    repeats[2].value = "0"
    assert viewer.notice.text == "Repeat c: a whole number, 1 to 99, not '0'; 4 stays."
    assert viewer.supercell == (1, 1, 4) and repeats[2].value == "4"
    started = time.monotonic()
    viewer.supercell = (90, 90, 90)
    assert time.monotonic() - started < 2, "such a block is counted, not laid out"
    assert viewer.notice.level == "error" and "5,832,000 atoms" in viewer.notice.text


def test_polyhedra_are_around_cations_with_all_their_corners() -> None:
    viewer = CrystalViewer(perovskite())
    assert viewer.stage.message["meshes"] == []
    viewer.polyhedra = True
    (mesh,) = viewer.stage.message["meshes"]
    assert len(mesh["positions"]) == 8 * 9, "the octahedron around titanium"
    assert mesh["colour"] == int(LOOK.colour("Ti")[1:], 16)
    corners = np.unique(np.array(mesh["positions"]).reshape(-1, 3), axis=0)
    centre = np.full(3, 3.91 / 2)
    assert np.allclose(np.linalg.norm(corners - centre, axis=1), 3.91 / 2, atol=2e-3)
    viewer.show(rock_salt())
    viewer.polyhedra = False
    viewer.polyhedra = True
    scene = viewer.scene
    for index, triangles in scene.polyhedra:
        assert scene.symbols[index] == "Na"
        for corner in np.unique(triangles.reshape(-1, 3), axis=0):
            near = np.linalg.norm(scene.positions - corner, axis=1)
            assert near.min() < 1e-6, "an atom stands at every corner"


def test_no_polyhedra_is_said() -> None:
    from tests.widgets.crystals import copper

    viewer = CrystalViewer(copper())
    viewer.polyhedra = True
    assert "no polyhedra" in viewer.notice.text
    viewer.polyhedra = False
    assert viewer.notice.text == ""


def test_colours_and_style_reach_browser_and_legend() -> None:
    viewer = CrystalViewer(rock_salt())
    viewer.colours = "Jmol"
    assert viewer.stage.message["colours"][0] == 0xAB5CF2  # sodium in Jmol's table
    assert "#ab5cf2" in viewer.legend.value
    viewer.style = "Space filling"
    assert viewer.stage.message["radii"][0] == pytest.approx(covalent_radius("Na"), abs=1e-3)
    assert viewer.drawn_bonds and not viewer.scene.bonds, "whole atoms hide their bonds"


def test_polyhedra_of_better_bonds_are_inside_the_picture(until: Callable[..., None]) -> None:
    viewer = CrystalViewer()
    viewer.polyhedra = True
    viewer.show(perovskite(4.6))
    assert viewer.stage.message["camera"] == "reset"
    until(lambda: len(viewer.drawn_bonds) == 18)  # CrystalNN's; those by distance are six
    until(lambda: viewer.stage.message["camera"] == "fit")


def test_clicks_pick_and_forget_atoms() -> None:
    viewer = CrystalViewer(perovskite())
    titanium, oxygen = atom_of(viewer, "Ti"), atom_of(viewer, "O")
    click(viewer, titanium)
    assert viewer.picked == [1] and viewer.stage.marked == [titanium]
    said = viewer.said.text
    assert said.startswith("Ti, atom 1: Wyckoff position 1b") and "coordination 6" in said
    assert "(0.5000, 0.5000, 0.5000)" in said
    click(viewer, oxygen)
    assert "distance 1.955 Å" in viewer.said.text
    click(viewer, atom_of(viewer, "O", 2))
    assert "angle" in viewer.said.text and viewer.said.text.endswith("°")
    click(viewer, atom_of(viewer, "Sr"))
    assert "torsion" in viewer.said.text
    click(viewer, titanium)
    assert len(viewer.picked) == 3 and 1 not in viewer.picked, "clicked again: forgotten"
    viewer.show(rock_salt())
    assert viewer.picked == [] and viewer.pick_row.layout.display == "none"


def test_the_image_that_was_clicked_counts() -> None:
    viewer = CrystalViewer(perovskite())
    corners = [i for i, s in enumerate(viewer.scene.symbols) if s == "Sr"]
    ends = viewer.scene.positions[corners]
    first, last = corners[0], corners[int(np.argmax(np.linalg.norm(ends - ends[0], axis=1)))]
    click(viewer, first)
    click(viewer, last)
    assert viewer.picked == [0, 0]
    assert f"{3.91 * 3**0.5:.3f} Å" in viewer.said.text


def test_a_click_on_a_crystal_that_is_gone_is_ignored() -> None:
    viewer = CrystalViewer(perovskite())
    old = viewer.stage.message["ticket"]
    viewer.show(rock_salt())
    viewer.stage.clicked = {"atom": 3, "ticket": old, "count": 1}
    assert viewer.picked == []


def test_picked_by_number_takes_the_nearest_image() -> None:
    viewer = CrystalViewer(perovskite())
    viewer.picked = [0, 2]
    assert f"{3.91 / 2**0.5:.3f} Å" in viewer.said.text
    viewer.pick_text("1 3")
    assert viewer.picked == [1, 3]
    for text in ("1, x", "7"):
        viewer.notice.guard(viewer.pick_text)(text)
        assert viewer.notice.level == "error"
    assert viewer.picked == [1, 3]


@pytest.mark.parametrize(("status", "dimension"), [("no-webgl", 2), ("no-extension", 3)])
def test_the_fallback_picks_and_draws_the_same(status: str, dimension: int) -> None:
    viewer = CrystalViewer(perovskite())
    viewer.stage.status = status
    plain = len(pio.from_json(viewer.stage.plot.spec).data)
    viewer.polyhedra = True
    assert len(pio.from_json(viewer.stage.plot.spec).data) == plain + 1
    shown = viewer.stage.figure
    for curve, trace in enumerate(shown.data):
        if trace.meta is not None:
            x, y = trace.x[0], trace.y[0]
            viewer.stage.plot.clicked = {"curve": curve, "point": 0, "x": x, "y": y, "count": 1}
            break
    assert len(viewer.picked) == 1 and "coordination" in viewer.said.text
    assert len(pio.from_json(viewer.stage.plot.spec).data) == plain + 2
    viewer.labels = True
    assert "text" in viewer.stage.plot.spec


def test_a_vertex_of_a_sphere_is_its_atom() -> None:
    figure = crystal_figure(perovskite())
    spheres = next(i for i, t in enumerate(figure.data) if t.name == "O")
    atoms = figure.data[spheres].meta
    assert atom_clicked(figure, spheres, 0) == atoms[0]
    assert atom_clicked(figure, spheres, 176) == atoms[1]
    assert atom_clicked(figure, 0, 0) is None
