"""One NGLWidget that shows one crystal after the other."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as ipw
import nglview
import numpy as np
import traitlets as tl
from crystal_ldm.widgets.browser.widget import BrowserWidget, code
from crystal_ldm.widgets.viewers.elements import LOOK, Look
from crystal_ldm.widgets.viewers.scene import Scene, common_extent, scene_to_sdf

STICK = 0.11
"""Å, radius of a drawn bond."""
EDGE = 0.025
"""Å, radius of a drawn edge of the cell."""
FAIR = 1.25
"""How much larger than the last frame the part of space is, at most, that the camera shows."""
EDGE_COLOUR = 0x8A8A8A

_tickets = itertools.count(1)


def atom_texts(scene: Scene) -> list[str]:
    """Return what is said of each atom at the mouse: element, number, fractional coordinates."""
    places = (scene.positions @ np.linalg.inv(scene.lattice)).round(3) + 0.0  # no -0.000
    return [
        f"{symbol}, atom {site} ({x:.3f}, {y:.3f}, {z:.3f})"
        for symbol, site, (x, y, z) in zip(
            scene.symbols, scene.sites.tolist(), places.tolist(), strict=True
        )
    ]


def crystal_message(scene: Scene, camera: str, within: np.ndarray, look: Look) -> dict[str, Any]:
    """Return what the browser needs to draw `scene`: the SDF and one colour and radius an atom.

    Args:
        scene: what is drawn.
        camera: see `NGLStage.show`.
        within: the `common_extent` that the camera is fitted to.
        look: how atoms are drawn.
    """
    colours = [int(look.colour(symbol)[1:], 16) for symbol in scene.symbols]
    stub_colours = [colours[atom] for atom in scene.stub_atoms]
    corners = 8 * len(scene.boxes)
    # Balls that are larger than the usual ones need room.
    room = max(look.radius(symbol) - LOOK.radius(symbol) for symbol in scene.elements)
    first_tip = len(scene) + len(scene.stubs) + corners
    return {
        "sdf": scene_to_sdf(scene),
        "atoms": len(scene),
        "stubs": len(scene.stubs),
        "total": first_tip,
        "colours": [*colours, *stub_colours, *[EDGE_COLOUR] * corners],
        "radii": {i: round(look.radius(symbol), 3) for i, symbol in enumerate(scene.symbols)},
        "stick": STICK,
        "edge": EDGE,
        "labels": dict(enumerate(scene.symbols)) if look.labels else None,
        "tips": atom_texts(scene),
        "meshes": [
            {"colour": colours[centre], "positions": faces.round(3).reshape(-1).tolist()}
            for centre, faces in scene.polyhedra
        ],
        "axes": {first_tip + k: axis for k, axis in enumerate("abc")},
        "extent": (within + np.array([[-room], [room]])).round(3).tolist(),
        "camera": camera,
        "ticket": next(_tickets),
    }


class NGLStage(BrowserWidget):
    """A reused NGLWidget, which the browser shows if it can: `NGLStage(height=380)`.

    The view of nglview is made in the browser, after it is known to draw with WebGL. Every
    NGLWidget keeps two threads alive for good, so a panel makes one and changes its crystal.

    Traits:
        status: "waiting" until the browser has answered, then "ready", "no-webgl" (the browser
            cannot draw in three dimensions) or "no-extension" (nglview's part of Jupyter is not
            there).
        frames: what the browser has, as dicts: one crystal, or those of a trajectory, so that
            `frame` chooses among them without the kernel; empty before the first.
        frame: number of the one shown; link it to a slider with `jslink`.
        marked: numbers of drawn atoms that stand out.
        joined: whether a line goes from each of them to the next.
        clicked: the last atom clicked: {"atom", "ticket", "count"}; `ticket` is that of the
            crystal drawn then.
        view_id: id of the NGLWidget's model.
    """

    _esm = code(__file__, "ngl_stage.js")

    status = tl.Enum(["waiting", "ready", "no-webgl", "no-extension"], default_value="waiting").tag(
        sync=True
    )
    frames: tl.List[dict[str, Any]] = tl.List().tag(sync=True)
    frame = tl.Int(0, min=0).tag(sync=True)
    marked = tl.List(tl.Int()).tag(sync=True)
    joined = tl.Bool(True).tag(sync=True)
    clicked = tl.Dict().tag(sync=True)
    view_id = tl.Unicode("").tag(sync=True)

    def __init__(self, height: int = 380, **traits: Any) -> None:
        size = {"width": "100%", "height": f"{height}px"}
        self.view = nglview.NGLWidget(**size)
        self.view.layout = ipw.Layout(**size)
        self.view.add_class("cl-ngl")
        layout = ipw.Layout(**size, overflow="hidden")
        super().__init__(view_id=self.view.model_id, layout=layout, **traits)

    def show(
        self,
        scenes: Sequence[Scene],
        frame: int,
        camera: str,
        marked: list[int],
        joined: bool,
        look: Look,
    ) -> None:
        """Draw one of `scenes`, the frames of a trajectory, in place of what is shown.

        Args:
            scenes: the frames.
            frame: number of the one to draw; `frame` then goes to another.
            camera: "keep" leaves it, "fit" only fits the crystal, "reset" turns it to the
                standard view as well.
            marked, joined: see the traits.
            look: how atoms are drawn.
        """
        within = common_extent(scenes, FAIR)
        frames = [crystal_message(scene, camera, within, look) for scene in scenes]
        with self.hold_sync():
            self.marked, self.joined = marked, joined
            self.frames, self.frame = frames, frame

    def on_click(self, action: Callable[[int], Any]) -> None:
        """Call `action` with the number of the drawn atom that is clicked."""

        def clicked(change: Any) -> None:
            if change.new.get("ticket") == self.message.get("ticket"):
                action(int(change.new["atom"]))

        self.observe(clicked, "clicked")

    @property
    def message(self) -> dict[str, Any]:
        """What is drawn now; empty before the first crystal."""
        return self.frames[min(self.frame, len(self.frames) - 1)] if self.frames else {}

    def look_along(self, towards: Sequence[float], up: Sequence[float]) -> None:
        """Turn the camera to look against `towards` with `up` upwards, and fit the crystal."""
        self.send({"look": [list(towards), list(up)]})

    def reset_camera(self) -> None:
        """Turn to the standard view and fit the crystal."""
        self.send({"look": "standard"})

    def download_png(self, name: str) -> None:
        """Make the browser save what is shown as a PNG."""
        self.send({"save": name})
