"""The crystal viewer: nglview where the browser can show it, a plotly drawing where it cannot."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import ipywidgets as ipw
import traitlets as tl
from crystal_ldm.widgets.jobs import Latest
from crystal_ldm.widgets.layout import column, escape, row, show_if
from crystal_ldm.widgets.viewers.plotly_stage import PlotlyStage
from crystal_ldm.widgets.viewers.scene import Scene, SceneTooLarge
from crystal_ldm.widgets.viewers.shown import ShownCrystal, legend_html
from crystal_ldm.widgets.viewers.toolbar import make_toolbar
from pymatgen.core import Structure

from crystal_ldm.crystals.geometry.bonds import Bond, crystal_bonds, radius_bonds
from crystal_ldm.crystals.symmetry.analysis import cell_of_kind
from crystal_ldm.errors import DataError

PATIENCE = 0.1
"""Seconds before CrystalNN starts, so that the crystal is on its way to the browser by then."""
NO_POLYHEDRA = "No cation here has four or more anions around it, so there are no polyhedra."
_WHY = {
    "no-webgl": "This browser cannot draw with WebGL, so a flat drawing is shown; "
    "turn it with a, b and c.",
    "no-extension": "nglview's part of JupyterLab is missing, so plotly draws the crystal. "
    "Reinstalling nglview 4.0 and reloading the page brings it back.",
    "no-package": "nglview is not installed, so plotly draws the crystal.",
}


class CrystalViewer(ShownCrystal):
    """Shows one crystal: `CrystalViewer(structure)`.

    Traits:
        structure, supercell, images, bonds, labels, polyhedra, cell, style, colours, picked,
            choosing: see `ShownCrystal`.
        title: plain text above the crystal; empty hides it.
        renderer: "ngl", "plotly" or "flat"; read-only, set by what the browser can do.

    Attributes:
        stage: what draws: an `NGLStage`, or a `PlotlyStage` where that cannot be.
    """

    title = tl.Unicode("")
    renderer = tl.Enum(["ngl", "plotly", "flat"], default_value="ngl", read_only=True)

    def __init__(
        self,
        structure: Structure | None = None,
        *,
        height: int = 380,
        title: str = "",
        toolbar: bool = True,
    ) -> None:
        super().__init__()
        self._height = height
        self._lock = threading.RLock()
        self._latest = Latest(self.notice)
        self.heading = ipw.HTML().add_class("cl-title")
        self.legend = ipw.HTML().add_class("cl-legend")
        self.box = ipw.VBox(layout=ipw.Layout(width="100%", height=f"{height + 4}px"))
        self.box.add_class("cl-stage")
        self.stage: Any = None
        self.more = column(css="cl-more")
        show_if(False, self.more)
        self.toolbar = make_toolbar(self)
        show_if(toolbar, self.toolbar)
        self._make_stage()
        self.widget = column(
            row(self.heading, self.toolbar, css="cl-bar"),
            self.more,
            self.box,
            self.pick_row,
            row(self.legend),
            self.notice.widget,
            css="cl-viewer",
        )
        self.react("structure", self._on_structure)
        self.react(["images", "bonds", "labels", "colours"], self._draw)
        self.react(["supercell", "polyhedra", "style"], lambda: self._draw("fit"))
        self.react("cell", self._on_cell)
        self.react("picked", self._mark)
        self.react("title", self._write_title)
        self.title = title
        self._write_title()
        self.show(structure)

    def show(
        self, structure: Structure | None, *, refine: bool = True, keep_camera: bool = False
    ) -> None:
        """Show `structure`; None empties the viewer.

        Args:
            refine: replace the bonds by distance with CrystalNN's as soon as they are found, in
                the background; off while many crystals pass by, as in a trajectory.
            keep_camera: leave the camera as it is.
        """
        with self._lock:
            self._take(structure)
            self._draw("keep" if keep_camera else "reset")
        if refine:
            self._refine()

    def _take(self, structure: Structure | None) -> None:
        """Set the structure without drawing it."""
        with self._quiet:
            self.structure = structure
        self._choose_cell()

    def _choose_cell(self) -> None:
        """Take the cell that is asked for, or say why there is none; bonds are by distance."""
        self.forget()
        if self.notice.level != "error" and self.renderer == "ngl":
            self.notice.clear()
        self.shown, self._scene, self.drawn_bonds = self.structure, None, []
        if self.structure is None:
            return
        try:
            self.shown = cell_of_kind(self.structure, self.cell)
        except DataError as error:
            self.notice.say(str(error), "warning")
        self.drawn_bonds = radius_bonds(self.shown)

    def reset_camera(self) -> None:
        """Turn to the standard view and fit the crystal."""
        self.stage.reset_camera()

    def look_along(self, axis: str) -> None:
        """Look along the lattice vector "a", "b" or "c"."""
        if self.shown is not None:
            index = "abc".index(axis)
            lattice = self.shown.lattice.matrix.tolist()
            self.stage.look_along(lattice[index], lattice[(index + 2) % 3])

    def download_png(self) -> None:
        """Make the browser save a picture of the crystal."""
        name = self.structure.composition.reduced_formula if self.structure else "crystal"
        self.stage.download_png(f"{name}.png")

    # -- what draws ----------------------------------------------------------------------------

    def _make_stage(self) -> None:
        try:
            from crystal_ldm.widgets.viewers.ngl_stage import NGLStage

            stage = NGLStage(self._height)
        except (ImportError, AttributeError, OSError):
            self._fall_back("no-package")
            return
        stage.observe(self.notice.guard(lambda change: self._fall_back(change.new)), "status")
        self._set_stage(stage, stage)

    def _fall_back(self, status: str) -> None:
        if status not in _WHY:
            return
        self.set_trait("renderer", "flat" if status == "no-webgl" else "plotly")
        stage = PlotlyStage(self._height, flat=status == "no-webgl")
        self._set_stage(stage, stage.plot)
        self.notice.say(_WHY[status], "warning")
        self._draw("reset")

    def _set_stage(self, stage: Any, widget: ipw.DOMWidget) -> None:
        self.stage = stage
        self.box.children = (widget,)
        stage.on_click(self.notice.guard(self.pick))

    # -- drawing -------------------------------------------------------------------------------

    def _on_structure(self) -> None:
        if not self._quiet:
            self.show(self.structure)

    def _on_cell(self) -> None:
        with self._lock:
            self._choose_cell()
            self._draw("reset")
        self._refine()

    def _refine(self) -> None:
        """Take CrystalNN's bonds in place of those by distance as soon as they are found."""
        shown = self.shown
        if shown is None or len(shown) < 2:
            self._latest.drop()
            return

        def show(bonds: list[Bond]) -> None:
            with self._lock:
                if shown is self.shown and bonds != self.drawn_bonds:
                    self.drawn_bonds = bonds
                    self._draw("fit" if self.polyhedra else "keep")  # which reach out farther

        self._latest.start(lambda: crystal_bonds(shown), show, PATIENCE)

    def _draw(self, camera: str = "keep") -> None:
        with self._lock:
            self._scene = None
            show = "hidden" if self.shown is None else "visible"
            self.box.layout.visibility = self.toolbar.layout.visibility = show
            self._write_legend()
            self.say_picked()
            if self.shown is None:
                return
            try:
                self._hand_over(camera)
            except SceneTooLarge as error:
                self.box.layout.visibility = "hidden"  # what it shows is not this
                self.notice.say(str(error), "error")
                return
            if self.notice.level == "error" or self.notice.text == NO_POLYHEDRA:
                self.notice.clear()
            empty = self.scene is not None and not self.scene.polyhedra
            if self.polyhedra and empty and not self.notice.text:
                self.notice.say(NO_POLYHEDRA)

    def _hand_over(self, camera: str) -> None:
        """Hand what is drawn to the browser."""
        if self.scene is not None:
            self._send([self.scene], 0, camera)

    def _send(self, scenes: Sequence[Scene], frame: int, camera: str) -> None:
        how = {"joined": not self.choosing, "look": self.look, "labels": self.labels}
        self.stage.show(scenes, frame, camera, self.marked, **how)

    def _mark(self) -> None:
        if not self._quiet:
            self.stage.marked = self.marked

    def _write_title(self) -> None:
        self.heading.value = f"<b>{escape(self.title)}</b>" if self.title else ""

    def _write_legend(self) -> None:
        self.legend.value = legend_html(self.shown, self.look)
