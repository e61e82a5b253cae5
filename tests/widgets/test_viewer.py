"""The crystal viewer's traits, and what it sends to the browser."""

from __future__ import annotations

import time
from collections import Counter

import numpy as np
import plotly.graph_objects as go
import pytest
from crystal_ldm.widgets import (
    CrystalViewer,
    crystal_figure,
    flat_crystal_figure,
    trajectory_figure,
)
from crystal_ldm.widgets.viewers.elements import LOOK, ink_on

from crystal_ldm.crystals.geometry.bonds import crystal_bonds, radius_bonds
from tests.widgets.crystals import copper, perovskite, rock_salt


def test_the_message_holds_the_crystal() -> None:
    viewer = CrystalViewer(perovskite())
    sent = viewer.stage.message
    assert sent["atoms"] == 15 and len(sent["radii"]) == 15
    assert sent["colours"][0] == int(LOOK.colour("Sr")[1:], 16)
    assert sent["labels"] is None and sent["camera"] == "reset"


def test_each_trait_redraws_and_keeps_the_camera() -> None:
    viewer = CrystalViewer(perovskite())
    for trait, value, atoms in (("images", False, 5), ("supercell", (2, 2, 2), 40)):
        setattr(viewer, trait, value)
        assert viewer.stage.message["atoms"] == atoms
        assert viewer.stage.message["camera"] == ("fit" if trait == "supercell" else "keep")
    viewer.labels = True
    assert Counter(viewer.stage.message["labels"].values()) == {"Sr": 8, "Ti": 8, "O": 24}
    viewer.bonds = False
    assert viewer.scene is not None and viewer.scene.bonds == []


def test_toolbar_and_traits_are_linked() -> None:
    viewer = CrystalViewer(perovskite())
    menu, *rest = viewer.toolbar.children
    menu.value = (2, 2, 1)
    assert viewer.supercell == (2, 2, 1)
    viewer.supercell = (1, 2, 3)
    assert menu.value is None
    viewer.supercell = (2, 2, 2)
    assert menu.value == (2, 2, 2)
    images = next(toggle for toggle in rest if toggle.description == "Images")
    images.value = False
    assert viewer.images is False


def test_crystal_nn_replaces_the_first_bonds_in_the_background() -> None:
    structure = perovskite(4.5)  # Sr-O is 3.18 Å: beyond the rule by distance
    wanted = set(crystal_bonds(structure))
    assert wanted != set(radius_bonds(structure))
    viewer = CrystalViewer(structure)
    until = time.monotonic() + 20
    while set(viewer.drawn_bonds) != wanted and time.monotonic() < until:
        time.sleep(0.02)
    assert set(viewer.drawn_bonds) == wanted


def test_one_widget_is_reused() -> None:
    viewer = CrystalViewer(perovskite())
    view = viewer.stage.view
    viewer.show(copper())
    viewer.structure = rock_salt()
    assert viewer.stage.view is view
    assert viewer.stage.message["sdf"].count("Na ") > 0


def test_a_trajectory_lies_in_the_browser_as_a_whole() -> None:
    viewer = CrystalViewer()
    viewer.show(copper())
    frames = [perovskite(9.0, ("Ba", "Fe", "F")), perovskite(4.2), perovskite()]
    viewer.show_frames(frames, 2)
    stage = viewer.stage
    assert [len(frame["radii"]) for frame in stage.frames] == [15, 15, 15]
    assert {frame["camera"] for frame in stage.frames} == {"reset"}
    # The first frame is far too large for the camera to be fitted to it.
    low, high = np.array(stage.frames[0]["extent"])
    assert stage.frames[0]["extent"] == stage.frames[2]["extent"]
    assert np.allclose((low + high) / 2, 3.91 / 2, atol=1e-3), "the finished crystal is centred"
    assert np.allclose(high - low, 1.25 * 3.91, atol=1e-2)
    viewer.show_frame(0)
    assert stage.frame == 0 and viewer.structure is frames[0]
    viewer.show_frame(1, drawn=True)
    assert stage.frame == 0, "the browser went there by itself; the kernel must not pull it back"
    assert viewer.structure is frames[1] and "Ti" in viewer.legend.value
    viewer.labels = True
    assert {frame["camera"] for frame in stage.frames} == {"keep"} and stage.frame == 1
    assert stage.message["labels"][0] == "Sr"
    viewer.show(copper())
    assert stage.frames == [stage.message]


