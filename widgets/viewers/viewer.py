"""The crystal viewer: nglview where the browser can show it, a plotly drawing where it cannot."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets as ipw
import traitlets as tl
from crystal_ldm.widgets.base import column, escape, row
from crystal_ldm.widgets.viewers.elements import COLOURS, STYLES, Look
from crystal_ldm.widgets.viewers.legend import legend_html
from crystal_ldm.widgets.viewers.picks import AtomPicker
from crystal_ldm.widgets.viewers.plotly_stage import STANDARD, PlotlyStage
from crystal_ldm.widgets.viewers.scene import Scene, build_scene
from crystal_ldm.widgets.viewers.toolbar import make_toolbar, more_box

from crystal_ldm.crystals.bonds import Bond, crystal_bonds, radius_bonds
from crystal_ldm.crystals.polyhedra import coordination_polyhedra
from crystal_ldm.crystals.symmetry import CELLS, cell_of_kind
from crystal_ldm.errors import DataError

if TYPE_CHECKING:
    from pymatgen.core import Structure

REFINED = 40
"""Frames of a trajectory, the last ones, whose bonds are CrystalNN's."""
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


class CrystalViewer(AtomPicker):
    """Shows one crystal: `CrystalViewer(structure)`.

    Traits:
        structure: the pymatgen Structure shown, or None.
        title: plain text above the crystal; empty hides it.
        supercell: how often the cell is repeated along a, b, c.
        images: atoms on a face of the cell are drawn at the opposite face too.
        bonds: bonds are drawn.
        labels: element symbols are written onto the atoms.
        polyhedra: the anions around each cation are drawn as a polyhedron.
        cell: "as made", "primitive", "conventional" or "symmetrised"; `shown` is in it. Frames of
            a trajectory are always shown as they were made.
        style: "Ball and stick" or "Space filling".
        colours: "Soft", "VESTA" or "Jmol".
        picked, choosing: see `AtomPicker`.
        renderer: "ngl", "plotly" or "flat"; read-only, set by what the browser can do.
    """

    structure = tl.Any(None, allow_none=True)
    title = tl.Unicode("")
    supercell = tl.Tuple(tl.Int(min=1), tl.Int(min=1), tl.Int(min=1), default_value=(1, 1, 1))
    images = tl.Bool(True)
    bonds = tl.Bool(True)
    labels = tl.Bool(False)
    polyhedra = tl.Bool(False)
    cell = tl.Enum(CELLS, default_value=CELLS[0])
    style = tl.Enum(STYLES, default_value=STYLES[0])
    colours = tl.Enum(COLOURS, default_value=COLOURS[0])
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
        self._camera = "reset"
        self._frames: list[Structure] = []
        self._frame_bonds: list[list[Bond]] = []
        self._frame = 0
        self.fallback: PlotlyStage | None = None
        self.heading = ipw.HTML()
        self.heading.add_class("cl-title")
        self.legend = ipw.HTML()
        self.legend.add_class("cl-legend")
        self.box = ipw.VBox(layout=ipw.Layout(width="100%", height=f"{height + 4}px"))
        self.box.add_class("cl-stage")
        self.stage = self._make_stage()
        self.more = more_box()
        self.toolbar = make_toolbar(self)
        self.toolbar.layout.display = None if toolbar else "none"
        self.widget = column(
            row(self.heading, self.toolbar, css="cl-bar"),
            self.more,
            self.box,
            self.pick_row,
            row(self.legend),
            self.notice.widget,
            css="cl-viewer",
        )
        self.observe(self.notice.guard(self._on_structure), "structure")
        guard = self.notice.guard
        drawn = ["images", "bonds", "labels", "colours"]
        self.observe(guard(lambda _: self._draw()), drawn)
        self.observe(guard(lambda _: self._draw("fit")), ["supercell", "polyhedra", "style"])
        self.observe(guard(lambda _: self._on_cell()), "cell")
        self.observe(lambda _: self._write_title(), "title")
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
            self._frames = []
            self._camera = "keep" if keep_camera else "reset"
            self._take(structure)
            self._draw()
            self._camera = "keep"
        if refine:
            self._start_refining()

    def show_frames(self, frames: Sequence[Structure], frame: int) -> None:
        """Show a trajectory at one of its frames; `show_frame` goes to another.

        All frames go to the browser at once, so that none has to wait for the kernel; CrystalNN's
        bonds take the place of those by distance as soon as they are found, as in `show`.
        """
        with self._lock:
            self._frames, self._camera = list(frames), "reset"
            self._frame_bonds = [radius_bonds(one) for one in self._frames]
            self._frame = frame
            self._take(self._frames[frame])
            self._draw()
            self._camera = "keep"
            threading.Thread(target=self._refine_frames, args=(self._frames,), daemon=True).start()

    def show_frame(self, frame: int, *, drawn: bool = False) -> None:
        """Go to a frame of the trajectory; `drawn` says that the browser has done so by itself."""
        with self._lock:
            self._frame, self.drawn = frame, None
            self._take(self._frames[frame])
            if self.renderer != "ngl":
                self._draw()
            else:
                self.stage.marked = []
                self.stage.frame = self.stage.frame if drawn else frame
            self.say_picked()
            self._write_legend()

    def _take(self, structure: Structure | None) -> None:
        """Set the structure without drawing it."""
        self._quiet = True
        try:
            self.structure = structure
        finally:
            self._quiet = False
        self._choose_cell()

    def _choose_cell(self) -> None:
        self.forget()
        self.shown = self.structure
        if self.notice.level != "error" and self.renderer == "ngl":
            self.notice.clear()
        if self.structure is not None and not self._frames:
            try:
                self.shown = cell_of_kind(self.structure, self.cell)
            except DataError as error:
                self.notice.say(str(error), "warning")
        if self._frames:
            self.drawn_bonds = self._frame_bonds[self._frame]
        else:
            self.drawn_bonds = radius_bonds(self.shown) if self.shown is not None else []

    @property
    def scene(self) -> Scene | None:
        """What is drawn now, or None."""
        return None if self.shown is None else self._scene(self.shown, self.drawn_bonds)

    def _scene(self, structure: Structure, bonds: list[Bond]) -> Scene:
        return build_scene(
            structure,
            bonds if self.bonds else [],
            self.supercell,
            self.images,
            polyhedra=coordination_polyhedra(structure, bonds) if self.polyhedra else (),
        )

    @property
    def look(self) -> Look:
        """How atoms are drawn."""
        return Look(self.colours, self.style)

    def reset_camera(self) -> None:
        """Turn to the standard view and fit the crystal."""
        if self.fallback is not None:
            self.fallback.look_along(STANDARD)
        else:
            self.stage.reset_camera()

    def look_along(self, axis: str) -> None:
        """Look along the lattice vector "a", "b" or "c"."""
        if self.shown is None:
            return
        index = "abc".index(axis)
        lattice = self.shown.lattice.matrix.tolist()
        if self.fallback is not None:
            self.fallback.look_along(lattice[index])
        else:
            self.stage.look_along(lattice[index], lattice[(index + 2) % 3])

    def download_png(self) -> None:
        """Make the browser save a picture of the crystal."""
        name = self.structure.composition.reduced_formula if self.structure else "crystal"
        drawing = self.stage if self.fallback is None else self.fallback.plot
        drawing.download_png(f"{name}.png")

    # -- parts ---------------------------------------------------------------------------------

    def _make_stage(self) -> Any:
        try:
            from crystal_ldm.widgets.viewers.ngl_stage import NGLStage

            stage = NGLStage(self._height)
        except (ImportError, AttributeError, OSError):
            self._fall_back("no-package")
            return None
        self.box.children = (stage,)
        stage.observe(self.notice.guard(lambda change: self._fall_back(change.new)), "status")
        stage.observe(self.notice.guard(self._on_click), "clicked")
        return stage

    # -- drawing -------------------------------------------------------------------------------

    def _on_structure(self, change: Any) -> None:
        if not self._quiet:
            self._frames = []
            self._take(change.new)
            self._draw()

    def _on_cell(self) -> None:
        if self.structure is None or self._frames:
            return
        with self._lock:
            self._choose_cell()
            self._draw("reset")
        self._start_refining()

    def _start_refining(self) -> None:
        if self.shown is not None and len(self.shown) > 1:
            threading.Thread(target=self._refine, args=(self.shown,), daemon=True).start()

    def _refine(self, shown: Structure) -> None:
        time.sleep(PATIENCE)
        if shown is not self.shown:
            return
        bonds = crystal_bonds(shown)
        with self._lock:
            if shown is self.shown and bonds != self.drawn_bonds:
                self.drawn_bonds = bonds
                self.notice.guard(self._draw)()

    def _refine_frames(self, frames: list[Structure]) -> None:
        # The last ones matter most; of hundreds of frames the others keep bonds by distance.
        bonds = [radius_bonds(one) for one in frames[:-REFINED]]
        bonds += [crystal_bonds(one) for one in frames[-REFINED:]]
        with self._lock:
            if frames is self._frames and bonds != self._frame_bonds:
                self._frame_bonds = bonds
                self.drawn_bonds, self.drawn = bonds[self._frame], None
                if self.renderer == "ngl":  # at the frame where the browser is by now
                    self.notice.guard(self._hand_over)(self.stage.frame, "keep")
                else:
                    self.notice.guard(self._draw)()

    def _hand_over(self, frame: int, camera: str) -> None:
        pairs = zip(self._frames, self._frame_bonds, strict=True)
        scenes = [self._scene(one, bonds) for one, bonds in pairs]
        labels = [self._labels(scene) for scene in scenes]
        self.stage.show_frames(scenes, labels, frame, camera, self.look)

    def _on_click(self, change: Any) -> None:
        if change.new.get("ticket") == self.stage.message.get("ticket"):
            self.pick(int(change.new["atom"]))

    def _draw(self, camera: str | None = None) -> None:
        with self._lock:
            scene = self.drawn = self.scene
            for part in (self.box, self.toolbar):
                part.layout.visibility = "visible" if scene is not None else "hidden"
            self._write_legend()
            self.say_picked()
            if scene is None:
                return
            camera = self._camera if camera is None else camera
            if self.renderer == "ngl" and self._frames:
                self._hand_over(self._frame, camera)
            elif self.renderer == "ngl":
                how = self.look, self.marked, not self.choosing
                self.stage.show(scene, self._labels(scene), camera, *how)
            elif self.fallback is not None:
                self.fallback.show(scene, self.labels, self.look, self.marked, not self.choosing)
            if self.notice.level == "error" or self.notice.text == NO_POLYHEDRA:
                self.notice.clear()
            if self.polyhedra and not scene.polyhedra and not self.notice.text:
                self.notice.say(NO_POLYHEDRA)

    def _mark(self) -> None:
        if self.renderer == "ngl":
            self.stage.marked = self.marked
        else:
            self._draw()

    def _labels(self, scene: Scene) -> dict[int, str] | None:
        return dict(enumerate(scene.symbols)) if self.labels else None

    def _fall_back(self, status: str) -> None:
        if status not in _WHY:
            return
        self.set_trait("renderer", "flat" if status == "no-webgl" else "plotly")
        self.fallback = PlotlyStage(self._height, flat=status == "no-webgl")
        self.fallback.on_click(self.pick, self.notice.guard)
        self.box.children = (self.fallback.plot,)
        self.notice.say(_WHY[status], "warning")
        self._draw()

    def _write_title(self) -> None:
        self.heading.value = f"<b>{escape(self.title)}</b>" if self.title else ""

    def _write_legend(self) -> None:
        self.legend.value = legend_html(self.shown, self.look)
