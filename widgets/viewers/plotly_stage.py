"""Shows one crystal after the other with plotly, where nglview cannot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import traitlets as tl
from crystal_ldm.widgets.browser.plot import Plot
from crystal_ldm.widgets.viewers.elements import Look
from crystal_ldm.widgets.viewers.plotly_crystal import atom_clicked, crystal_figure
from crystal_ldm.widgets.viewers.plotly_flat import STANDARD, flat_crystal_figure
from crystal_ldm.widgets.viewers.scene import Scene


class PlotlyStage(tl.HasTraits):
    """Does what `NGLStage` does, by the same names: `PlotlyStage(380, flat=False)`.

    In three dimensions the mouse turns the crystal, and the camera stays where it is.

    Args:
        height: px.
        flat: without WebGL, of which plotly's three-dimensional drawing needs as much as nglview.

    Traits:
        frame, marked: see `NGLStage`.

    Attributes:
        plot: what is put onto the page.
        figure: what it shows.
    """

    frame = tl.Int(0)
    marked = tl.List(tl.Int())

    def __init__(self, height: int, *, flat: bool) -> None:
        super().__init__()
        self.plot = Plot(height=height)
        self.figure: Any = None
        self._flat = flat
        self._towards: Sequence[float] = STANDARD
        self._scenes: Sequence[Scene] = ()
        self._how: dict[str, Any] = {"height": height}
        self.observe(lambda _: self._draw(), ["frame", "marked"])

    def show(
        self,
        scenes: Sequence[Scene],
        frame: int,
        camera: str,
        marked: list[int],
        joined: bool,
        look: Look,
    ) -> None:
        """Draw one of `scenes`; see `NGLStage.show`."""
        self._how |= {"joined": joined, "look": look}
        self._scenes = ()  # what is drawn now is not drawn again on the way
        self.frame, self.marked = frame, marked
        self._scenes = scenes
        self._draw()

    def look_along(self, towards: Sequence[float], up: Sequence[float] = ()) -> None:
        """Look against `towards`; c or b is upwards."""
        self._towards = towards
        self._draw()

    def reset_camera(self) -> None:
        """Turn to the standard view."""
        self.look_along(STANDARD)

    def download_png(self, name: str) -> None:
        """Make the browser save what is shown as a PNG."""
        self.plot.download_png(name)

    def on_click(self, action: Callable[[int], Any]) -> None:
        """Call `action` with the number of the drawn atom that is clicked."""

        def clicked(change: Any) -> None:
            atom = atom_clicked(self.figure, change.new["curve"], change.new["point"])
            if atom is not None:
                action(atom)

        self.plot.observe(clicked, "clicked")

    def _draw(self) -> None:
        if not self._scenes:
            return
        how = {**self._how, "marked": self.marked}
        if self._flat:
            how["towards"] = self._towards
        draw = flat_crystal_figure if self._flat else crystal_figure
        self.figure = draw(self._scenes[self.frame], **how)
        self.figure.update_layout(showlegend=False, uirevision="viewer")
        self.plot.show(self.figure)
