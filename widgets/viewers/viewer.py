"""The crystal viewer: nglview where the browser can show it, a plotly drawing where it cannot."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import ipywidgets as ipw
import traitlets as tl
from crystal_ldm.widgets.jobs import Latest
from crystal_ldm.widgets.layout import column, escape, row, show_if
from crystal_ldm.widgets.viewers.ngl_stage import NGLStage
from crystal_ldm.widgets.viewers.plotly_stage import PlotlyStage
from crystal_ldm.widgets.viewers.scene import SceneTooLarge
from crystal_ldm.widgets.viewers.shown import ShownCrystal, legend_html
from crystal_ldm.widgets.viewers.toolbar import make_toolbar
from pymatgen.core import Structure

from crystal_ldm.crystals.geometry.bonds import Bond, crystal_bonds, radius_bonds
from crystal_ldm.crystals.symmetry.analysis import cell_of_kind
from crystal_ldm.errors import DataError

PATIENCE = 0.1
"""Seconds before CrystalNN starts, so that the crystal is on its way to the browser by then."""
REFINED = 40
"""Frames of a trajectory, the last ones, whose bonds are CrystalNN's."""
NO_POLYHEDRA = "No cation here has four or more anions around it, so there are no polyhedra."
_WHY = {
    "no-webgl": "This browser cannot draw with WebGL, so a flat drawing is shown; "
    "turn it with a, b and c.",
    "no-extension": "nglview's part of JupyterLab is missing, so plotly draws the crystal. "
    "Reinstalling nglview 4.0 and reloading the page brings it back.",
}


class CrystalViewer(ShownCrystal):
    """Shows one crystal: `CrystalViewer(structure)`; or the frames of a trajectory, `show_frames`.

    All frames go to the browser at once, so that none has to wait for the kernel. Bonds are by
    distance until CrystalNN's are found, in the background.

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
        self.more = column(css="cl-more")
        show_if(False, self.more)
        self.toolbar = make_toolbar(self)
        show_if(toolbar, self.toolbar)
        stage = NGLStage(height)
        stage.observe(self.notice.guard(lambda change: self._fall_back(change.new)), "status")
        self._set_stage(stage, stage)
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
        self.react("cell", self._choose_cell)
        self.react("picked", self._mark)
        self.react("title", self._write_title)
        self.title = title
        self._write_title()
        self.show(structure)

    def show(self, structure: Structure | None) -> None:
        """Show `structure`; None empties the viewer."""
        self.show_frames([] if structure is None else [structure])

    def show_frames(self, structures: Sequence[Structure], frame: int = 0) -> None:
        """Show a trajectory at one of its frames; `show_frame` goes to another."""
        with self._lock:
            self._frames, self._frame = list(structures), frame
            self._cells, self._bonds, self._scenes = [], [], []
            with self._quiet:
                self.structure = self._frames[frame] if structures else None
            self._choose_cell()

    def show_frame(self, frame: int, *, drawn: bool = False) -> None:
        """Go to a frame of the trajectory; `drawn` says that the browser has done so by itself."""
        with self._lock:
            self._frame = frame
            with self._quiet:
                self.structure = self._frames[frame]
            self.forget()
            self.stage.marked = []
            if not drawn or self.renderer != "ngl":
                self.stage.frame = frame
            self.say_picked()
            self._write_legend()

    def _choose_cell(self) -> None:
        """Show the cell that is asked for, or say why there is none."""
        with self._lock:
            self.forget()
            if self.notice.level != "error" and self.renderer == "ngl":
                self.notice.clear()
            self._cells = [self._cell_of(one) for one in self._frames]
            self._bonds = [radius_bonds(one) for one in self._cells]
            self._draw("reset")
        self._refine()

    def _cell_of(self, structure: Structure) -> Structure:
        try:
            return cell_of_kind(structure, self.cell)
        except DataError as error:
            self.notice.say(str(error), "warning")
            return structure

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

    def _refine(self) -> None:
        """Take CrystalNN's bonds in place of those by distance as soon as they are found."""
        cells = self._cells
        # The last ones matter most; of hundreds of frames the others keep bonds by distance.
        early = self._bonds[:-REFINED]

        def work() -> list[list[Bond]]:
            return early + [crystal_bonds(one) for one in cells[-REFINED:]]

        def show(bonds: list[list[Bond]]) -> None:
            with self._lock:
                if cells is self._cells and bonds != self._bonds:
                    self._bonds = bonds
                    # Polyhedra reach out farther. The browser may be at another frame by now.
                    self._draw("fit" if self.polyhedra else "keep", self.stage.frame)

        self._latest.start(work, show, PATIENCE)

    def _draw(self, camera: str = "keep", frame: int | None = None) -> None:
        with self._lock:
            self._scenes = []
            show = "hidden" if self.shown is None else "visible"
            self.box.layout.visibility = self.toolbar.layout.visibility = show
            self._write_legend()
            self.say_picked()
            if self.shown is None:
                return
            try:
                self._scenes = self.lay_out()
                at = self._frame if frame is None else frame
                joined = not self.choosing
                self.stage.show(self._scenes, at, camera, self.marked, joined, self.look)
            except SceneTooLarge as error:
                self.box.layout.visibility = "hidden"  # what it shows is not this
                self.notice.say(str(error), "error")
                return
            if self.notice.level == "error" or self.notice.text == NO_POLYHEDRA:
                self.notice.clear()
            empty = self.scene is not None and not self.scene.polyhedra
            if self.polyhedra and empty and not self.notice.text:
                self.notice.say(NO_POLYHEDRA)

    def _mark(self) -> None:
        if not self._quiet:
            self.stage.marked = self.marked

    def _write_title(self) -> None:
        self.heading.value = f"<b>{escape(self.title)}</b>" if self.title else ""

    def _write_legend(self) -> None:
        self.legend.value = legend_html(self.shown, self.look)
