"""Shows one crystal after the other with plotly, where nglview cannot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from crystal_ldm.widgets.browser.plot import Plot
from crystal_ldm.widgets.viewers.elements import LOOK, Look
from crystal_ldm.widgets.viewers.plotly_crystal import atom_clicked, crystal_figure
from crystal_ldm.widgets.viewers.plotly_flat import flat_crystal_figure
from crystal_ldm.widgets.viewers.scene import Scene

STANDARD = (0.28, -0.95, 0.13)
"""Almost along b, with c up."""

Labels = Mapping[int, str] | None


class PlotlyStage:
    """Does what `NGLStage` does, by the same names: `PlotlyStage(380, flat=False)`.

    In three dimensions the mouse turns the crystal, and the camera stays where it is.

    Args:
        height: px.
        flat: without WebGL, of which plotly's three-dimensional drawing needs as much as nglview.

    Attributes:
        plot: what is put onto the page.
        figure: what it shows.
    """

    def __init__(self, height: int, *, flat: bool) -> None:
        self.plot = Plot(height=height)
        self.figure: Any = None
        self._flat = flat
        self._towards: tuple[float, ...] = STANDARD
        self._scenes: Sequence[Scene] = ()
        self._frame = 0
        self._how: dict[str, Any] = {"height": height}

    def show(
        self,
        scenes: Sequence[Scene],
        labels: Sequence[Labels],
        frame: int = 0,
        camera: str = "reset",
        look: Look = LOOK,
        marked: Sequence[int] = (),
        joined: bool = True,
    ) -> None:
        """Draw one of `scenes`; see `NGLStage.show`."""
        self._how |= {"marked": list(marked), "joined": joined}
        self._how |= {"labels": bool(labels[frame]), "look": look}
        self._scenes = scenes
        self.frame = frame

    @property
    def frame(self) -> int:
        """Number of the frame that is drawn."""
        return self._frame

    @frame.setter
    def frame(self, frame: int) -> None:
        self._frame = frame
        self._draw()

    @property
    def marked(self) -> list[int]:
        """Numbers of drawn atoms that stand out."""
        return list(self._how.get("marked", ()))

    @marked.setter
    def marked(self, atoms: Sequence[int]) -> None:
        if list(atoms) != self.marked:
            self._how["marked"] = list(atoms)
            self._draw()

    def look_along(self, towards: Sequence[float], up: Sequence[float] = ()) -> None:
        """Look against `towards`; c or b is upwards."""
        self._towards = tuple(towards)
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
        scene = self._scenes[self._frame]
        if self._flat:
            figure = flat_crystal_figure(scene, self._towards, **self._how)
        else:
            figure = crystal_figure(scene, **self._how)
        figure.update_layout(showlegend=False, uirevision="viewer")
        self.figure = figure
        self.plot.show(figure)