def test_no_view_of_nglview_is_made_before_the_browser_is_asked() -> None:
    viewer = CrystalViewer(perovskite())
    (shown,) = viewer.box.children
    assert shown is viewer.stage and viewer.stage.status == "waiting"
    assert viewer.stage.view_id == viewer.stage.view.model_id


def test_none_empties_the_viewer() -> None:
    viewer = CrystalViewer(perovskite())
    viewer.show(None)
    assert viewer.scene is None
    assert viewer.box.layout.visibility == "hidden"
    viewer.show(copper())
    assert viewer.box.layout.visibility == "visible"


@pytest.mark.parametrize(
    ("status", "renderer", "kind"),
    [("no-webgl", "flat", go.Scatter), ("no-extension", "plotly", go.Mesh3d)],
)
def test_fallback_says_why_and_shows_the_same_crystal(
    status: str, renderer: str, kind: type
) -> None:
    import plotly.io as pio

    viewer = CrystalViewer(perovskite())
    viewer.stage.status = status  # as the browser sets it
    assert viewer.renderer == renderer
    assert viewer.notice.level == "warning" and viewer.notice.text
    shown = pio.from_json(viewer.stage.plot.spec)
    assert any(isinstance(trace, kind) for trace in shown.data)
    before = viewer.stage.plot.spec
    viewer.show(copper())
    assert viewer.stage.plot.spec != before


def test_too_large_a_block_becomes_one_sentence() -> None:
    viewer = CrystalViewer(rock_salt())
    viewer.supercell = (6, 6, 6)
    assert viewer.notice.level == "error" and "smaller supercell" in viewer.notice.text
    viewer.supercell = (1, 1, 1)
    assert viewer.notice.text == ""


def test_user_text_is_escaped() -> None:
    viewer = CrystalViewer(perovskite(), title="<img src=x onerror=alert(1)>")
    assert "<img" not in viewer.heading.value and "&lt;img" in viewer.heading.value


def test_figures_hold_every_drawn_atom() -> None:
    structure = perovskite()
    flat = flat_crystal_figure(structure)
    atoms = [trace for trace in flat.data if trace.mode == "markers" and trace.text is not None]
    assert Counter(atoms[0].text) == {"Sr": 8, "Ti": 1, "O": 6}
    solid = crystal_figure(structure)
    assert [t.name for t in solid.data if isinstance(t, go.Mesh3d)] == ["Sr", "Ti", "O"]
    for sphere in (t for t in solid.data if isinstance(t, go.Mesh3d)):
        points = np.array([sphere.x, sphere.y, sphere.z]).T[:176]  # one atom
        faces = np.array([sphere.i, sphere.j, sphere.k]).T[:320]
        a, b, c = points[faces[100]]
        outwards = np.cross(b - a, c - a) @ (a - points.mean(axis=0))
        assert outwards > 0, "light falls on the outside"
    strontium = next(t for t in solid.data if t.name == "Sr")
    assert np.isclose(max(strontium.x), 3.91 + LOOK.radius("Sr"), atol=2e-3)


def test_trajectory_figure_has_one_full_frame_a_structure() -> None:
    frames = [perovskite(4.5, ("Ba", "Fe", "F")), perovskite(4.2), perovskite()]
    figure = trajectory_figure(frames, labels=["10", "5", "1"])
    assert len(figure.frames) == 3
    assert {len(frame.data) for frame in figure.frames} == {3}
    assert set(figure.frames[0].data[2].text) == {"Ba", "Fe", "F"}
    assert set(figure.data[2].text) == {"Sr", "Ti", "O"}
    assert [step.label for step in figure.layout.sliders[0].steps] == ["10", "5", "1"]
    figure = trajectory_figure(frames, labels=["1", "1", "2"])
    assert [step.label for step in figure.layout.sliders[0].steps] == ["1", "1", "2"]
    assert [step.args[0][0] for step in figure.layout.sliders[0].steps] == ["0", "1", "2"]
    assert [frame.name for frame in figure.frames] == ["0", "1", "2"]
    assert len(trajectory_figure(frames[:1]).frames) == 1, "one frame needs no slider"
    with pytest.raises(ValueError, match="at least one"):
        trajectory_figure([])


@pytest.mark.parametrize("symbol", ["H", "C", "O", "Sr", "U", "Og", "X"])
def test_every_element_has_a_readable_colour(symbol: str) -> None:
    colour = LOOK.colour(symbol)
    assert len(colour) == 7 and int(colour[1:], 16) >= 0
    assert ink_on(colour) in ("#000000", "#ffffff")
    assert 0.1 < LOOK.radius(symbol) < 1.2
